"""Patch grids on disk, read row by row."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError


class GridTable:
    """Rows of an uncompressed Zarr array, read when they are asked for: the table of a movie is never held in memory.

    Chunks of such an array are the bare numbers (Zarr's specification, version 2), so a row is read from its place in its chunk's file, and
    nothing else of it.

    Parameters
    ----------
    folder : Path
        Of the Zarr array, float16 (frame, patches, width), a chunk holding all of some frames.
    chunk : int
        Frames in a chunk.
    shape : tuple of int
        (patches, width).
    rows : numpy.ndarray
        Frames of the array that are the rows of this table.

    Attributes
    ----------
    shape : tuple of int
        (row, patches, width).
    dtype : numpy.dtype
        float16.
    """

    dtype = np.dtype("<f2")
    ndim = 3

    def __init__(self, folder: Path, chunk: int, shape: tuple[int, int], rows: np.ndarray):
        self.folder, self.chunk, self.rows = folder, chunk, np.asarray(rows, dtype=np.int64)
        self.shape = (len(self.rows), *shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: Any) -> np.ndarray:
        """Return rows as an array in memory; after the rows, other axes may be indexed as of an array."""
        first, *rest = part if isinstance(part, tuple) else (part,)
        wanted = self.rows[first]
        grids = self._read(np.atleast_1d(wanted).ravel())
        grids = grids.reshape(*wanted.shape, *self.shape[1:])
        return grids[(*[slice(None)] * wanted.ndim, *rest)] if rest else grids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        grids = self[:]
        return grids if dtype is None else grids.astype(dtype, copy=False)

    def _read(self, frames: np.ndarray) -> np.ndarray:
        out = np.empty((len(frames), *self.shape[1:]), dtype=self.dtype)
        size = out[:1].nbytes
        opened, file = -1, -1
        try:
            for place, frame in enumerate(frames.tolist()):
                number = frame // self.chunk
                if number != opened:
                    if file >= 0:
                        os.close(file)
                    file, opened = -1, number
                    file = os.open(self.folder / f"{number}.0.0", os.O_RDONLY | getattr(os, "O_BINARY", 0))
                self._fill(file, memoryview(out[place]).cast("B"), (frame - number * self.chunk) * size)
        except OSError as error:
            raise NeurratorError(
                f"The patch grids kept in {self.folder} were removed or changed while they were read ({error.strerror or error}): run it again, they are made anew."
            ) from error
        finally:
            if file >= 0:
                os.close(file)
        return out

    @staticmethod
    def _fill(file: int, into: memoryview, offset: int) -> None:
        os.lseek(file, offset, os.SEEK_SET)
        done = 0
        while done < len(into):
            # One read may bring less than all.
            got = os.readv(file, [into[done:]]) if hasattr(os, "readv") else _read_into(file, into[done:])
            if got == 0:
                raise OSError("a file ends early")
            done += got


def _read_into(file: int, into: memoryview) -> int:
    read = os.read(file, len(into))
    into[: len(read)] = read
    return len(read)


Grids = np.ndarray | GridTable
