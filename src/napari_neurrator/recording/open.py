"""Open a session, whatever it is stored as."""

from pathlib import Path

from ..errors import NeurratorError
from .readers.phy import is_phy_folder, read_phy
from .recording import Recording

SUPPORTED = "an NWB file (.nwb), a Kilosort or phy folder (with params.py and spike_times.npy), or the word 'sample'"


def open_recording(source: str | Path) -> Recording:
    """Open a spike-sorted session.

    Parameters
    ----------
    source : path-like
        An NWB file, a Kilosort or phy folder, or the word ``sample``: the simulated session, which is made if it is not there yet.

    Raises
    ------
    NeurratorError
        There is nothing of the kind, or it cannot be read.
    """
    if str(source) == "sample":
        from .sample import open_sample

        return open_sample()
    path = Path(source).expanduser()
    if not path.exists():
        raise NeurratorError(f"There is nothing at {source}: give {SUPPORTED}.")
    if path.is_file() and path.suffix.lower() == ".nwb":
        from .readers.nwb import read_nwb

        return read_nwb(path)
    if path.is_dir() and is_phy_folder(path):
        return read_phy(path)
    raise NeurratorError(f"{source} is not a session that can be opened: give {SUPPORTED}.")
