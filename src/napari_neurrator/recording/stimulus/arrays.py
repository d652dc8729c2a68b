"""Frames in arrays."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache

from ...errors import NeurratorError
from ..npy_files import open_npy
from .base import Stimulus, as_rgb, check_claim
from .pictures import IMAGE_ENDINGS, ImageFolder

__all__ = ["IMAGE_ENDINGS", "ArrayStimulus", "ImageFolder"]

_BLOCK_BYTES = 64 << 20
_BLOCKS_KEPT = 3


class ArrayStimulus(Stimulus):
    """Frames in an array, read when they are asked for.

    Parameters
    ----------
    array : array-like
        (frame, height, width) or (frame, height, width, 3 or 4); uint8, or numbers from 0 to 1. May be memory-mapped, or anything of which one item or
        slice is read at a time.
    name : str
        What it is called.
    frame_rate_hz : float, optional
        Frames a second.
    block : int, optional
        How many frames are stored together: so many are read at once, and kept for a while.

    Raises
    ------
    NeurratorError
        The array has another shape, or holds what is no picture.
    """

    def __init__(self, array: Any, name: str = "array", frame_rate_hz: float | None = None, block: int = 1):
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (3, 4)) or 0 in array.shape:
            raise NeurratorError(
                f"The frames of {name} have shape {tuple(array.shape)}: they have to be (frame, height, width) or (frame, height, width, 3)."
            )
        check_claim(name, *array.shape[:3])
        if array.dtype.kind not in "uifb":
            raise NeurratorError(
                f"The frames of {name} hold {array.dtype} and not grey levels: give uint8, or numbers from 0 to 1."
            )
        bytes_a_frame = int(np.prod(array.shape[1:], dtype=np.float64)) * array.dtype.itemsize
        self._block = max(min(block, _BLOCK_BYTES // bytes_a_frame, array.shape[0]), 1)
        self._kept: LRUCache[int, np.ndarray] = LRUCache(_BLOCKS_KEPT)
        self._lock = threading.Lock()
        self.array, self.name, self.frame_rate_hz = array, name, frame_rate_hz
        self.n_frames = int(array.shape[0])
        self.frame_shape = (array.shape[1], array.shape[2], 3)
        self.frame(0)

    @classmethod
    def from_npy(cls, path: str | Path, name: str | None = None) -> "ArrayStimulus":
        """Open a .npy file, memory-mapped; pickled objects are refused."""
        path = Path(path)
        return cls(open_npy(path, "frames"), name or path.stem)

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""
        return as_rgb(self._raw(self.check(index)))

    def _raw(self, index: int) -> np.ndarray:
        try:
            if self._block == 1:
                return np.asarray(self.array[index])
            number = index // self._block
            with self._lock:
                block = self._kept.get(number)
                if block is None:
                    block = np.asarray(self.array[number * self._block : (number + 1) * self._block])
                    self._kept[number] = block
            return block[index - number * self._block]
        except NeurratorError:
            raise
        except Exception as error:
            # Each store fails in its own way.
            raise NeurratorError(
                f"Frame {index} of {self.name} cannot be read: the file is damaged or was changed."
            ) from error

    def fingerprint(self) -> str:
        """Return the SHA-256 of shape, type and numbers."""
        digest = hashlib.sha256(f"{tuple(self.array.shape)}{self.array.dtype}".encode())
        for index in range(self.n_frames):
            digest.update(np.ascontiguousarray(self._raw(index)).tobytes())
        return digest.hexdigest()
