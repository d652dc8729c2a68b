"""Folders that Kilosort or phy wrote."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..recording import Recording

_NEEDED = ("spike_times.npy", "params.py")


def is_phy_folder(folder: Path) -> bool:
    """Tell whether a folder looks like one of Kilosort's or phy's."""
    return any((folder / name).is_file() for name in _NEEDED)


def read_phy(folder: str | Path) -> Recording:
    """Read a Kilosort or phy folder, all clusters, with positions from the templates.

    Parameters
    ----------
    folder : path-like
        With ``params.py``, ``spike_times.npy``, ``spike_clusters.npy`` or ``spike_templates.npy``, and for positions ``templates.npy`` and
        ``channel_positions.npy``.

    Raises
    ------
    NeurratorError
        Files are missing or damaged, or ``params.py`` holds more than plain settings (it is never run).
    """
    from spikeinterface.extractors.phykilosortextractors import PhySortingExtractor

    folder = Path(folder)
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise NeurratorError(f"{folder} has no {name}: it is not a whole Kilosort or phy folder.")
    check_params(folder / "params.py")
    if not any((folder / name).is_file() for name in ("spike_clusters.npy", "spike_templates.npy")):
        raise NeurratorError(
            f"{folder} holds neither spike_clusters.npy nor spike_templates.npy: it is not a whole Kilosort or phy folder."
        )
    _check_spikes(folder)
    try:
        sorting = PhySortingExtractor(folder)
    except NeurratorError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise NeurratorError(f"{folder} cannot be read as a Kilosort or phy folder ({first[:200]}).") from error
    units = pd.DataFrame(index=pd.Index(sorting.unit_ids, name="unit_id"))
    for key in sorting.get_property_keys():
        values = np.asarray(sorting.get_property(key))
        # SpikeInterface adds a column again under this name where two files hold it (Kilosort4's group file repeats KSLabel).
        again = key.endswith("_repeat") and key.removesuffix("_repeat") in units
        if values.ndim == 1 and key != "original_cluster_id" and not again:
            units[key] = values
    clusters = (
        np.asarray(sorting.get_property("original_cluster_id"))
        if "original_cluster_id" in sorting.get_property_keys()
        else np.asarray(sorting.unit_ids)
    )
    warnings: list[str] = []
    try:
        positions = _positions(folder, clusters.astype(np.int64))
        units["x_um"], units["y_um"] = positions[:, 0], positions[:, 1]
        shanks = _shanks(folder, positions)
        if shanks is not None:
            units["shank"] = shanks
    except NeurratorError as error:
        warnings.append(str(error))
    recording = Recording.from_sorting(sorting, None, units, name=folder.resolve().name, source=str(folder))
    recording.warnings = warnings + recording.warnings
    return recording


def check_params(path: Path) -> dict[str, object]:
    """Read ``params.py`` without running it: only ``name = literal`` lines are allowed.

    SpikeInterface runs this file, so it has to be known to be harmless before.

    Raises
    ------
    NeurratorError
        It holds code, or lacks the sample rate.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        settings: dict[str, object] = {}
        for line in tree.body:
            if not isinstance(line, ast.Assign) or len(line.targets) != 1 or not isinstance(line.targets[0], ast.Name):
                raise ValueError(f"line {line.lineno} is no plain setting")
            settings[line.targets[0].id] = ast.literal_eval(line.value)
    except (SyntaxError, ValueError, OSError) as error:
        raise NeurratorError(
            f"{path} may only hold lines such as 'sample_rate = 30000.' ({error}): it is not run, so nothing was opened."
        ) from error
    rate = settings.get("sample_rate")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < float("inf"):
        raise NeurratorError(f"{path} does not say the sample rate: add a line such as 'sample_rate = 30000.'.")
    return settings


def _check_spikes(folder: Path) -> None:
    lengths = {}
    for name in ("spike_times.npy", "spike_clusters.npy", "spike_templates.npy"):
        if (folder / name).is_file():
            numbers = _load(folder / name)
            if numbers.dtype.kind not in "iuf" or (numbers.dtype.kind == "f" and not np.isfinite(numbers).all()):
                raise NeurratorError(f"{folder / name} holds values that are no sample or cluster numbers: sort again.")
            lengths[name] = numbers.size
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise NeurratorError(f"{folder} is damaged: its files hold different numbers of spikes ({listed}).")


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise NeurratorError(
            f"{path} is missing, damaged or holds objects: sort again or fetch the file again."
        ) from error


