"""ALF folders, as the International Brain Laboratory and others write them: one array a file, named ``object.attribute.npy``."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..recording import UNKNOWN_REGION, Recording
from ..spikes import Read, SpikeTrains
from ..trains_sorting import TrainsSorting
from .columns import rename_known
from .files import clean_texts, load_npy, load_numbers, read_table
from .grouped import grouped, row_lookup

# [_namespace_]object.attribute[_timescale][.more].ending: `more` is a part of an array, or the id that ONE gives a file.
_NAME = re.compile(
    r"^(?:_[A-Za-z0-9]+_)?(?P<object>[A-Za-z0-9]+)\.(?P<attribute>[A-Za-z0-9]+(?:_[A-Za-z0-9_]+)?)(?:\.[^.]+)*\.(?P<ending>npy|csv|tsv|pqt|parquet)$"
)
_SORTERS = ("iblsorter", "pykilosort", "kilosort4", "kilosort", "ks2_matlab")
_RATE_HZ = 30_000.0
_AT_ONCE = 4_000_000
# Bregma in the Allen atlas, µm from its corner: left to right, front to back, top to bottom (IBL's `mlapdv` counts from there).
_BREGMA_ML, _BREGMA_AP, _BREGMA_DV = 5739.0, 5400.0, 332.0
_REGION_IDS = ("brainLocationIds_ccf_2017", "brainLocationIds")
_ACRONYMS = ("brainLocationAcronyms_ccf_2017", "brainLocationAcronyms", "acronym", "acronyms")
_CHANNELS = ("channels", "electrodeSites")


def alf_probes(path: Path) -> dict[str, Path]:
    """Return the folders of sorted spikes at or below a folder, by probe; empty where there are none."""
    direct = _sorted_folder(path)
    if direct is not None:
        return {_probe_name(path): direct}
    found: dict[str, Path] = {}
    for base in (path, path / "alf"):
        folder = _sorted_folder(base)
        if folder is not None:
            return {_probe_name(base): folder}
        for inside in sorted(base.iterdir()) if base.is_dir() else []:
            folder = _sorted_folder(inside) if inside.is_dir() and not inside.name.startswith((".", "#")) else None
            if folder is not None:
                found.setdefault(inside.name, folder)
    return found


def _sorted_folder(folder: Path) -> Path | None:
    """Return the folder, or a sorter's folder in it, with spikes in ALF; the sorter's own where both have them."""
    if not folder.is_dir():
        return None
    for inside in (*(folder / sorter for sorter in _SORTERS), folder):
        if inside.is_dir() and {"times", "clusters"} <= set(_files(inside).get("spikes", {})):
            return inside
    return None


def _probe_name(folder: Path) -> str:
    whole = folder.resolve()
    for part in (whole, *whole.parents[:2]):
        if "probe" in part.name.lower():
            return part.name
    return whole.name if whole.name not in (*_SORTERS, "alf") else whole.parent.name or "probe"


def _files(folder: Path) -> dict[str, dict[str, Path]]:
    """Return a folder's files by object and attribute; those of the latest revision (``#date#``) win."""
    found: dict[str, dict[str, Path]] = {}
    revisions = sorted(entry for entry in folder.iterdir() if entry.is_dir() and re.fullmatch(r"#.+#", entry.name))
    for place in (folder, *revisions):
        for file in sorted(place.iterdir()):
            match = _NAME.match(file.name)
            if match and file.is_file():
                found.setdefault(match["object"], {})[match["attribute"]] = file
    return found


def _attribute(files: dict[str, Path], name: str) -> Path | None:
    """Return an object's file of an attribute, also where a clock is named after it (``times_ephysClock``) or ONE's writer has bent its case."""
    plain = _plain(name)
    return (
        files.get(name)
        or next((file for key, file in files.items() if _plain(key) == plain), None)
        or next((file for key, file in files.items() if key.startswith(f"{name}_")), None)
    )


def _plain(attribute: str) -> str:
    return attribute.replace("_", "").lower()


def read_alf(path: str | Path) -> Recording:
    """Read a folder in ALF: one probe, or all probes of a session, whose units are then named ``probe/cluster``.

    Raises
    ------
    NeurratorError
        Files are missing, damaged, or of different lengths.
    """
    path = Path(path)
    probes = alf_probes(path)
    if not probes:
        raise NeurratorError(f"{path} holds no spikes.times and spikes.clusters: it is no ALF folder of sorted spikes.")
    several = len(probes) > 1
    tables, counts, reads, warnings = [], [], [], []
    for name, folder in probes.items():
        units, counted, read, remarks = _read_probe(folder, name, f"{name}/" if several else "")
        tables.append(units)
        counts.append(counted)
        reads.append(read)
        warnings += [f"{name}: {remark}" if several else remark for remark in remarks]
    table = pd.concat(tables)
    spikes = _joined(list(table.index), counts, reads)
    shown, remarks = _trials(path, next(iter(probes.values())))
    whole = path.resolve()
    recording = Recording.from_sorting(
        TrainsSorting(spikes, _RATE_HZ),
        shown,
        table,
        name=_session_name(whole),
        source=str(path),
        spikes=spikes,
    )
    recording.warnings = warnings + remarks + recording.warnings
    return recording


