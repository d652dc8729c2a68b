"""From the session's state to a request, and from the backend's events to the session's result."""

import uuid
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from ..backend.protocol import (
    Cancelled,
    Concepts,
    Done,
    Event,
    Failed,
    Judged,
    NarrationRequest,
    PackedArray,
    Patches,
    Progress,
    Sentence,
    Token,
)
from ..errors import NeurratorError
from .backend_link import BackendLink
from .findings import ConceptMap, Result, ResultKey
from .state import Job, Session

SLIDER_MS = 150
"""How long live narration waits for the hand to rest on the slider. After a lasso it does not wait: the models work while the window
draws the new selection."""

FOLLOW_MS = 250
KEPT = 5000
"""Results whose maps are remembered: a film of some minutes, narrated through."""
N_CONCEPTS = 8


def let_go(results: dict[ResultKey, Result]) -> None:
    """Forget the maps of the oldest results where there are too many; a sentence is never forgotten, for it may not have been saved."""
    for key in list(results)[: max(0, len(results) - KEPT)]:
        old = results[key]
        if not old.text:
            del results[key]
        elif old.concepts or old.cosine is not None:
            results[key] = replace(old, concepts=(), cosine=None)


def pack_counts(counts: np.ndarray) -> PackedArray:
    """Pack spike counts in the smallest type that holds them."""
    return PackedArray.pack(counts.astype(np.uint8 if counts.max(initial=0) < 256 else np.uint16))


def build_request(session: Session, job_id: str) -> tuple[NarrationRequest, Result]:
    """Turn what the user chose into a request, and an empty result for the answer.

    Raises
    ------
    NeurratorError
        Where something is missing, in one sentence.
    """
    if session.recording is None:
        raise NeurratorError("Open a recording first, or the simulated sample.")
    if not session.selected:
        raise NeurratorError("No units are selected; draw a lasso round some, or select by query.")
    if session.decoder is None:
        raise NeurratorError("No decoder is chosen; fit one or choose the folder of a fitted one.")
    if session.moments is None or session.stimulus is None:
        raise NeurratorError("There are no frames to narrate; choose a stimulus whose frames are known.")
    key = session.key()
    if key is None:
        raise NeurratorError(
            f"Frame {session.frame + 1} was not on screen in showing {session.repeat + 1}; move the slider."
        )
    if not session.spikes_ready:
        raise NeurratorError("The spike times are still being read; narrate in a moment.")
    known = set(session.decoder.unit_ids)
    units = [unit for unit in session.selected if unit in known]
    if not units:
        raise NeurratorError(
            "None of the selected units was there when the decoder was fitted; select others or fit a decoder on them."
        )
    window, row = session.decoder.window, key.moment
    start = session.moments.time(row) + window.lag_s
    counts = session.recording.spikes.count(np.array([start]), window.n_bins, window.bin_s, units)
    frame = np.ascontiguousarray(session.stimulus.frame(session.moments.frame(row)))
    request = NarrationRequest(
        job_id=job_id,
        decoder=session.decoder_folder,
        unit_ids=units,
        windows=pack_counts(np.asarray(counts)),
        frames=PackedArray.pack(frame[None]),
        want=["concepts", "patches", "evidence", "text", "reference"],
        prompt=session.prompt.strip() or None,
        n_concepts=N_CONCEPTS,
    )
    result = Result(
        key=key,
        frame=session.frame,
        repeat=session.repeat,
        n_units=len(units),
        n_unknown=len(session.selected) - len(units),
        held_out=bool(session.held_out),
    )
    return request, result


def grown(result: Result, event: Event) -> Result:
    """Return `result` with what `event` brought."""
    if isinstance(event, Token):
        return replace(result, text=result.text + event.text)
    if isinstance(event, Sentence):
        return replace(result, text=event.text, spoken=True, reference=event.reference, prior=event.prior)
    if isinstance(event, Concepts):
        maps = [
            ConceptMap(c.feature, c.name, c.strength, c.heatmap.unpack(), c.given or c.name, c.score)
            for c in event.concepts
        ]
        return replace(result, concepts=tuple(maps), dictionary=event.dictionary, naming=event.naming)
    if isinstance(event, Patches):
        return replace(
            result, cosine=event.cosine.unpack(), mean_cosine=event.mean_cosine, prior_cosine=event.prior_cosine
        )
    if isinstance(event, Judged):
        return replace(result, evidence=event.evidence, problem=event.problem)
    if isinstance(event, Done):
        return replace(result, finished=True)
    return result


