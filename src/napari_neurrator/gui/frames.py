"""A stimulus as the array that napari slices: one frame is read at a time, without a task graph in between, which costs more than the frame."""

from collections import OrderedDict
from typing import Any

import numpy as np

KEPT_BYTES = 64_000_000


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
        self._room = max(1, KEPT_BYTES // max(1, first.nbytes))
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict([(0, first)])

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

    def _frame(self, i: int) -> np.ndarray:
        found = self._kept.get(i)
        if found is None:
            found = self._kept[i] = np.asarray(self._stimulus.frame(i))
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(i)
        return found
