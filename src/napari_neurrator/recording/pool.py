"""Pool the units of several sessions into a pseudo-population, matched by what was shown.

Presentations that all sessions hold (same stimulus, frame and showing) are laid on the timeline of the first session, and the spikes of the others are
moved there with the presentation that they belong to. Units of different animals never fired together: what they share beyond the stimulus is lost,
so that noise correlations between sessions are none, and the result says that it is a pseudo-population.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import NeurratorError
from ..writing import write_text
from .presentations import canonical_name
from .recording import Recording
from .spikes import SpikeTrains

# Spikes that belong to a presentation although it is not on: what comes up to so long before it, where nothing else was shown, or after it.
BEFORE_S, AFTER_S = 0.5, 1.0


class PoolFile(BaseModel):
    """The contents of a pool's TOML file."""

    model_config = ConfigDict(extra="forbid")

    format: int = Field(default=1, ge=1, le=1)
    sessions: list[str] = Field(min_length=2, description="sources, relative to this file")
    stimulus: str | None = Field(
        default=None, description="only this stimulus; all that the sessions share where absent"
    )


def pool(recordings: Sequence[Recording], stimulus: str | None = None, name: str | None = None) -> Recording:
    """Pool the units of several sessions.

    Parameters
    ----------
    recordings : sequence of Recording
        Two or more.
    stimulus : str, optional
        Pool this stimulus only; by default all that every session holds.
    name : str, optional
        Of the result.

    Returns
    -------
    Recording
        Units are named ``session/unit`` and have the columns ``session`` and ``animal``; times are those of the first session.

    Raises
    ------
    NeurratorError
        Fewer than two sessions, or nothing that all of them were shown.
    """
    if len(recordings) < 2:
        raise NeurratorError("A pseudo-population needs two sessions or more: open another one.")
    names = _session_names(recordings)
    tables = [_keyed(recording, stimulus) for recording in recordings]
    shared = tables[0].index
    for table in tables[1:]:
        shared = shared.intersection(table.index, sort=False)
    if shared.empty:
        shown = "; ".join(
            f"{n} shows {', '.join(r.presentations['stimulus'].unique()) or 'nothing'}"
            for n, r in zip(names, recordings, strict=True)
        )
        what = f"the stimulus {stimulus!r}" if stimulus else "any stimulus"
        raise NeurratorError(f"The sessions share no presentation of {what}: {shown}.")
    target = tables[0].loc[shared].sort_values("start_time")
    units, trains = [], []
    for session, recording, table in zip(names, recordings, tables, strict=True):
        theirs = table.loc[target.index]
        head, length = _segments(target, theirs)
        units.append(_units(recording, session))
        for unit in recording.unit_ids:
            trains.append(
                _moved(
                    recording.spikes.times(unit),
                    theirs["start_time"].to_numpy(),
                    target["start_time"].to_numpy(),
                    head,
                    length,
                )
            )
    table = pd.concat(units)
    presentations = recordings[0].presentations.loc[target["presentation"]]
    spikes = SpikeTrains(list(table.index), trains)
    from .trains_sorting import TrainsSorting

    table["n_spikes"] = spikes.counts_by_unit()
    pooled = Recording.from_sorting(
        TrainsSorting(spikes),
        presentations.drop(columns=["repeat"]),
        table,
        name=name or "pool of " + " + ".join(names),
        source=" + ".join(recording.source for recording in recordings),
        simulated=any(recording.simulated for recording in recordings),
        subject={"animals": ", ".join(dict.fromkeys(table["animal"]))},
        spikes=spikes,
        image_series={key: frames for r in reversed(recordings) for key, frames in r.image_series.items()},
        sessions=names,
    )
    pooled.warnings.insert(
        0,
        f"A pseudo-population of {len(names)} sessions: their units never fired together, so correlations between sessions are not there.",
    )
    return pooled


def read_pool(path: str | Path) -> Recording:
    """Open the sessions that a pool's TOML file names, and pool them.

    Raises
    ------
    NeurratorError
        The file cannot be read, or a session of it cannot be opened or pooled.
    """
    from .open import open_recording

    path = Path(path)
    try:
        contents = PoolFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise NeurratorError(f"{path} is not a list of sessions to pool: {where}: {first['msg'].lower()}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise NeurratorError(
            f"{path} cannot be read as TOML ({str(error)[:150]}): mend it or write it again."
        ) from error
    recordings = [open_recording(_source(path.parent, session)) for session in contents.sessions]
    pooled = pool(recordings, contents.stimulus, path.stem)
    pooled.source = str(path)
    return pooled


