"""Where the units of an NWB file sit and what it says of them."""

from typing import Any

import numpy as np
import pandas as pd

from ..recording import UNKNOWN_REGION
from .columns import REGION, SHANK, X, Y, numbers, rename_known
from .nwb_tables import columns_of, ends_of, flat_columns, n_rows
from .store import is_group, is_plain, values

ELECTRODES = "general/extracellular_ephys/electrodes"
_PEAK = ("max_electrode", "peak_electrode", "maximum_electrode", "main_electrode")
_CCF = {"x": "ccf_ap_um", "y": "ccf_dv_um", "z": "ccf_lr_um"}
_CCF_NAMED = {
    "anterior_posterior_ccf_coordinate": "ccf_ap_um",
    "dorsal_ventral_ccf_coordinate": "ccf_dv_um",
    "left_right_ccf_coordinate": "ccf_lr_um",
}
# Waveforms are only read where a unit names several electrodes and nothing else says which is nearest; so many bytes at once, and in all of a
# remote file.
_AT_ONCE = 32 << 20
_REMOTE_WAVEFORMS = 64 << 20


def read_units(table: Any, root: Any, remote: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Read a units table, with positions and regions from the electrodes.

    Parameters
    ----------
    table
        The units.
    root
        The whole file.
    remote : bool
        Whether reading costs a connection.

    Returns
    -------
    units : pandas.DataFrame
        One row a unit in the file's order, indexed by the file's ids.
    warnings : list of str
        What is missing.
    """
    units = flat_columns(table, root, skip=("spike_times",))
    electrodes = pd.DataFrame()
    if ELECTRODES in root and is_group(root[ELECTRODES]):
        electrodes = flat_columns(root[ELECTRODES], root)
    place, warnings = _place(table, units, electrodes, remote)
    units = rename_known(units)
    warnings += _positions(units, electrodes, place)
    if (place >= 0).any():
        _from_electrodes(units, electrodes, place)
    for column, target in _CCF_NAMED.items():
        if column in units and target not in units:
            units[target] = numbers(units[column])
    for column in set(_CCF.values()) & set(units.columns):
        # Allen's files write −1 for outside the brain.
        units[column] = numbers(units[column]).where(lambda c: c >= 0)
    if "firing_rate_hz" not in units:
        rates = _rates(table)
        if rates is not None:
            units["firing_rate_hz"] = rates
    return units, warnings


def _place(table: Any, units: pd.DataFrame, electrodes: pd.DataFrame, remote: bool) -> tuple[np.ndarray, list[str]]:
    """Return the row of each unit's electrode in the electrodes table, −1 where it has none."""
    none = np.full(len(units), -1)
    if electrodes.empty:
        return none, []
    if "peak_channel_id" in units:
        if electrodes.index.has_duplicates:
            return none, [
                "The electrodes table names electrodes more than once, so units cannot be placed by their peak channel."
            ]
        peaks = pd.to_numeric(units["peak_channel_id"], errors="coerce")
        named = peaks.notna() & (peaks >= 0)
        place = electrodes.index.get_indexer(peaks.where(named, -1))
        lost = int((named.to_numpy() & (place < 0)).sum())
        if lost:
            return place, [f"{lost} of {len(units)} units name a peak channel that the electrodes table does not hold."]
        return place, []
    own = next((column for column in _PEAK if column in units), None)
    if own is not None:
        rows = numbers(units[own]).fillna(-1).to_numpy().astype(np.int64)
        return np.where((rows >= 0) & (rows < len(electrodes)), rows, -1), []
    if "electrodes" not in table or not is_plain(table["electrodes"]):
        return none, []
    if table["electrodes"].ndim != 1:
        return none, ["The units' electrodes have more than one dimension, so units cannot be placed by them."]
    rows = values(table["electrodes"]).astype(np.int64)
    ends = ends_of(table, "electrodes")
    starts = np.arange(len(units)) if ends is None else np.concatenate([[0], ends[:-1]])
    ends = starts + 1 if ends is None else ends
    if len(rows) < (ends[-1] if len(ends) else 0):
        return none, ["The units' electrodes do not fit the units, so units cannot be placed by them."]
    counts = ends - starts
    chosen, warnings = starts.copy(), []
    if (counts > 1).any():
        largest = _largest(table, counts, remote)
        if largest is None:
            warnings.append(
                "Units name several electrodes and no mean waveform tells which is nearest: each is placed at its first one."
            )
        else:
            chosen = starts + largest
    place = np.where(counts > 0, rows[np.minimum(chosen, max(len(rows) - 1, 0))] if len(rows) else -1, -1)
    outside = int(((counts > 0) & ((place < 0) | (place >= len(electrodes)))).sum())
    if outside:
        warnings.append(f"{outside} of {len(units)} units name an electrode that the electrodes table does not hold.")
    return np.where((place >= 0) & (place < len(electrodes)), place, -1), warnings


def _largest(table: Any, counts: np.ndarray, remote: bool) -> np.ndarray | None:
    """Return which of its electrodes has the largest mean waveform, for each unit; None where the file does not tell."""
    if "waveform_mean" not in table or "waveform_mean_index" in table:
        return None
    waves = table["waveform_mean"]
    if (
        waves.ndim != 3
        or waves.dtype.kind not in "fiu"
        or waves.shape[0] != len(counts)
        or waves.shape[2] < counts.max()
    ):
        return None
    size = int(np.prod(waves.shape, dtype=np.float64)) * waves.dtype.itemsize
    if remote and size > _REMOTE_WAVEFORMS:
        return None
    largest = np.zeros(len(counts), dtype=np.int64)
    step = max(int(_AT_ONCE // max(size // len(counts), 1)), 1)
    for first in range(0, len(counts), step):
        block = np.asarray(waves[first : first + step], dtype=np.float32)
        high = np.nan_to_num(np.ptp(block, axis=1), nan=-1.0)
        inside = np.arange(high.shape[1]) < counts[first : first + step, None]
        largest[first : first + step] = np.where(inside, high, -1.0).argmax(axis=1)
    return largest


def _positions(units: pd.DataFrame, electrodes: pd.DataFrame, place: np.ndarray) -> list[str]:
    """Fill in ``x_um`` and ``y_um``: the units' own, else their electrode's on the probe, else where that lies in the brain."""
    found = place >= 0
    for target, candidates in (("x_um", X), ("y_um", Y)):
        own = next((column for column in candidates if column in units and numbers(units[column]).notna().any()), None)
        theirs = next((c for c in candidates if c in electrodes and numbers(electrodes[c]).notna().any()), None)
        if own is not None:
            units[target] = numbers(units[own])
        if theirs is not None and found.any():
            at = _at(electrodes, theirs, place)
            units[target] = units[target].fillna(pd.Series(at, index=units.index)) if own is not None else at
    if "y_um" in units or not found.any() or not {"x", "y"} <= set(electrodes):
        return []
    # Without places on the probe, those in the brain show at least which units are neighbours.
    axes = [axis for axis in "xyz" if axis in electrodes and numbers(electrodes[axis]).nunique() > 1]
    along = "y" if "y" in axes or not axes else axes[-1]
    across = next((axis for axis in "xz" if axis in axes and axis != along), "x" if along != "x" else "y")
    units["x_um"], units["y_um"] = _at(electrodes, across, place), _at(electrodes, along, place)
    if not np.isfinite(units["y_um"]).any():
        return []
    return [
        f"The electrodes have no places on their probe (rel_x, rel_y): the units are laid out by the electrodes' {across} and {along} instead."
    ]


def _at(electrodes: pd.DataFrame, column: str, place: np.ndarray) -> np.ndarray:
    given = numbers(electrodes[column]).to_numpy()
    return np.where(place >= 0, given[np.maximum(place, 0)], np.nan)


def _from_electrodes(units: pd.DataFrame, electrodes: pd.DataFrame, place: np.ndarray) -> None:
    found = place >= 0
    for target, candidates, missing in (
        ("region", ("location", *REGION), UNKNOWN_REGION),
        ("probe", ("group_name", "group", "probe_id"), "probe"),
        ("shank", SHANK, None),
        ("valid_data", ("valid_data",), None),
    ):
        theirs = next((column for column in candidates if column in electrodes), None)
        if theirs is not None and target not in units:
            given = electrodes[theirs].to_numpy()[np.maximum(place, 0)].astype(object)
            units[target] = np.where(found, given, missing)
    if "probe_vertical_position" in electrodes:
        # Allen's layout: x, y and z are CCF coordinates.
        for axis, column in _CCF.items():
            if axis in electrodes and column not in units:
                units[column] = _at(electrodes, axis, place)


def _rates(table: Any) -> np.ndarray | None:
    """Return spikes a second of observed time, where the file says when units were observed."""
    if "obs_intervals" not in columns_of(table) or "spike_times_index" not in table:
        return None
    intervals, ends = table["obs_intervals"], ends_of(table, "obs_intervals")
    if ends is None or intervals.ndim != 2 or intervals.shape[1] != 2 or intervals.shape[0] > 1_000_000:
        return None
    lengths = np.diff(values(intervals).astype(float), axis=1).ravel()
    total = np.concatenate([[0.0], np.cumsum(lengths)])
    observed = total[ends] - total[np.concatenate([[0], ends[:-1]])]
    counts = np.diff(values(table["spike_times_index"]).astype(np.int64), prepend=0)
    if len(counts) != n_rows(table):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(observed > 0, counts / observed, np.nan)
