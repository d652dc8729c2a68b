"""Presentations from files: tables as text, and TTL edges with a list of frames."""

import re
import tomllib
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import NeurratorError
from .natural_order import natural_key
from .npy_files import open_npy
from .presentation_ttl import presentations_from_ttl
from .text_tables import numbers_of, read_text_table

__all__ = ["load_presentations", "presentations_from_ttl", "read_presentations"]

# Spellings of the columns, best first.
_SPELLINGS = {
    "start_time": (
        "start_time start onset onset_time stim_on stimon stimon_time start_times onsets begin t_start tstart time times timestamp t"
    ),
    "stop_time": "stop_time stop end_time end offset offset_time stim_off stimoff stop_times offsets t_stop tstop t_end",
    "duration": "duration dur length",
    "stimulus": "stimulus stimulus_name stim stim_name stimulus_type movie movie_name trial_type",
    "frame": (
        "frame frame_index frame_number frame_idx frame_id movie_frame_index frame_no image_index image_number image_id image image_name stim_file"
    ),
}
_UNIT = re.compile(r"[\s_]*[\[(]?\b(s|sec|secs|seconds?|ms|msec|millis|milliseconds?|us|µs|μs|microseconds?)[\])]?$")
_SCALE = {"s": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6}
_BLANKS = ("", "nan", "none", "null", "na", "n/a", "blank", "gray", "grey", "omitted", "spontaneous")


def load_presentations(path: str | Path) -> pd.DataFrame:
    """Read what was shown when from a file.

    Parameters
    ----------
    path : path-like
        A table as text (see `read_presentations`), or a .toml file that names TTL edges and a list of frames::

            stimulus = "natural_movie_one"  # or a column "stimulus" in the list of frames
            ttl = "edges.npy"               # .npy, .csv or .txt: seconds, one column, or two with the state of the line
            frames = "frames.csv"           # .npy, .csv or .txt; or instead of it:
            # n_frames = 900
            # repeats = 20
            rate_hz = 30                    # optional: frames a second
            offset_s = 0.0                  # optional: added to the times of the edges
            sample_rate_hz = 30000          # optional: where edges are counted in samples and not in seconds

        Paths in it are relative to its folder.

    Returns
    -------
    pandas.DataFrame
        ``stimulus``, ``start_time``, ``stop_time`` (seconds), ``frame``, …; what was mended lies in ``attrs["warnings"]``.

    Raises
    ------
    NeurratorError
        The file is missing, or cannot be understood; says where.
    """
    path = Path(path)
    return _from_toml(path) if path.suffix.lower() == ".toml" else read_presentations(path)


def read_presentations(path: str | Path) -> pd.DataFrame:
    """Read a table of presentations from text (CSV, TSV, …), the delimiter found by itself.

    A column for the start is needed (``start_time``, ``onset``, ``time``, …) and one for the stimulus (``stimulus``, ``stimulus_name``, …); understood are
    also the stop or the duration, and the frame (``frame``, ``frame_index``, ``image``, …: names of images are numbered in their natural order). Times are in
    seconds, or in what the column says (``onset_ms``, ``start (ms)``). Other columns are kept.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    pandas.DataFrame
        ``stimulus``, ``start_time``, ``stop_time`` (seconds; NaN where the file does not tell), ``frame`` (where it tells), and the other columns.

    Raises
    ------
    NeurratorError
        The file is missing or no table, lacks a column, or a cell is not a number.
    """
    path = Path(path)
    text = read_text_table(path, header=True)
    found, scales = _columns_of(text)
    for column in ("start_time", "stimulus"):
        if column not in found:
            what = "when presentations start" if column == "start_time" else "what was shown"
            raise NeurratorError(
                f"{path} has no column that says {what} (such as {', '.join(_SPELLINGS[column].split()[:3])}); it has {', '.join(map(str, text.columns))}: "
                "name one so."
            )
    times = {
        column: numbers_of(text[found[column]], path) * scales[column]
        for column in ("start_time", "stop_time", "duration")
        if column in found
    }
    names = text[found["stimulus"]].fillna("").str.strip()
    table = pd.DataFrame({"stimulus": names, "start_time": times["start_time"]})
    table["stop_time"] = times.get("stop_time", np.nan)
    if "duration" in times:
        table["stop_time"] = table["stop_time"].fillna(table["start_time"] + times["duration"])
    if "frame" in found:
        table["frame"] = _frames(text[found["frame"]], names, path)
    for column in text.columns:
        if column not in found.values():
            numbers = pd.to_numeric(text[column], errors="coerce")
            table[column] = numbers if (numbers.notna() | text[column].isna()).all() else text[column]
    return table


def _columns_of(text: pd.DataFrame) -> tuple[dict[str, str], dict[str, float]]:
    """Return which column of the text means what, and what a second is in it."""
    plain: dict[str, str] = {}
    scale: dict[str, float] = {}
    for column in text.columns:
        name = re.sub(r"[\s\-.]+", "_", str(column).strip().lower())
        unit = _UNIT.search(name.replace("_", " "))
        stem = name[: unit.start()] if unit else name
        plain.setdefault(stem.strip("_ ") if stem.strip("_ ") else name, column)
        scale[column] = _SCALE[unit.group(1)[0] if not unit.group(1).startswith("mic") else "u"] if unit else 1.0
    found: dict[str, str] = {}
    scales: dict[str, float] = {}
    for meaning, spellings in _SPELLINGS.items():
        column = next((plain[s] for s in spellings.split() if s in plain and plain[s] not in found.values()), None)
        if column is not None:
            found[meaning], scales[meaning] = column, scale[column]
    return found, scales


