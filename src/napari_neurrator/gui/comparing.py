"""Comparing groups of units at one moment: each is narrated, then their difference is held against that of random groups."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..backend import protocol as p
from ..errors import NeurratorError
from ..evaluation.words import content_words
from .asking import counts_at, frame_at
from .backend_link import BackendLink
from .findings import Compared, PairDifference, Result, ResultKey, Units
from .narrator import N_CONCEPTS, grown, pack_counts
from .state import PATCHES, Session
from .waiting_job import WaitingJob

SELECTION = "the selection"
MOST = 6


def candidates(session: Session) -> dict[str, Units]:
    """Return what can be compared: the selection, saved groups, then regions and cell types, by name."""
    if session.recording is None:
        return {}
    found: dict[str, Units] = {SELECTION: session.selected} if session.selected else {}
    found.update(session.groups)
    ids = np.array(session.unit_ids, dtype=object)
    for column in ("region", "cell_type"):
        names, codes = session.named(column)
        for number, name in enumerate(names):
            if name.strip() and name.lower() not in {"nan", "none", "unknown"}:
                found.setdefault(name, tuple(ids[(codes == number) & session.visible]))
    return {name: units for name, units in found.items() if units}


def only_in(of: str, sentences: Mapping[str, str]) -> list[str]:
    """Return the words of one sentence that no other says, each once; of sentences in English only words with content."""
    words = dict(zip(sentences, content_words(list(sentences.values())), strict=True))
    others = {word for name, some in words.items() if name != of for word in some}
    return [word for word in dict.fromkeys(words[of]) if word not in others]


def difference_map(compared: Compared, first: str, second: str, what: str) -> np.ndarray | None:
    """Return by how much more the first has of something than the second, by patch (rows, columns); None where it is not known.

    `what` is `PATCHES` for the match with the true frame, or a concept; one that is not listed for a group is not known of it.
    """
    both = [compared.said.get(name) for name in (first, second)]
    maps = []
    for result in both:
        found = None if result is None else result.cosine if what == PATCHES else next((c.heatmap for c in result.concepts if c.name == what), None)  # fmt: skip
        if found is None:
            return None
        maps.append(np.asarray(found, np.float32))
    return maps[0] - maps[1]


class Comparing:
    """Fills ``session.compared`` on demand."""

    def __init__(self, session: Session, link: BackendLink) -> None:
        self.session = session
        self._job = WaitingJob(session, link)
        self._left: list[str] = []
        session.events.compared.connect(self._on_compared)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        self.session.events.compared.disconnect(self._on_compared)
        self._job.close()

    def _on_compared(self, compared: Compared | None) -> None:
        if compared is None:
            self._job.stop()
            self.session.difference = None

    def compare(self, names: Iterable[str]) -> None:
        """Compare groups by their names (see `candidates`); what is missing is said to the user."""
        session = self.session
        self._job.stop()
        try:
            groups = self._groups(names)
        except NeurratorError as error:
            session.fail(str(error))
            return
        session.difference = None
        session.compared = Compared(session.frame, session.repeat, groups, stage="Asking the groups", total=len(groups))
        self._left = list(groups)
        self._next()

    def _groups(self, names: Iterable[str]) -> dict[str, Units]:
        session = self.session
        if session.decoder is None:
            raise NeurratorError("No decoder is chosen; fit one or choose the folder of a fitted one.")
        if session.moment is None or session.stimulus is None:
            raise NeurratorError("This frame was not on screen in this showing; move the slider.")
        if not session.spikes_ready:
            raise NeurratorError("The spike times are still being read; compare in a moment.")
        every, known = candidates(session), set(session.decoder.unit_ids)
        groups = {name: tuple(u for u in every[name] if u in known) for name in names if name in every}
        if not 2 <= len(groups) <= MOST:
            raise NeurratorError(f"Tick two groups or more to compare them, and {MOST} at most.")
        empty = next((name for name, units in groups.items() if not units), None)
        if empty is not None:
            raise NeurratorError(f"The decoder knows none of the units of {empty!r}: leave it out.")
        return groups

    def _next(self) -> None:
        """Narrate the next group, or compare once all have spoken."""
        session, now = self.session, self.session.compared
        if now is None:
            return
        if not self._left:
            self._differences(now)
            return
        name = self._left[0]
        units = now.groups[name]
        moments = session.moments
        row = None if moments is None else moments.row(now.frame, now.repeat)
        assert row is not None
        key = ResultKey(session.decoder_folder, session.prompt.strip(), row, units)
        known = session.results.get(key)
        if known is not None and known.finished and known.spoken and known.cosine is not None:
            self._said(name, known)
            return
        held_out = bool(session.decoder.is_held_out(now.repeat, now.frame))
        empty = Result(key, now.frame, now.repeat, len(units), held_out=held_out)
        session.compared = replace(now, said={**now.said, name: empty}, done=len(now.groups) - len(self._left))
        self._job.start(
            p.NarrationRequest(
                job_id="x",
                decoder=session.decoder_folder,
                unit_ids=list(units),
                windows=pack_counts(counts_at(session, now.frame, now.repeat, units)),
                frames=frame_at(session, now.frame, now.repeat),
                want=["concepts", "patches", "evidence", "text"],
                prompt=session.prompt.strip() or None,
                n_concepts=N_CONCEPTS,
            ),
            lambda event: self._on_said(name, event),
        )

    def _on_said(self, name: str, event: p.Event) -> None:
        now = self.session.compared
        if now is None or name not in now.said:
            return
        if isinstance(event, p.Failed | p.Cancelled):
            self._end(getattr(event, "message", "Stopped."))
            return
        result = grown(now.said[name], event)
        if isinstance(event, p.Done):
            self._said(name, result)
        elif result is not now.said[name]:
            self.session.compared = replace(now, said={**now.said, name: result})

    def _said(self, name: str, result: Result) -> None:
        now = self.session.compared
        assert now is not None
        self._left = [left for left in self._left if left != name]
        self.session.compared = replace(now, said={**now.said, name: result}, done=len(now.groups) - len(self._left))
        self._next()

    def _differences(self, now: Compared) -> None:
        session = self.session
        units = tuple(dict.fromkeys(unit for group in now.groups.values() for unit in group))
        session.compared = replace(now, stage="Comparing with random groups", done=0, total=0)
        self._job.start(
            p.CompareRequest(
                job_id="x",
                decoder=session.decoder_folder,
                unit_ids=list(units),
                windows=pack_counts(counts_at(session, now.frame, now.repeat, units)),
                groups={name: list(group) for name, group in now.groups.items()},
            ),
            self._on_difference,
        )

    def _on_difference(self, event: p.Event) -> None:
        session, now = self.session, self.session.compared
        if now is None:
            return
        if isinstance(event, p.Progress):
            session.compared = replace(now, stage=event.stage.capitalize(), done=event.done, total=event.total)
        elif isinstance(event, p.Difference):
            pair = PairDifference(event.first, event.second, event.distance, event.random.unpack(), event.p_adjusted)
            session.compared = replace(now, pairs=(*now.pairs, pair))
        elif isinstance(event, p.Done | p.Failed | p.Cancelled):
            self._end("" if isinstance(event, p.Done) else getattr(event, "message", "Stopped."))

    def _end(self, problem: str) -> None:
        now: Any = self.session.compared
        self.session.compared = replace(now, stage="", problem=problem)