class Narrator:
    """Narrates on demand, and by itself while the session is live. One narration runs at a time: a new one displaces it."""

    def __init__(self, session: Session, link: BackendLink) -> None:
        self.session, self.link = session, link
        self._job_id = ""
        self._pending: Result | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._live)
        self._following = QTimer()
        self._following.setSingleShot(True)
        self._following.setInterval(FOLLOW_MS)
        self._following.timeout.connect(self._follow)
        events = session.events
        self._links: list[tuple[Any, Any]] = [
            (events.selected, self._on_selection),
            (events.prompt, self._on_slider),
            (events.frame, self._on_slider),
            (events.repeat, self._on_slider),
            (events.decoder, self._on_selection),
            (events.live, self._on_selection),
            (events.spikes_ready, self._on_selection),
            (events.playing, self._on_selection),
            (session.results_grew, self._on_grown),
        ]
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        self._timer.stop()
        self._following.stop()
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        self._displace()

    def narrate(self) -> None:
        """Narrate the present selection and frame; what is missing is said to the user."""
        self._timer.stop()
        self._start(silently=False)

    def stop(self) -> None:
        """Stop the narration that runs; what has been said so far stays."""
        self._timer.stop()
        if self._job_id:
            self.link.cancel(self._job_id)

    # -- what the user does ----------------------------------------------------------------------------------------------------------
    def _on_selection(self) -> None:
        self._retarget(0)

    def _on_slider(self) -> None:
        self._retarget(SLIDER_MS)

    def _retarget(self, wait_ms: int) -> None:
        """Show what is known of the new state, which may be nothing: old words never stand beside new units or frames."""
        session = self.session
        key = session.key()
        if self._pending is not None and key != self._pending.key:
            self._displace()
        cached = None if key is None else session.results.get(key)
        self._timer.stop()
        if session.playing:
            # the docks follow a few times a second, as fast as one can read; what is to be said is worked out ahead
            if not self._following.isActive():
                self._following.start()
            return
        if session.result is not cached and not (self._pending is not None and self._pending.key == key):
            session.result = cached
        if session.live and key is not None and (cached is None or not cached.finished):
            if wait_ms:
                self._timer.start(wait_ms)
            else:
                self._live()

    def _follow(self) -> None:
        """Show in the docks what is known of where the play head is now."""
        key = self.session.key()
        cached = None if key is None else self.session.results.get(key)
        if self._pending is None and cached is not None and self.session.result is not cached:
            self.session.result = cached

    def _on_grown(self) -> None:
        if not self.session.playing:
            self._follow()

    def _live(self) -> None:
        if self.session.live and not self.session.playing and self.session.key() is not None and self._pending is None:
            self._start(silently=True)

    # -- the job ---------------------------------------------------------------------------------------------------------------------
    def _start(self, silently: bool) -> None:
        session = self.session
        if session.job.kind == "fitting":
            if not silently:
                session.warn("A decoder is being fitted; narrate when it is done.")
            return
        self._displace()
        job_id = uuid.uuid4().hex
        try:
            request, result = build_request(session, job_id)
        except NeurratorError as error:
            if silently:
                session.status = str(error)
            else:
                session.fail(str(error))
            return
        self._job_id, self._pending = job_id, result
        session.result = result
        session.job = Job("narrating", "Decoding")
        self.link.submit(request, self._on_event)

    def _displace(self) -> None:
        if self._job_id:
            self.link.cancel(self._job_id, silently=True)
            self._job_id, self._pending = "", None
            if self.session.job.kind == "narrating":
                self.session.job = Job()

    def _on_event(self, event: Event) -> None:
        if event.job_id != self._job_id or self._pending is None:
            return
        session = self.session
        if isinstance(event, Progress):
            session.job = Job("narrating", event.stage.capitalize(), event.done, event.total, event.detail)
        elif isinstance(event, Done | Cancelled | Failed):
            result, self._pending, self._job_id = grown(self._pending, event), None, ""
            session.job = Job()
            if isinstance(event, Done):
                session.results[result.key] = result
                let_go(session.results)
                session.result = result
                session.status = ""
            elif isinstance(event, Failed):
                session.fail(event.message)
            else:
                session.status = "Stopped."
        else:
            self._pending = grown(self._pending, event)
            if isinstance(event, Token) and session.job.stage != "Speaking":
                session.job = Job("narrating", "Speaking")
            session.result = self._pending
