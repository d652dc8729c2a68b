"""NWB files, in the layout of the Allen Visual Coding Neuropixels sessions and near it, as HDF5 or Zarr, here or behind an address."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..recording import Recording
from ..spikes import SpikeTrains
from ..trains_sorting import TrainsSorting
from .nwb_images import read_image_series
from .nwb_intervals import read_optogenetics, read_presentations
from .nwb_tables import ends_of, n_rows, units_table
from .nwb_units import read_units
from .store import Store, check_chunks, check_honest, is_group, read_into, scalar, store_of, texts, values
from .unit_ids import plain_ids

# Spike times are in seconds; the rate only serves SpikeInterface's sample numbers where the file does not say it.
_SAMPLING_FREQUENCY_HZ = 30_000.0
_SUBJECT = ("subject_id", "species", "genotype", "sex", "age", "description")


def read_nwb(source: str | Path) -> Recording:
    """Read a session from NWB: tables now, spike times when they are asked for.

    Parameters
    ----------
    source : path-like or str
        An HDF5 file or a Zarr folder, or the address of one.

    Raises
    ------
    NeurratorError
        The file is damaged, is not NWB, cannot be reached, or holds no sorted units.
    """
    store = store_of(source)
    with store.open() as root:
        if "nwb_version" not in root.attrs and "session_description" not in root:
            raise NeurratorError(f"{store.source} is {_container(store)}, but not NWB.")
        table = units_table(root)
        if table is None or "spike_times" not in table or (n_rows(table) == 0 and "id" in table):
            raise NeurratorError(
                f"{store.source} holds no sorted units (no units table with spike_times): open a spike-sorted session."
            )
        return _read(store, root, table)


def has_units(path: Path) -> bool:
    """Tell cheaply whether a local NWB file or folder holds sorted units; a damaged one is said to, so that opening it says what is wrong."""
    try:
        with store_of(path).open() as root:
            return units_table(root) is not None
    except NeurratorError:
        return True


def _container(store: Store) -> str:
    return "a Zarr folder" if type(store).__name__ == "ZarrStore" else "an HDF5 file"


def _read(store: Store, root: Any, table: Any) -> Recording:
    if "id" not in table or "spike_times_index" not in table:
        raise NeurratorError(
            f"{store.source} is damaged: its spike times cannot be told apart by unit (units/id and units/spike_times_index); fetch it again."
        )
    times = table["spike_times"]
    if times.ndim != 1 or times.dtype.kind not in "fiu":
        raise NeurratorError(f"{store.source} is damaged: its spike times are no list of numbers; fetch it again.")
    check_honest(times)
    check_chunks(times)
    ends = ends_of(table, "spike_times")
    counts = np.diff(ends, prepend=0) if ends is not None else np.zeros(0, dtype=np.int64)
    units, warnings = read_units(table, root, store.remote)
    if len(units) != len(counts):
        raise NeurratorError(f"{store.source} is damaged: its units table and its spike times have different lengths.")
    named = units.get("unit_name")
    # SpikeInterface goes by the names, too.
    ids = units.index if named is None or named.duplicated().any() or (named.astype(str) == "").any() else named
    unit_ids = plain_ids(ids, store.source)
    units.index = pd.Index(unit_ids, name="unit_id")
    presentations = read_presentations(root)
    shown = [] if presentations is None else [str(name) for name in presentations["stimulus"].unique()]
    image_series, extra, image_warnings = read_image_series(store, root, shown)
    if extra is not None:
        presentations = extra if presentations is None else pd.concat([presentations, extra], ignore_index=True)
    spikes = SpikeTrains.lazy(
        unit_ids, counts, _reader(store, times.name, len(times) if times.shape else 0), random_access=True
    )
    recording = Recording.from_sorting(
        TrainsSorting(spikes, _rate(times)),
        presentations,
        units,
        name=store.name,
        source=store.source,
        simulated="simulated" in _description(root).lower(),
        subject=_subject(root),
        spikes=spikes,
        optogenetics=read_optogenetics(root),
        image_series=image_series,
    )
    recording.warnings = warnings + image_warnings + recording.warnings
    return recording


def _reader(store: Store, path: str, length: int) -> Any:
    """Return what fills an array with spike times `first` to `last`, seconds, straight from the file."""

    def read(first: int, last: int, out: np.ndarray) -> None:
        with store.open() as root:
            times = root[path.lstrip("/")]
            if times.shape != (length,):
                raise NeurratorError(f"{store.source} has changed since it was opened: open it again.")
            read_into(times, first, last, out)

    return read


def _rate(times: Any) -> float:
    """Return the sampling rate that the spike times' resolution implies, Hz."""
    try:
        resolution = float(times.attrs.get("resolution", np.nan))
    except (TypeError, ValueError):
        return _SAMPLING_FREQUENCY_HZ
    return 1 / resolution if np.isfinite(resolution) and 1e-6 <= resolution <= 1e-2 else _SAMPLING_FREQUENCY_HZ


def _description(root: Any) -> str:
    parts = [scalar(root, "session_description")]
    if "general/keywords" in root and not is_group(root["general/keywords"]):
        parts += texts(values(root["general/keywords"]))
    return " ".join(parts)


def _subject(root: Any) -> dict[str, str]:
    if "general/subject" not in root or not is_group(root["general/subject"]):
        return {}
    told = {field: scalar(root["general/subject"], field) for field in _SUBJECT}
    return {field: value for field, value in told.items() if value}
