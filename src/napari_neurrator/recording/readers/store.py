"""Where an NWB file's contents lie: HDF5 or Zarr, on this machine or behind an address, as groups of arrays with one set of manners.

h5py's and zarr's groups are read directly: only the tables that are needed, the same way for all of them, and so that damage anywhere else in a file does
not matter and damage where it does is said in a sentence. (pynwb builds the whole file first and checks its schema, in about as long as all else takes; SpikeInterface's
reader does without it, too, but looks through the whole file for raw recordings and rounds spike times to samples.)
"""

import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ...errors import NeurratorError
from .files import clean_text, clean_texts
from .remote import RemoteFile, filesystem, is_url, network_error, url_name
from .trial import survive

# The best that HDF5's and Zarr's compressors can do, with room: an array that claims more than that of its stored bytes is damaged.
_MOST_COMPRESSED = 5_000
_SMALL = 1 << 20


class Store(ABC):
    """Contents that are opened for as long as something is read, so that nothing stays locked.

    Attributes
    ----------
    source : str
        Path or address, for messages.
    name : str
        Short name: without folder and ending.
    folder : pathlib.Path or None
        Where external files are looked for; None for an address.
    remote : bool
        Behind an address.
    """

    source: str
    name: str
    folder: Path | None
    remote: bool = False

    @abstractmethod
    def _root(self) -> Any:
        """Return the root group and something that closes it, or None."""

    @abstractmethod
    def mark(self) -> str:
        """Return a text that changes when the contents do."""

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give the root group, h5py's or zarr's.

        Raises
        ------
        NeurratorError
            It cannot be opened, or is damaged where it was read.
        """
        root = None
        try:
            root = self._root()
            yield root
        except NeurratorError as error:
            if self.source in str(error):
                raise
            raise NeurratorError(f"{self.source}: {str(error)[:1].lower()}{str(error)[1:]}") from error
        except MemoryError as error:
            raise NeurratorError(
                f"{self.source} says that it holds more than fits into memory: it is damaged, or this machine is too small."
            ) from error
        except Exception as error:
            behind = _neurrator_cause(error)
            if behind is not None:
                raise behind from error
            if "filter" in str(error).lower() and "plugin" in str(error).lower():
                raise NeurratorError(
                    f"{self.source} is compressed in a way that HDF5 cannot read by itself: pip install hdf5plugin, and open it again."
                ) from error
            raise NeurratorError(
                f"{self.source} is damaged or cut short ({_reason(error)}): fetch it again, or check it with nwbinspector."
            ) from error
        finally:
            if root is not None and hasattr(root, "close"):
                root.close()


class Hdf5Store(Store):
    """An HDF5 file."""

    def __init__(self, path: Path):
        self.path, self.source, self.folder = path, str(path), path.parent
        self.name = path.stem

    def _root(self) -> Any:
        import h5py

        _more_filters()
        survive(self.path)
        try:
            return h5py.File(self.path, "r", locking="best-effort")
        except PermissionError as error:
            raise NeurratorError(f"{self.source} may not be read: change its permissions.") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise NeurratorError(
                f"{self.source} cannot be opened: it is not an HDF5 file, or it is damaged or cut short; fetch it again."
            ) from error

    def mark(self) -> str:
        """Return size and time of change."""
        state = self.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"


class RemoteHdf5Store(Store):
    """An HDF5 file behind an address."""

    remote = True

    def __init__(self, url: str):
        self.source, self.folder = url, None
        self.name = Path(url_name(url)).stem
        self._file = RemoteFile(url)
        start = bytearray(8)
        self._file.readinto(start)
        if bytes(start) != b"\x89HDF\r\n\x1a\n":
            raise NeurratorError(
                f"{url} is not an HDF5 file: give the address of an NWB file itself, not of a page about it."
            )
        self._lock = threading.RLock()

    def _root(self) -> Any:
        import h5py

        _more_filters()
        # The blocks that were fetched stay with the file, so that opening again costs nothing.
        self._file.seek(0)
        try:
            return h5py.File(self._file, "r")
        except NeurratorError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            behind = _neurrator_cause(error)
            if behind is not None:
                raise behind from error
            raise NeurratorError(
                f"{self.source} is damaged or cut short, or is not an HDF5 file: check it there."
            ) from error

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give the root group; one reader at a time, since they share the place in the file."""
        with self._lock, super().open() as root:
            yield root

    def mark(self) -> str:
        """Return what the server says of the version."""
        return self._file.mark


