"""Follows how close decoded and true patches are through the whole showing."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..backend import protocol as p
from .backend_link import BackendLink
from .findings import Match, MatchKey
from .following import CHUNK, FilmFollower, coarse_to_fine
from .narrator import pack_counts
from .shown_frames import shown_frames
from .state import Session
from .threads import Background


class MatchFollower(FilmFollower[MatchKey, Match]):
    """Keeps ``session.match`` that of the patches that are inspected, or of all, while ``session.match_open``."""

    kept: ClassVar[int] = 40

    def __init__(self, session: Session, link: BackendLink, background: Background) -> None:
        events = session.events
        super().__init__(session, link, background, (events.match_open, events.inspected, events.geometry))

    # -- what is wanted --------------------------------------------------------------------------------------------------------------
    def key(self) -> MatchKey | None:
        """Return what is to be followed, or None where there is nothing."""
        session = self.session
        if not session.match_open or session.decoder is None or session.moments is None or session.stimulus is None:
            return None
        units = self.units()
        if not units or session.geometry is None:
            return None
        patches = () if session.inspected is None else tuple(sorted(session.inspected.patches))
        if len(patches) == session.geometry.rows * session.geometry.columns:
            patches = ()
        return MatchKey(session.source, session.stimulus_name, session.decoder_folder, session.repeat, units, patches)

    def retarget(self) -> bool:
        """Show the match of what is inspected."""
        key = self.key()
        if self._asked is not None and self._asked[0] != key:
            self.drop()
        self.session.match = None if key is None else self.known(key)
        return key is not None

    def nothing_yet(self, key: MatchKey) -> Match:
        """Return a match without a cosine."""
        session = self.session
        assert session.moments is not None
        n = session.stimulus.n_frames
        n_patches = len(key.patches) or session.geometry.rows * session.geometry.columns
        unknown = np.full(n, np.nan, np.float32)
        cosine = np.full((n, n_patches), np.nan, np.float32)
        return Match(key, cosine, unknown, unknown, unknown, len(session.moments.rows(key.repeat)[0]))

    # -- the pieces ------------------------------------------------------------------------------------------------------------------
    def go_on(self) -> None:
        """Ask for the next moments that are not known yet."""
        session, key = self.session, self.key()
        if key is None:
            return
        assert session.moments is not None
        match = self.known(key)
        frames, rows = session.moments.rows(key.repeat)
        order = coarse_to_fine(len(frames))
        some = order[~np.isfinite(match.prior[frames[order]])][:CHUNK]
        if match.problem or not len(some):
            return
        window, recording = session.decoder.window, session.recording
        starts = session.moments.table["time"].to_numpy()[rows[some]] + window.lag_s
        numbers = frames[some].tolist()

        def prepare() -> Callable[[], p.MatchRequest]:
            shown = shown_frames(session)
            return lambda: p.MatchRequest(
                job_id="x", decoder=key.decoder, unit_ids=list(key.units), shown=shown, frames=numbers, patches=list(key.patches) or None,
                windows=pack_counts(np.asarray(recording.spikes.count(starts, window.n_bins, window.bin_s, list(key.units)))),
            )  # fmt: skip

        self.ask((key, frames[some]), prepare)

    def hear(self, event: p.Event) -> None:
        """Take in cosines, what goes on before them, or why there are none."""
        key, frames = self._asked
        match = self.known(key)
        if isinstance(event, p.Progress):
            match = replace(match, stage=event.stage)
        elif isinstance(event, p.Matches):
            cosine, prior, low, high = (np.array(a) for a in (match.cosine, match.prior, match.low, match.high))
            part = frames[event.start : event.start + event.prior.shape[0]]
            cosine[part], prior[part] = event.cosine.unpack(), event.prior.unpack()
            low[part], high[part] = event.low.unpack(), event.high.unpack()
            match = replace(match, cosine=cosine, prior=prior, low=low, high=high, stage="")
        elif isinstance(event, p.Done | p.Cancelled | p.Failed):
            match = replace(match, stage="", problem=getattr(event, "message", ""))
        self.keep(key, match)
        if self.key() == key:
            self.session.match = match
