"""The hub: one evented `Session` a viewer. Widgets and controllers write to it and listen to it, never to each other."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from psygnal import Signal, SignalGroupDescriptor

from ..errors import NeurratorError
from .findings import AskedBack, Compared, Course, Gallery, Inspected, Match, Result, ResultKey, UnitId, Units
from .moments import Moments

SelectMode = Literal["replace", "add", "subtract"]
PATCHES = "\0patches"
Shown = str | None
"""What lies on the frame: a concept by name (which stays the same from group to group), `PATCHES` for the patch match, or nothing."""

INTERPOLATIONS = {
    "nearest": "Each patch as it is, with hard edges",
    "linear": "Between the middles of patches: nothing goes beyond the values of the patches",
    "cubic": "Smoothed by a B-spline: peaks look lower than their patches are",
    "catrom": "A smooth curve through the patches: may run a little beyond their values",
    "lanczos": "The sharpest: may run beyond the values of the patches, and ring",
}
"""Ways to draw a map between the middles of its patches, and what each does to the values."""
HEAT_COLOURS = ("inferno", "magma", "viridis", "cividis", "grey")
"""Colour maps whose lightness rises evenly, so that colour-blind people and grey prints order them as well."""

COLOUR_BY = ("region", "depth", "cell type", "waveform", "probe", "session", "animal", "firing now", "contribution")
View = Literal["probe", "brain"]
OnFrame = Literal["", "ask", "inspect"]
"""What the mouse does on the frame."""
CCF_COLUMNS = ("ccf_ap_um", "ccf_dv_um", "ccf_lr_um")


@dataclass(frozen=True)
class Job:
    """What the program is busy with, in words a user reads."""

    kind: Literal["idle", "opening", "narrating", "fitting", "exporting"] = "idle"
    stage: str = ""
    done: int = 0
    total: int = 0
    detail: str = ""

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self.kind != "idle"


@dataclass(frozen=True, eq=False)
class HeatScale:
    """What the colours of the map on the frame mean, as drawn: rgba from the lowest to the highest, and the values of both."""

    colours: np.ndarray
    low: float
    high: float


_IDENTITY = (
    "recording", "stimulus", "moments", "decoder", "counts", "result", "results", "geometry", "opened", "course", "ceiling", "gallery", "heat_scale",
    "spoken", "contribution", "asked", "inspected", "compared", "match",
)  # fmt: skip
_KEPT = (
    "selected", "groups", "results", "stimulus", "stimulus_name", "stimulus_file", "moments", "decoder", "decoder_folder", "profile",
    "geometry", "frame", "repeat", "contribution", "contribution_of",
)  # fmt: skip
"""What belongs to one recording and comes back when the window returns to it."""


@dataclass(frozen=True, eq=False)
class OpenRecording:
    """One of the open recordings, and how the window was left when it showed another.

    Attributes
    ----------
    source : str
        Path, address or the word ``sample``; of a pool, how it is called.
    recording : Recording
        The recording.
    pooled : tuple of str
        Sources of the sessions that are pooled in it; none for a single session.
    pooled_stimulus : str or None
        The stimulus by which they were pooled; None for all that they share.
    presentations : str or None
        File of presentations that took the place of the source's own.
    kept : mapping
        Fields of `Session` as they were.
    """

    source: str
    recording: Any
    pooled: tuple[str, ...] = ()
    pooled_stimulus: str | None = None
    presentations: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the sessions in it."""
        return tuple(getattr(self.recording, "sessions", ())) or (self.recording.name,)


