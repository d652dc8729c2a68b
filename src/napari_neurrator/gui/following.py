"""What is followed through a whole showing: asked for piece by piece in the background, once the hand rests and nothing else is asked of the models."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from cachetools import LRUCache
from qtpy.QtCore import QTimer

from ..backend import protocol as p
from ..errors import NeurratorError, in_words
from .backend_link import BackendLink
from .findings import Units
from .state import Session
from .threads import Background
from .waiting_job import WaitingJob

REST_MS = 350
"""How long the hand has to rest before something is begun or gone on with."""
CHUNK = 64
"""Moments a request: so few that their spikes are counted and sent in a blink."""

Key = TypeVar("Key", bound=Hashable)
Known = TypeVar("Known")


def coarse_to_fine(n: int) -> np.ndarray:
    """Return 0 … n-1 in an order that shows the whole early: every 16th, then those between, and so on."""
    order: list[int] = []
    step = 16
    seen: set[int] = set()
    while step:
        new = [i for i in range(0, n, step) if i not in seen]
        seen.update(new)
        order += new
        step //= 2
    return np.array(order, dtype=int)


class FilmFollower(ABC, Generic[Key, Known]):
    """Asks for the pieces of what the session shows, one at a time; what is known is not asked for twice.

    Parameters
    ----------
    session : Session
        Whose fields say what is wanted.
    link : BackendLink
        Where it is asked for.
    background : Background
        Counts spikes.
    signals : sequence of Signal
        What else changes what is wanted, beside units, decoder, showing and the scene.
    """

    kept: ClassVar[int]
    """How many are remembered."""

    def __init__(self, session: Session, link: BackendLink, background: Background, signals: Sequence[Any]) -> None:
        self.session, self.background = session, background
        self.job = WaitingJob(session, link)
        self._asked: Any = None
        self._known: LRUCache[Key, Known] = LRUCache(self.kept)
        self._closed = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._next)
        events = session.events
        self._signals = (
            *signals, events.selected, events.decoder, events.repeat, events.spikes_ready, session.scene_changed,
        )  # fmt: skip
        for signal in self._signals:
            signal.connect(self._retarget)
        events.job.connect(self._on_job)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        # what was put off until the window's thread is free may still come
        self._closed = True
        self._timer.stop()
        for signal in self._signals:
            signal.disconnect(self._retarget)
        self._signals = ()
        self.session.events.job.disconnect(self._on_job)
        self.drop()
        self.job.close()

    # -- what a kind of follower says -------------------------------------------------------------------------------------------------
    @abstractmethod
    def retarget(self) -> bool:
        """Show what is known of what is wanted now, and drop what is no longer; return whether anything is wanted."""

    @abstractmethod
    def go_on(self) -> None:
        """Ask for the next piece that is not known yet, if there is one."""

    @abstractmethod
    def nothing_yet(self, key: Key) -> Known:
        """Return what is known of a key that was not asked for before."""

    @abstractmethod
    def hear(self, event: p.Event) -> None:
        """Take in what the backend says of the piece that was asked for."""

    # -- for them ----------------------------------------------------------------------------------------------------------------------
    def units(self) -> Units:
        """Return the selected units that the decoder knows."""
        known = set(self.session.decoder.unit_ids)
        return tuple(unit for unit in self.session.selected if unit in known)

    def known(self, key: Key) -> Known:
        """Return what is known of a key."""
        if key not in self._known:
            self.keep(key, self.nothing_yet(key))
        return self._known[key]

    def keep(self, key: Key, known: Known) -> None:
        """Remember what is known of a key."""
        self._known[key] = known

    def ask(self, asked: Any, prepare: Callable[[], Callable[[], Any]]) -> None:
        """Remember what is `asked`, and submit the request for it unless something else is asked for meanwhile.

        What `prepare` returns makes the request in the background; `prepare` itself is called here and now, and may raise `NeurratorError`.
        """
        self._asked = asked

        def submit(request: Any) -> None:
            if self._asked is asked:
                self.job.start(request, self._on_event)

        def failed(error: BaseException) -> None:
            if self._asked is asked:
                self._on_event(p.Failed(job_id="x", message=in_words(error)))

        try:
            make = prepare()
        except NeurratorError as error:
            failed(error)
        else:
            self.background.run(make, submit, failed)

    def drop(self) -> None:
        """Ask for it no longer."""
        self.job.stop()
        self._asked = None

    # -- when --------------------------------------------------------------------------------------------------------------------------
    def _retarget(self, *_: Any) -> None:
        if not self.retarget():
            self._timer.stop()
        elif self._asked is None:
            self._timer.start()

    def _on_job(self, *_: Any) -> None:
        # What the user waits for goes first, and between two of it there is no time for a piece of this.
        if self.session.job.busy:
            self._timer.stop()
            self.drop()
        else:
            self._retarget()

    def _next(self) -> None:
        if not self._closed and self._asked is None and self.session.spikes_ready and not self.session.job.busy:
            self.go_on()

    def _on_event(self, event: p.Event) -> None:
        if self._asked is None:
            return
        self.hear(event)
        if isinstance(event, p.Done | p.Cancelled | p.Failed):
            self._asked = None
            # the slider's own events come first
            QTimer.singleShot(0, self._next)
