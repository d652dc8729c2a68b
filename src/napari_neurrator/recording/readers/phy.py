"""Folders that Kilosort or phy wrote.

They are read as SpikeInterface reads them (same clusters, names and properties), but memory-mapped, with spikes picked when they are asked for, and
without running ``params.py``.
"""

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..recording import Recording
from ..trains_sorting import TrainsSorting
from .columns import own_place, rename_known
from .files import load_npy, load_numbers, read_table
from .grouped import grouped_trains, row_lookup
from .templates import centres_of_mass, nearest
from .unit_ids import plain_ids

_NEEDED = ("spike_times.npy", "params.py")
_CLUSTERS = ("spike_clusters.npy", "spike_templates.npy")
_BELOW = ("", "sorter_output", "output", "kilosort", "kilosort4", "ks4", "phy")
_AT_ONCE = 4_000_000


def phy_folder(path: Path) -> Path | None:
    """Return the folder, `path` or one that sorters make in it, that looks like one of Kilosort's or phy's; None where there is none."""
    for inside in _BELOW:
        folder = path / inside
        if (folder / _NEEDED[0]).is_file() and any((folder / name).is_file() for name in ("params.py", *_CLUSTERS)):
            return folder
    return path if any((path / name).is_file() for name in _NEEDED) else None


def read_phy(path: str | Path) -> Recording:
    """Read a Kilosort or phy folder, all clusters, with positions from the templates.

    Parameters
    ----------
    path : path-like
        With ``params.py``, ``spike_times.npy``, ``spike_clusters.npy`` or ``spike_templates.npy``, and for positions ``templates.npy`` and
        ``channel_positions.npy``; or with a folder ``sorter_output`` or ``output`` that holds them.

    Raises
    ------
    NeurratorError
        Files are missing or damaged, or ``params.py`` holds more than plain settings (it is never run).
    """
    folder = phy_folder(Path(path)) or Path(path)
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise NeurratorError(f"{folder} has no {name}: it is not a whole Kilosort or phy folder.")
    rate = float(check_params(folder / "params.py")["sample_rate"])  # type: ignore[arg-type]
    named = next((name for name in _CLUSTERS if (folder / name).is_file()), None)
    if named is None:
        raise NeurratorError(
            f"{folder} holds neither spike_clusters.npy nor spike_templates.npy: it is not a whole Kilosort or phy folder."
        )
    times, clusters = _spikes(folder, named)
    used = _used(clusters)
    table = _properties(folder, used)
    unit_ids = _names(table, str(folder))
    spikes = grouped_trains(
        unit_ids, len(times), *_access(times, clusters, table["cluster_id"].to_numpy(), used, rate), str(folder)
    )
    units = table.drop(columns=["si_unit_id", "cluster_id"], errors="ignore").set_index(
        pd.Index(unit_ids, name="unit_id")
    )
    units = rename_known(units.rename(columns={"group": "quality"}))
    warnings: list[str] = []
    try:
        if not own_place(units, {}):
            _place_by_templates(units, folder, table["cluster_id"].to_numpy(), clusters)
    except NeurratorError as error:
        warnings.append(str(error))
    recording = Recording.from_sorting(
        TrainsSorting(spikes, rate), None, units, name=_name(folder), source=str(path), spikes=spikes
    )
    recording.warnings = warnings + recording.warnings
    return recording


def _place_by_templates(units: pd.DataFrame, folder: Path, ids: np.ndarray, clusters: np.ndarray) -> None:
    positions = _positions(folder, ids, clusters)
    units["x_um"], units["y_um"] = positions[:, 0], positions[:, 1]
    shanks = _shanks(folder, positions)
    if shanks is not None:
        units["shank"] = shanks


def _name(folder: Path) -> str:
    whole = folder.resolve()
    return whole.parent.name if whole.name in ("sorter_output", "output") and whole.parent.name else whole.name