def _session_name(whole: Path) -> str:
    parts = [
        part for part in (whole.name, *(parent.name for parent in whole.parents)) if part not in ("alf", *_SORTERS)
    ]
    return parts[0] if parts and parts[0] else "session"


def _read_probe(folder: Path, probe: str, prefix: str) -> tuple[pd.DataFrame, np.ndarray, Read, list[str]]:
    files = _files(folder)
    spikes, of_clusters = files["spikes"], files.get("clusters", {})
    time_file, cluster_file = _attribute(spikes, "times"), spikes["clusters"]
    if time_file is None or any(file.suffix != ".npy" for file in (time_file, cluster_file)):
        raise NeurratorError(f"{folder} has spike times or clusters that are no .npy arrays: fetch the folder again.")
    times, clusters = load_numbers(time_file), load_numbers(cluster_file)
    if len(times) != len(clusters):
        raise NeurratorError(
            f"{folder} is damaged: {time_file.name} has {len(times)} spikes and {cluster_file.name} {len(clusters)}; fetch it again."
        )
    if clusters.dtype.kind == "f":
        whole = np.asarray(clusters)
        if not np.isfinite(whole).all() or (np.abs(whole) > 2**53).any() or (whole % 1 != 0).any():
            raise NeurratorError(f"{cluster_file} holds values that are no cluster numbers: sort again.")
        clusters = whole.astype(np.int64)
    used = [np.unique(clusters[first : first + _AT_ONCE]) for first in range(0, len(clusters), _AT_ONCE)]
    largest = max((int(part[-1]) for part in used), default=-1)
    if min((int(part[0]) for part in used), default=0) < 0:
        raise NeurratorError(f"{cluster_file} holds negative cluster numbers: sort again.")
    columns, remarks, rows = _cluster_columns(folder, of_clusters)
    if rows is not None and largest >= rows:
        raise NeurratorError(
            f"{folder} is damaged: spikes name the cluster {largest}, but its clusters.* files hold {rows}; fetch it again."
        )
    # Clusters are numbered by their row in clusters.*; without these, the ones that have spikes are all.
    numbers = (
        np.arange(rows)
        if rows is not None
        else np.unique(np.concatenate(used)).astype(np.int64)
        if used
        else np.zeros(0, np.int64)
    )
    ids: list[int | str] = [f"{prefix}{number}" if prefix else int(number) for number in numbers]
    units = pd.DataFrame(columns, index=pd.Index(ids, name="unit_id"))
    metrics, more = _metrics(of_clusters)
    remarks += more
    if metrics is not None:
        metrics = metrics.reindex(numbers).set_index(units.index)
        units = units.join(metrics[[column for column in metrics if column not in units]])
    units = rename_known(units)
    units["probe"] = probe
    remarks += _place(units, files, folder)
    look_up = row_lookup(numbers, largest)
    counts, read = grouped(
        ids, len(times), lambda first, last: look_up(clusters[first:last]),
        lambda first, last: np.asarray(times[first:last], dtype=np.float64), str(folder),
    )  # fmt: skip
    return units, counts, read, remarks


def _cluster_columns(folder: Path, files: dict[str, Path]) -> tuple[dict[str, np.ndarray], list[str], int | None]:
    """Return the attributes of the clusters that are one number each, and how many clusters there are."""
    columns: dict[str, np.ndarray] = {}
    lengths: dict[str, int] = {}
    remarks = []
    for attribute, file in files.items():
        if attribute == "metrics" or file.suffix not in (".npy", ".csv"):
            continue
        try:
            if file.suffix == ".npy":
                array = load_npy(file)
            else:
                table = read_table(file)
                array = table.iloc[:, -1].to_numpy() if len(table.columns) else np.zeros(0)
        except NeurratorError as error:
            remarks.append(f"An attribute of the clusters was left out: {error}")
            continue
        if array.ndim == 0 or attribute.startswith("waveforms") or attribute.startswith("templates"):
            continue
        lengths[file.name] = len(array)
        if array.ndim == 1 or array.size == len(array):
            column = np.asarray(array).reshape(-1)
            columns[attribute] = clean_texts(column) if column.dtype.kind in "SU" else column
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in sorted(lengths.items())[:4])
        raise NeurratorError(f"{folder} is damaged: its clusters.* files differ in length ({listed}); fetch it again.")
    return columns, remarks, next(iter(lengths.values()), None)


