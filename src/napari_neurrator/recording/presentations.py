"""What was shown when: one row a presentation."""

import numpy as np
import pandas as pd

from ..errors import NeurratorError

_NUMBERS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
# What makes two presentations without frame numbers the same condition.
CONDITION_COLUMNS = (
    "orientation",
    "temporal_frequency",
    "spatial_frequency",
    "contrast",
    "phase",
    "x_position",
    "y_position",
    "color",
    "size",
)


def canonical_name(name: str) -> str:
    """Return a stimulus's name in one spelling: Allen's files write both natural_movie_one and natural_movie_1."""
    return "_".join(_NUMBERS.get(word, word) for word in name.strip().lower().replace(" ", "_").split("_"))


def condition_columns(presentations: pd.DataFrame) -> list[str]:
    """Return the columns that tell the conditions of a stimulus apart."""
    return [column for column in CONDITION_COLUMNS if column in presentations and presentations[column].notna().any()]


def tidy_presentations(presentations: pd.DataFrame | None, source: str) -> tuple[pd.DataFrame, list[str]]:
    """Bring a presentations table into the shape that `Recording` promises.

    Parameters
    ----------
    presentations : pandas.DataFrame or None
        With ``stimulus``, ``start_time`` and maybe ``stop_time``, ``frame``.
    source : str
        For messages.

    Returns
    -------
    table : pandas.DataFrame
        Sorted by ``start_time``; ``frame`` and ``repeat`` filled in.
    warnings : list of str
        What was mended.
    """
    needed = ["stimulus", "start_time", "stop_time", "frame", "repeat"]
    if presentations is None or presentations.empty:
        empty = {"stimulus": str, "start_time": float, "stop_time": float, "frame": "int64", "repeat": "int64"}
        table = pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in empty.items()})  # type: ignore[call-overload]
        table.index.name = "presentation"
        return table, []
    for column in ("stimulus", "start_time"):
        if column not in presentations:
            raise NeurratorError(f"The presentations of {source} have no column {column!r}.")
    warnings: list[str] = []
    table = presentations.copy()
    table["start_time"] = pd.to_numeric(table["start_time"], errors="coerce").astype(float)
    bad = ~np.isfinite(table["start_time"])
    if bad.any():
        warnings.append(f"{int(bad.sum())} presentations have no start time and were left out.")
        table = table[~bad]
    if "stop_time" not in table:
        table["stop_time"] = np.nan
    table["stop_time"] = pd.to_numeric(table["stop_time"], errors="coerce").astype(float)
    table = table.sort_values("start_time", kind="stable")
    following = table.groupby("stimulus")["start_time"].shift(-1)
    table["stop_time"] = table["stop_time"].fillna(following).fillna(table["start_time"])
    backwards = table["stop_time"] < table["start_time"]
    if backwards.any():
        first = table[backwards].iloc[0]
        raise NeurratorError(
            f"{int(backwards.sum())} presentations of {source} stop before they start (the first at {first['start_time']:.3f} s, "
            f"{first['stimulus']}): mend the presentations table."
        )
    table = table.reset_index(drop=True)
    table.index.name = "presentation"
    table["frame"] = _frames(table)
    table["repeat"] = table.groupby(["stimulus", "frame"]).cumcount().astype("int64")
    return table[needed + [column for column in table.columns if column not in needed]], warnings


def _frames(table: pd.DataFrame) -> pd.Series:
    frames = (
        pd.to_numeric(table["frame"], errors="coerce") if "frame" in table else pd.Series(np.nan, index=table.index)
    )
    frames = frames.astype(float)
    for _, group in table.groupby("stimulus", sort=False):
        if frames[group.index].notna().any():
            continue
        columns = condition_columns(group)
        if not columns:
            # Shown as a whole (grey, flashes): one frame, the same each time.
            frames[group.index] = 0
            continue
        # Conditions are numbered in order of their values; rows without any are blanks.
        numbers = group[columns].apply(pd.to_numeric, errors="coerce")
        blank = (
            numbers[[c for c in columns if c in ("orientation", "temporal_frequency")] or columns].isna().any(axis=1)
        )
        frames[group.index] = numbers[~blank].groupby(columns, dropna=False).ngroup().reindex(group.index)
    return frames.fillna(-1).astype("int64")