def check_params(path: Path) -> dict[str, object]:
    """Read ``params.py`` without running it: only ``name = literal`` lines are allowed.

    Raises
    ------
    NeurratorError
        It holds code, or lacks the sample rate.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
        settings: dict[str, object] = {}
        for line in tree.body:
            if not isinstance(line, ast.Assign) or len(line.targets) != 1 or not isinstance(line.targets[0], ast.Name):
                raise ValueError(f"line {line.lineno} is no plain setting")
            settings[line.targets[0].id] = ast.literal_eval(line.value)
    except (SyntaxError, ValueError, TypeError, OSError, RecursionError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise NeurratorError(
            f"{path} may only hold lines such as 'sample_rate = 30000.' ({reason}): it is not run, so nothing was opened."
        ) from error
    rate = settings.get("sample_rate")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate <= 1e9:
        raise NeurratorError(f"{path} does not say the sample rate: add a line such as 'sample_rate = 30000.'.")
    return settings


def _spikes(folder: Path, named: str) -> tuple[np.ndarray, np.ndarray]:
    """Return sample and cluster numbers of all spikes, memory-mapped."""
    lengths = {name: len(load_numbers(folder / name)) for name in (_NEEDED[0], *_CLUSTERS) if (folder / name).is_file()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise NeurratorError(f"{folder} is damaged: its files hold different numbers of spikes ({listed}).")
    clusters = load_numbers(folder / named)
    if clusters.dtype.kind == "f":
        whole = np.asarray(clusters)
        if not np.isfinite(whole).all() or (whole % 1 != 0).any() or (np.abs(whole) > 2**53).any():
            raise NeurratorError(f"{folder / named} holds values that are no sample or cluster numbers: sort again.")
        clusters = whole.astype(np.int64)
    times = load_numbers(folder / _NEEDED[0])
    for first in range(0, len(times) if times.dtype.kind == "f" else 0, _AT_ONCE):
        if not np.isfinite(times[first : first + _AT_ONCE]).all():
            raise NeurratorError(
                f"{folder / _NEEDED[0]} holds values that are no sample or cluster numbers: sort again."
            )
    return times, clusters


def _used(clusters: np.ndarray) -> np.ndarray:
    parts = [np.unique(clusters[first : first + _AT_ONCE]) for first in range(0, len(clusters), _AT_ONCE)]
    return np.unique(np.concatenate(parts)).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)


def _access(
    times: np.ndarray, clusters: np.ndarray, ids: np.ndarray, used: np.ndarray, rate: float
) -> tuple[Callable[[int, int], np.ndarray], Callable[[int, int], np.ndarray]]:
    look_up = row_lookup(ids, int(used.max(initial=0)))
    return (
        lambda first, last: look_up(clusters[first:last]),
        lambda first, last: np.asarray(times[first:last], dtype=np.float64) / rate,
    )


def _properties(folder: Path, used: np.ndarray) -> pd.DataFrame:
    """Return what the folder's tables say of each cluster: ``cluster_info`` alone where there is one, else all tables with a ``cluster_id``."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".csv", ".tsv") and file.is_file())
    summary = [file for file in files if file.stem == "cluster_info"]
    table: pd.DataFrame | None = None
    for file in summary[:1] or files:
        read = read_table(file)
        if file in summary and "cluster_id" not in read and "id" in read:
            read = read.rename(columns={"id": "cluster_id"})
        if "cluster_id" not in read:
            continue
        numbers = pd.to_numeric(read["cluster_id"], errors="coerce")
        if (
            numbers.isna().any()
            or (numbers % 1 != 0).any()
            or numbers.duplicated().any()
            or (numbers.abs() > 2**53).any()
        ):
            raise NeurratorError(f"{file} names a cluster twice, or by no number: save it again in phy.")
        read["cluster_id"] = numbers.astype(np.int64)
        fresh = [column for column in read if column == "cluster_id" or table is None or column not in table]
        table = read if table is None else table.merge(read[fresh], on="cluster_id", how="outer")
    if table is None:
        table = pd.DataFrame({"cluster_id": used})
    else:
        # Clusters that no table names have spikes all the same.
        unnamed = used[~np.isin(used, table["cluster_id"])]
        if len(unnamed):
            table = pd.concat([table, pd.DataFrame({"cluster_id": unnamed})], ignore_index=True)
        table = table.sort_values("cluster_id", kind="stable", ignore_index=True)
    return table


