"""What every stimulus can do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np


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
        return np.stack([self.frame(int(index)) for index in indices])

    def as_dask(self) -> Any:
        """Return a lazy array, one frame a chunk: dask (frame, height, width, 3), uint8."""
        import dask
        import dask.array as da

        delayed = dask.delayed(self.frame, pure=True)
        lazy = [da.from_delayed(delayed(i), shape=self.frame_shape, dtype=np.uint8) for i in range(self.n_frames)]
        return da.stack(lazy)

    def check(self, index: int) -> int:
        """Return `index`, or raise IndexError where there is no such frame."""
        if not 0 <= index < self.n_frames:
            raise IndexError(f"{self.name} has frames 0 to {self.n_frames - 1}, not {index}")
        return int(index)


def as_rgb(frame: np.ndarray) -> np.ndarray:
    """Return a frame as uint8 (height, width, 3): grey is repeated, alpha dropped, numbers from 0 to 1 stretched to 255."""
    if frame.dtype != np.uint8:
        scaled = frame.astype(np.float64)
        frame = (
            (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
            if frame.dtype.kind == "f"
            else np.clip(scaled, 0, 255).astype(np.uint8)
        )
    if frame.ndim == 2:
        frame = np.repeat(frame[..., None], 3, axis=2)
    return np.ascontiguousarray(frame[..., :3])
