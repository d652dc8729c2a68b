"""Sortings and sorting analyzers that SpikeInterface saved.

SpikeInterface's own loading unpickles properties and the raw recording's description, and makes objects of classes that a file names. So only the
arrays and JSON of its formats are read here; the raw recording is never looked for.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..recording import Recording
from ..spikes import SpikeTrains
from ..trains_sorting import TrainsSorting
from .columns import own_place, rename_known
from .files import clean_texts, load_npy, one_line, read_json
from .grouped import grouped_trains
from .store import is_plain, values
from .unit_ids import plain_ids

_MOST_UNPACKED = 1 << 36


@dataclass
class SavedSorting:
    """What a saved sorting holds.

    Attributes
    ----------
    unit_ids : list
        Names of the units.
    rate : float
        Samples a second.
    n_spikes : int
        Spikes of all units.
    rows, samples : callable
        ``rows(first, last)`` and ``samples(first, last)`` return the unit (its place in `unit_ids`) and the sample number of some spikes.
    properties : dict of numpy.ndarray
        One row a unit.
    warnings : list of str
        What was not read.
    """

    unit_ids: list[int | str]
    rate: float
    n_spikes: int
    rows: Callable[[int, int], np.ndarray]
    samples: Callable[[int, int], np.ndarray]
    properties: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def trains(self, source: str, t_start: float = 0.0) -> SpikeTrains:
        """Return the spike times, seconds from `t_start`."""
        return grouped_trains(
            self.unit_ids,
            self.n_spikes,
            self.rows,
            lambda first, last: self.samples(first, last) / self.rate + t_start,
            source,
        )

    def units(self) -> pd.DataFrame:
        """Return the properties of one value a unit as a table."""
        flat = {name: column for name, column in self.properties.items() if column.ndim == 1}
        return rename_known(pd.DataFrame(flat, index=pd.Index(self.unit_ids, name="unit_id")))


def is_saved_sorting(path: Path) -> bool:
    """Tell whether a path is a folder of ``sorting.save()`` or an ``.npz`` file of SpikeInterface's."""
    if path.is_dir():
        if (path / ".zgroup").is_file():
            return (path / "unit_ids").is_dir() and (path / "spikes").is_dir()
        return any((path / name).is_file() for name in ("numpysorting_info.json", "sorting_cached.npz"))
    return path.suffix.lower() == ".npz" and path.is_file()


def read_saved_sorting(path: str | Path) -> Recording:
    """Read what ``sorting.save()`` wrote: a folder (NumPy, npz or Zarr) or an ``.npz`` file.

    Raises
    ------
    NeurratorError
        It is damaged, or holds several segments.
    """
    path = Path(path)
    saved = saved_sorting(path)
    units = saved.units()
    own_place(units, saved.properties)
    spikes = saved.trains(str(path))
    name = path.resolve().stem if path.suffix.lower() in (".npz", ".zarr") else path.resolve().name
    recording = Recording.from_sorting(
        TrainsSorting(spikes, saved.rate), None, units, name=name, source=str(path), spikes=spikes
    )
    recording.warnings = saved.warnings + recording.warnings
    return recording


def saved_sorting(path: Path) -> SavedSorting:
    """Read what is known of a saved sorting but for its spikes.

    Raises
    ------
    NeurratorError
        It is damaged, of another kind, or holds several segments.
    """
    if path.is_file():
        return _from_npz(path)
    if (path / ".zgroup").is_file():
        return sorting_in_zarr(open_zarr(path), path)
    if (path / "sorting_cached.npz").is_file():
        saved = _from_npz(path / "sorting_cached.npz")
        saved.properties, saved.warnings = _folder_properties(path / "properties", len(saved.unit_ids))
        return saved
    return _from_numpy_folder(path)


def open_zarr(path: Path) -> Any:
    """Open a Zarr folder of SpikeInterface's.

    Raises
    ------
    NeurratorError
        It is damaged.
    """
    import zarr

    try:
        return zarr.open_group(str(path), mode="r")
    except Exception as error:
        raise NeurratorError(f"{path} cannot be opened as Zarr ({one_line(error)}): fetch it again.") from error


def _described(info: dict[str, Any], source: Path) -> tuple[list[int | str], float]:
    rate, ids, segments = info.get("sampling_frequency"), info.get("unit_ids"), info.get("num_segments", 1)
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate <= 1e9 or not isinstance(ids, list):
        raise NeurratorError(
            f"{source} is damaged: it does not say the units and the sampling frequency; save the sorting again."
        )
    if segments != 1:
        raise NeurratorError(f"{source} holds {segments} segments: concatenate them into one first.")
    if not all(isinstance(unit, int | str | float) for unit in ids):
        raise NeurratorError(f"{source} is damaged: its unit ids are no numbers or texts; save the sorting again.")
    return plain_ids(ids, str(source)), float(rate)


def _from_numpy_folder(path: Path) -> SavedSorting:
    ids, rate = _described(read_json(path / "numpysorting_info.json"), path)
    spikes = load_npy(path / "spikes.npy")
    names = spikes.dtype.names or ()
    if (
        spikes.ndim != 1
        or not {"sample_index", "unit_index"} <= set(names)
        or any(spikes.dtype[name].kind not in "iu" for name in ("sample_index", "unit_index"))
    ):
        raise NeurratorError(
            f"{path / 'spikes.npy'} holds no spikes (sample_index, unit_index): save the sorting again."
        )
    saved = SavedSorting(
        ids, rate, len(spikes),
        lambda first, last: np.asarray(spikes["unit_index"][first:last]),
        lambda first, last: np.asarray(spikes["sample_index"][first:last]),
    )  # fmt: skip
    saved.properties, saved.warnings = _folder_properties(path / "properties", len(ids))
    return saved


