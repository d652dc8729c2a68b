"""SpikeInterface's SortingAnalyzer, as a binary folder or Zarr; without its raw recording."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..recording import UNKNOWN_REGION, Recording
from ..trains_sorting import TrainsSorting
from .columns import REGION, numbers, own_place
from .files import clean_text, clean_texts, load_npy, one_line, read_json, read_table
from .si_sorting import SavedSorting, open_zarr, saved_sorting, sorting_in_zarr, zarr_columns
from .store import is_plain, values
from .templates import centres_of_mass, nearest

_TABLES = ("quality_metrics", "template_metrics")


def is_analyzer(path: Path) -> bool:
    """Tell whether a folder is one of SortingAnalyzer's."""
    if (path / ".zgroup").is_file():
        return (path / "sorting").is_dir() and (path / "sorting" / "spikes").is_dir()
    return (path / "sorting" / "numpysorting_info.json").is_file() and (
        (path / "extensions").is_dir() or (path / "spikeinterface_info.json").is_file()
    )


class _Folder:
    """A binary folder's pieces."""

    def __init__(self, path: Path):
        self.path = path

    def sorting(self) -> SavedSorting:
        return saved_sorting(self.path / "sorting")

    def described(self, name: str) -> dict[str, Any]:
        return read_json(self.path / "recording_info" / f"{name}.json")

    def array(self, extension: str, name: str) -> np.ndarray | None:
        file = self.path / "extensions" / extension / f"{name}.npy" if extension else self.path / f"{name}.npy"
        return load_npy(file) if file.is_file() else None

    def table(self, extension: str) -> pd.DataFrame | None:
        file = self.path / "extensions" / extension / "metrics.csv"
        if not file.is_file():
            return None
        table = read_table(file)
        return table.set_index(table.columns[0]) if len(table.columns) else None


class _Zarr:
    """A Zarr folder's pieces."""

    def __init__(self, path: Path):
        self.path, self._root = path, open_zarr(path)

    def sorting(self) -> SavedSorting:
        return sorting_in_zarr(self._root["sorting"], self.path)

    def described(self, name: str) -> dict[str, Any]:
        try:
            found = self._root["recording_info"].attrs[name]
        except (KeyError, ValueError) as error:
            raise NeurratorError(f"{self.path} lacks recording_info/{name}: save the analyzer again.") from error
        return found if isinstance(found, dict) else {}

    def array(self, extension: str, name: str) -> np.ndarray | None:
        path = f"extensions/{extension}/{name}" if extension else name
        if path not in self._root or hasattr(self._root[path], "keys"):
            return None
        array = self._root[path]
        try:
            return values(array) if is_plain(array) else None
        except Exception as error:
            raise NeurratorError(
                f"{self.path}: {path} cannot be read ({one_line(error)}); compute it again."
            ) from error

    def table(self, extension: str) -> pd.DataFrame | None:
        path = f"extensions/{extension}/metrics"
        if path not in self._root or not hasattr(self._root[path], "keys"):
            return None
        group = self._root[path]
        if "index" not in group:
            return None
        columns, _ = zarr_columns(group, group["index"].shape[0])
        index = columns.pop("index", None)
        return None if index is None else pd.DataFrame({k: v for k, v in columns.items() if v.ndim == 1}, index=index)


def read_analyzer(path: str | Path) -> Recording:
    """Read a SortingAnalyzer: units, spikes, metrics and places; positions from ``unit_locations``, else unit properties, else templates.

    Raises
    ------
    NeurratorError
        It is damaged, or holds several segments.
    """
    path = Path(path)
    try:
        return _read(path, _Zarr(path) if (path / ".zgroup").is_file() else _Folder(path))
    except NeurratorError:
        raise
    except (Exception, MemoryError) as error:
        raise NeurratorError(f"{path} is damaged ({one_line(error)}): save the analyzer again.") from error


def _read(path: Path, parts: "_Folder | _Zarr") -> Recording:
    saved = parts.sorting()
    warnings = list(saved.warnings)
    units = saved.units()
    for extension in _TABLES:
        try:
            table = parts.table(extension)
        except NeurratorError as error:
            warnings.append(str(error))
            continue
        if table is None:
            warnings.append(f"The analyzer has no {extension}: compute them in SpikeInterface to see them here.")
            continue
        table = table.drop(columns=[column for column in table if column in units or column == "num_spikes"])
        # The table's index is the unit ids as text, or as numbers where all of them look like some.
        table.index = pd.Index([str(unit) for unit in table.index])
        fitting = table[~table.index.duplicated()].reindex([str(unit) for unit in units.index])
        units = units.join(fitting.set_index(units.index)).rename(columns={"firing_rate": "firing_rate_hz"})
    attributes: dict[str, Any] = {}
    probes = _Probes(np.zeros((0, 2)), [], None)
    try:
        attributes = parts.described("recording_attributes")
        probes = _probes(parts.described("probegroup"))
    except NeurratorError as error:
        warnings.append(str(error))
    peaks = _place(units, saved.properties, parts, probes, warnings)
    _surroundings(units, peaks, probes, attributes)
    spikes = saved.trains(str(path), _t_start(attributes))
    whole = path.resolve()
    recording = Recording.from_sorting(
        TrainsSorting(spikes, saved.rate), None, units, source=str(path), spikes=spikes,
        name=whole.stem if whole.suffix == ".zarr" else whole.name,
    )  # fmt: skip
    recording.warnings = warnings + recording.warnings
    return recording


