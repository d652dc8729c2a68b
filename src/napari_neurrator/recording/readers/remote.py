"""Files behind an address, of which only the parts that are asked for are fetched."""

import io
import os
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from cachetools import LRUCache

from ...errors import NeurratorError

# HDF5 reads its own structure in pieces of a few hundred bytes that lie near each other.
_BLOCK = 128 * 1024
_BLOCKS_KEPT = 512
_CONNECT_S, _SILENCE_S = 20, 60


def is_url(source: object) -> bool:
    """Tell whether a source is an address (``https://…``, ``s3://…``) and not a path."""
    scheme, separator, rest = str(source).partition("://")
    return bool(separator) and bool(rest) and len(scheme) > 1 and scheme.replace("+", "").isalnum()


def url_name(url: str) -> str:
    """Return the last part of an address that names a file."""
    parts = [part for part in unquote(urlsplit(url).path).split("/") if part and part != "download"]
    return parts[-1] if parts else urlsplit(url).netloc


def filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address and the path there.

    Raises
    ------
    NeurratorError
        The kind of address is not known, or needs a package that is not installed.
    """
    import fsspec

    options: dict[str, Any] = {}
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        options["client_kwargs"] = {"timeout": timeout}
    elif scheme in ("s3", "s3a"):
        # Public buckets, such as DANDI's, need no account; with one, its own settings are used.
        options["anon"] = not any(name in os.environ for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"))
    try:
        system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, "the package for it")
        raise NeurratorError(
            f"{url} cannot be opened: addresses that begin with {scheme}:// need {package} (pip install {package}); or give its https address."
        ) from error
    except (ValueError, TypeError) as error:
        raise NeurratorError(
            f"{url} cannot be opened: addresses that begin with {scheme}:// are not known; give an https:// or s3:// address."
        ) from error
    return system, path


def network_error(url: str, error: BaseException) -> NeurratorError:
    """Say in one sentence why an address could not be read."""
    seen: BaseException | None = error
    while seen is not None:
        status = getattr(seen, "status", None)
        if isinstance(status, int):
            if status in (404, 410):
                return NeurratorError(f"There is nothing at {url} (the server answers {status}): check the address.")
            if status in (401, 403):
                return NeurratorError(
                    f"{url} may not be read (the server answers {status}): ask for access, or download the file and open it here."
                )
            return NeurratorError(f"{url} cannot be read: the server answers {status}; try again later.")
        if "range requests" in str(seen).lower() or "more bytes" in str(seen).lower():
            return _no_ranges(url)
        if isinstance(seen, TimeoutError) or "Timeout" in type(seen).__name__:
            return NeurratorError(
                f"{url} does not answer: check the connection, or download the file and open it here."
            )
        if type(seen).__module__.startswith("aiohttp") or isinstance(seen, ConnectionError):
            host = urlsplit(url).netloc or url
            return NeurratorError(
                f"{host} cannot be reached, so {url} was not opened: check the address and the connection."
            )
        if seen.__cause__ is None and isinstance(seen, FileNotFoundError | PermissionError):
            return NeurratorError(f"There is nothing at {url} that may be read: check the address.")
        seen = seen.__cause__ or seen.__context__
    return NeurratorError(f"{url} cannot be read ({_reason(error)}): check the address and the connection.")


def _no_ranges(url: str) -> NeurratorError:
    return NeurratorError(
        f"The server of {url} only gives whole files (it does not support range requests): download the file and open it here."
    )


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:150]


class RemoteFile(io.RawIOBase):
    """A seekable file behind an address.

    Small reads go through blocks that are kept; large ones fetch just what they ask for.

    Attributes
    ----------
    url : str
        The address.
    size : int
        Bytes in all.
    mark : str
        Changes when the file does, as far as the server says (ETag, date); else its size.

    Raises
    ------
    NeurratorError
        It cannot be reached, is not there, or its server gives whole files only.
    """

    def __init__(self, url: str):
        system, path = filesystem(url)
        self.url = url
        try:
            info = system.info(path)
            self._file = system.open(path, "rb", cache_type="none")
        except NeurratorError:
            raise
        except Exception as error:
            raise network_error(url, error) from error
        if info.get("type") == "directory":
            raise NeurratorError(f"{url} is a folder: give the address of a file.")
        size = info.get("size")
        if size is None or info.get("partial") is False or not self._file.seekable():
            raise _no_ranges(url)
        self.size = int(size)
        self.mark = str(info.get("ETag") or info.get("Last-Modified") or info.get("LastModified") or self.size)
        self._at = 0
        self._blocks: LRUCache[int, bytes] = LRUCache(_BLOCKS_KEPT)
        self._lock = threading.Lock()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that one can move in it."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the present place on."""
        view = memoryview(buffer).cast("B")
        first = self._at
        last = min(first + len(view), self.size)
        if last <= first:
            return 0
        with self._lock:
            data = self._fetch(first, last) if last - first > 4 * _BLOCK else self._from_blocks(first, last)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _from_blocks(self, first: int, last: int) -> bytes:
        parts = []
        for number in range(first // _BLOCK, (last - 1) // _BLOCK + 1):
            begin = number * _BLOCK
            block = self._blocks.get(number)
            if block is None:
                block = self._fetch(begin, min(begin + _BLOCK, self.size))
                self._blocks[number] = block
            parts.append(block[max(first - begin, 0) : last - begin])
        return b"".join(parts)

    def _fetch(self, first: int, last: int) -> bytes:
        try:
            self._file.seek(first)
            data = self._file.read(last - first)
        except Exception as error:
            raise network_error(self.url, error) from error
        if len(data) != last - first:
            raise NeurratorError(
                f"{self.url} is cut short: its server gave {len(data)} bytes of {last - first}; try again."
            )
        return data