class ZarrStore(Store):
    """A Zarr folder, on this machine or behind an address (there with consolidated metadata)."""

    def __init__(self, source: str | Path):
        self.remote = is_url(source)
        self.source = str(source)
        self.folder = None if self.remote else Path(source).parent
        stem = url_name(self.source) if self.remote else Path(source).name
        self.name = stem.removesuffix(".zarr").removesuffix(".nwb")

    def _root(self) -> Any:
        import zarr

        try:
            if self.remote:
                system, path = filesystem(self.source)
                return zarr.open_consolidated(
                    zarr.storage.FSStore(path, mode="r", fs=system, check=False, create=False)
                )
            if (Path(self.source) / ".zmetadata").is_file():
                return zarr.open_consolidated(self.source, mode="r")
            return zarr.open_group(self.source, mode="r")
        except NeurratorError:
            raise
        except KeyError as error:
            raise NeurratorError(
                f"{self.source} has no .zmetadata: give the address of an NWB Zarr folder with it."
            ) from error
        except Exception as error:
            if self.remote and not isinstance(error, ValueError):
                raise network_error(self.source, error) from error
            raise NeurratorError(
                f"{self.source} cannot be opened: it is no Zarr folder of version 2, or it is damaged ({_reason(error)})."
            ) from error

    def mark(self) -> str:
        """Return size and time of change of the table of contents."""
        if self.remote:
            return self.source
        contents = Path(self.source) / ".zmetadata"
        state = (contents if contents.is_file() else Path(self.source)).stat()
        return f"{state.st_size} {state.st_mtime_ns}"


def store_of(source: str | Path) -> Store:
    """Return the store of a path or an address.

    Raises
    ------
    NeurratorError
        An address that cannot be reached.
    """
    if is_url(source):
        url = str(source)
        try:
            urlsplit(url)
        except ValueError as error:
            raise NeurratorError(f"{url:.200} is no address ({error}): check its spelling.") from error
        return ZarrStore(url) if url.split("?")[0].rstrip("/").endswith(".zarr") else RemoteHdf5Store(url)
    path = Path(source)
    return ZarrStore(path) if path.is_dir() else Hdf5Store(path)


def is_group(thing: Any) -> bool:
    """Tell whether something in a store is a group, not an array."""
    return hasattr(thing, "keys")


def kind_of(thing: Any) -> str:
    """Return the NWB type of a group or array, or an empty text."""
    return text(thing.attrs.get("neurodata_type", ""))


