"""Asking back: which units said it. From what the user points at to a request, and from its answer to colours on the probes."""

from dataclasses import replace
from typing import Any

import numpy as np
from cachetools import LRUCache

from ..backend import protocol as p
from ..errors import NeurratorError
from .backend_link import BackendLink
from .findings import AskedBack, Lost, Units
from .frame_patches import patch_words
from .frame_tool import FrameTool
from .narrator import pack_counts
from .sentence_label import words_in
from .state import Session
from .waiting_job import WaitingJob

KEPT = 100


def unit_words(n: int) -> str:
    """Return "1 unit" or "7 units"."""
    return f"{n:,} unit{'s' if n != 1 else ''}"


def asked_moment(session: Session) -> tuple[Units, p.PackedArray]:
    """Return the units that are asked, the chosen ones or else all, and their spikes at this moment, (1, bin, unit).

    Raises
    ------
    NeurratorError
        Something is missing, in one sentence.
    """
    if session.decoder is None:
        raise NeurratorError("No decoder is chosen; fit one or choose the folder of a fitted one.")
    row = session.moment
    if row is None or session.moments is None or session.stimulus is None:
        raise NeurratorError("This frame was not on screen in this showing; move the slider.")
    if not session.spikes_ready:
        raise NeurratorError("The spike times are still being read; ask in a moment.")
    known = set(session.decoder.unit_ids)
    units = tuple(unit for unit in session.selected or session.visible_units if unit in known)
    if not units:
        raise NeurratorError("None of the selected units was there when the decoder was fitted; select others.")
    return units, pack_counts(counts_at(session, session.frame, session.repeat, units))


def counts_at(session: Session, frame: int, repeat: int, units: Units) -> np.ndarray:
    """Return the spikes of units at a moment that was on screen, (1, bin, unit)."""
    row = session.moments.row(frame, repeat)  # type: ignore[union-attr]
    assert row is not None
    window = session.decoder.window
    start = np.array([session.moments.time(row) + window.lag_s])  # type: ignore[union-attr]
    return np.asarray(session.recording.spikes.count(start, window.n_bins, window.bin_s, list(units)))


def frame_at(session: Session, frame: int, repeat: int) -> p.PackedArray:
    """Return the frame of a moment that was on screen, uint8 (1, height, width, 3)."""
    moments = session.moments
    assert moments is not None
    row = moments.row(frame, repeat)
    assert row is not None
    return p.PackedArray.pack(np.ascontiguousarray(session.stimulus.frame(moments.frame(row)))[None])


