"""Follows how close decoded and true patches are through the whole showing, in the background and only while nothing else is asked of the models."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from ..backend import protocol as p
from ..errors import NeurratorError, in_words
from .backend_link import BackendLink
from .course import CHUNK, REST_MS, coarse_to_fine
from .findings import Match, MatchKey
from .narrator import pack_counts
from .shown_frames import shown_frames
from .state import Session
from .threads import Background
from .waiting_job import WaitingJob

KEPT = 40


class MatchFollower:
    """Keeps ``session.match`` that of the patches that are inspected, or of all, while ``session.match_open``; what is known is not asked for twice."""

    def __init__(self, session: Session, link: BackendLink, background: Background) -> None:
        self.session, self.background = session, background
        self._job = WaitingJob(session, link)
        self._known: OrderedDict[MatchKey, Match] = OrderedDict()
        self._asked: tuple[MatchKey, np.ndarray] | None = None
        self._closed = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._go_on)
        events = session.events
        self._links: list[tuple[Any, Callable]] = [
            (signal, self._retarget)
            for signal in (
                events.match_open, events.inspected, events.selected, events.decoder, events.repeat, events.geometry, events.spikes_ready,
                session.scene_changed,
            )
        ]  # fmt: skip
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        # what was put off until the window's thread is free may still come
        self._closed = True
        self._timer.stop()
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        self._job.close()

    # -- what is wanted --------------------------------------------------------------------------------------------------------------
    def key(self) -> MatchKey | None:
        """Return what is to be followed, or None where there is nothing."""
        session = self.session
        if not session.match_open or session.decoder is None or session.moments is None or session.stimulus is None:
            return None
        known = set(session.decoder.unit_ids)
        units = tuple(unit for unit in session.selected if unit in known)
        if not units or session.geometry is None:
            return None
        patches = () if session.inspected is None else tuple(sorted(session.inspected.patches))
        if len(patches) == session.geometry.rows * session.geometry.columns:
            patches = ()
        return MatchKey(session.source, session.stimulus_name, session.decoder_folder, session.repeat, units, patches)

    def _retarget(self, *_: Any) -> None:
        key = self.key()
        if self._asked is not None and self._asked[0] != key:
            self._job.stop()
            self._asked = None
        found = None if key is None else self._match(key)
        if found is not self.session.match:
            self.session.match = found
        if key is None:
            self._timer.stop()
        elif self._asked is None:
            self._timer.start()

    def _match(self, key: MatchKey) -> Match:
        found = self._known.get(key)
        if found is None:
            session = self.session
            assert session.moments is not None
            n = session.stimulus.n_frames
            rows = len(key.patches) or session.geometry.rows * session.geometry.columns
            unknown = np.full(n, np.nan, np.float32)
            cosine = np.full((n, rows), np.nan, np.float32)
            found = Match(key, cosine, unknown, unknown, unknown, len(session.moments.rows(key.repeat)[0]))
            self._keep(found)
        return found

    def _keep(self, match: Match) -> None:
        self._known[match.key] = match
        self._known.move_to_end(match.key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    # -- the jobs --------------------------------------------------------------------------------------------------------------------
    def _go_on(self) -> None:
        """Ask for the next moments that are not known yet."""
        session, key = self.session, self.key()
        if self._closed or key is None or self._asked is not None or not session.spikes_ready:
            return
        assert session.moments is not None
        match = self._match(key)
        frames, rows = session.moments.rows(key.repeat)
        order = coarse_to_fine(len(frames))
        some = order[~np.isfinite(match.prior[frames[order]])][:CHUNK]
        if match.problem or not len(some):
            return
        self._asked = asked = (key, frames[some])
        window, recording = session.decoder.window, session.recording
        starts = session.moments.table["time"].to_numpy()[rows[some]] + window.lag_s
        try:
            shown = shown_frames(session)
        except NeurratorError as error:
            self._failed(asked)(error)
            return

        def count() -> p.MatchRequest:
            counts = recording.spikes.count(starts, window.n_bins, window.bin_s, list(key.units))
            return p.MatchRequest(
                job_id="x", decoder=key.decoder, unit_ids=list(key.units), windows=pack_counts(np.asarray(counts)), shown=shown,
                frames=asked[1].tolist(), patches=list(key.patches) or None,
            )  # fmt: skip

        def submit(request: p.MatchRequest) -> None:
            if self._asked is asked:
                self._job.start(request, self._on_event)

        self.background.run(count, submit, self._failed(asked))

    def _failed(self, asked: tuple[MatchKey, np.ndarray]) -> Callable[[BaseException], None]:
        def failed(error: BaseException) -> None:
            if self._asked is asked:
                self._on_event(p.Failed(job_id="x", message=in_words(error)))

        return failed

    def _on_event(self, event: p.Event) -> None:
        if self._asked is None:
            return
        key, frames = self._asked
        match = self._match(key)
        if isinstance(event, p.Progress):
            match = replace(match, stage=event.stage)
        elif isinstance(event, p.Matches):
            cosine, prior, low, high = (np.array(a) for a in (match.cosine, match.prior, match.low, match.high))
            part = frames[event.start : event.start + event.prior.shape[0]]
            cosine[part], prior[part] = event.cosine.unpack(), event.prior.unpack()
            low[part], high[part] = event.low.unpack(), event.high.unpack()
            match = replace(match, cosine=cosine, prior=prior, low=low, high=high, stage="")
        elif isinstance(event, p.Done | p.Cancelled | p.Failed):
            self._asked = None
            match = replace(match, stage="", problem=getattr(event, "message", ""))
            # the slider's own events come first
            QTimer.singleShot(0, self._go_on)
        self._keep(match)
        if self.key() == key:
            self.session.match = match
