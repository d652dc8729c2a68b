"""Files that are written at once or not at all, with the permissions that any other new file would get."""

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import NeurratorError


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; what lies there in the end takes the place of `path`, or nothing does.

    A file that is replaced keeps its permissions; a new one gets what `open` gives, whatever the library that writes it does.

    Raises
    ------
    OSError
        Nothing can be written there; names `path`.
    """
    path = Path(path)
    # The ending stays, for libraries that go by it.
    part = path.with_name(f".{path.stem[:40]}-{uuid.uuid4().hex[:8]}{path.suffix}")
    with _naming(path):
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        mode = stat.S_IMODE((path if path.is_file() else part).stat().st_mode)
        yield part
        part.chmod(mode)
        with _naming(path):
            os.replace(part, path)
    finally:
        # An error of the work itself is worth more than one of tidying up.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, at once or not at all; its folder is made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


@contextmanager
def folder_beside(path: str | Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, to be filled and moved to its place; what is not moved is removed.

    Raises
    ------
    OSError
        Nothing can be written there; names `path`.
    """
    path = Path(path)
    made = path.with_name(f".{path.name[:40]}-{uuid.uuid4().hex[:8]}")
    with _naming(path):
        made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_writable(folder: str | Path, out: str | Path) -> None:
    """Find out before long work whether files can be made in a folder; the permissions of files do not tell everything.

    Parameters
    ----------
    folder : path-like
        The folder; it exists.
    out : path-like
        What the user asked for, to be named.

    Raises
    ------
    NeurratorError
        They cannot.
    """
    try:
        with folder_beside(Path(folder) / "try"):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        raise NeurratorError(
            f"Nothing can be written to {out} ({why}): give another place with --out, or change its permissions."
        ) from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let the system's errors name what was asked for, and not a hidden file beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
