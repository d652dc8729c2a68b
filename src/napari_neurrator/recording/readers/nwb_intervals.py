"""What an NWB file says was shown, and when there was light."""

from typing import Any

import numpy as np
import pandas as pd

from ..presentations import CONDITION_COLUMNS, canonical_name
from .nwb_tables import flat_columns, interval_tables, processed
from .store import is_group

_ENDING = "_presentations"
_NEVER = ("invalid_times",)
_FRAME = ("frame", "frame_index", "frame_number", "movie_frame_index", "image_index")
_STIMULUS = ("stimulus_name", "stimulus", "stimulus_type", "stim_name")
_IMAGE = ("image_name", "image", "image_id", "stimulus_id", "stim_id")
_BLANKS = ("", "nan", "none", "null", "omitted", "blank", "gray", "grey", "spontaneous")


def read_presentations(root: Any) -> pd.DataFrame | None:
    """Return what was shown: Allen's tables, and any other table of intervals that names stimuli, frames or conditions."""
    tables = []
    for name, group in interval_tables(root).items():
        if name in _NEVER or is_optogenetic(name) or is_narration(name):
            continue
        table = flat_columns(group, root).reset_index(drop=True)
        if table.empty or "start_time" not in table:
            continue
        if name.endswith(_ENDING) and name != f"stimulus{_ENDING}":
            table["stimulus"] = name.removesuffix(_ENDING)
        else:
            table = _named(table, name.removesuffix(_ENDING))
        if not table.empty:
            tables.append(_framed(table))
    return pd.concat(tables, ignore_index=True) if tables else None


def is_narration(name: str) -> bool:
    """Tell whether a table's name says that it holds what was narrated (`export.nwb`), and not what was shown."""
    return name.partition("_")[0] == "narrations"


def is_optogenetic(name: str) -> bool:
    """Tell whether a table's name says that it holds light pulses."""
    return "optogenetic" in name.lower() or "optotagging" in name.lower()


def _named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give the rows of a table of any name their stimulus; rows that show none are left out."""
    by_name = next((column for column in _STIMULUS if column in table and table[column].dtype.kind not in "fiub"), None)
    if by_name is not None:
        names = table[by_name].astype(object).where(table[by_name].notna(), "").astype(str).str.strip()
        table = table.assign(stimulus=names)
        return table[~names.str.lower().isin(_BLANKS)]
    if any(column in table for column in (*_FRAME, *_IMAGE)) or any(column in table for column in CONDITION_COLUMNS):
        return table.assign(stimulus=name)
    return table.iloc[:0]


def _framed(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table a column ``frame``, where it counts frames under another name or names its images."""
    if "frame" in table:
        return table
    counted = next((column for column in _FRAME if column in table), None)
    if counted is not None:
        return table.assign(frame=pd.to_numeric(table[counted], errors="coerce"))
    images = next((column for column in _IMAGE if column in table), None)
    if images is None or any(column in table and table[column].notna().any() for column in CONDITION_COLUMNS[:2]):
        return table
    frames = pd.Series(np.nan, index=table.index)
    for _, group in table.groupby("stimulus", sort=False):
        names = group[images].astype(object).where(group[images].notna(), "").astype(str).str.strip()
        shown = names[~names.str.lower().isin(_BLANKS)]
        numbers = pd.to_numeric(shown, errors="coerce")
        if len(shown) and numbers.notna().all() and (numbers >= 0).all() and (numbers % 1 == 0).all():
            frames[shown.index] = numbers
        else:
            # Images are numbered in order of their names, as files in a folder are.
            order = {image: number for number, image in enumerate(sorted(shown.unique()))}
            frames[shown.index] = shown.map(order).astype(float)
    return table.assign(frame=frames)


def read_optogenetics(root: Any) -> pd.DataFrame | None:
    """Return the light pulses: ``start_time``, ``stop_time``, ``condition``, ``level``, ``stimulus_name``, ``duration`` (s)."""
    candidates = {**interval_tables(root), **processed(root)}
    for name, group in candidates.items():
        if not is_optogenetic(name) or not is_group(group) or "start_time" not in group:
            continue
        table = flat_columns(group, root).reset_index(drop=True)
        if table.empty or "start_time" not in table:
            continue
        for column in ("start_time", "stop_time", "level", "duration"):
            given = pd.to_numeric(table[column], errors="coerce") if column in table else np.nan
            table[column] = pd.Series(given, index=table.index).astype(float)
        length = table["stop_time"] - table["start_time"]
        table["duration"] = table["duration"].fillna(length)
        table["stop_time"] = table["stop_time"].fillna(table["start_time"] + table["duration"])
        for column in ("condition", "stimulus_name"):
            given = table[column].astype(object) if column in table else pd.Series("", index=table.index, dtype=object)
            table[column] = given.where(given.notna(), "").astype(str)
        return table[np.isfinite(table["start_time"])].sort_values("start_time", ignore_index=True)
    return None


def own_name(name: str, shown: list[str]) -> str:
    """Return the stimulus that a template's name means, in the spelling of the presentations; else the name itself."""
    short = canonical_name(name)
    spellings = [
        short,
        *(short.removesuffix(end) for end in ("_template", "_templates", "_movie", "_images", "_stimulus", _ENDING)),
    ]
    for spelling in spellings:
        for stimulus in shown:
            if canonical_name(stimulus) == spelling:
                return stimulus
    return name
