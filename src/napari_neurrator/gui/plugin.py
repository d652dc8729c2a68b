"""Sample, readers and writer, as `napari.yaml` names them. Nothing here imports torch, and Qt only where there is a window."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..recording.open import is_session
from ..session_file import is_session_file

LAYERS = ".neurrator"
TABLES = (".csv", ".tsv")
_START = ("start_time", "start", "onset", "time")
_WHAT = ("stimulus", "frame", "image", "condition")


def open_in_window(source: str) -> list[Any]:
    """Open `source` in the current window with all docks; without a window, give plain layers."""
    from . import compat

    viewer = compat.current_viewer()
    if viewer is None:
        return plain_layers(source)
    from .launch import arrange
    from .workspace import Workspace

    arrange(viewer)
    Workspace.of(viewer).open(source)
    return []


def plain_layers(source: str) -> list[Any]:
    """Return movie and units of a recording as layer tuples."""
    from . import layer_data
    from .layers import EMPTY_FRAME
    from .layout import lay_out
    from .loader import first_stimulus, read_recording

    if is_session_file(source):
        from ..session_file import read_session

        file = read_session(source)
        saved = file.recordings[file.current]
        source = saved.source or (saved.pool or [""])[0]
    recording = read_recording(source)
    opened = first_stimulus(recording)
    size = EMPTY_FRAME if opened.stimulus is None else opened.stimulus.frame(0).shape[:2]
    units = layer_data.units(recording.units, lay_out(recording.units, *size))
    return [units] if opened.stimulus is None else [layer_data.movie(opened.stimulus, opened.name, source), units]


def open_sample() -> list[Any]:
    """Open the simulated session (File → Open Sample)."""
    from . import layer_styles as styles

    # napari wants a layer at once; this empty one goes when the session is open
    return open_in_window("sample") or [(np.empty((0, 2)), {"name": styles.OPENING}, "points")]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[Any]] | None:
    """Return a reader of what can be opened, else None. Looks at names and tables of contents only.

    A sorted session, a pool of them or a saved session opens in the window; a file of layers becomes layers; a table of presentations is
    attached to the recording that is open.
    """
    if not isinstance(path, str | Path):
        if len(path) != 1:
            return None
        path = path[0]
    name = str(path)
    if name.lower().endswith(LAYERS):
        return read_layer_file
    if is_session_file(name):
        return read
    if Path(name).suffix.lower() in TABLES:
        return attach if is_presentations(name) and _open_recording() else None
    return read if is_session(name) else None


def is_presentations(path: str) -> bool:
    """Tell by its first line whether a table says what was shown when."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline(4096).strip().lower()
    except (OSError, UnicodeDecodeError):
        return False
    words = header.replace("\t", ",").replace(";", ",").replace('"', "").replace(" ", "_").split(",")
    return any(w.startswith(_START) for w in words) and any(w.startswith(_WHAT) for w in words)


def read(path: str | Sequence[str]) -> list[Any]:
    """Open a session that was dropped on the canvas."""
    return open_in_window(_only(path)) or [(None,)]


def attach(path: str | Sequence[str]) -> list[Any]:
    """Say anew what was shown when, for the recording that is open."""
    workspace = _open_recording()
    if workspace is not None:
        workspace.loader.attach_presentations(_only(path))
    return [(None,)]


def read_layer_file(path: str | Sequence[str]) -> list[Any]:
    """Open layers that were saved."""
    from .layer_file import read_layers

    return read_layers(_only(path))


def write_layers(path: str, layers: list[Any]) -> list[str]:
    """Save layers (File → Save Selected Layers)."""
    from .layer_file import write_layers as write

    return write(path, layers)


def _only(path: str | Sequence[str]) -> str:
    return str(path if isinstance(path, str | Path) else path[0])


def _open_recording() -> Any | None:
    """Return the workspace of the current window if a recording is open in it."""
    from . import compat

    viewer = compat.current_viewer()
    if viewer is None:
        return None
    from .workspace import Workspace

    workspace = Workspace.of(viewer)
    return workspace if workspace.session.recording is not None else None
