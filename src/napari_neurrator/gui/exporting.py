"""Taking home what was said: narrations, a movie, a figure, a table of units; written beside the window's thread."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError, Stopped
from .findings import Result
from .keeping import in_order, is_source
from .narrator import N_CONCEPTS
from .state import PATCHES, Job, Session
from .threads import Background

KINDS: dict[str, tuple[str, str, str]] = {
    "jsonl": ("Narrations (JSON Lines)…", ".jsonl", "Every sentence with its evidence and what made it; 'neurrator replay' makes them again"),
    "csv": ("Narrations (CSV)…", ".csv", "The same as one flat table"),
    "nwb": ("Narrations in a copy of the NWB file…", ".nwb", "TimeIntervals with provenance, in a copy of the session"),
    "mp4": ("Movie with captions (MP4)…", ".mp4", "The film of this showing with sentences, the map that is shown, and a subtitle track"),
    "figure": ("Figure of this moment (PNG, SVG, PDF)…", ".png", "Frame, sentence, evidence and units, two columns of a page wide"),
    "units": ("Table of units (CSV)…", ".csv", "All units; with their contribution where one is shown"),
}  # fmt: skip
"""What can be taken home: words of the menu, ending, tooltip."""


def said(session: Session) -> list[Result]:
    """Return the finished sentences of the stimulus that is shown, in order of time."""
    stop = 0 if session.moments is None else len(session.moments.table)
    found = [one for one in session.results.values() if one.finished and one.text and one.key.moment < stop]
    return in_order(found)


@dataclass(frozen=True)
class Shown:
    """What the window showed when an export began: it may show another recording before the file is written."""

    source: str
    presentations: str | None
    recording: Any
    stimulus_name: str
    moments: Any

    @classmethod
    def of(cls, session: Session) -> "Shown":
        """Take it from the session."""
        current = session.current
        presentations = None if current is None else current.presentations
        return cls(session.source, presentations, session.recording, session.stimulus_name, session.moments)


def narration_of(shown: Shown, result: Result, info: Any) -> Any:
    """Turn what the window knows of a sentence into a `Narration`, as ``neurrator narrate`` writes it."""
    from ..backend.narrations import Narration, NarrationEvidence, condition_of
    from ..config import NarrateConfig

    row = shown.moments.table.iloc[result.key.moment]
    known = set(info.unit_ids)
    units = [unit for unit in result.key.units if unit in known]
    judged = result.evidence is not None or bool(result.problem)
    evidence = NarrationEvidence.of(result.evidence, result.problem, info.config.split, result.held_out) if judged else None  # fmt: skip
    return Narration(
        text=result.text.strip(),
        unit_ids=units,
        stimulus=shown.stimulus_name,
        frame=int(row["frame"]),
        presentation=int(row["presentation"]),
        repeat=int(row["repeat"]),
        start_time=float(row["start_time"]),
        held_out=result.held_out,
        reference=result.reference,
        prior=result.prior,
        concepts=[
            {"name": c.given or c.name, "feature": c.feature, "strength": round(c.strength, 4)} for c in result.concepts
        ],
        patch_cosine=None if result.mean_cosine is None else round(result.mean_cosine, 4),
        prior_patch_cosine=None if result.prior_cosine is None else round(result.prior_cosine, 4),
        evidence=evidence,
        condition=condition_of(shown.recording, int(row["presentation"])),
        simulated=bool(shown.recording.simulated),
        config=NarrateConfig(
            recording=shown.source,
            presentations=shown.presentations,
            decoder=result.key.decoder,
            unit_ids=units,
            frames=str(int(row["frame"])),
            repeat=int(row["repeat"]),
            prompt=result.key.prompt or None,
            concepts=N_CONCEPTS,
        ),
    )


class Exporting:
    """Writes files in a thread of its own, one at a time; says how far it is, and in the end where the file is.

    Attributes
    ----------
    busy : bool
        Whether something is being written.
    """

    def __init__(self, session: Session, background: Background) -> None:
        self.session, self.background = session, background
        self.busy = self._closed = False

    def close(self) -> None:
        """Stop a movie that is being written; what lies there already stays."""
        self._closed = True

    def missing(self, kind: str) -> str:
        """Say in a sentence what stands in the way of an export, or nothing."""
        session = self.session
        if session.recording is None:
            return "Open a recording first."
        if kind == "units":
            return ""
        if not said(session):
            return "Nothing has been said yet: narrate some moments first."
        if kind in ("mp4", "figure") and session.stimulus is None:
            return "The frames of this stimulus are not known."
        if kind == "figure" and (session.result is None or not session.result.finished or not session.result.text):
            return "Narrate this moment first."
        if kind == "mp4" and not self._of_this_showing():
            return "Nothing has been said of this showing by the selected units: narrate it first (Shift+N)."
        if kind in ("jsonl", "csv", "nwb") and not is_source(session.source):
            return (
                f"{session.recording.name} was not opened from a file, so that nobody could make its sentences again."
            )
        return ""

    def _of_this_showing(self) -> list[Result]:
        """Return what one set of units said of the showing on screen: the selected ones, or those of the sentence that is shown."""
        session = self.session
        units = session.selected or (session.result.key.units if session.result is not None else ())
        wanted = (session.decoder_folder, session.prompt.strip(), units)
        return [one for one in said(session) if one.repeat == session.repeat and (one.key.decoder, one.key.prompt, one.key.units) == wanted]  # fmt: skip

    def write(self, kind: str, path: str | Path) -> None:
        """Write a file; what stands in the way is said, and so is where it is in the end."""
        session, problem = self.session, self.missing(kind)
        if problem or self.busy:
            session.fail(problem or "Something is being written: wait until it is there.")
            return
        path = Path(path)
        if not path.suffix:
            path = path.with_suffix(KINDS[kind][1])
        work = {
            "jsonl": self._lines, "csv": self._table, "nwb": self._nwb, "mp4": self._movie, "figure": self._figure, "units": self._units
        }[kind](path)  # fmt: skip
        self.busy = True
        self._report("writing", 0, 0)
        self.background.run(work, self._done, self._failed)

    # -- what is written: each is prepared in the window's thread from what is known now, and done in the other ------------------------
    def _narrations(self, results: list[Result]) -> Callable[[], list[Any]]:
        infos = {self.session.decoder_folder: self.session.decoder}
        shown, results = Shown.of(self.session), list(results)

        def make() -> list[Any]:
            from ..decoding import decoder_info

            for folder in {one.key.decoder for one in results} - set(infos):
                infos[folder] = decoder_info(folder)
            return [narration_of(shown, one, infos[one.key.decoder]) for one in results]

        return make

    def _lines(self, path: Path) -> Callable[[], Path]:
        narrations = self._narrations(said(self.session))

        def work() -> Path:
            from ..export.files import write_narrations

            return write_narrations(path, narrations())

        return work

    def _table(self, path: Path) -> Callable[[], Path]:
        narrations = self._narrations(said(self.session))

        def work() -> Path:
            from ..export.table import write_csv

            return write_csv(path, narrations())

        return work

    def _nwb(self, path: Path) -> Callable[[], Path]:
        narrations, recording = self._narrations(said(self.session)), self.session.recording

        def work() -> Path:
            from ..export.nwb import write_nwb

            return write_nwb(path, narrations(), recording)

        return work

    def _overlays(self, results: list[Result]) -> dict[int, Any]:
        """Return the map that is shown, for each frame of which it is known."""
        from ..export.pictures import Overlay
        from .layers import heat_of

        session = self.session
        if session.shown is None or session.geometry is None:
            return {}
        maps = {one.frame: heat_of(one, session.shown) for one in results}
        known = {frame: found[0] for frame, found in maps.items() if found is not None}
        top = (
            1.0 if session.shown == PATCHES else max((float(np.max(values)) for values in known.values()), default=1.0)
        )
        name = "patch match" if session.shown == PATCHES else session.called(session.shown)
        return {frame: Overlay(values, session.geometry, name, max(top, 1e-6)) for frame, values in known.items()}

    def _movie(self, path: Path) -> Callable[[], Path]:
        session, results = self.session, self._of_this_showing()
        narrations, overlays = self._narrations(results), self._overlays(results)
        stimulus, repeat = session.stimulus, session.repeat

        def report(stage: str, done: int, total: int) -> None:
            if self._closed:
                raise Stopped
            self.background.tell(partial(self._report, stage, done, total))

        def work() -> Path:
            from ..export.movie import write_movie

            return write_movie(path, narrations(), stimulus, overlays or None, repeat, on_progress=report)

        return work

    def _figure(self, path: Path) -> Callable[[], Path]:
        session = self.session
        assert session.result is not None
        result, recording, stimulus = session.result, session.recording, session.stimulus
        narrations, overlay = self._narrations([result]), self._overlays([result]).get(result.frame)
        contribution = None
        if session.contribution is not None and session.colour_by == "contribution":
            contribution = dict(zip(session.unit_ids, session.contribution.tolist(), strict=True))

        def work() -> Path:
            from ..export.figure import write_figure

            return write_figure(path, narrations()[0], recording, stimulus, overlay, contribution)

        return work

    def _units(self, path: Path) -> Callable[[], Path]:
        session = self.session
        table = session.recording.units.copy()
        chosen = set(session.selected)
        table["selected"] = [unit in chosen for unit in table.index]
        if session.contribution is not None:
            table["contribution"] = session.contribution
            table["contribution_to"] = session.contribution_of

        def work() -> Path:
            from ..export.table import write_table

            return write_table(path, table)

        return work

    # -- how far it is -----------------------------------------------------------------------------------------------------------------
    def _report(self, stage: str, done: int, total: int) -> None:
        if self.busy:
            self.session.exporting = Job("exporting", stage.capitalize(), done, total)

    def _done(self, path: Path) -> None:
        self.busy = False
        self.session.exporting = Job()
        self.session.status = f"{path.name} is written, in {path.parent}."
        self.session.notified.emit("info", self.session.status)

    def _failed(self, error: BaseException) -> None:
        self.busy = False
        self.session.exporting = Job()
        known = isinstance(error, NeurratorError | OSError)
        self.session.fail(str(error) if known else f"The file could not be written ({type(error).__name__}: {error}).")
