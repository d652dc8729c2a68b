"""The hub: one evented `Session` a viewer. Widgets and controllers write to it and listen to it, never to each other."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from psygnal import Signal, SignalGroupDescriptor

from ..errors import NeurratorError

UnitId = int | str
Units = tuple[UnitId, ...]
SelectMode = Literal["replace", "add", "subtract"]
PATCHES = "\0patches"
Shown = str | None
"""What lies on the frame: a concept by name (which stays the same from group to group), `PATCHES` for the patch match, or nothing."""

COLOUR_BY = ("region", "depth", "cell type", "firing now")


@dataclass(frozen=True)
class Job:
    """What the program is busy with, in words a user reads."""

    kind: Literal["idle", "opening", "narrating", "fitting"] = "idle"
    stage: str = ""
    done: int = 0
    total: int = 0
    detail: str = ""

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self.kind != "idle"


@dataclass(frozen=True, eq=False)
class ConceptMap:
    """One concept of a moment: its name, how strong, and where (float32 rows × columns)."""

    feature: int
    name: str
    strength: float
    heatmap: np.ndarray


@dataclass(frozen=True)
class ResultKey:
    """What a narration depends on; the same key gives the same words."""

    decoder: str
    prompt: str
    moment: int
    units: Units


@dataclass(frozen=True, eq=False)
class Result:
    """What some units said of one moment, as far as it has arrived."""

    key: ResultKey
    frame: int
    repeat: int
    n_units: int
    n_unknown: int = 0
    text: str = ""
    spoken: bool = False
    finished: bool = False
    reference: str | None = None
    prior: str | None = None
    concepts: tuple[ConceptMap, ...] = ()
    cosine: np.ndarray | None = None
    mean_cosine: float | None = None
    prior_cosine: float | None = None


class Moments:
    """The table of moments with a quick way from (frame, repeat) to a row.

    Parameters
    ----------
    table : DataFrame
        As `recording.moments` gives it: ``frame``, ``time``, ``start_time``, ``stop_time``, ``repeat``.
    frame_rate_hz : float, optional
        Rate of the stimulus; a frame without a moment of its own borrows the one at most a second earlier.
    """

    def __init__(self, table: pd.DataFrame, frame_rate_hz: float | None) -> None:
        self.table = table.reset_index(drop=True)
        self.reach = max(1, round(frame_rate_hz or 1))
        self.n_repeats = int(self.table["repeat"].max()) + 1 if len(self.table) else 0
        self._by_repeat: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for repeat, rows in self.table.groupby("repeat", sort=True):
            frames, first = np.unique(rows["frame"].to_numpy(), return_index=True)
            self._by_repeat[int(str(repeat))] = (frames, rows.index.to_numpy()[first])

    def row(self, frame: int, repeat: int) -> int | None:
        """Return the row of `frame` in showing `repeat`, or None if it was not shown then."""
        frames, rows = self._by_repeat.get(repeat, (np.empty(0, int), np.empty(0, int)))
        at = int(np.searchsorted(frames, frame, side="right")) - 1
        if at < 0 or frames[at] < 0 or frame - frames[at] > self.reach:
            return None
        return int(rows[at])

    def time(self, row: int) -> float:
        """Return when the frame of `row` came on, seconds."""
        return float(self.table["time"].to_numpy()[row])

    def frame(self, row: int) -> int:
        """Return the stimulus frame of `row`."""
        return int(self.table["frame"].to_numpy()[row])


_IDENTITY = (
    "recording", "stimulus", "moments", "decoder", "counts", "result", "results", "geometry"
)  # fmt: skip


@dataclass(eq=False)
class Session:
    """Everything the window shows, and the events that say it changed.

    Every field has a signal of its own under ``events`` (``session.events.selected.connect(...)``). Fields are replaced, never changed
    in place; writes happen in the window's thread only.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators=dict.fromkeys(_IDENTITY, operator.is_)
    )
    notified: ClassVar[Signal] = Signal(str, str)
    scene_changed: ClassVar[Signal] = Signal()

    source: str = ""
    recording: Any = None
    stimulus: Any = None
    stimulus_name: str = ""
    stimulus_file: str | None = None
    moments: Moments | None = None

    selected: Units = ()
    groups: Mapping[str, Units] = field(default_factory=dict)
    select_mode: SelectMode = "replace"
    lassoing: bool = False
    colour_by: str = "region"

    frame: int = 0
    repeat: int = 0
    counts: np.ndarray | None = None

    decoder: Any = None
    decoder_folder: str = ""
    profile: str = ""
    geometry: Any = None
    prompt: str = ""
    live: bool = True

    job: Job = Job()
    result: Result | None = None
    results: dict[ResultKey, Result] = field(default_factory=dict)
    shown: Shown = None
    opacity: float = 0.8
    status: str = ""
    error: str = ""

    # -- reading ---------------------------------------------------------------------------------------------------------------------
    @property
    def unit_ids(self) -> Units:
        """Every unit of the recording, in the order of its table."""
        return () if self.recording is None else tuple(self.recording.units.index)

    @property
    def moment(self) -> int | None:
        """Row of the moment that the slider and the showing point at, or None."""
        return None if self.moments is None else self.moments.row(self.frame, self.repeat)

    @property
    def held_out(self) -> bool | None:
        """Whether the decoder has never seen this showing; None where there is no decoder."""
        return None if self.decoder is None else bool(self.decoder.is_held_out(self.repeat, self.frame))

    def key(self) -> ResultKey | None:
        """Return what a narration of the present state would be filed under, or None if there is nothing to narrate."""
        moment = self.moment
        if moment is None or not self.selected or self.decoder is None:
            return None
        return ResultKey(self.decoder_folder, self.prompt.strip(), moment, self.selected)

    # -- writing ---------------------------------------------------------------------------------------------------------------------
    def open(self, source: str, recording: Any) -> None:
        """Put `recording` in place of what was open; nothing of the old one stays."""
        self.selected, self.groups, self.results, self.result, self.shown = (), {}, {}, None, None
        self.stimulus, self.stimulus_name, self.stimulus_file, self.moments = None, "", None, None
        self.decoder, self.decoder_folder, self.profile, self.geometry = None, "", "", None
        self.frame, self.repeat, self.counts = 0, 0, None
        self.source, self.recording = source, recording

    def show_stimulus(self, name: str, stimulus: Any, moments: Moments | None, file: str | None = None) -> None:
        """Lay a stimulus beside the units; `stimulus` is None where its frames are not known."""
        self.result, self.shown, self.geometry = None, None, None
        self.frame, self.repeat, self.counts = 0, 0, None
        self.stimulus_name, self.stimulus_file, self.moments, self.stimulus = name, file, moments, stimulus
        self.scene_changed.emit()

    def select(self, unit_ids: Sequence[UnitId], mode: SelectMode = "replace") -> None:
        """Change the selection by `unit_ids`; units are kept in the order of the table.

        Parameters
        ----------
        unit_ids : sequence of int or str
            Units to put in place of, to add to, or to take from the present selection.
        mode : {"replace", "add", "subtract"}
            Which of the three.
        """
        chosen, now = set(unit_ids), set(self.selected)
        wanted = {"replace": chosen, "add": now | chosen, "subtract": now - chosen}[mode]
        self.selected = tuple(unit for unit in self.unit_ids if unit in wanted)

    def query(self, text: str, mode: SelectMode = "replace") -> bool:
        """Select by a pandas query on the units table; a query that fails or finds nothing is said and changes nothing."""
        if self.recording is None:
            self.fail("Open a recording before selecting units.")
            return False
        if not text.strip():
            self.fail('Type a query first, for example region == "VISp" and y_um > 800.')
            return False
        try:
            found = list(self.recording.select_units(text))
        except NeurratorError as error:
            self.fail(str(error))
            return False
        if not found:
            self.warn(f"No unit matches {text.strip()!r}; the selection is unchanged.")
            return False
        self.select(found, mode)
        return True

    def save_group(self, name: str) -> None:
        """Keep the selection under `name`."""
        if not self.selected:
            self.fail("Select some units before saving them as a group.")
        elif name.strip():
            self.groups = {**self.groups, name.strip(): self.selected}

    def delete_group(self, name: str) -> None:
        """Forget the group `name`."""
        self.groups = {kept: units for kept, units in self.groups.items() if kept != name}

    def fail(self, message: str) -> None:
        """Tell the user what is wrong, in one sentence."""
        self.error = message
        self.notified.emit("error", message)

    def warn(self, message: str) -> None:
        """Tell the user something that is not a fault."""
        self.status = message
        self.notified.emit("warning", message)
