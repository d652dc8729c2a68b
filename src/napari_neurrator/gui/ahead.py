"""Narrates ahead of the play head, in the background: maps and evidence ten times a second of film, a sentence every second or as the user says."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from ..backend.protocol import Cancelled, Done, Event, Failed, NarrationRequest, PackedArray, Progress, Sentence, Wanted
from ..errors import NeurratorError
from .backend_link import BackendLink
from .findings import Result, ResultKey
from .narrator import N_CONCEPTS, grown, let_go, pack_counts
from .player import Player
from .state import Job, Session
from .threads import Background

MAP_EVERY_S = 0.1
"""Windows of spikes are longer than this, so that maps in between would hardly differ."""
MAPS_AT_ONCE, SENTENCES_AT_ONCE = 24, 8
TELL_MS = 120


@dataclass(frozen=True)
class Chunk:
    """Some moments that are asked for together."""

    frames: tuple[int, ...]
    with_words: bool


def next_chunk(
    maps: np.ndarray, sentences: np.ndarray, mapped: set[int], told: set[int], head: int, whole: bool
) -> Chunk | None:
    """Choose what to ask for next: what the play head will reach first.

    Parameters
    ----------
    maps, sentences : ndarray of int
        Frames that are to have maps, and sentences, ascending.
    mapped, told : set of int
        Frames that have them.
    head : int
        Where the play head is.
    whole : bool
        Whether what lies behind the play head counts too, after what lies before it.
    """

    def missing(wanted: np.ndarray, have: set[int]) -> list[int]:
        # the frame before the head still stands on the screen
        first = max(0, int(np.searchsorted(wanted, head, side="right")) - 1)
        order = np.concatenate([wanted[first:], wanted[:first]]) if whole else wanted[first:]
        return [int(frame) for frame in order if frame not in have]

    def distance(frames: list[int]) -> float:
        return np.inf if not frames else (frames[0] - head if frames[0] >= head - 1 or not whole else 1e9 + frames[0])

    no_words, no_maps = missing(sentences, told), missing(maps, mapped)
    if not no_words and not no_maps:
        return None
    if distance(no_maps) <= distance(no_words):
        return Chunk(tuple(no_maps[:MAPS_AT_ONCE]), False)
    return Chunk(tuple(no_words[:SENTENCES_AT_ONCE]), True)


class Ahead:
    """Asks for moments in batches while the film plays or the whole showing is to be narrated, and files what comes into ``session.results``.

    The user's own narration goes before: while one runs, nothing is asked for.
    """

    def __init__(self, session: Session, player: Player, link: BackendLink, background: Background) -> None:
        self.session, self.player, self.link, self.background = session, player, link, background
        self._job_id = ""
        self._parts: list[Result] = []
        self._gave_up = False
        self._tell = QTimer()
        self._tell.setSingleShot(True)
        self._tell.setInterval(TELL_MS)
        self._tell.timeout.connect(session.results_grew.emit)
        events = session.events
        self._links: list[tuple[Any, Callable]] = [
            (signal, self._restart)
            for signal in (events.selected, events.decoder, events.prompt, events.repeat, session.scene_changed)
        ]
        self._links += [
            (signal, self._go_on)
            for signal in (events.playing, events.filling, events.sentence_every_s, events.spikes_ready)
        ]
        self._links.append((events.job, self._on_job))
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        self._tell.stop()
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        self._cancel()

    def plan(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames that are to have maps, and those that are to have a sentence."""
        clock, every = self.player.clock, self.session.sentence_every_s
        sentences = clock.every(every)
        return np.union1d(clock.every(min(every, MAP_EVERY_S)), sentences), sentences

    def known(self) -> tuple[set[int], set[int]]:
        """Return the frames of this showing that have maps, and those that have a sentence with what belongs to it: one that was stopped before is made again."""
        session = self.session
        key = self._key(0)
        mapped, told = set(), set()
        for other, result in session.results.items():
            if (
                result.repeat == session.repeat
                and (other.units is key.units or other.units == key.units)
                and (other.decoder, other.prompt) == (key.decoder, key.prompt)
            ):
                if result.concepts or result.evidence is not None or result.problem:
                    mapped.add(result.frame)
                if result.finished and result.spoken:
                    told.add(result.frame)
        return mapped, told

    def narrate_whole(self) -> None:
        """Narrate all of the showing, or stop doing so; what is missing is said to the user."""
        session = self.session
        if session.filling:
            session.filling = False
            self._cancel()
            session.ahead = Job()
            self._go_on()
            return
        if not self.can_work:
            session.warn(
                "Open a recording with its film, select units and choose a decoder before narrating the whole showing."
                if session.spikes_ready
                else "The spike times are still being read; narrate in a moment."
            )
            return
        self._gave_up = False
        session.filling = True

    @property
    def can_work(self) -> bool:
        """Whether there is all that is needed to narrate."""
        session = self.session
        return bool(
            session.recording is not None
            and session.stimulus is not None
            and session.moments is not None
            and session.decoder is not None
            and session.selected
            and session.spikes_ready
        )

    # -- what to do next -------------------------------------------------------------------------------------------------------------
    def _restart(self, *_: Any) -> None:
        self._cancel()
        self._gave_up = False
        self.session.filling = False
        self._go_on()

    def _on_job(self, job: Job) -> None:
        if job.kind in {"narrating", "fitting"}:
            # the backend works through one job after the other: the user's own goes first
            self._cancel()
        elif job.kind == "idle":
            self._go_on()

    def _go_on(self, *_: Any) -> None:
        session = self.session
        if session.playing:
            self._gave_up = False
        if self._job_id:
            return
        wanted = session.playing or session.filling
        if not wanted or self._gave_up or not self.can_work or session.job.busy:
            session.ahead = Job()
            return
        maps, sentences = self.plan()
        mapped, told = self.known()
        chunk = next_chunk(maps, sentences, mapped, told, session.frame, session.filling or session.loop)
        n_done = len(mapped.intersection(maps.tolist())) + len(told.intersection(sentences.tolist()))
        if chunk is None:
            session.filling = False
            session.ahead = Job()
            return
        session.ahead = Job("narrating", "Narrating ahead", n_done, len(maps) + len(sentences))
        self._ask(chunk)

    def _ask(self, chunk: Chunk) -> None:
        session = self.session
        self._job_id = job_id = uuid.uuid4().hex
        known = set(session.decoder.unit_ids)
        units = [unit for unit in session.selected if unit in known]
        if not units:
            self._failed(NeurratorError("None of the selected units was there when the decoder was fitted."))
            return
        self._parts = [self._empty(frame, len(units)) for frame in chunk.frames]
        rows = [part.key.moment for part in self._parts]
        recording, stimulus, window = session.recording, session.stimulus, session.decoder.window
        starts = np.array([session.moments.time(row) + window.lag_s for row in rows])  # type: ignore[union-attr]
        frames = [session.moments.frame(row) for row in rows]  # type: ignore[union-attr]
        decoder, prompt = session.decoder_folder, session.prompt.strip() or None

        def work() -> NarrationRequest:
            counts = recording.spikes.count(starts, window.n_bins, window.bin_s, units)
            pictures = np.stack([np.ascontiguousarray(stimulus.frame(frame)) for frame in frames])
            words: list[Wanted] = ["text", "reference"] if chunk.with_words else []
            return NarrationRequest(
                job_id=job_id, decoder=decoder, unit_ids=units, windows=pack_counts(np.asarray(counts)), frames=PackedArray.pack(pictures),
                want=["concepts", "patches", "evidence", *words], prompt=prompt, n_concepts=N_CONCEPTS,
            )  # fmt: skip

        def then(request: NarrationRequest) -> None:
            if self._job_id == job_id:
                self.link.submit(request, self._on_event)

        self.background.run(work, then, self._failed)

    def _cancel(self) -> None:
        if self._job_id:
            self.link.cancel(self._job_id, silently=True)
            self._job_id, self._parts = "", []

    def _key(self, moment: int) -> ResultKey:
        session = self.session
        return ResultKey(session.decoder_folder, session.prompt.strip(), moment, session.selected)

    def _empty(self, frame: int, n_units: int) -> Result:
        session = self.session
        row = session.moments.row(frame, session.repeat)  # type: ignore[union-attr]
        assert row is not None
        held_out = bool(session.decoder.is_held_out(session.repeat, frame))
        return Result(
            self._key(row), frame, session.repeat, n_units, len(session.selected) - n_units, held_out=held_out
        )

    # -- what comes back -------------------------------------------------------------------------------------------------------------
    def _on_event(self, event: Event) -> None:
        if event.job_id != self._job_id:
            return
        if isinstance(event, Done | Cancelled):
            self._job_id, self._parts = "", []
            self.session.results_grew.emit()
            self._go_on()
        elif isinstance(event, Failed):
            self._failed(NeurratorError(event.message))
        elif not isinstance(event, Progress):
            number = event.moment  # type: ignore[union-attr]
            part = grown(self._parts[number], event)
            if isinstance(event, Sentence) and event.reference is not None:
                part = replace(part, finished=True)
            self._parts[number] = part
            if event.kind != "token":  # type: ignore[union-attr]
                self._file(part)

    def _file(self, part: Result) -> None:
        results = self.session.results
        there = results.get(part.key)
        if there is not None and there.spoken and not part.spoken:
            return
        results[part.key] = part
        let_go(results)
        if not self._tell.isActive():
            self._tell.start()

    def _failed(self, error: BaseException) -> None:
        self._job_id, self._parts, self._gave_up = "", [], True
        self.session.filling = False
        self.session.ahead = Job()
        self.session.warn(f"Narrating ahead stopped: {error}")
