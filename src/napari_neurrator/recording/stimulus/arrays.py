"""Frames in arrays and in folders of images."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import NeurratorError
from .base import Stimulus, as_rgb

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class ArrayStimulus(Stimulus):
    """Frames in an array.

    Parameters
    ----------
    array : numpy.ndarray
        (frame, height, width) or (frame, height, width, 3 or 4); uint8, or numbers from 0 to 1. May be memory-mapped.
    name : str
        What it is called.
    frame_rate_hz : float, optional
        Frames a second.

    Raises
    ------
    NeurratorError
        The array has another shape, or holds what is no picture.
    """

    def __init__(self, array: np.ndarray, name: str = "array", frame_rate_hz: float | None = None):
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (3, 4)) or 0 in array.shape:
            raise NeurratorError(
                f"The frames of {name} have shape {array.shape}: they have to be (frame, height, width) or (frame, height, width, 3)."
            )
        as_rgb(np.asarray(array[0]))
        self.array, self.name, self.frame_rate_hz = array, name, frame_rate_hz
        self.n_frames = len(array)
        self.frame_shape = (array.shape[1], array.shape[2], 3)

    @classmethod
    def from_npy(cls, path: str | Path, name: str | None = None) -> "ArrayStimulus":
        """Open a .npy file, memory-mapped; pickled objects are refused."""
        path = Path(path)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise NeurratorError(
                f"{path} cannot be read as an array of frames: it is missing, damaged or holds objects."
            ) from error
        return cls(array, name or path.stem)

    @classmethod
    def from_tiff(cls, path: str | Path, name: str | None = None) -> "ArrayStimulus":
        """Open a TIFF stack, memory-mapped where its layout allows."""
        import tifffile

        path = Path(path)
        try:
            with tifffile.TiffFile(path) as file:
                axes = file.series[0].axes
            try:
                array: np.ndarray = tifffile.memmap(path, mode="r")
            except ValueError:
                # Compressed, or its pages do not lie side by side.
                array = tifffile.imread(path)
        except Exception as error:
            raise NeurratorError(
                f"{path} cannot be read as a TIFF stack: it is missing, damaged or compressed in a way that is not known here."
            ) from error
        if axes in ("YX", "YXS"):
            # A single picture: its rows are not frames.
            array = array[None]
        return cls(array, name or path.stem)

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""
        return as_rgb(np.asarray(self.array[self.check(index)]))

    def fingerprint(self) -> str:
        """Return the SHA-256 of shape, type and numbers."""
        digest = hashlib.sha256(f"{self.array.shape}{self.array.dtype}".encode())
        for frame in self.array:
            digest.update(np.ascontiguousarray(frame).tobytes())
        return digest.hexdigest()


class ImageFolder(Stimulus):
    """The images of a folder, of 8 bits a colour, in order of their names (numbers count as numbers: 2 before 10).

    Raises
    ------
    NeurratorError
        The folder holds no images, or they differ in size.
    """

    def __init__(self, folder: str | Path, name: str | None = None):
        self.folder = Path(folder)
        self.name, self.frame_rate_hz = name or self.folder.name, None
        self.files = sorted((f for f in self.folder.iterdir() if f.suffix.lower() in IMAGE_ENDINGS), key=_natural)
        if not self.files:
            raise NeurratorError(f"The folder {self.folder} holds no images ({', '.join(IMAGE_ENDINGS)}).")
        self.n_frames = len(self.files)
        sizes: dict[tuple[int, int], Path] = {}
        for file in self.files:
            try:
                with Image.open(file) as picture:
                    sizes.setdefault(picture.size, file)
            except (OSError, UnidentifiedImageError) as error:
                raise NeurratorError(
                    f"{file} cannot be read as an image: take it out of the folder or mend it."
                ) from error
        if len(sizes) > 1:
            (one, first), (two, second) = list(sizes.items())[:2]
            raise NeurratorError(
                f"The images of {self.folder} differ in size ({first.name} is {one[0]} × {one[1]}, {second.name} is {two[0]} × {two[1]}): bring them to one size."
            )
        width, height = next(iter(sizes))
        self.frame_shape = (height, width, 3)

    def frame(self, index: int) -> np.ndarray:
        """Return one image, uint8 (height, width, 3)."""
        file = self.files[self.check(index)]
        try:
            with Image.open(file) as picture:
                # Modes I and F hold more than 8 bits, which convert() would cut off.
                if picture.mode[0] in "IF":
                    return as_rgb(np.asarray(picture))
                return np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise NeurratorError(f"{file} cannot be read as an image: take it out of the folder or mend it.") from error

    def fingerprint(self) -> str:
        """Return the SHA-256 of all files."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()


def _natural(path: Path) -> list[tuple[int, int | str]]:
    import re

    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name.lower()) if part]
