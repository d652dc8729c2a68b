"""Open a session, whatever it is stored as."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import NeurratorError
from .describe_units import UnitRules
from .readers.alf import alf_probes, read_alf
from .readers.analyzer import is_analyzer, read_analyzer
from .readers.phy import phy_folder, read_phy
from .readers.remote import is_url
from .readers.si_sorting import is_saved_sorting, read_saved_sorting
from .recording import Recording

SUPPORTED = (
    "an NWB file or its address (.nwb, .nwb.zarr, https://…), a Kilosort or phy folder, a SortingAnalyzer or saved sorting of SpikeInterface, "
    "an ALF folder, a pool of sessions (.toml), or the word 'sample'"
)
_PICKLES = (".pkl", ".pickle")
_FOREIGN = {
    ".json": "a description of a SpikeInterface object, which may run code",
    ".mat": "a MATLAB file",
    ".csv": "a table",
}


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Attributes
    ----------
    tell : callable
        ``tell(path)``: whether a path that exists is of this kind, by names alone.
    read : callable
        ``read(path)``: the recording.
    session : callable
        ``session(path)``: whether a path of this kind holds sorted units, by its table of contents.
    """

    tell: Callable[[Path], bool]
    read: Callable[[Path], Recording]
    session: Callable[[Path], bool] = lambda path: True


def _is_nwb(path: Path) -> bool:
    if path.is_dir():
        # A Zarr folder that is not one of SpikeInterface's, which come before.
        return (path / ".zgroup").is_file() and ((path / "units").is_dir() or (path / "session_description").is_dir())
    return path.suffix.lower() == ".nwb"


def _read_nwb(path: Path) -> Recording:
    from .readers.nwb import read_nwb

    return read_nwb(path)


def _nwb_has_units(path: Path) -> bool:
    from .readers.nwb import has_units

    return has_units(path)


def _read_pool(path: Path) -> Recording:
    from .pool import read_pool

    return read_pool(path)


def _names_sessions(path: Path) -> bool:
    import tomllib

    try:
        with path.open("rb") as file:
            return "sessions" in tomllib.load(file)
    except (OSError, ValueError):
        return False


KINDS = (
    Kind(is_analyzer, read_analyzer),
    Kind(is_saved_sorting, read_saved_sorting),
    Kind(_is_nwb, _read_nwb, _nwb_has_units),
    Kind(lambda path: path.is_dir() and phy_folder(path) is not None, read_phy),
    Kind(lambda path: path.is_dir() and bool(alf_probes(path)), read_alf),
    Kind(lambda path: path.is_file() and path.suffix.lower() == ".toml", _read_pool, _names_sessions),
)


def open_recording(
    source: str | Path,
    *,
    presentations: str | Path | None = None,
    rules: UnitRules | None = None,
    optotag: bool | None = None,
) -> Recording:
    """Open a spike-sorted session.

    Parameters
    ----------
    source : path-like or str
        An NWB file or Zarr folder or the address of one, a Kilosort or phy folder, a SortingAnalyzer, a saved sorting, an ALF folder, the TOML file of a
        pool, or the word ``sample``: the simulated session, which is made if it is not there yet.
    presentations : path-like, optional
        What was shown when, in place of what the source says: a table (CSV, TSV), or a TOML file that names TTL edges and a list of frames.
    rules : UnitRules, optional
        By which units are said to pass quality control, to be optotagged, to have narrow spikes.
    optotag : bool, optional
        Whether units are tagged by their answers to light, which needs their spike times; by default unless the source lies behind an address.

    Raises
    ------
    NeurratorError
        There is nothing of the kind, or it cannot be read.
    """
    recording = _open(source)
    if presentations is not None:
        from .presentation_files import load_presentations

        recording = recording.with_presentations(load_presentations(presentations))
    light = recording.optogenetics is not None and (not is_url(source) if optotag is None else optotag)
    if light or rules is not None:
        recording.describe_units(rules)
    return recording


def _open(source: str | Path) -> Recording:
    if str(source) == "sample":
        from .sample import open_sample

        return open_sample()
    if is_url(source):
        from .readers.nwb import read_nwb

        return read_nwb(str(source))
    path = _existing(source)
    if path.name.lower().endswith((".neurrator.json", ".neurrator.toml")):
        raise NeurratorError(
            f"{source} is a session saved by the window: open it in napari (File → Open, or drop it on the canvas), make its sentences again with 'neurrator replay', or give the recording that it names."
        )
    try:
        kind = _kind(path)
    except OSError as error:
        raise NeurratorError(f"{source} may not be looked into ({error.strerror}): change its permissions.") from error
    if kind is not None:
        return kind.read(path)
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise NeurratorError(
            f"{source} is a pickle, which can run any code when it is loaded: save the sorting with sorting.save(folder=…) and open that folder."
        )
    if path.is_file() and suffix in _FOREIGN:
        raise NeurratorError(f"{source} is {_FOREIGN[suffix]} and not a session that can be opened: give {SUPPORTED}.")
    raise NeurratorError(f"{source} is not a session that can be opened: give {SUPPORTED}.")


def is_session(source: str | Path) -> bool:
    """Tell cheaply whether a path holds a sorted session, by names and a table of contents; a damaged one is said to, so that opening it tells why."""
    if is_url(source):
        return str(source).split("?")[0].rstrip("/").lower().endswith((".nwb", ".nwb.zarr"))
    try:
        path = Path(source).expanduser()
        kind = _kind(path) if path.exists() else None
        return kind is not None and kind.session(path)
    except (OSError, ValueError, RuntimeError):
        return False


def _existing(source: str | Path) -> Path:
    try:
        path = Path(source).expanduser()
        if path.exists():
            return path
    except (OSError, ValueError, RuntimeError) as error:
        raise NeurratorError(f"{source!s:.200} is no path of this machine: give {SUPPORTED}.") from error
    raise NeurratorError(f"There is nothing at {source}: give {SUPPORTED}.")


def _kind(path: Path) -> Kind | None:
    return next((kind for kind in KINDS if kind.tell(path)), None)