def text(value: Any) -> str:
    """Return one text of an attribute or scalar array."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return clean_text(value)


def texts(value: Any) -> list[str]:
    """Return the texts of an attribute or array."""
    return [text(item) for item in np.asarray(value, dtype=object).ravel()]


def scalar(group: Any, name: str) -> str:
    """Return a scalar text of a group, or an empty one."""
    if name not in group or is_group(group[name]):
        return ""
    array = group[name]
    check_honest(array)
    if array.size != 1 or not is_plain(array):
        return ""
    return text(np.asarray(array[()] if array.shape == () else array[:]))


def is_plain(array: Any) -> bool:
    """Tell whether an array holds numbers or texts: no references, no records, nothing pickled."""
    kind = array.dtype.kind
    if kind in "biufSU":
        return True
    if kind != "O":
        return False
    if hasattr(array, "asstr"):
        import h5py

        return h5py.check_string_dtype(array.dtype) is not None
    # More dimensions than one are in no table.
    return array.ndim <= 1 and any(type(step).__name__ in ("VLenUTF8", "VLenBytes") for step in array.filters or ())


def values(array: Any) -> np.ndarray:
    """Return all of a plain array; texts as str objects."""
    check_honest(array)
    check_chunks(array)
    if array.dtype.kind == "O" and not hasattr(array, "asstr"):
        _check_texts(array)
    if array.dtype.kind == "O" and hasattr(array, "asstr"):
        return clean_texts(np.asarray(array.asstr("utf-8", errors="replace")[()], dtype=object))
    data = np.asarray(array[()])
    return clean_texts(data) if data.dtype.kind in "SUO" else data


def check_honest(array: Any) -> None:
    """Refuse an array that claims to be far larger than what is stored of it, before memory is taken for it.

    Raises
    ------
    NeurratorError
        It does.
    """
    claimed = int(np.prod(array.shape, dtype=np.float64)) * max(array.dtype.itemsize, 1)
    if claimed < _SMALL:
        return
    stored = stored_bytes(array)
    if stored is not None and claimed > _MOST_COMPRESSED * max(stored, 1):
        raise NeurratorError(
            f"{array.name.lstrip('/')} says that it holds {claimed:,} bytes, but only {stored:,} are stored: the source is damaged; fetch it again."
        )


def stored_bytes(array: Any) -> int | None:
    """Return how many bytes of an array are stored, None where that cannot be told cheaply."""
    if hasattr(array, "id") and hasattr(array.id, "get_storage_size"):
        # External and virtual arrays store nothing here themselves.
        return None if array.is_virtual or array.external else int(array.id.get_storage_size())
    folder = _zarr_folder(array)
    if folder is None:
        return None
    base = Path(folder) / array.path
    return sum(entry.stat().st_size for entry in os.scandir(base) if entry.is_file() and not entry.name.startswith("."))


def check_chunks(array: Any) -> None:
    """Refuse a Zarr array on this machine of which pieces are missing: they would read as zeros.

    Raises
    ------
    NeurratorError
        Pieces are missing.
    """
    if (
        hasattr(array, "nchunks_initialized")
        and _zarr_folder(array) is not None
        and array.nchunks_initialized < array.nchunks
    ):
        raise NeurratorError(
            f"{array.name.lstrip('/')} lacks {array.nchunks - array.nchunks_initialized} of its {array.nchunks} pieces: the Zarr folder is damaged; fetch it again."
        )


def _zarr_folder(array: Any) -> str | None:
    place = getattr(array, "chunk_store", None)
    return str(place.path) if place is not None and type(place).__name__ == "DirectoryStore" else None


def _check_texts(array: Any) -> None:
    """Refuse a Zarr array of texts whose pieces announce more texts than they can hold: the decoder takes memory for as many as it is told.

    Raises
    ------
    NeurratorError
        They do.
    """
    for piece in range(array.nchunks):
        stored = array.chunk_store.get(f"{array.path}/{piece}")
        if stored is None:
            continue
        plain = stored if array.compressor is None else array.compressor.decode(stored)
        announced = int.from_bytes(bytes(memoryview(plain)[:4]), "little")
        if announced > (array.chunks[0] if array.ndim else 1):
            raise NeurratorError(
                f"The texts of {array.name.lstrip('/')} cannot be read: they are damaged; fetch the source again."
            )


def read_into(array: Any, first: int, last: int, out: np.ndarray) -> None:
    """Fill `out`, float64, with elements `first` to `last` of a one-dimensional array, without a copy where that is possible."""
    if last <= first:
        return
    if hasattr(array, "read_direct"):
        array.read_direct(out, np.s_[first:last])
    elif array.dtype == out.dtype:
        array.get_basic_selection(slice(first, last), out=out)
    else:
        out[:] = array[first:last]


def linked(group: Any, name: str) -> Any | None:
    """Return what `name` is in a group, also through hdmf-zarr's links; None where there is nothing."""
    if name in group:
        return group[name]
    links = group.attrs.get("zarr_link")
    if isinstance(links, list):
        for link in links:
            if isinstance(link, dict) and link.get("name") == name and link.get("source") in (".", None):
                path = str(link.get("path", "")).strip("/")
                root = _zarr_root(group)
                return root.get(path)
    return None


def referred(array: Any, position: int, root: Any) -> Any | None:
    """Return what an object reference in an array points at, None where it cannot be followed (pickled references are never read)."""
    if not hasattr(array, "asstr"):
        return None
    import h5py

    if h5py.check_ref_dtype(array.dtype) is None:
        return None
    reference = array[position]
    return root[reference] if reference else None


def _zarr_root(group: Any) -> Any:
    import zarr

    return zarr.Group(group.store, path="", read_only=True, chunk_store=group.chunk_store)


def _more_filters() -> None:
    """Let HDF5 read what hdf5plugin knows, where that is installed."""
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401


def _neurrator_cause(error: BaseException) -> NeurratorError | None:
    """Find our own sentence behind what h5py made of it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, NeurratorError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "its metadata is no JSON"
    return (str(error).splitlines() or [type(error).__name__])[0].strip()[:150] or type(error).__name__
