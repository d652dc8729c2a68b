"""What the chosen units said in one showing, frame by frame: the sentence that stands at a frame, its heatmap, and the lanes of the track."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
from psygnal import Signal

from .findings import Result
from .player import Player
from .state import PATCHES, Session

MAP_REACH_S = 0.25
"""A heatmap stays this long where no newer one is known: about as long as the spikes it was decoded from."""
STANDS_S = 2.0
"""A sentence stands this long while the film plays, or until the next is due: later, it would lie over another scene."""
NOT_COMPUTED, UNKNOWN, GREYED, BETTER = 0, 1, 2, 3
"""Evidence of a moment in the track: none yet; cannot be said, or is no test; no more than chance; more than chance."""


def standing(result: Result) -> int:
    """Return which of the four a result is."""
    if result.evidence is None:
        return UNKNOWN if result.problem else NOT_COMPUTED
    if result.greyed:
        return GREYED
    return BETTER if result.held_out and result.evidence.better else UNKNOWN


class Showing:
    """Reads ``session.results`` for the units, decoder, prompt and showing of the moment, and keeps ``session.spoken`` right.

    Attributes
    ----------
    frames : list of int
        Frames of which something is known, ascending.
    results : list of Result
        What is known of each.
    told : list of int
        Frames of which there is a sentence, ascending.
    """

    changed = Signal()

    def __init__(self, session: Session, player: Player) -> None:
        self.session, self.player = session, player
        self.frames: list[int] = []
        self.results: list[Result] = []
        self.told: list[int] = []
        self._sentences: list[Result] = []
        events = session.events
        self._links: list[tuple[Any, Callable]] = [
            (signal, self.refresh)
            for signal in (
                events.selected, events.decoder, events.prompt, events.repeat, session.results_grew, session.scene_changed
            )
        ]  # fmt: skip
        self._links += [(events.result, self._on_result), (events.frame, self._speak), (events.playing, self._speak)]
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []

    def refresh(self, *_: Any) -> None:
        """Read the results anew."""
        session = self.session
        units, decoder, prompt = session.selected, session.decoder_folder, session.prompt.strip()
        found = sorted(
            (
                (result.frame, result)
                for key, result in session.results.items()
                if (key.units is units or key.units == units)
                and key.decoder == decoder
                and key.prompt == prompt
                and result.repeat == session.repeat
            ),
            key=lambda pair: pair[0],
        )
        self.frames, self.results = [frame for frame, _ in found], [result for _, result in found]
        told = [result for result in self.results if result.text.strip() and result.spoken]
        self.told, self._sentences = [result.frame for result in told], told
        self._speak()
        self.changed.emit()

    def sentence(self, frame: int) -> Result | None:
        """Return the sentence that stands at `frame`: that of the last moment at or before it."""
        at = bisect_right(self.told, frame) - 1
        return self._sentences[at] if at >= 0 else None

    def map_at(self, frame: int) -> Result | None:
        """Return the moment whose maps lie on `frame`: the last one that is known, if it is not long ago."""
        at = bisect_right(self.frames, frame) - 1
        if at < 0:
            return None
        clock = self.player.clock
        late = clock.onset(frame) - clock.onset(self.frames[at])
        return self.results[at] if late <= MAP_REACH_S else None

    def strength(self, shown: str | None) -> np.ndarray:
        """Return how strong what lies on the frame is at each of `frames`, (n,).

        It is the strength of the concept, the mean patch cosine, or where nothing is chosen the strength of the strongest concept; NaN where it is not
        known, or not among the strongest.
        """
        return np.array([strength_in(result, shown) for result in self.results], float)

    def top(self, shown: str | None) -> float:
        """Return the largest patch of a concept's maps in this showing; 1 for the patch match."""
        if shown == PATCHES:
            return 1.0
        tops = [float(np.nanmax(c.heatmap)) for r in self.results for c in r.concepts if c.name == shown]
        return max(tops, default=1e-6)

    def standings(self) -> np.ndarray:
        """Return the evidence at each of `frames`, (n,)."""
        return np.array([standing(result) for result in self.results], int)

    def _on_result(self, result: Result | None) -> None:
        if not self.session.playing:
            self.session.spoken = result
            if result is not None and result.finished:
                self.refresh()

    def _speak(self, *_: Any) -> None:
        session = self.session
        session.spoken = self._subtitle() if session.playing else session.result

    def _subtitle(self) -> Result | None:
        """Return the sentence at the play head, unless it is too old to be of what is on screen."""
        session, clock = self.session, self.player.clock
        said = self.sentence(session.frame)
        if said is None:
            return None
        late = clock.onset(session.frame) - clock.onset(said.frame)
        return said if late <= max(STANDS_S, session.sentence_every_s) else None


def strength_in(result: Result, shown: str | None) -> float:
    """Return how strong `shown` is in one result; see `Showing.strength`."""
    if shown == PATCHES:
        return np.nan if result.mean_cosine is None else result.mean_cosine
    if shown is None:
        return max((concept.strength for concept in result.concepts), default=np.nan)
    return next((concept.strength for concept in result.concepts if concept.name == shown), np.nan)
