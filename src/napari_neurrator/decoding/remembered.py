"""What was worked out for the subsets of units that were asked last."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

_Made = TypeVar("_Made")


class Remembered(Generic[_Made]):
    """Keeps the last few things made; may be asked by several threads at once.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int = 8):
        self._kept: LRUCache[Hashable, _Made] = LRUCache(most)
        self._lock = threading.Lock()

    def of(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """Return what `make` gave for this key, made now unless it is remembered. Two threads that ask for the same at once both make it."""
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
        return made