def write_pool(path: str | Path, sessions: Sequence[str | Path], stimulus: str | None = None) -> None:
    """Write a pool's TOML file, at once or not at all; paths below the file's folder are written relative to it."""
    path = Path(path).expanduser().resolve()
    lines = ["format = 1", "sessions = ["]
    for session in sessions:
        lines.append(f"    {_toml(_relative(str(session), path.parent))},")
    lines.append("]")
    if stimulus:
        lines.append(f"stimulus = {_toml(stimulus)}")
    write_text(path, "\n".join(lines) + "\n")


def _toml(text: str) -> str:
    import json

    # A JSON string is a TOML basic string, but for DEL, which no path holds.
    return json.dumps(text, ensure_ascii=False)


def _is_path(session: str) -> bool:
    return session != "sample" and "://" not in session


def _relative(session: str, folder: Path) -> str:
    if not _is_path(session):
        return session
    path = Path(session).expanduser().resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _source(folder: Path, session: str) -> str:
    return str(folder / Path(session).expanduser()) if _is_path(session) else session


def _session_names(recordings: Sequence[Recording]) -> list[str]:
    """Name sessions shortly and differently."""
    names = [recording.name for recording in recordings]
    often = Counter(names)
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name}-{seen[name]}" if often[name] > 1 else name)
    return result


def _keyed(recording: Recording, stimulus: str | None) -> pd.DataFrame:
    """Return presentations by what they show, with the times between which nothing else was on."""
    shown = recording.presentations.sort_values("start_time")
    start, stop = shown["start_time"].to_numpy(float), shown["stop_time"].to_numpy(float)
    table = pd.DataFrame(
        {
            "stimulus": [canonical_name(name) for name in shown["stimulus"]],
            "frame": shown["frame"].to_numpy(),
            "repeat": shown["repeat"].to_numpy(),
            "presentation": shown.index.to_numpy(),
            "start_time": start,
            "free_from": np.concatenate([[-np.inf], np.maximum.accumulate(stop)[:-1]]),
            "free_until": np.minimum(np.concatenate([start[1:], [np.inf]]), stop + AFTER_S),
        }
    )
    if stimulus is not None:
        table = table[table["stimulus"] == canonical_name(recording.stimulus_name(stimulus))]
    return table.drop_duplicates(["stimulus", "frame", "repeat"]).set_index(["stimulus", "frame", "repeat"])


def _segments(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return how long before each onset, and how long after it, spikes belong to a presentation in both sessions, seconds."""
    head = np.full(len(ours), BEFORE_S)
    length = np.full(len(ours), np.inf)
    for table in (ours, theirs):
        start = table["start_time"].to_numpy()
        head = np.minimum(head, start - table["free_from"].to_numpy())
        length = np.minimum(length, table["free_until"].to_numpy() - start)
    # A movie's frames follow each other without a pause, but for jitter; there nothing is before the onset.
    return np.where(head > 0.01, head, 0.0), np.maximum(length, 0.0)


def _moved(times: np.ndarray, theirs: np.ndarray, ours: np.ndarray, head: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Move spike times (seconds) with the presentation that they belong to; those that belong to none are left out."""
    order = np.argsort(theirs, kind="stable")
    start, shift, until = (theirs - head)[order], (ours - theirs)[order], (theirs + length)[order]
    which = np.searchsorted(start, times, side="right") - 1
    kept = (which >= 0) & (times < until[np.maximum(which, 0)])
    return np.sort(times[kept] + shift[which[kept]])


def _units(recording: Recording, session: str) -> pd.DataFrame:
    units = recording.units.copy()
    if "session" not in units:
        units["session"] = session
    if "animal" not in units:
        units["animal"] = recording.subject.get("subject_id") or session
    units["probe"] = [f"{session} {probe}" for probe in units["probe"]]
    units.index = pd.Index([f"{session}/{unit}" for unit in units.index], name="unit_id")
    return units


def describe_pool(recording: Recording) -> dict[str, Any]:
    """Return how many units each session and animal gives."""
    return {
        "sessions": recording.units.groupby("session", sort=False).size().to_dict(),
        "animals": recording.units.groupby("animal", sort=False).size().to_dict(),
    }