def _frames(text: pd.Series, stimulus: pd.Series, path: Path) -> pd.Series:
    """Return frame numbers; names of images are numbered within their stimulus, in natural order; blanks are −1."""
    words = text.fillna("").str.strip()
    shown = words[~words.str.lower().isin(_BLANKS)]
    numbers = pd.to_numeric(shown, errors="coerce")
    frames = pd.Series(-1.0, index=text.index)
    named = numbers.isna().groupby(stimulus[shown.index]).transform("all")
    if (numbers.isna() & ~named).any():
        # A slip among numbers; were all of them names, they would be numbered.
        numbers_of(shown[~named], path)
    frames[shown.index[~named]] = numbers[~named]
    pairs = pd.DataFrame({"stimulus": stimulus[shown.index[named]], "name": shown[named]})
    distinct = pairs.drop_duplicates()
    order = sorted(
        zip(distinct["stimulus"], distinct["name"], strict=True), key=lambda pair: (pair[0], natural_key(pair[1]))
    )
    number: dict[tuple[str, str], int] = {}
    count: dict[str, int] = {}
    for pair in order:
        number[pair] = count.get(pair[0], 0)
        count[pair[0]] = number[pair] + 1
    frames[pairs.index] = [float(number[pair]) for pair in zip(pairs["stimulus"], pairs["name"], strict=True)]
    return frames


class _TtlFile(BaseModel):
    """What a .toml file may say."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    stimulus: str | None = None
    ttl: str
    frames: str | list[int] | None = None
    n_frames: Annotated[int, Field(gt=0, le=5_000_000)] | None = None
    repeats: Annotated[int, Field(gt=0, le=100_000)] = 1
    rate_hz: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    offset_s: float = 0.0
    sample_rate_hz: Annotated[float, Field(gt=0)] | None = None


def _from_toml(path: Path) -> pd.DataFrame:
    try:
        said = _TtlFile.model_validate(tomllib.loads(path.expanduser().read_text("utf-8")))
    except FileNotFoundError as error:
        raise NeurratorError(f"There are no presentations at {path}: give a .csv, .tsv or .toml file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise NeurratorError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise NeurratorError(f"{path} cannot be read as TOML: {error}.") from error
    if (said.frames is None) == (said.n_frames is None):
        raise NeurratorError(f"{path} has to name either frames (a file) or n_frames (and repeats): give one of them.")
    names: str | np.ndarray | None = said.stimulus
    if said.n_frames is not None:
        if said.n_frames * said.repeats > 100_000_000:
            raise NeurratorError(
                f"{path} claims {said.n_frames} frames {said.repeats} times: more than can have been shown."
            )
        frames = np.tile(np.arange(said.n_frames), said.repeats)
    elif isinstance(said.frames, list):
        frames = np.array(said.frames, dtype=float)
    else:
        frames, listed = _frame_list(path.parent / str(said.frames))
        names = listed if listed is not None else names
    if names is None:
        raise NeurratorError(f'{path} does not say which stimulus was shown: add stimulus = "…".')
    edges = _columns(path.parent / said.ttl)
    times = edges[:, 0] if edges.ndim == 2 else edges
    times = times / (said.sample_rate_hz or 1.0) + said.offset_s
    edges = np.column_stack([times, edges[:, 1:]]) if edges.ndim == 2 else times
    table, warnings = presentations_from_ttl(edges, frames, stimulus=names, expected_rate_hz=said.rate_hz)
    table.attrs["warnings"] = warnings
    return table


def _frame_list(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a list of frames, and the stimulus of each where the file names it."""
    if path.suffix.lower() == ".npy":
        return _columns(path), None
    text = read_text_table(path, header=None)
    found, _ = _columns_of(text)
    if "frame" not in found and len(text.columns) > 1:
        raise NeurratorError(
            f"{path} has no column that numbers the frames (frame, frame_index, image, …); it has {', '.join(map(str, text.columns))}: name one so."
        )
    names = text[found["stimulus"]].fillna("").str.strip() if "stimulus" in found else pd.Series("", index=text.index)
    frames = _frames(text[found.get("frame", text.columns[0])], names, path)
    return frames.to_numpy(float), names.to_numpy(object) if "stimulus" in found else None


def _columns(path: Path) -> np.ndarray:
    """Read numbers in one or more columns from .npy or text."""
    if path.suffix.lower() == ".npy":
        array = open_npy(path, "numbers")
        if (
            array.dtype.kind not in "iufb"
            or array.ndim not in (1, 2)
            or (array.ndim == 2 and array.shape[1] not in (1, 2))
        ):
            raise NeurratorError(
                f"{path} holds {array.dtype} of shape {array.shape}: it has to be one column of numbers, or two (time and state)."
            )
        return np.asarray(array, dtype=float)
    text = read_text_table(path, header=None)
    if len(text.columns) > 2:
        raise NeurratorError(
            f"{path} has {len(text.columns)} columns: it has to have one (times), or two (time and state)."
        )
    return np.column_stack([numbers_of(text[column], path) for column in text.columns])
