"""What every stimulus can do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import NeurratorError

# What a frame, and a stimulus, may claim to be before anything is allocated for it: 8192 × 8192 px, and 46 hours at 30 Hz.
MOST_PIXELS = 1 << 26
MOST_FRAMES = 5_000_000


class Stimulus(ABC):
    """Frames by number, read lazily.

    Attributes
    ----------
    name : str
        What it is called.
    n_frames : int
        Number of frames.
    frame_rate_hz : float or None
        Frames a second, where they follow each other.
    frame_shape : tuple of int
        (height, width, 3).
    """

    name: str
    n_frames: int
    frame_rate_hz: float | None
    frame_shape: tuple[int, int, int]

    @abstractmethod
    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash that changes when the frames do."""

    def frames(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return several frames, uint8 (n, height, width, 3)."""
        if not len(indices):
            return np.empty((0, *self.frame_shape), dtype=np.uint8)
        return np.stack([self.frame(int(index)) for index in indices])

    def as_dask(self) -> Any:
        """Return a lazy array, one frame a chunk: dask (frame, height, width, 3), uint8."""
        import dask.array as da

        # From an array-like and not from thousands of delayed calls, which take seconds to put together.
        return da.from_array(
            _Frames(self),
            chunks=(1, *self.frame_shape),
            name=False,
            asarray=False,
            fancy=False,
            meta=np.empty((0, 0, 0, 0), np.uint8),
        )

    def check(self, index: int) -> int:
        """Return `index`, or raise IndexError where there is no such frame."""
        if not 0 <= index < self.n_frames:
            raise IndexError(f"{self.name} has frames 0 to {self.n_frames - 1}, not {index}")
        return int(index)


class _Frames:
    """What dask needs of an array, served by `Stimulus.frame`."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, stimulus: Stimulus):
        self._stimulus = stimulus
        self.shape = (stimulus.n_frames, *stimulus.frame_shape)

    def __getitem__(self, key: tuple[int | slice, ...]) -> np.ndarray:
        first, *rest = key
        numbers = np.arange(self.shape[0])[first]
        if numbers.ndim == 0:
            return self._stimulus.frame(int(numbers))[tuple(rest)]
        return self._stimulus.frames(numbers)[(slice(None), *rest)]


def check_claim(where: object, n_frames: int, height: int, width: int) -> None:
    """Refuse what a file claims to hold, where no stimulus is like that: a few bytes can claim terabytes.

    Parameters
    ----------
    where : object
        The file, for the message.
    n_frames, height, width : int
        Number of frames and their size, pixels.

    Raises
    ------
    NeurratorError
        There are no frames, or too many or too large ones.
    """
    if min(n_frames, height, width) < 1:
        raise NeurratorError(
            f"{where} does not say how large its pictures are, or claims a size that none has ({width:,} × {height:,} pixels)."
        )
    if height * width > MOST_PIXELS or n_frames > MOST_FRAMES:
        raise NeurratorError(
            f"{where} claims to hold {n_frames:,} frames of {width:,} × {height:,} pixels: a stimulus has at most {MOST_FRAMES:,} frames of {MOST_PIXELS:,} pixels."
        )


def as_rgb(frame: np.ndarray) -> np.ndarray:
    """Return a frame as uint8 (height, width, 3): grey is repeated, alpha dropped, numbers from 0 to 1 stretched to 255.

    Raises
    ------
    NeurratorError
        Its numbers lie outside what can be shown, 0 to 255 or, with a point, 0 to 1: cutting them off would change the picture.
    """
    if frame.dtype.kind == "b":
        frame = frame.astype(np.uint8) * np.uint8(255)
    elif frame.dtype != np.uint8:
        top = 1 if frame.dtype.kind == "f" else 255
        if frame.dtype.kind not in "fiu":
            raise NeurratorError(
                f"The frames hold {frame.dtype} and not grey levels: give uint8, or numbers from 0 to 1."
            )
        low, high = frame.min(), frame.max()
        if not (low >= -1e-6 and high <= top + 1e-6):
            raise NeurratorError(
                f"A frame of type {frame.dtype} has values from {low:g} to {high:g}, not from 0 to {top}: give uint8, or numbers from 0 to 1."
            )
        frame = (np.clip(frame, 0, top) * (255 // top)).round().astype(np.uint8)
    if frame.ndim == 2:
        frame = np.repeat(frame[..., None], 3, axis=2)
    return np.ascontiguousarray(frame[..., :3])
