"""Where what belongs to a dictionary is kept: beside it, or with the user's data where its folder cannot be written."""

import os
from pathlib import Path

from ..paths import data_folder

_PACKAGE = Path(__file__).resolve().parents[1]


def beside(source: Path, kind: str) -> Path:
    """Return the file of some kind (``names``, ``labels``) that lies beside a dictionary."""
    # Several single files may share a folder.
    return source / f"{kind}.json" if source.is_dir() else source.with_name(f"{source.stem}.{kind}.json")


def of_user(content_hash: str, kind: str) -> Path:
    """Return the file of some kind that the user keeps for a dictionary, wherever that lies."""
    return data_folder("dictionaries") / content_hash / f"{kind}.json"


def place_to_write(source: Path, content_hash: str, kind: str) -> Path:
    """Return where to write: beside the dictionary if its folder may be written."""
    near = beside(source, kind)
    return near if may_write(near) else of_user(content_hash, kind)


def may_write(file: Path) -> bool:
    """Whether a user's file may lie there: the folder is writable, and not part of this package."""
    return os.access(file.parent, os.W_OK) and not file.resolve().is_relative_to(_PACKAGE)


def place_to_read(source: Path, content_hash: str, kind: str) -> Path | None:
    """Return the file to read, the user's own first; None where there is none."""
    return next((file for file in (of_user(content_hash, kind), beside(source, kind)) if file.is_file()), None)