def _t_start(attributes: dict[str, Any]) -> float:
    starts = attributes.get("t_starts")
    first = starts[0] if isinstance(starts, list) and starts else None
    return float(first) if isinstance(first, int | float) and np.isfinite(first) else 0.0


class _Probes:
    """Contacts of all probes in the order of the channels.

    Attributes
    ----------
    contacts : numpy.ndarray
        µm, (channel, 2).
    names : list of str
        Each contact's probe.
    shanks : numpy.ndarray or None
        Each contact's shank.
    """

    def __init__(self, contacts: np.ndarray, names: list[str], shanks: np.ndarray | None):
        self.contacts, self.names, self.shanks = contacts, names, shanks


def _probes(described: dict[str, Any]) -> _Probes:
    from probeinterface import ProbeGroup

    try:
        group = ProbeGroup.from_dict(described)
        places, names, shanks, channels = [], [], [], []
        for number, probe in enumerate(group.probes):
            contacts = probe.contact_positions
            places.append(np.asarray(contacts, dtype=float)[:, :2])
            name = probe.annotations.get("name") or probe.annotations.get("probe_name") or f"probe{number}"
            names += [clean_text(name)] * len(contacts)
            ids = probe.shank_ids
            shanks += ["" if ids is None else clean_text(i) for i in (range(len(contacts)) if ids is None else ids)]
            wired = probe.device_channel_indices
            channels += [-1] * len(contacts) if wired is None else [int(c) for c in wired]
        positions = np.concatenate(places) if places else np.zeros((0, 2))
    except Exception as error:
        raise NeurratorError(
            f"The analyzer's probe cannot be read ({one_line(error)}): positions are taken from elsewhere."
        ) from error
    if len(set(channels)) == len(channels) and min(channels, default=-1) >= 0:
        order = np.argsort(channels)
        positions, names, shanks = positions[order], [names[i] for i in order], [shanks[i] for i in order]
    told = len(set(shanks)) > 1
    return _Probes(positions, names, np.array(shanks, dtype=object) if told else None)


def _place(
    units: pd.DataFrame,
    properties: dict[str, np.ndarray],
    parts: "_Folder | _Zarr",
    probes: _Probes,
    warnings: list[str],
) -> np.ndarray:
    """Fill in positions; return each unit's channel, −1 where it is not known."""
    n = len(units)
    contacts = probes.contacts
    try:
        places = parts.array("unit_locations", "unit_locations")
    except NeurratorError as error:
        warnings.append(str(error))
        places = None
    located = False
    if (
        places is not None
        and places.ndim == 2
        and places.shape[0] == n
        and places.shape[1] >= 2
        and places.dtype.kind in "fiu"
    ):
        located = own_place(units, {"unit_locations": np.asarray(places)})
    if not located:
        located = own_place(units, properties)
    templates = None
    if not located or len(set(probes.names)) > 1:
        try:
            templates = parts.array("templates", "average")
        except NeurratorError as error:
            warnings.append(str(error))
        if templates is not None and (
            templates.ndim != 3
            or templates.shape[0] != n
            or templates.shape[2] != len(contacts)
            or templates.dtype.kind not in "fiu"
        ):
            warnings.append(
                f"The analyzer's templates have shape {templates.shape}, which does not fit its {n} units and {len(contacts)} contacts."
            )
            templates = None
    if not located and templates is not None:
        centres = centres_of_mass(templates, contacts)
        units["x_um"], units["y_um"] = centres[:, 0], centres[:, 1]
        located = True
    if not located:
        warnings.append(
            "The analyzer has neither unit_locations nor templates: compute one of them in SpikeInterface to place its units."
        )
        return np.full(n, -1)
    if templates is not None:
        # Probes may share coordinates, so that only the template tells on which one a unit was seen.
        return np.array([int(np.nan_to_num(np.ptp(np.asarray(t), axis=0)).argmax()) for t in templates])
    x, y = (numbers(units[c]).to_numpy() if c in units else np.full(n, np.nan) for c in ("x_um", "y_um"))
    return nearest(np.stack([x, y], axis=1), contacts)


def _surroundings(units: pd.DataFrame, peaks: np.ndarray, probes: _Probes, attributes: dict[str, Any]) -> None:
    """Fill in probe, shank and region from each unit's channel."""
    found = (peaks >= 0) & (peaks < len(probes.contacts))
    if not found.any():
        return
    at = np.where(found, peaks, 0)
    if "probe" not in units:
        units["probe"] = np.where(found, np.array(probes.names, dtype=object)[at], "probe")
    if "shank" not in units and probes.shanks is not None:
        units["shank"] = np.where(found, probes.shanks[at], "")
    told = attributes.get("properties")
    for name in REGION if isinstance(told, dict) and "region" not in units else ():
        column = told.get(name) if isinstance(told, dict) else None
        if isinstance(column, list) and len(column) == len(probes.contacts) and all(isinstance(v, str) for v in column):
            units["region"] = np.where(found, clean_texts(np.array(column, dtype=object))[at], UNKNOWN_REGION)
            return