def _names(table: pd.DataFrame, source: str) -> list[int | str]:
    """Return the units' names: those of SpikeInterface where it exported the folder, else the cluster numbers."""
    clusters = plain_ids(table["cluster_id"], source)
    if "si_unit_id" not in table:
        return clusters
    given = table["si_unit_id"]
    single = given.notna() & ~given.duplicated(keep=False)
    if pd.api.types.is_numeric_dtype(given):
        # Clusters that were split or merged in phy get numbers of their own, above those that are taken.
        above = int(given.max()) if given.notna().any() else -1
        numbers = []
        for value, kept in zip(given, single, strict=True):
            above += not kept
            numbers.append(int(value) if kept else above)
        return plain_ids(numbers, source)
    return plain_ids(
        [v if kept else f"cluster {c}" for v, kept, c in zip(given, single, clusters, strict=True)], source
    )


def _positions(folder: Path, ids: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return (x, y) in µm of each cluster: the centre of mass of its templates' amplitudes around the peak channel."""
    for name in ("templates.npy", "channel_positions.npy"):
        if not (folder / name).is_file():
            raise NeurratorError(f"{folder} has no {name}, so its units have no positions.")
    templates, channels = load_npy(folder / "templates.npy"), load_npy(folder / "channel_positions.npy")
    if (
        templates.ndim != 3 or channels.ndim != 2 or channels.shape[1] != 2 or 0 in templates.shape
        or templates.dtype.kind not in "fiu" or channels.dtype.kind not in "fiu"
    ):  # fmt: skip
        raise NeurratorError(
            f"{folder}: templates.npy has shape {templates.shape} and channel_positions.npy {channels.shape}, so its units have no positions."
        )
    # SpikeInterface's export writes template_ind.npy, Kilosort templates_ind.npy.
    sparse = next((folder / n for n in ("templates_ind.npy", "template_ind.npy") if (folder / n).is_file()), None)
    columns = load_npy(sparse) if sparse is not None else None
    if columns is not None and (
        columns.shape != (templates.shape[0], templates.shape[2]) or columns.dtype.kind not in "fiu"
    ):
        columns = None
    if columns is None and templates.shape[2] != len(channels):
        raise NeurratorError(
            f"{folder}: templates.npy has {templates.shape[2]} channels and channel_positions.npy {len(channels)}, so its units have no positions."
        )
    if columns is not None:
        columns = np.nan_to_num(np.asarray(columns, dtype=float), nan=-1).astype(np.int64)
    centres = centres_of_mass(templates, np.asarray(channels, dtype=float), columns)
    return _averaged(folder, ids, clusters, centres)


def _shanks(folder: Path, positions: np.ndarray) -> np.ndarray | None:
    """Return the shank of the channel nearest to each unit, −1 where the unit has no position; None where no file tells shanks apart."""
    named = next((folder / n for n in ("channel_shanks.npy", "channel_groups.npy") if (folder / n).is_file()), None)
    if named is None:
        return None
    shanks = load_numbers(named)
    channels = np.asarray(load_npy(folder / "channel_positions.npy"), dtype=float)
    if len(shanks) != len(channels):
        return None
    closest = nearest(positions, channels)
    return np.where(closest >= 0, np.nan_to_num(shanks)[closest], -1).astype(np.int64)


def _averaged(folder: Path, ids: np.ndarray, clusters: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Average the templates' positions over each cluster's spikes: after merging in phy a cluster has several templates."""
    inside = (ids >= 0) & (ids < len(centres))
    own = np.where(inside[:, None], centres[np.where(inside, ids, 0)], np.nan)
    if not all((folder / name).is_file() for name in _CLUSTERS):
        return own
    of_template = load_numbers(folder / "spike_templates.npy")
    look_up = row_lookup(ids, int(ids.max(initial=0)))
    known = np.isfinite(centres).all(axis=1)
    sums, counts = np.zeros((len(ids), 2)), np.zeros(len(ids))
    for first in range(0, len(of_template), _AT_ONCE):
        numbers = np.nan_to_num(np.asarray(of_template[first : first + _AT_ONCE]), nan=-1)
        rows = look_up(clusters[first : first + _AT_ONCE])
        good = (rows >= 0) & (numbers >= 0) & (numbers < len(centres))
        good[good] = known[numbers[good].astype(np.int64)]
        rows, places = rows[good], centres[numbers[good].astype(np.int64)]
        counts += np.bincount(rows, minlength=len(ids))
        for axis in range(2):
            sums[:, axis] += np.bincount(rows, places[:, axis], minlength=len(ids))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts[:, None] > 0, sums / counts[:, None], own)
