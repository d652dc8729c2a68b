"""NWB files, in the layout of the Allen Visual Coding Neuropixels sessions and near it."""

import warnings as python_warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .recording import UNKNOWN_REGION, Recording, plain
from .spikes import SpikeTrains

# Allen's spike times are in seconds; the rate only serves SpikeInterface's sample numbers.
_SAMPLING_FREQUENCY_HZ = 30_000.0
_X = ("x_um", "unit_x", "estimated_x", "probe_horizontal_position", "rel_x")
_Y = ("y_um", "unit_y", "estimated_y", "depth_um", "depth", "probe_vertical_position", "rel_y")
_REGION = ("region", "location", "brain_area", "brain_region", "ecephys_structure_acronym")
_CCF = {"x": "ccf_ap_um", "y": "ccf_dv_um", "z": "ccf_lr_um"}


def read_nwb(path: str | Path) -> Recording:
    """Read a session from NWB.

    Parameters
    ----------
    path : path-like
        An HDF5 file.

    Raises
    ------
    NeurratorError
        The file is damaged, is not NWB, or holds no sorted units.
    """
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            is_nwb = "nwb_version" in file.attrs or "session_description" in file
            has_units = "units" in file and "spike_times" in file["units"]
            whole = not has_units or _fits_together(file["units"])
            has_units = has_units and (not whole or len(file["units"]["id"]) > 0)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise NeurratorError(
            f"{path} cannot be opened: it is not an HDF5 file, or it is damaged or cut short; fetch it again."
        ) from error
    if not is_nwb:
        raise NeurratorError(f"{path} is an HDF5 file, but not NWB.")
    if not has_units:
        raise NeurratorError(
            f"{path} holds no sorted units (no units table with spike_times): open a spike-sorted session."
        )
    if not whole:
        raise NeurratorError(
            f"{path} is damaged: its spike times cannot be told apart by unit (units/spike_times_index); fetch it again."
        )
    try:
        recording = _read(path)
        # All of them now, so that a damaged file is found here and not in the middle of the work.
        _ = recording.spikes
        return recording
    except NeurratorError:
        raise
    except Exception as error:
        # hdmf puts the whole table before the reason.
        reason = error.args[-1] if error.args and isinstance(error.args[-1], str) else str(error)
        first = (reason.splitlines() or [type(error).__name__])[0]
        raise NeurratorError(f"{path} cannot be read as NWB ({first[:200]}): check it with nwbinspector.") from error


def _fits_together(units: Any) -> bool:
    """Tell whether the index of the spike times names each unit's part of them."""
    if "id" not in units or "spike_times_index" not in units:
        return False
    ends = np.asarray(units["spike_times_index"][:], dtype=np.int64)
    n_spikes = len(units["spike_times"])
    return len(ends) == len(units["id"]) and bool(
        np.all(np.diff(ends, prepend=0) >= 0) and (ends[-1] if len(ends) else 0) == n_spikes
    )


def _spike_times(path: Path) -> list[np.ndarray]:
    """Return each unit's spike times in seconds, as they stand in the file (SpikeInterface rounds them to samples)."""
    import h5py

    with h5py.File(path, "r") as file:
        ends = np.asarray(file["units/spike_times_index"][:], dtype=np.int64)
        return np.split(np.asarray(file["units/spike_times"][:], dtype=np.float64), ends[:-1])


def _read(path: Path) -> Recording:
    from pynwb import NWBHDF5IO
    from spikeinterface.extractors.nwbextractors import NwbSortingExtractor

    sorting = NwbSortingExtractor(
        str(path), sampling_frequency=_SAMPLING_FREQUENCY_HZ, t_start=0.0, load_unit_properties=False
    )
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        with NWBHDF5IO(str(path), "r", load_namespaces=True) as io:
            nwb = io.read()
            table = _flat_columns(nwb.units)
            electrodes = _flat_columns(nwb.electrodes) if nwb.electrodes is not None else pd.DataFrame()
            peaks = _first_electrode(nwb.units)
            presentations = _presentations(nwb)
            subject = _subject(nwb)
            text = " ".join([nwb.session_description or "", *(nwb.keywords[:] if nwb.keywords is not None else [])])
    ids = sorting.unit_ids
    if len(ids) != len(table):
        raise NeurratorError(f"{path} is damaged: its units table and its spike times have different lengths.")
    table.index = pd.Index(ids, name="unit_id")
    units = _with_positions(table, electrodes, peaks)
    return Recording.from_sorting(
        sorting,
        presentations,
        units,
        name=path.stem,
        source=str(path),
        simulated="simulated" in text.lower(),
        subject=subject,
        spikes=SpikeTrains([plain(unit) for unit in ids], _spike_times(path)),
    )


