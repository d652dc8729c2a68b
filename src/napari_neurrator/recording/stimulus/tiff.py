"""TIFF stacks, page by page."""

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import NeurratorError
from .arrays import ArrayStimulus
from .base import Stimulus, check_claim
from .pictures import PictureSequence


class _Pages:
    """The pages of a TIFF series as an array of which one item is read at a time."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype):
        import tifffile

        self.path, self.shape, self.dtype, self.ndim = path, shape, dtype, len(shape)
        self._lock = threading.Lock()
        self._file = tifffile.TiffFile(path)
        self._pages = self._file.series[0].pages

    def __getitem__(self, index: int) -> np.ndarray:
        with self._lock:
            page: Any = self._pages[index]
            check_claim(self.path, 1, *page.shape[:2])
            return page.asarray().reshape(self.shape[1:])


def open_tiff(path: str | Path, name: str | None = None) -> Stimulus:
    """Open a TIFF stack (OME, ImageJ or plain): memory-mapped where its layout allows, else page by page.

    Raises
    ------
    NeurratorError
        The file is missing, damaged, or holds something else than frames.
    """
    import tifffile

    path = Path(path)
    # It logs each fault of a file; here they become one sentence.
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            axes, shape, dtype, n_pages = series.axes, tuple(series.shape), series.dtype, len(series.pages)
            page = series.pages[0]
            # A part of the page that its compression does not let tifffile read alone.
            readable = page is not None and _decodes(page)
        shape = _frame_shape(path, axes, shape)
        try:
            mapped: np.ndarray = tifffile.memmap(path, mode="r")
            return ArrayStimulus(mapped.reshape(shape), name or path.stem)
        except ValueError:
            # Compressed, or its pages do not lie side by side.
            pass
        if n_pages != shape[0]:
            raise NeurratorError(
                f"{path} claims {shape[0]:,} frames but holds {n_pages:,} pages: it is cut short, or laid out in a way that is not known here."
            )
        if not readable:
            return PictureSequence(path, name)
        return ArrayStimulus(_Pages(path, shape, dtype), name or path.stem)
    except NeurratorError:
        raise
    except Exception as error:
        raise NeurratorError(
            f"{path} cannot be read as a TIFF stack: it is missing, damaged or compressed in a way that is not known here."
        ) from error
    finally:
        log.setLevel(level)


def _decodes(page: Any) -> bool:
    """Tell whether tifffile has the codec of a page."""
    from tifffile import TIFF

    try:
        TIFF.DECOMPRESSORS[page.compression]
    except Exception:
        return False
    return True


def _frame_shape(path: Path, axes: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape as (frame, height, width[, colour]); axes of length 1 do not count."""
    kept = [(axis, length) for axis, length in zip(axes, shape, strict=True) if length != 1 or axis in "YX"]
    letters = "".join(axis for axis, _ in kept)
    if letters.endswith("YXS"):
        frame = [length for _, length in kept[-3:]]
    elif letters.endswith("YX"):
        frame = [length for _, length in kept[-2:]]
    else:
        frame = []
    before = kept[: len(kept) - len(frame)]
    # ImageJ writes frames as channels too; up to four are colours.
    colours = any(axis == "S" or (axis == "C" and length <= 4) for axis, length in before)
    if not frame or len(before) > 1 or colours:
        raise NeurratorError(
            f"{path} has axes {axes} of lengths {shape}: it has to be one frame after another (TYX), or in colour (TYXS)."
        )
    n_frames = before[0][1] if before else 1
    check_claim(path, n_frames, frame[0], frame[1])
    # A single picture: its rows are not frames.
    return (n_frames, *frame)