def _metrics(files: dict[str, Path]) -> tuple[pd.DataFrame | None, list[str]]:
    file = files.get("metrics")
    if file is None:
        return None, []
    try:
        table = read_table(file)
    except NeurratorError as error:
        return None, [f"The clusters' metrics were left out: {error}"]
    table = table.drop(columns=[column for column in table if str(column).startswith("Unnamed")])
    if "cluster_id" in table:
        table["cluster_id"] = pd.to_numeric(table["cluster_id"], errors="coerce")
        table = table[table["cluster_id"].notna()].set_index("cluster_id")
    if table.index.has_duplicates:
        return None, [f"The clusters' metrics were left out: {file} names a cluster twice."]
    flat = [
        column for column in table if not table[column].map(lambda v: isinstance(v, list | dict | np.ndarray)).any()
    ]
    return table[flat], []


def _place(units: pd.DataFrame, files: dict[str, dict[str, Path]], folder: Path) -> list[str]:
    """Fill in positions, regions and CCF coordinates from each cluster's channel; else from its depth or its waveforms' channel."""
    remarks: list[str] = []
    channels: dict[str, Path] = {}
    for name in _CHANNELS:
        for place in (files, _files(folder.parent)):
            channels = {**place.get(name, {}), **channels}
    peak = next((column for column in ("channels", "peakChannel") if column in units), None)
    if peak is None or not channels:
        if "depths" in units:
            units["y_um"] = pd.to_numeric(units["depths"], errors="coerce")
        return [
            "There are no channels.* files or no clusters.channels, so the units have no positions across the probe."
        ]
    numbers = pd.to_numeric(units[peak], errors="coerce").to_numpy(dtype=float)

    def of_channel(attribute: str, dimensions: int) -> np.ndarray | None:
        file = _attribute(channels, attribute)
        if file is None:
            return None
        try:
            array = load_npy(file)
        except NeurratorError as error:
            remarks.append(str(error))
            return None
        array = array.reshape(-1) if dimensions == 1 and array.size == max(array.shape, default=0) else array
        if array.ndim != dimensions or (dimensions == 2 and array.shape[1] < 2):
            remarks.append(f"{file} has shape {array.shape}, which fits no channels.")
            return None
        return array

    places = of_channel("localCoordinates", 2)
    places = of_channel("sitePositions", 2) if places is None else places
    n = len(places) if places is not None else 0
    if peak == "peakChannel" and n and np.nanmax(numbers, initial=0) == n:
        # Older files count channels from 1.
        numbers = numbers - 1

    def at(length: int) -> tuple[np.ndarray, np.ndarray]:
        found = np.isfinite(numbers) & (numbers >= 0) & (numbers < length)
        return found, np.where(found, np.nan_to_num(numbers), 0).astype(np.int64)

    if places is not None and places.dtype.kind in "fiu" and n:
        found, row = at(n)
        units["x_um"] = np.where(found, places[row, 0].astype(float), np.nan)
        units["y_um"] = np.where(found, places[row, 1].astype(float), np.nan)
        lost = int((~found).sum())
        if lost:
            remarks.append(f"{lost} of {len(units)} clusters name a channel that the channels.* files do not hold.")
    elif "depths" in units:
        units["y_um"] = pd.to_numeric(units["depths"], errors="coerce")
    atlas = of_channel("mlapdv", 2)
    if atlas is not None and atlas.shape[1] == 3 and atlas.dtype.kind in "fiu" and len(atlas):
        found, row = at(len(atlas))
        for column, axis, start, sign in (
            ("ccf_ap_um", 1, _BREGMA_AP, -1), ("ccf_dv_um", 2, _BREGMA_DV, -1), ("ccf_lr_um", 0, _BREGMA_ML, 1),
        ):  # fmt: skip
            units[column] = np.where(found, start + sign * atlas[row, axis].astype(float), np.nan)
    _regions(units, channels, of_channel, at, remarks)
    return remarks


