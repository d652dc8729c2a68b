"""Tables of an NWB file (hdmf's DynamicTable) as pandas tables."""

from typing import Any

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from .store import is_group, is_plain, kind_of, referred, texts, values

# A column of one row's worth of numbers is small; what is larger is a signal and not a property.
_MOST_ROWS = 10_000_000


def columns_of(group: Any) -> list[str]:
    """Return the names of a table's columns: in the order that it gives, then the others."""
    named = texts(group.attrs["colnames"]) if "colnames" in group.attrs else []
    present = [name for name in group if name != "id" and not is_group(group[name])]
    return [name for name in named if name in present] + [name for name in present if name not in named]


def n_rows(group: Any) -> int:
    """Return the number of rows of a table: of its ids, or of its shortest plain column where ids are missing."""
    if "id" in group and not is_group(group["id"]):
        return int(group["id"].shape[0])
    lengths = [group[name].shape[0] for name in columns_of(group) if group[name].ndim]
    return min(lengths, default=0)


def flat_columns(group: Any, root: Any, skip: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the columns of a table that hold one number or text a row; ragged ones, waveforms and the like are left unread.

    Parameters
    ----------
    group
        The table.
    root
        The whole file, for references: a column of them gives the names of what it refers to.
    skip : tuple of str
        Columns that are not wanted.

    Raises
    ------
    NeurratorError
        A column is damaged.
    """
    rows = n_rows(group)
    if rows > _MOST_ROWS:
        raise NeurratorError(
            f"The table {group.name} says that it has {rows:,} rows: the source is damaged; fetch it again."
        )
    names = columns_of(group)
    lost = [name for name in texts(group.attrs.get("colnames", [])) if name not in group]
    if lost:
        raise NeurratorError(
            f"The table {group.name} is damaged: its column {lost[0]} is missing; fetch the source again."
        )
    columns = {}
    for name in names:
        array = group[name]
        if (
            name in skip
            or f"{name}_index" in names
            or (name.endswith("_index") and name.removesuffix("_index") in names)
        ):
            continue
        if array.ndim != 1 or array.shape[0] != rows:
            continue
        if is_plain(array):
            columns[name] = values(array)
        elif array.dtype.kind == "O":
            named = _referred_names(array, root)
            if named is not None:
                columns[name] = named
    ids = values(group["id"]) if "id" in group and is_plain(group["id"]) else np.arange(rows)
    return pd.DataFrame(columns, index=pd.Index(ids, name="id"))


def _referred_names(array: Any, root: Any) -> np.ndarray | None:
    """Return the names of what a column refers to, None where it cannot be followed."""
    found: dict[Any, str] = {}
    names = []
    for position in range(array.shape[0]):
        try:
            thing = referred(array, position, root)
        except (KeyError, ValueError, TypeError, RuntimeError):
            return None
        if thing is None:
            return None
        address = getattr(thing, "name", "")
        names.append(found.setdefault(address, address.rsplit("/", 1)[-1]))
    return np.array(names, dtype=object)


def ends_of(group: Any, column: str) -> np.ndarray | None:
    """Return where each row's part of a ragged column ends, None where the column is not ragged.

    Raises
    ------
    NeurratorError
        The parts do not fit the column.
    """
    if f"{column}_index" not in group:
        return None
    ends = values(group[f"{column}_index"]).astype(np.int64)
    rows, length = n_rows(group), int(group[column].shape[0])
    if (
        ends.ndim != 1
        or len(ends) != rows
        or (np.diff(ends, prepend=0) < 0).any()
        or (len(ends) and ends[-1] != length)
    ):
        raise NeurratorError(
            f"The table {group.name} is damaged: {column}_index does not tell its {length:,} {column} apart by row; fetch the source again."
        )
    return ends


def interval_tables(root: Any) -> dict[str, Any]:
    """Return the tables of intervals by name: epochs, trials, what was shown."""
    if "intervals" not in root or not is_group(root["intervals"]):
        return {}
    groups = {name: root["intervals"][name] for name in root["intervals"]}
    return {name: group for name, group in groups.items() if is_group(group) and "start_time" in group}


def processed(root: Any) -> dict[str, Any]:
    """Return what lies in the processing modules, by ``module/name``."""
    if "processing" not in root or not is_group(root["processing"]):
        return {}
    return {
        f"{module}/{name}": root["processing"][module][name]
        for module in root["processing"]
        if is_group(root["processing"][module])
        for name in root["processing"][module]
    }


def units_table(root: Any) -> Any | None:
    """Return the table of sorted units: the file's own, or the first in a processing module; None where there is none."""
    if "units" in root and is_group(root["units"]):
        return root["units"]
    for thing in processed(root).values():
        if is_group(thing) and kind_of(thing) == "Units" and "spike_times" in thing:
            return thing
    return None