@dataclass(eq=False)
class Session:
    """Everything the window shows, and the events that say it changed.

    Every field has a signal of its own under ``events`` (``session.events.selected.connect(...)``). Fields are replaced, never changed
    in place, but for `results`, to which moments are added (`results_grew` says so); writes happen in the window's thread only.

    ``result`` is what the docks show, of the present moment; ``spoken`` is the sentence on the frame: while the film plays, the last one before it.
    ``ahead`` says what is worked out in the background, and ``filling`` that the whole showing shall be. ``contribution`` holds one signed number a unit,
    NaN where it is not known, and ``contribution_of`` says in words to what. ``difference`` names two of the groups of ``compared`` and what of theirs is held
    against each other on the frame: `PATCHES` or a concept.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators=dict.fromkeys(_IDENTITY, operator.is_)
    )
    notified: ClassVar[Signal] = Signal(str, str)
    scene_changed: ClassVar[Signal] = Signal()
    units_described: ClassVar[Signal] = Signal()
    results_grew: ClassVar[Signal] = Signal()

    source: str = ""
    recording: Any = None
    opened: tuple[OpenRecording, ...] = ()
    spikes_ready: bool = True
    stimulus: Any = None
    stimulus_name: str = ""
    stimulus_file: str | None = None
    moments: Moments | None = None

    selected: Units = ()
    groups: Mapping[str, Units] = field(default_factory=dict)
    select_mode: SelectMode = "replace"
    lassoing: bool = False
    colour_by: str = "region"
    only_good: bool = False
    view: View = "probe"
    dark: bool = True
    contribution: np.ndarray | None = None
    contribution_of: str = ""
    on_frame: OnFrame = ""
    asked: AskedBack | None = None
    inspected: Inspected | None = None
    match: Match | None = None
    match_open: bool = False
    compared: Compared | None = None
    difference: tuple[str, str, str] | None = None
    grid_shown: bool = False

    frame: int = 0
    repeat: int = 0
    counts: np.ndarray | None = None
    playing: bool = False
    speed: float = 1.0
    loop: bool = True

    decoder: Any = None
    decoder_folder: str = ""
    profile: str = ""
    geometry: Any = None
    prompt: str = ""
    live: bool = True

    job: Job = Job()
    result: Result | None = None
    results: dict[ResultKey, Result] = field(default_factory=dict)
    spoken: Result | None = None
    ahead: Job = Job()
    filling: bool = False
    exporting: Job = Job()
    sentence_every_s: float = 1.0
    shown: Shown = None
    opacity: float = 0.8
    interpolation: str = "linear"
    heat_colours: str = "inferno"
    colour_bar: bool = True
    heat_scale: HeatScale | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    course_open: bool = True
    course: Course | None = None
    ceiling: Course | None = None
    gallery: Gallery | None = None
    status: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        self._index: Any = None
        self._ids: Units = ()
        self._named: tuple[Any, dict[str, tuple[list[str], np.ndarray]]] | None = None
        self._rows_of: tuple[Units, Units, np.ndarray] | None = None
        self._row_of: tuple[Units, dict[UnitId, int]] | None = None
        self.events.only_good.connect(self._drop_hidden)

    # -- reading ---------------------------------------------------------------------------------------------------------------------
    @property
    def unit_ids(self) -> Units:
        """Every unit of the recording, in the order of its table."""
        if self.recording is None:
            return ()
        index = self.recording.units.index
        if index is not self._index:
            self._index, self._ids = index, tuple(index)
        return self._ids

    def named(self, column: str) -> tuple[list[str], np.ndarray]:
        """Return the names in a column of the units table, and which of them each unit has, (unit,); nothing where there is no such column."""
        units = None if self.recording is None else self.recording.units
        if units is None or column not in units:
            return [], np.zeros(0, int)
        if self._named is None or self._named[0] is not units:
            self._named = (units, {})
        if column not in self._named[1]:
            codes, names = pd.factorize(units[column].astype(str))
            self._named[1][column] = ([str(name) for name in names], np.asarray(codes, int))
        return self._named[1][column]

    def count_by(self, column: str, rows: np.ndarray | None = None) -> dict[str, int]:
        """Return how many units, of all or of some rows, have each name in a column of the units table; none is left out."""
        names, codes = self.named(column)
        counts = np.bincount(codes if rows is None else codes[rows], minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}

    def rows(self, unit_ids: Sequence[UnitId]) -> np.ndarray:
        """Return the rows of units in the table of the recording, (n,)."""
        ids = self.unit_ids
        if self._rows_of is not None and self._rows_of[0] is unit_ids and self._rows_of[1] is ids:
            return self._rows_of[2]
        if self._row_of is None or self._row_of[0] is not ids:
            self._row_of = (ids, {unit: row for row, unit in enumerate(ids)})
        row_of = self._row_of[1]
        rows = np.fromiter((row_of[unit] for unit in unit_ids), int, len(unit_ids))
        if isinstance(unit_ids, tuple):
            # several ask for those of the selection
            self._rows_of = (unit_ids, ids, rows)
        return rows

    @property
    def passing(self) -> np.ndarray:
        """Whether each unit passes quality control, (unit,); all do where the recording does not say."""
        if self.recording is None:
            return np.zeros(0, bool)
        units = self.recording.units
        return units["passes_qc"].to_numpy(bool) if "passes_qc" in units else np.ones(len(units), bool)

    @property
    def visible(self) -> np.ndarray:
        """Whether each unit is shown, (unit,): those that pass quality control, or all of them."""
        return self.passing if self.only_good else np.ones(len(self.unit_ids), bool)

    @property
    def visible_units(self) -> Units:
        """The units that are shown, and that alone can be selected."""
        ids = self.unit_ids
        return tuple(ids[row] for row in np.flatnonzero(self.visible)) if self.only_good else ids

    @property
    def has_ccf(self) -> bool:
        """Whether some unit has a place in the Allen CCF."""
        if self.recording is None or not set(CCF_COLUMNS) <= set(self.recording.units.columns):
            return False
        return bool(self.recording.units[list(CCF_COLUMNS)].notna().all(axis=1).any())

    @property
    def population(self) -> str:
        """Says that units of several sessions are pooled, where they are."""
        sessions = () if self.recording is None else tuple(getattr(self.recording, "sessions", ()))
        return f"pseudo-population of {len(sessions)} sessions" if len(sessions) > 1 else ""

    @property
    def current(self) -> OpenRecording | None:
        """The entry of `opened` that the window shows."""
        return next((entry for entry in self.opened if entry.recording is self.recording), None)

    @property
    def moment(self) -> int | None:
        """Row of the moment that the slider and the showing point at, or None."""
        return None if self.moments is None else self.moments.row(self.frame, self.repeat)

    def called(self, concept: str) -> str:
        """Return what a concept is called here: the user's own label, or its name in the dictionary."""
        return self.labels.get(concept, concept)

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

    def tested_so_far(self) -> tuple[int, int]:
        """Return how many sentences of the units, decoder and prompt of the present result were put to the test, and how many are more than chance."""
        if self.result is None:
            return 0, 0
        now = self.result.key
        same = [
            result.evidence.better
            for key, result in self.results.items()
            if (key.units, key.decoder, key.prompt) == (now.units, now.decoder, now.prompt)
            and result.held_out
            and result.spoken
            and result.evidence is not None
            and result.evidence.testable
        ]
        return len(same), sum(same)

    # -- writing ---------------------------------------------------------------------------------------------------------------------
    def open(
        self,
        source: str,
        recording: Any,
        pooled: tuple[str, ...] = (),
        pooled_stimulus: str | None = None,
        presentations: str | None = None,
    ) -> None:
        """Show `recording`; those open before stay in `opened`, but for one from the same source, whose place it takes."""
        self._keep()
        entry = OpenRecording(source, recording, pooled, pooled_stimulus, presentations)
        others = tuple(other for other in self.opened if other.source != source and other.recording is not recording)
        self._reset()
        self.source, self.recording = source, recording
        self.opened = (*others, entry)

    def switch(self, recording: Any) -> None:
        """Go back to a recording of `opened`, as it was left."""
        entry = next((entry for entry in self.opened if entry.recording is recording), None)
        if entry is None or recording is self.recording:
            return
        self._keep()
        self._reset()
        kept = dict(entry.kept)
        frame, repeat = kept.pop("frame", 0), kept.pop("repeat", 0)
        self.source, self.recording = entry.source, recording
        for name in ("stimulus_name", "stimulus_file", "moments", "stimulus", "groups", "results"):
            if name in kept:
                setattr(self, name, kept.pop(name))
        decoder = kept.pop("decoder", None)
        for name, value in kept.items():
            if name not in ("selected", "geometry"):
                setattr(self, name, value)
        self.decoder = decoder
        self.scene_changed.emit()
        self.geometry = kept.get("geometry")
        self.frame, self.repeat = frame, repeat
        self.select(kept.get("selected", ()))

    def close(self, recording: Any) -> None:
        """Let go of a recording of `opened`; where it was shown, the last of the others is."""
        rest = tuple(entry for entry in self.opened if entry.recording is not recording)
        if len(rest) == len(self.opened):
            return
        if recording is self.recording:
            if rest:
                self.switch(rest[-1].recording)
            else:
                self._reset()
                self.source, self.recording = "", None
                self.scene_changed.emit()
        self.opened = tuple(entry for entry in self.opened if entry.recording is not recording)

    def replace_recording(self, recording: Any, presentations: str | None = None) -> None:
        """Put a changed copy (other presentations, say) in place of the recording that is shown; its units stay selected."""
        entry, selected = self.current, self.selected
        changed = tuple(
            replace(e, recording=recording, presentations=presentations) if e is entry else e for e in self.opened
        )
        groups, source = self.groups, self.source
        self._reset()
        self.source, self.recording, self.groups = source, recording, groups
        self.opened = changed
        self.select(selected)

    def _keep(self) -> None:
        now = self.current
        if now is not None:
            kept = {name: getattr(self, name) for name in _KEPT}
            left = replace(now, kept=kept)
            self.opened = tuple(left if entry is now else entry for entry in self.opened)

    def _reset(self) -> None:
        self.playing = self.filling = False
        self.selected, self.groups, self.results, self.result, self.shown = (), {}, {}, None, None
        self.spoken = None
        self.stimulus, self.stimulus_name, self.stimulus_file, self.moments = None, "", None, None
        self.decoder, self.decoder_folder, self.profile, self.geometry = None, "", "", None
        self.frame, self.repeat, self.counts = 0, 0, None
        self.course, self.ceiling, self.gallery = None, None, None
        self.view = "probe"
        self.contribution, self.contribution_of = None, ""
        self.asked, self.inspected, self.on_frame = None, None, ""
        self.difference, self.compared = None, None

    def _drop_hidden(self) -> None:
        # what is not shown is not selected either
        self.select(self.selected)

    def show_stimulus(self, name: str, stimulus: Any, moments: Moments | None, file: str | None = None) -> None:
        """Lay a stimulus beside the units; `stimulus` is None where its frames are not known."""
        self.playing = self.filling = False
        self.result, self.spoken, self.shown, self.geometry, self.gallery = None, None, None, None, None
        self.asked, self.inspected, self.on_frame = None, None, ""
        self.difference, self.compared = None, None
        self.frame, self.repeat, self.counts = 0, 0, None
        self.stimulus_name, self.stimulus_file, self.moments, self.stimulus = name, file, moments, stimulus
        self.scene_changed.emit()

    def select(self, unit_ids: Sequence[UnitId], mode: SelectMode = "replace") -> None:
        """Change the selection by `unit_ids`; units are kept in the order of the table, and those that are hidden are left out.

        Parameters
        ----------
        unit_ids : sequence of int or str
            Units to put in place of, to add to, or to take from the present selection.
        mode : {"replace", "add", "subtract"}
            Which of the three.
        """
        chosen, now = set(unit_ids), set(self.selected)
        wanted = {"replace": chosen, "add": now | chosen, "subtract": now - chosen}[mode]
        self.selected = tuple(unit for unit in self.visible_units if unit in wanted)

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
        if self.only_good and not set(found) & set(self.visible_units):
            self.warn(f"No unit that passes quality control matches {text.strip()!r}; the selection is unchanged.")
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

    def show_contribution(self, values: np.ndarray | None, of: str = "") -> None:
        """Colour the units by how much each adds to something, or no longer.

        Parameters
        ----------
        values : ndarray of float, shape (unit,), optional
            Signed contribution of every unit of the recording, in the order of its table; NaN where it is not known.
        of : str
            To what they contribute, in words: "the concept ball".

        Raises
        ------
        NeurratorError
            There is not one value a unit.
        """
        if values is None:
            self.contribution, self.contribution_of = None, ""
            return
        values = np.asarray(values, float)
        if values.shape != (len(self.unit_ids),):
            raise NeurratorError(
                f"The contribution has the shape {values.shape}, but the recording has {len(self.unit_ids)} units: give one number a unit."
            )
        self.contribution_of = of
        self.contribution = values
        self.colour_by = "contribution"

    def fail(self, message: str) -> None:
        """Tell the user what is wrong, in one sentence."""
        self.error = message
        self.notified.emit("error", message)

    def warn(self, message: str) -> None:
        """Tell the user something that is not a fault."""
        self.status = message
        self.notified.emit("warning", message)