def _flat_columns(table: Any) -> pd.DataFrame:
    """Return the columns of a dynamic table that hold one value a row; ragged ones, waveforms and references are left unread."""
    columns = {}
    for column in table.columns:
        data = column.data
        if type(column).__name__ not in ("VectorData", "ElementIdentifiers") or column.name in ("group", "spike_times"):
            continue
        if getattr(data, "ndim", 1) != 1 or len(data) != len(table):
            continue
        values = np.asarray(data[:])
        if values.dtype.kind == "O":
            values = np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=object)
            if not all(v is None or isinstance(v, str | int | float | np.number | bool) for v in values):
                continue
        columns[column.name] = values
    return pd.DataFrame(columns, index=pd.Index(np.asarray(table.id[:]), name="id"))


def _first_electrode(units: Any) -> np.ndarray | None:
    """Return the row of each unit's first electrode, −1 where it has none; None where units do not name electrodes."""
    if "electrodes" not in units.colnames:
        return None
    index = units["electrodes"]
    if not hasattr(index, "target"):
        return np.asarray(index.data[:], dtype=np.int64)
    ends = np.asarray(index.data[:], dtype=np.int64)
    rows = np.asarray(index.target.data[:], dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    return np.array([rows[a] if b > a else -1 for a, b in zip(starts, ends, strict=True)])


def _with_positions(table: pd.DataFrame, electrodes: pd.DataFrame, first_electrode: np.ndarray | None) -> pd.DataFrame:
    units = table.rename(columns={"firing_rate": "firing_rate_hz"})
    own_region = next((column for column in _REGION if column in units), None)
    if own_region is not None:
        units = units.rename(columns={own_region: "region"})
    place = np.full(len(units), -1)
    if "peak_channel_id" in units and len(electrodes):
        place = electrodes.index.get_indexer(
            pd.to_numeric(units["peak_channel_id"], errors="coerce").fillna(-1).astype(np.int64)
        )
    elif first_electrode is not None:
        place = np.where(first_electrode < len(electrodes), first_electrode, -1)
    found = place >= 0

    def from_electrode(column: str, missing: Any) -> np.ndarray:
        values = electrodes[column].to_numpy()[np.where(found, place, 0)].astype(object)
        return np.where(found, values, missing)

    for target, candidates in (("x_um", _X), ("y_um", _Y)):
        own = next((column for column in candidates if column in units), None)
        theirs = next((column for column in candidates if column in electrodes), None)
        if own is not None:
            units[target] = pd.to_numeric(units[own], errors="coerce")
        elif theirs is not None and found.any():
            units[target] = from_electrode(theirs, np.nan).astype(float)
    if found.any():
        if "location" in electrodes and "region" not in units:
            units["region"] = from_electrode("location", UNKNOWN_REGION)
        probe = next((column for column in ("group_name", "probe_id") if column in electrodes), None)
        if probe is not None and "probe" not in units:
            units["probe"] = from_electrode(probe, "probe").astype(str)
        for axis, column in _CCF.items():
            if axis in electrodes and "probe_vertical_position" in electrodes:
                units[column] = from_electrode(axis, np.nan).astype(float)
    return units


def _presentations(nwb: Any) -> pd.DataFrame | None:
    tables = []
    for name, intervals in (nwb.intervals or {}).items():
        if not name.endswith("_presentations"):
            continue
        table = _flat_columns(intervals)
        if table.empty:
            continue
        table["stimulus"] = name.removesuffix("_presentations")
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else None


def _subject(nwb: Any) -> dict[str, str]:
    if nwb.subject is None:
        return {}
    fields = ("subject_id", "species", "genotype", "sex", "age", "description")
    return {field: str(getattr(nwb.subject, field)) for field in fields if getattr(nwb.subject, field, None)}