class Asking:
    """Keeps ``session.asked``: one question at a time, and answers are kept."""

    def __init__(self, session: Session, link: BackendLink, tool: FrameTool) -> None:
        self.session, self.tool = session, tool
        self._job, self._loss = WaitingJob(session, link), WaitingJob(session, link)
        self._known: LRUCache[tuple, AskedBack] = LRUCache(KEPT)
        self._key: tuple = ()
        self._before = ""
        tool.chosen.connect(self._on_chosen)
        session.events.asked.connect(self._on_asked)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        self.tool.chosen.disconnect(self._on_chosen)
        self.session.events.asked.disconnect(self._on_asked)
        self._job.close()
        self._loss.close()

    # -- asking ----------------------------------------------------------------------------------------------------------------------
    def _on_chosen(self, patches: tuple[int, ...]) -> None:
        if self.session.on_frame == "ask":
            self.ask_patches(patches)

    def ask_patches(self, patches: tuple[int, ...]) -> None:
        """Ask who says what was decoded at some patches of the frame."""
        words = patch_words(self.session.geometry, patches)
        self._ask(words, "patches", words, {"patches": list(patches)}, tuple(patches))

    def ask_concept(self, name: str) -> None:
        """Ask who says a concept."""
        self._ask(f"the concept “{self.session.called(name)}”", "concept", name, {"concept": name})

    def ask_word(self, place: int) -> None:
        """Ask who says a word of the sentence, by its place among the words."""
        result = self.session.result
        if result is None or not result.spoken:
            self.session.fail("There is no sentence to ask about yet: narrate this frame first.")
            return
        sentence = result.text.strip()
        found = words_in(sentence)
        if not 0 <= place < len(found):
            return
        asked = p.WordAsked(sentence=sentence, place=place, prompt=self.session.prompt.strip() or None)
        self._ask(f"the word “{found[place]}”", "word", found[place], {"word": asked})

    def _ask(
        self, what: str, kind: Any, name: str, asks: dict[str, Any], patches: tuple[int, ...] | None = None
    ) -> None:
        session = self.session
        self._job.stop()
        self._loss.stop()
        try:
            units, windows = asked_moment(session)
        except NeurratorError as error:
            session.fail(str(error))
            return
        # the same words may be said of other numbers of patches
        of = patches if kind == "patches" else tuple(str(one) for one in asks.values())
        self._key = (session.source, session.decoder_folder, session.moment, units, kind, of)
        known = self._known.get(self._key)
        if known is not None:
            session.asked = known
            return
        session.asked = AskedBack(what, kind, name, session.frame, session.repeat, units, patches, stage="Asking the units")  # fmt: skip
        self._job.start(
            p.AskRequest(job_id="x", decoder=session.decoder_folder, unit_ids=list(units), windows=windows, **asks),
            self._on_answer,
        )

    def _on_answer(self, event: p.Event) -> None:
        now = self.session.asked
        if now is None:
            return
        if isinstance(event, p.Progress):
            self.session.asked = replace(now, stage=event.stage.capitalize(), done=event.done, total=event.total)
        elif isinstance(event, p.Asked):
            patches = now.patches if now.kind == "patches" else None if event.patches is None else tuple(event.patches)
            self.session.asked = replace(
                now, patches=patches, carried=event.carried.unpack(), explained=tuple(event.explained), unit=event.unit, method=event.method,
                value=event.value, remainder=event.remainder, by_field=event.covers is not None, stage="",
            )  # fmt: skip
            self._keep()
        elif isinstance(event, p.Failed):
            self.session.asked = replace(now, stage="", problem=event.message)
        elif isinstance(event, p.Cancelled):
            self.session.asked = replace(now, stage="", problem="Stopped.")

    def _keep(self) -> None:
        if self.session.asked is not None:
            self._known[self._key] = self.session.asked

    # -- what is shown ---------------------------------------------------------------------------------------------------------------
    def _on_asked(self, asked: AskedBack | None) -> None:
        """Colour the units by the answer; without one, as they were before."""
        session = self.session
        if asked is None:
            self._job.stop()
            self._loss.stop()
            session.show_contribution(None)
            if self._before and session.colour_by == "contribution":
                session.colour_by = self._before
            self._before = ""
            return
        if not asked.known:
            return
        if session.colour_by != "contribution":
            self._before = session.colour_by
        values = np.full(len(session.unit_ids), np.nan)
        values[session.rows(asked.units)] = asked.carried
        session.show_contribution(values, f"{asked.what} at frame {asked.frame + 1}, showing {asked.repeat + 1}")

    def clear(self) -> None:
        """Go back to the colours before, and to the usual mouse."""
        self.session.on_frame = ""
        self.session.asked = None

    # -- what to do with it ----------------------------------------------------------------------------------------------------------
    def make_group(self) -> str:
        """Make a group of the units that explain 80 %; returns its name, or nothing where there are none."""
        session, asked = self.session, self.session.asked
        if asked is None or not asked.explained:
            return ""
        base = f"say {asked.what.removeprefix('the ')}, frame {asked.frame + 1}"
        name = next(n for n in (base, *(f"{base} ({i})" for i in range(2, 10_000))) if n not in session.groups or session.groups[n] == asked.explained)  # fmt: skip
        session.groups = {**session.groups, name: asked.explained}
        session.status = f"{unit_words(len(asked.explained))} are the group {name!r}."
        return name

    def without(self) -> None:
        """Decode without the units that explain 80 %, and say what is lost."""
        session, asked = self.session, self.session.asked
        if asked is None or not asked.explained:
            return
        if len(asked.explained) >= len(asked.units):
            session.warn("All the units that were asked are needed for 80 %: without them nobody would be left.")
            return
        counts = counts_at(session, asked.frame, asked.repeat, asked.units)
        gone = set(asked.explained)
        kept = [place for place, unit in enumerate(asked.units) if unit not in gone]
        session.asked = replace(asked, stage="Leaving them out", done=0, total=0, lost=None)
        self._loss.start(
            p.WithoutRequest(
                job_id="x",
                decoder=session.decoder_folder,
                unit_ids=list(asked.units),
                windows=pack_counts(counts),
                group=list(asked.explained),
                frames=frame_at(session, asked.frame, asked.repeat),
                patches=None if asked.patches is None else list(asked.patches),
            ),
            lambda event: self._on_loss(event, [asked.units[i] for i in kept], counts[:, :, kept]),
        )

    def _on_loss(self, event: p.Event, others: list, counts: np.ndarray) -> None:
        session, now = self.session, self.session.asked
        if now is None:
            return
        if isinstance(event, p.Without):
            lost = Lost(len(now.explained), event.whole, event.rest, event.alone, event.lost, event.random.unpack(), event.p)  # fmt: skip
            session.asked = replace(now, lost=lost)
        elif isinstance(event, p.Failed | p.Cancelled):
            session.asked = replace(now, stage="", problem=getattr(event, "message", "Stopped."))
        elif isinstance(event, p.Done) and now.lost is not None:
            session.asked = replace(now, stage="Asking the others for a sentence")
            self._loss.start(
                p.NarrationRequest(
                    job_id="x",
                    decoder=session.decoder_folder,
                    unit_ids=others,
                    windows=pack_counts(counts),
                    want=["text"],
                    prompt=session.prompt.strip() or None,
                ),
                self._on_others,
            )

    def _on_others(self, event: p.Event) -> None:
        now = self.session.asked
        if now is None or now.lost is None:
            return
        if isinstance(event, p.Sentence):
            self.session.asked = replace(now, lost=replace(now.lost, text=event.text.strip()))
        elif isinstance(event, p.Done | p.Failed | p.Cancelled):
            problem = event.message if isinstance(event, p.Failed) else ""
            self.session.asked = replace(now, stage="", problem=problem)
            if not problem:
                self._keep()
