"""A stimulus as the array that napari slices: one frame is read at a time, without a task graph in between, which costs more than the frame."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from cachetools import LRUCache

KEPT_BYTES = 64_000_000
AHEAD = 2
"""Frames that are read before the film comes to them."""


class Frames:
    """Looks like an array (frame, height, width, 3) of uint8 to those who slice it; the frames shown last are kept.

    Parameters
    ----------
    stimulus : Stimulus
        Gives the frames.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, stimulus: Any) -> None:
        self._stimulus = stimulus
        first = np.asarray(stimulus.frame(0))
        self.shape = (int(stimulus.n_frames), *first.shape)
        self._kept: LRUCache[int, np.ndarray] = LRUCache(max(1, KEPT_BYTES // max(1, first.nbytes)))
        self._kept[0] = first
        self._lock = threading.Lock()
        self._reader: ThreadPoolExecutor | None = None
        self._reading: Future | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        if key and key[0] is Ellipsis:
            key = (slice(None),) * (self.ndim - len(key) + 1) + key[1:]
        which = np.arange(self.shape[0])[key[0] if key else slice(None)]
        if which.ndim == 0:
            return self._frame(int(which))[key[1:]]
        frames = [self._frame(int(i))[key[1:]] for i in which]
        return np.stack(frames) if frames else np.zeros((0, *self.shape[1:]), self.dtype)[(slice(None), *key[1:])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def read_ahead(self, i: int) -> None:
        """Read the frames after `i` in the background, as long as there is nothing else to read: decoding leaves the interpreter to the window."""
        wanted = [j for j in range(i + 1, min(i + 1 + AHEAD, self.shape[0])) if j not in self._kept]
        if not wanted or (self._reading is not None and not self._reading.done()):
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, "frames")
        self._reading = self._reader.submit(self._read, wanted)

    def _read(self, frames: list[int]) -> None:
        for i in frames:
            self._frame(i)

    def _frame(self, i: int) -> np.ndarray:
        with self._lock:
            found = self._kept.get(i)
            if found is not None:
                return found
        # a stimulus may be read by several at a time
        frame = np.asarray(self._stimulus.frame(i))
        with self._lock:
            self._kept[i] = frame
        return frame