def _from_npz(path: Path) -> SavedSorting:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_UNPACKED:
            raise NeurratorError(f"{path} would take {size:,} bytes unpacked: that is no sorting.")
        with np.load(path, allow_pickle=False) as contents:
            info = {key: contents[key].ravel().tolist() for key in ("unit_ids", "num_segment", "sampling_frequency")}
            samples, labels = contents["spike_indexes_seg0"].ravel(), contents["spike_labels_seg0"].ravel()
    except NeurratorError:
        raise
    except PermissionError as error:
        raise NeurratorError(f"{path} may not be read: change its permissions.") from error
    except (Exception, MemoryError) as error:  # a damaged archive can fail anywhere
        raise NeurratorError(
            f"{path} is no sorting that SpikeInterface saved, or it is damaged: save it again."
        ) from error
    numbers = {key: info[key][0] if info[key] else None for key in ("num_segment", "sampling_frequency")}
    ids, rate = _described(
        {
            "unit_ids": info["unit_ids"],
            "num_segments": numbers["num_segment"],
            "sampling_frequency": numbers["sampling_frequency"],
        },
        path,
    )
    if len(samples) != len(labels) or samples.dtype.kind not in "iu":
        raise NeurratorError(
            f"{path} is damaged: it holds {len(samples)} spike times and {len(labels)} labels; save it again."
        )
    place = {unit: row for row, unit in enumerate(ids)}
    found, inverse = np.unique(labels, return_inverse=True)
    rows = np.array([place.get(unit, -1) for unit in found.tolist()], dtype=np.int64)[inverse]
    return SavedSorting(
        ids, rate, len(samples), lambda first, last: rows[first:last], lambda first, last: samples[first:last]
    )


def sorting_in_zarr(group: Any, source: Path) -> SavedSorting:
    """Read what a Zarr group of SpikeInterface's says of a sorting.

    Raises
    ------
    NeurratorError
        It is damaged.
    """
    try:
        info = dict(group.attrs)
        info["unit_ids"] = values(group["unit_ids"]).tolist()
        spikes = group["spikes"]
        samples, rows = spikes["sample_index"], spikes["unit_index"]
        whole = (
            samples.ndim == rows.ndim == 1
            and samples.shape == rows.shape
            and samples.dtype.kind in "iu"
            and rows.dtype.kind in "iu"
        )
        n_spikes = int(samples.shape[0])
        properties, warnings = zarr_columns(group.get("properties", {}), len(info["unit_ids"]))
    except NeurratorError as error:
        raise NeurratorError(f"{source}: {error}") from error
    except Exception as error:
        raise NeurratorError(f"{source} is damaged ({one_line(error)}): save the sorting again.") from error
    if not whole:
        raise NeurratorError(f"{source} is damaged: its spikes' times and units do not fit; save the sorting again.")
    ids, rate = _described(info, source)

    def piece(array: Any) -> Callable[[int, int], np.ndarray]:
        def read(first: int, last: int) -> np.ndarray:
            try:
                return np.asarray(array[first:last])
            except Exception as error:
                raise NeurratorError(
                    f"The spikes in {source} cannot be read ({one_line(error)}): fetch it again."
                ) from error

        return read

    _refuse_holes(samples, rows, source)
    return SavedSorting(ids, rate, n_spikes, piece(rows), piece(samples), properties, warnings)


def _refuse_holes(*arrays_and_source: Any) -> None:
    from .store import check_chunks, check_honest

    *arrays, source = arrays_and_source
    for array in arrays:
        try:
            check_honest(array)
            check_chunks(array)
        except NeurratorError as error:
            raise NeurratorError(f"{source}: {error}") from error
        except OSError as error:
            raise NeurratorError(f"{source}: {array.name.lstrip('/')} is missing; save the sorting again.") from error


def zarr_columns(group: Any, rows: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of a Zarr group that have one row a unit, and a warning for each that cannot be read."""
    columns, warnings = {}, []
    for name in group:
        array = group[name]
        if hasattr(array, "keys") or array.ndim == 0 or array.shape[0] != rows:
            continue
        try:
            if not is_plain(array):
                raise NeurratorError("it holds pickled objects")
            columns[name] = values(array)
        except Exception as error:
            warnings.append(f"The property {name} was left out: {one_line(error)}.")
    return columns, warnings


def _folder_properties(folder: Path, rows: int) -> tuple[dict[str, np.ndarray], list[str]]:
    properties, warnings = {}, []
    for file in sorted(folder.glob("*.npy")) if folder.is_dir() else []:
        try:
            column = np.asarray(load_npy(file))
            column = clean_texts(column) if column.dtype.kind in "SU" else column
        except NeurratorError:
            warnings.append(
                f"The property {file.stem} was left out: {file} is damaged or holds pickled objects, which are never loaded."
            )
            continue
        if column.ndim and len(column) == rows and column.dtype.kind in "biufO":
            properties[file.stem] = column
    return properties, warnings
