"""A table of patch grids on disk that is filled chunk by chunk: what is finished stays finished, and what is damaged is known."""

import contextlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError
from .grid_table import GridTable

# Bytes of a chunk at most, unless one frame is larger: reading one row costs little, and a film does not become a million files.
_CHUNK_BYTES = 2 << 20
_FULL = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT


class GridStore:
    """A folder with an uncompressed Zarr array of float16 (frame, patches, width), and a list of the chunks that are finished.

    A chunk is finished when its line stands in ``finished.jsonl``, which is written after the chunk itself: its size, its time of writing and
    the checksum of its numbers. One that was changed since is read again and, where its checksum is another, made anew.

    Parameters
    ----------
    folder : Path
        Need not exist yet.
    shape : tuple of int
        (frames, patches, width).
    about : dict
        What the grids are of, kept beside them in words.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], about: dict[str, Any]):
        self.folder, self.shape, self.about = folder, shape, about
        self.row_bytes = 2 * shape[1] * shape[2]
        self.chunk = max(_CHUNK_BYTES // self.row_bytes, 1)
        self.array = folder / "grids.zarr"
        self._finished = folder / "finished.jsonl"

    def chunks_of(self, frames: np.ndarray) -> np.ndarray:
        """Return the numbers of the chunks that hold frames, ascending."""
        return np.unique(np.asarray(frames, dtype=np.int64) // self.chunk)

    def frames_of(self, chunk: int) -> np.ndarray:
        """Return the frames of a chunk."""
        return np.arange(chunk * self.chunk, min((chunk + 1) * self.chunk, self.shape[0]))

    def table(self, frames: np.ndarray) -> GridTable:
        """Return some frames' grids, which have to be finished."""
        return GridTable(self.array, self.chunk, self.shape[1:], frames)

    def unfinished(self, chunks: np.ndarray) -> list[int]:
        """Return which of some chunks are not there, not whole or changed since they were written."""
        if not self._array_is_right():
            return [int(chunk) for chunk in chunks]
        told = self._told()
        return [int(chunk) for chunk in chunks if not self._is_whole(int(chunk), told.get(int(chunk)))]

    def write(self, chunk: int, grids: np.ndarray) -> None:
        """Write a chunk's grids, (frames of the chunk, patches, width); to be called by one process at a time, see `filling`.

        Raises
        ------
        NeurratorError
            The disk is full.
        """
        import zarr

        frames = self.frames_of(chunk)
        with self._room():
            with _empty_chunks_too():
                array = zarr.open_array(str(self.array), mode="r+")
                array[frames[0] : frames[-1] + 1] = np.ascontiguousarray(grids, dtype=np.float16)
            file = self._file(chunk)
            line = {"chunk": chunk, **_stamp(file), "crc32": zlib.crc32(file.read_bytes())}
            self._append(line)

    @contextlib.contextmanager
    def filling(self, on_wait: Any = None) -> Iterator[None]:
        """Hold the store for writing; another process that fills it is waited for.

        Parameters
        ----------
        on_wait : callable, optional
            Called twice a second while waiting; may raise `Stopped`.
        """
        from filelock import FileLock, Timeout

        with self._room():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(self.folder / "lock"))
            while True:
                try:
                    lock.acquire(timeout=0.5)
                    break
                except Timeout:
                    if on_wait:
                        on_wait()
                except NotImplementedError:
                    # No locks on this file system: chunks are renamed into place, so the worst is work done twice.
                    break
        try:
            with self._room():
                for left in self.array.glob("*.partial"):
                    # Of a process that was killed while it wrote.
                    left.unlink(missing_ok=True)
                if not self._array_is_right():
                    self._create()
            yield
        finally:
            lock.release()

    def check_room(self, chunks: int) -> None:
        """Refuse to begin where the disk has no room for so many chunks.

        Raises
        ------
        NeurratorError
            Says how much is needed and how much is free.
        """
        there = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        free, needed = shutil.disk_usage(there).free, chunks * self.chunk * self.row_bytes
        if needed > free:
            raise self._full(f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free")

    def _full(self, why: str) -> NeurratorError:
        return NeurratorError(
            f"The disk is full: the patch grids do not fit into {self.folder.parent} ({why}). Free some space there, or let NEURRATOR_CACHE name a folder on "
            "another disk, and run it again; the frames that are done are kept."
        )

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(error.strerror or "no space left") from error
            raise NeurratorError(
                f"The patch grids cannot be written to {self.folder} ({error.strerror or error}): let NEURRATOR_CACHE name a folder that can be written to."
            ) from error

    def _file(self, chunk: int) -> Path:
        return self.array / f"{chunk}.0.0"

    def _told(self) -> dict[int, dict[str, int]]:
        told = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._finished.read_bytes().splitlines():
                # The last line is torn where a process was killed while it wrote.
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    one = json.loads(line)
                    told[int(one["chunk"])] = {key: int(one[key]) for key in ("size", "mtime_ns", "crc32")}
        return told

    def _is_whole(self, chunk: int, told: dict[str, int] | None) -> bool:
        file = self._file(chunk)
        try:
            stamp = _stamp(file)
            if told is None or stamp["size"] != told["size"] or stamp["size"] != self.chunk * self.row_bytes:
                return False
            return stamp["mtime_ns"] == told["mtime_ns"] or zlib.crc32(file.read_bytes()) == told["crc32"]
        except OSError:
            return False

    def _append(self, line: dict[str, int]) -> None:
        # A torn line of a process that was killed is ended first.
        with self._finished.open("a+b") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
            torn = stream.read(1) not in (b"", b"\n")
            stream.write((b"\n" if torn else b"") + json.dumps(line).encode() + b"\n")

    def _metadata(self) -> dict[str, Any]:
        return {
            "zarr_format": 2, "shape": list(self.shape), "chunks": [self.chunk, *self.shape[1:]], "dtype": "<f2", "order": "C",
            "compressor": None, "filters": None,
        }  # fmt: skip

    def _array_is_right(self) -> bool:
        try:
            said = json.loads((self.array / ".zarray").read_text(encoding="utf-8"))
            return all(said.get(key) == value for key, value in self._metadata().items())
        except (OSError, ValueError, AttributeError):
            return False

    def _create(self) -> None:
        """Write the array's description, beside the chunks that may be there already."""
        import zarr

        version = {"zarr_format": 2} if int(zarr.__version__.split(".")[0]) >= 3 else {}
        self.array.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            array = zarr.open_array(
                made, mode="w", shape=self.shape, chunks=(self.chunk, *self.shape[1:]), dtype="<f2", compressor=None, fill_value=0, **version
            )  # fmt: skip
            array.attrs.update(self.about)
            for name in (".zattrs", ".zarray"):
                os.replace(Path(made) / name, self.array / name)


def _empty_chunks_too() -> contextlib.AbstractContextManager[Any]:
    """Let Zarr 3 write chunks of nothing but zeros too, as Zarr 2 does by itself."""
    import zarr

    if int(zarr.__version__.split(".")[0]) < 3:
        return contextlib.nullcontext()
    return zarr.config.set({"array.write_empty_chunks": True})


def _stamp(file: Path) -> dict[str, int]:
    stat = file.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
