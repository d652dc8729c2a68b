"""Rows of a table that is too large to be held."""

from typing import Any

import numpy as np

from ..vision.grid_table import Grids


class Rows:
    """Some rows of a table, read when they are asked for.

    Rows of a memory-mapped file are read from the file itself: pages that were mapped once would count as this process's memory.

    Parameters
    ----------
    table : numpy.ndarray or GridTable
        (row, …), memory-mapped or not.
    rows : numpy.ndarray
        Which of its rows; all by default.
    """

    def __init__(self, table: Grids, rows: np.ndarray | None = None):
        self._table = table
        self._rows = np.arange(len(table)) if rows is None else np.asarray(rows)
        self.shape = (len(self._rows), *table.shape[1:])
        self.dtype = table.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: Any) -> np.ndarray:
        wanted = np.atleast_1d(self._rows[part])
        table = self._table
        if not (isinstance(table, np.memmap) and table.filename and table.flags.c_contiguous):
            return np.asarray(table[wanted])
        size = int(np.prod(table.shape[1:]))
        out = np.empty((len(wanted), *table.shape[1:]), dtype=table.dtype)
        with open(table.filename, "rb", buffering=0) as file:
            for place, row in enumerate(wanted):
                file.seek(table.offset + int(row) * size * table.dtype.itemsize)
                file.readinto(memoryview(out[place]).cast("B"))  # type: ignore[attr-defined]
        return out