def _regions(
    units: pd.DataFrame,
    channels: dict[str, Path],
    of_channel: Callable[[str, int], np.ndarray | None],
    at: Callable[[int], tuple[np.ndarray, np.ndarray]],
    remarks: list[str],
) -> None:
    if "region" in units:
        return
    for name in _ACRONYMS:
        names = of_channel(name, 1)
        if names is not None and names.dtype.kind in "US" and len(names):
            found, row = at(len(names))
            units["region"] = np.where(found, clean_texts(np.asarray(names))[row], UNKNOWN_REGION)
            return
    for name in _REGION_IDS:
        ids = of_channel(name, 1)
        if ids is not None and ids.dtype.kind in "iuf" and len(ids):
            found, row = at(len(ids))
            acronyms = _acronyms(np.nan_to_num(np.asarray(ids, dtype=float)).astype(np.int64), remarks)
            units["region"] = np.where(found, acronyms[row], UNKNOWN_REGION)
            return
    table_file = channels.get("brainLocation")
    if table_file is None or table_file.suffix not in (".csv", ".tsv"):
        return
    try:
        table = read_table(table_file)
    except NeurratorError as error:
        remarks.append(str(error))
        return
    column = next((c for c in ("allen_ontology", *_ACRONYMS) if c in table), None)
    if not len(table):
        return
    found, row = at(len(table))
    if column is not None:
        units["region"] = np.where(found, table[column].astype(str).to_numpy(dtype=object)[row], UNKNOWN_REGION)
    for theirs, ours in (("ccf_ap", "ccf_ap_um"), ("ccf_dv", "ccf_dv_um"), ("ccf_lr", "ccf_lr_um")):
        if theirs in table and ours not in units:
            units[ours] = np.where(
                found, pd.to_numeric(table[theirs], errors="coerce").to_numpy(dtype=float)[row], np.nan
            )


def _acronyms(ids: np.ndarray, remarks: list[str]) -> np.ndarray:
    """Return names of Allen's region numbers where iblatlas is installed, else the numbers."""
    outside = np.isin(ids, (0, 997))
    try:
        from iblatlas.regions import BrainRegions

        names = np.asarray(BrainRegions().id2acronym(np.abs(ids)), dtype=object)
    except ImportError:
        remarks.append(
            "Regions are shown by their number in Allen's ontology: pip install iblatlas to see their names."
        )
        names = np.array([str(number) for number in np.abs(ids)], dtype=object)
    except Exception:  # a number that is not in the ontology
        remarks.append("Regions are shown by their number: some are not in the ontology that iblatlas knows.")
        names = np.array([str(number) for number in np.abs(ids)], dtype=object)
    return np.where(outside, UNKNOWN_REGION, names)


def _joined(unit_ids: list[int | str], counts: list[np.ndarray], reads: list[Read]) -> SpikeTrains:
    """Lay the trains of several probes end to end."""
    starts = np.concatenate([[0], np.cumsum([int(each.sum()) for each in counts])])

    def read(first: int, last: int, out: np.ndarray) -> None:
        for each, begin, end in zip(reads, starts[:-1], starts[1:], strict=True):
            low, high = max(first, int(begin)), min(last, int(end))
            if low < high:
                each(low - int(begin), high - int(begin), out[low - first : high - first])

    return SpikeTrains.lazy(unit_ids, np.concatenate(counts), read)


def _trials(path: Path, folder: Path) -> tuple[pd.DataFrame | None, list[str]]:
    """Return IBL's trials as presentations of a grating at the left or the right, where the session has them."""
    for place in dict.fromkeys((path, path / "alf", path / "alf" / "task_00", folder, *folder.parents[:2])):
        files = _files(place).get("trials", {}) if place.is_dir() else {}
        try:
            if "table" in files:
                table = read_table(files["table"])
            else:
                wanted = ("stimOn_times", "stimOff_times", "contrastLeft", "contrastRight")
                arrays = {
                    key: load_numbers(files[key]) for key in wanted if key in files and files[key].suffix == ".npy"
                }
                if len({len(array) for array in arrays.values()}) > 1:
                    return None, [f"{place}: the trials' files differ in length, so they were left out."]
                table = pd.DataFrame(arrays)
        except NeurratorError as error:
            return None, [f"The trials were left out: {error}"]
        if not {"stimOn_times", "contrastLeft", "contrastRight"} <= set(table) or table.empty:
            continue
        numbers = table.apply(pd.to_numeric, errors="coerce")
        off = numbers["stimOff_times"] if "stimOff_times" in numbers else numbers["stimOn_times"]
        left = numbers["contrastLeft"].notna()
        shown = pd.DataFrame(
            {
                "stimulus": "task_grating",
                "start_time": numbers["stimOn_times"],
                "stop_time": off.where(off >= numbers["stimOn_times"], numbers["stimOn_times"]),
                "contrast": numbers["contrastLeft"].fillna(numbers["contrastRight"]),
                "x_position": np.where(left, -35.0, 35.0),
            }
        )
        return shown[shown["start_time"].notna()], []
    return None, []
