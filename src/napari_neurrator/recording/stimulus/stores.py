"""Frames in an array of a Zarr folder or an HDF5 file."""

from math import prod
from pathlib import Path
from typing import Any

from ...errors import NeurratorError
from .arrays import ArrayStimulus
from .base import check_claim

_MOST_CHUNK = 1 << 30
# A codec that runs what it reads.
_UNSAFE = ("pickle",)
_MOST_NAMED = 10_000


def open_zarr(path: str | Path, name: str | None = None) -> ArrayStimulus:
    """Open frames in a Zarr folder or zip: an array, or the one array in a group that looks like frames.

    Raises
    ------
    NeurratorError
        The store is missing or damaged, holds no such array or several, or claims an absurd size.
    """
    import zarr

    path = Path(path)
    try:
        store: Any = zarr.storage.ZipStore(str(path), mode="r") if path.is_file() else str(path)
        root = zarr.open(store, mode="r")
        arrays = {"": root} if hasattr(root, "chunks") else _arrays(root, lambda item: hasattr(item, "chunks"))
        array = _the_one(path, arrays)
        _check_codecs(path, array)
        return _stimulus(path, array, name)
    except NeurratorError:
        raise
    except Exception as error:
        raise NeurratorError(
            f"{path} cannot be read as a Zarr array of frames: it is damaged, or of another version."
        ) from error


def open_hdf5(path: str | Path, name: str | None = None) -> ArrayStimulus:
    """Open frames in an HDF5 file: the one dataset in it that looks like frames.

    Raises
    ------
    NeurratorError
        The file is damaged, holds no such dataset or several, or claims an absurd size.
    """
    import h5py

    path = Path(path)
    try:
        root = h5py.File(path, "r")
        return _stimulus(path, _the_one(path, _arrays(root, lambda item: isinstance(item, h5py.Dataset))), name)
    except NeurratorError:
        raise
    except Exception as error:
        raise NeurratorError(f"{path} cannot be read as an HDF5 file of frames: it is missing or damaged.") from error


def _arrays(root: Any, is_array: Any) -> dict[str, Any]:
    """Return the arrays in a group and its groups, by path."""
    found: dict[str, Any] = {}
    waiting = [("", root)]
    seen = 0
    while waiting and seen < _MOST_NAMED:
        prefix, group = waiting.pop()
        for key in group:
            seen += 1
            item = group.get(key)
            if item is None:
                continue
            if is_array(item):
                found[f"{prefix}{key}"] = item
            elif hasattr(item, "keys") and prefix.count("/") < 8:
                waiting.append((f"{prefix}{key}/", item))
    return found


def _the_one(path: Path, arrays: dict[str, Any]) -> Any:
    """Return the array that looks like frames."""
    fitting = {key: array for key, array in arrays.items() if _looks_like_frames(array)}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    listed = ", ".join(
        f"{key or 'the array'} {tuple(array.shape)} {array.dtype}"
        for key, array in list((fitting or arrays).items())[:6]
    )
    if not fitting:
        raise NeurratorError(
            f"{path} holds no array of frames, which is (frame, height, width) or (frame, height, width, 3); it holds {listed or 'no arrays'}."
        )
    raise NeurratorError(
        f"{path} holds {len(fitting)} arrays that may be the frames ({listed}): give a file with one of them."
    )


def _looks_like_frames(array: Any) -> bool:
    shape = tuple(array.shape)
    return (
        array.dtype.kind in "uifb"
        and (len(shape) == 3 or (len(shape) == 4 and shape[3] in (3, 4)))
        and min(shape[1:3]) > 1
    )


def _check_codecs(path: Path, array: Any) -> None:
    # Zarr 2 has one compressor, Zarr 3 several.
    compressors = array.compressors if hasattr(array, "compressors") else [array.compressor]
    codecs = [codec for codec in (*compressors, *(array.filters or ())) if codec is not None]
    for codec in codecs:
        if str(getattr(codec, "codec_id", type(codec).__name__)).lower() in _UNSAFE:
            raise NeurratorError(
                f"The array in {path} is stored as pickled objects, which could run code: store it as numbers."
            )


def _stimulus(path: Path, array: Any, name: str | None) -> ArrayStimulus:
    check_claim(path, array.shape[0], *array.shape[1:3])
    chunk = tuple(array.chunks) if array.chunks else (1, *array.shape[1:])
    claimed = prod(int(n) for n in chunk) * array.dtype.itemsize
    if claimed > _MOST_CHUNK:
        raise NeurratorError(
            f"{path} claims chunks of {chunk} ({claimed:,} bytes): store it in chunks of a few frames."
        )
    return ArrayStimulus(array, name or path.stem, block=int(chunk[0]))