def _positions(folder: Path, clusters: np.ndarray) -> np.ndarray:
    """Return (x, y) in µm of each cluster: the centre of mass of its templates' amplitudes around the peak channel."""
    for name in ("templates.npy", "channel_positions.npy"):
        if not (folder / name).is_file():
            raise NeurratorError(f"{folder} has no {name}, so its units have no positions.")
    templates = _load(folder / "templates.npy")
    channels = np.asarray(_load(folder / "channel_positions.npy"), dtype=float)
    if templates.ndim != 3 or channels.ndim != 2 or channels.shape[1] != 2:
        raise NeurratorError(
            f"{folder}: templates.npy has shape {templates.shape} and channel_positions.npy {channels.shape}, so its units have no positions."
        )
    sparse = folder / "templates_ind.npy"
    columns = np.asarray(_load(sparse), dtype=np.int64) if sparse.is_file() else None
    if columns is None or columns.shape != (templates.shape[0], templates.shape[2]):
        if templates.shape[2] != len(channels):
            raise NeurratorError(
                f"{folder}: templates.npy has {templates.shape[2]} channels and channel_positions.npy {len(channels)}, so its units have no positions."
            )
        columns = np.broadcast_to(np.arange(len(channels)), (templates.shape[0], len(channels)))
    centres = np.full((len(templates), 2), np.nan)
    for number in range(len(templates)):
        amplitude = np.ptp(np.asarray(templates[number]), axis=0)
        where = columns[number]
        valid = (where >= 0) & (where < len(channels))
        amplitude = np.where(valid, amplitude, 0)
        if amplitude.max(initial=0) > 0:
            # Weak, far channels would pull the centre towards the middle of the probe.
            near = amplitude >= 0.2 * amplitude.max()
            centres[number] = np.average(channels[where[near]], axis=0, weights=amplitude[near] ** 2)
    return _templates_of(folder, clusters, centres)


def _shanks(folder: Path, positions: np.ndarray) -> np.ndarray | None:
    """Return the shank of the channel nearest to each unit, −1 where the unit has no position; None where no file tells shanks apart."""
    if not (folder / "channel_shanks.npy").is_file():
        return None
    shanks = np.asarray(_load(folder / "channel_shanks.npy")).ravel()
    channels = np.asarray(_load(folder / "channel_positions.npy"), dtype=float)
    if len(shanks) != len(channels):
        return None
    distance = ((positions[:, None, :] - channels[None]) ** 2).sum(axis=2)
    nearest = shanks[np.argmin(np.nan_to_num(distance, nan=np.inf), axis=1)]
    return np.where(np.isfinite(positions).all(axis=1), nearest, -1).astype(np.int64)


def _templates_of(folder: Path, clusters: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Average the templates' positions over each cluster's spikes: after merging in phy a cluster has several templates."""
    spike_templates = (
        np.asarray(_load(folder / "spike_templates.npy")).ravel().astype(np.int64)
        if (folder / "spike_templates.npy").is_file()
        else None
    )
    own = folder / "spike_clusters.npy"
    if spike_templates is None or not own.is_file():
        return np.array([centres[c] if 0 <= c < len(centres) else (np.nan, np.nan) for c in clusters])
    spike_clusters = np.asarray(_load(own)).ravel().astype(np.int64)
    if len(spike_clusters) != len(spike_templates):
        raise NeurratorError(
            f"{folder}: spike_clusters.npy and spike_templates.npy have different lengths, so its units have no positions."
        )
    result = np.full((len(clusters), 2), np.nan)
    for row, cluster in enumerate(clusters):
        used = spike_templates[spike_clusters == cluster]
        used = used[(used >= 0) & (used < len(centres))]
        if len(used):
            with np.errstate(invalid="ignore"):
                result[row] = centres[used].mean(axis=0)
        elif 0 <= cluster < len(centres):
            result[row] = centres[cluster]
    return result
