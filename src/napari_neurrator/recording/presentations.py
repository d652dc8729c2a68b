"""What was shown when: one row a presentation."""

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .showings import blocks, intervals, repeats

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
    "Dir",
    "Speed",
)
_FIRST = ["stimulus", "start_time", "stop_time", "frame", "repeat", "block"]
# More than fits in any movie: such a number counts something else.
_MOST_FRAMES = 1_000_000_000
# 30,000 years: no time.
_MOST_S = 1e12
# Presentations of one stimulus may overlap by a frame, or by this where they are longer (seconds).
_OVERLAP_S = 0.1


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
        With ``stimulus``, ``start_time`` and maybe ``stop_time`` (seconds), ``frame``, ``stimulus_block`` (Allen's number of the block);
        ``attrs["warnings"]`` are passed on.
    source : str
        For messages.

    Returns
    -------
    table : pandas.DataFrame
        Sorted by ``start_time``; ``frame``, ``repeat`` and ``block`` filled in. ``repeat`` counts the showings of a movie, so that all frames of one run
        through it carry the same number even where an earlier run was cut short; of images in any order it counts each one's own showings.
        ``block`` numbers what lies between pauses or other stimuli, for each stimulus from 0, or is the source's own number.
    warnings : list of str
        What was mended or looks wrong.

    Raises
    ------
    NeurratorError
        A column is missing or there twice, or presentations stop before they start.
    """
    if presentations is None or presentations.empty:
        kinds = {"stimulus": str, "start_time": float, "stop_time": float}
        table = pd.DataFrame({column: pd.Series(dtype=kinds.get(column, "int64")) for column in _FIRST})  # type: ignore[call-overload]
        table.index.name = "presentation"
        return table, []
    for column in ("stimulus", "start_time"):
        if column not in presentations:
            raise NeurratorError(f"The presentations of {source} have no column {column!r}.")
    twice = presentations.columns[presentations.columns.duplicated()]
    if len(twice):
        raise NeurratorError(f"The presentations of {source} have more than one column {twice[0]!r}: keep one of them.")
    warnings = list(presentations.attrs.get("warnings", []))
    table = presentations.copy()
    table.attrs = {}
    table["stimulus"] = _one_spelling(table["stimulus"])
    for column in ("start_time", "stop_time"):
        seconds = _numbers(table[column]) if column in table else pd.Series(np.nan, index=table.index)
        table[column] = seconds.where(seconds.abs() < _MOST_S)
    for column, lacking in (("start time", table["start_time"].isna()), ("stimulus", table["stimulus"] == "")):
        if lacking.any():
            warnings.append(f"{int(lacking.sum())} presentations have no {column} and were left out.")
    table = table[table["start_time"].notna() & (table["stimulus"] != "")]
    if table.empty:
        return tidy_presentations(None, source)[0], warnings
    table = table.sort_values("start_time", kind="stable").reset_index(drop=True)
    table.index.name = "presentation"
    codes, names = pd.factorize(table["stimulus"])
    start = table["start_time"].to_numpy(float)
    stop = _stops(codes, start, table["stop_time"].to_numpy(float))
    _refuse_backwards(names[codes], start, stop, source)
    early = start < 0
    if early.any():
        warnings.append(
            f"{int(early.sum())} presentations start before time 0 (the first at {start[0]:.3f} s): the spikes should be timed by the same clock."
        )
    given = _given_frames(table)
    odd = np.isfinite(given) & ((given < -1) | (given % 1 != 0) | (given >= _MOST_FRAMES))
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        warnings.append(
            f"{int(odd.sum())} presentations have frame numbers that are not whole numbers from 0, or −1 for a blank (the first is {given[first]:g} of "
            f"{names[codes[first]]} at {start[first]:.3f} s): they count as blanks."
        )
        given[odd] = -1
    counted = _any_by(codes, np.isfinite(given))
    frames = np.where(counted[codes], given, _conditions(table, codes))
    frames = np.where(np.isfinite(frames), frames, -1).astype(np.int64)
    typical = intervals(codes, start)
    warnings += _overlaps(names, codes, start, stop, typical)
    found = blocks(codes, start, stop, frames, counted, typical)
    table["stop_time"], table["frame"] = stop, frames
    table["block"] = _own_blocks(table, codes, found)
    table["repeat"] = repeats(codes, start, stop, frames, table["block"].to_numpy(), counted, typical)
    return table[_FIRST + [column for column in table.columns if column not in _FIRST]], warnings


def _numbers(values: pd.Series) -> pd.Series:
    """Return a column as numbers; what is none, or not finite, is NaN."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))


def _one_spelling(names: pd.Series) -> pd.Series:
    """Return the stimuli by one name each, that of their first presentation, where both of Allen's spellings occur."""
    text = names.astype(object).where(names.notna(), "").astype(str).str.strip()
    first: dict[str, str] = {}
    return text.map({name: first.setdefault(canonical_name(name), name) for name in text.unique()})


def _stops(codes: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Fill in missing stop times: when the stimulus's next presentation starts, but no later than usual."""
    missing = ~np.isfinite(stop)
    if not missing.any():
        return stop
    following = pd.Series(start).groupby(codes).shift(-1).to_numpy(float)
    usual = start + np.nan_to_num(intervals(codes, start)[codes])
    return np.where(missing, np.fmin(following, usual), stop)


def _refuse_backwards(names: np.ndarray, start: np.ndarray, stop: np.ndarray, source: str) -> None:
    backwards = np.flatnonzero(stop < start)
    if len(backwards):
        raise NeurratorError(
            f"{len(backwards)} presentations of {source} stop before they start (the first at {start[backwards[0]]:.3f} s, "
            f"{names[backwards[0]]}): mend the presentations table."
        )


def _given_frames(table: pd.DataFrame) -> np.ndarray:
    return _numbers(table["frame"]).to_numpy(copy=True) if "frame" in table else np.full(len(table), np.nan)


def _any_by(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Tell for each stimulus whether any of its values (row[, column]) is true."""
    found = np.zeros((codes.max() + 1, *values.shape[1:]), dtype=bool)
    np.logical_or.at(found, codes, values)
    return found


def _conditions(table: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Number the conditions of each stimulus in order of their values; blanks are NaN, and what has no conditions is number 0."""
    columns = condition_columns(table)
    numbers = pd.DataFrame({column: _levels(table[column]) for column in columns}, index=table.index)
    if not columns:
        return np.zeros(len(table))
    absent = numbers.isna().to_numpy()
    used = _any_by(codes, ~absent)
    # Of gratings a blank lacks orientation or speed; other columns may be filled in for some conditions only.
    leading = used & np.isin(columns, ("orientation", "temporal_frequency"))
    decisive = np.where(leading.any(axis=1, keepdims=True), leading, used)
    blank = (absent & decisive[codes]).any(axis=1)
    shown = numbers[~blank].assign(stimulus=codes[~blank])
    number = shown.groupby(["stimulus", *columns], dropna=False).ngroup()
    number -= number.groupby(shown["stimulus"]).transform("min")
    return number.reindex(table.index).to_numpy(float)


def _levels(values: pd.Series) -> pd.Series:
    """Return a column of conditions as numbers: words, such as colours, by their order."""
    numbers = _numbers(values)
    if numbers.notna().any():
        return numbers
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    # Lists, which Allen's tables hold for sizes and phases, do not tell conditions apart.
    words = text.where(~text.str.startswith(("[", "(")), "")
    order, _ = pd.factorize(words.where(words != ""), sort=True)
    return pd.Series(order, index=values.index, dtype=float).where(order >= 0)


def _overlaps(
    names: pd.Index, codes: np.ndarray, start: np.ndarray, stop: np.ndarray, typical: np.ndarray
) -> list[str]:
    latest = pd.Series(stop).groupby(codes).cummax().groupby(codes).shift(1).to_numpy(float)
    allowed = np.fmin(np.nan_to_num(typical), _OVERLAP_S)[codes]
    overlapping = np.flatnonzero(latest - start > allowed + 1e-6)
    if not len(overlapping):
        return []
    first = overlapping[0]
    return [
        f"{len(overlapping)} presentations start while another of the same stimulus is still on (the first at {start[first]:.3f} s, {names[codes[first]]}): "
        "check the presentations table."
    ]


def _own_blocks(table: pd.DataFrame, codes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the source's own numbers of blocks for the stimuli that have them throughout."""
    for column in ("stimulus_block", "block"):
        if column in table:
            own = _numbers(table[column]).to_numpy()
            whole = np.isfinite(own) & (own % 1 == 0) & (np.abs(own) < _MOST_FRAMES)
            numbered = ~_any_by(codes, ~whole)
            found = np.where(numbered[codes], np.where(whole, own, 0), found)
            break
    return found.astype(np.int64)
