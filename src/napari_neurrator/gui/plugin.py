"""Sample and reader, as `napari.yaml` names them. Nothing here imports torch, and Qt only where there is a window."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SORTED = ("spike_times.npy", "spike_clusters.npy", "spike_templates.npy")


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

    recording = read_recording(source)
    opened = first_stimulus(recording)
    size = EMPTY_FRAME if opened.stimulus is None else opened.stimulus.frame(0).shape[:2]
    units = layer_data.units(recording.units, lay_out(recording.units, *size))
    return [units] if opened.stimulus is None else [layer_data.movie(opened.stimulus, opened.name), units]


def open_sample() -> list[Any]:
    """Open the simulated session (File → Open Sample)."""
    from . import layer_styles as styles

    # napari wants a layer at once; this empty one goes when the session is open
    return open_in_window("sample") or [(np.empty((0, 2)), {"name": styles.OPENING}, "points")]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[Any]] | None:
    """Return a reader if `path` is a spike-sorted session, else None. Looks at names and one table of contents only."""
    if not isinstance(path, str | Path):
        if len(path) != 1:
            return None
        path = path[0]
    return read if is_session(Path(path)) else None


def is_session(path: Path) -> bool:
    """Tell cheaply whether `path` is a Kilosort or phy folder or an NWB file with units."""
    if path.is_dir():
        inside = [path, path / "sorter_output", path / "output"]
        return any(
            (folder / SORTED[0]).is_file() and any((folder / n).is_file() for n in SORTED[1:]) for folder in inside
        )
    if path.suffix.lower() != ".nwb" or not path.is_file():
        return False
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "units" in file
    except OSError:
        # broken: better said in a sentence by the loader than passed over in silence
        return True


def read(path: str | Sequence[str]) -> list[Any]:
    """Open a session that was dropped on the canvas."""
    layers = open_in_window(str(path if isinstance(path, str | Path) else path[0]))
    return layers or [(None,)]
