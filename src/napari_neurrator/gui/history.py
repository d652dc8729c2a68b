"""Undo and redo of selections and groups."""

from collections.abc import Callable, Mapping
from typing import Any

from .findings import Units
from .state import Session

MOST = 200
Step = tuple[Units, Mapping[str, Units]]


class History:
    """Remembers what was selected and grouped in the recording that is shown; another recording begins anew."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._past: list[Step] = []
        self._future: list[Step] = []
        self._now: Step = (session.selected, session.groups)
        self._moving = False
        self._links: list[tuple[Any, Callable]] = [
            (session.events.selected, self._on_change),
            (session.events.groups, self._on_change),
            (session.events.recording, self._forget),
        ]
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        return bool(self._future)

    def undo(self) -> None:
        """Go back to the selection and groups before."""
        self._move(self._past, self._future, "There is nothing to undo.")

    def redo(self) -> None:
        """Do again what was undone."""
        self._move(self._future, self._past, "There is nothing to do again.")

    def _move(self, take: list[Step], give: list[Step], otherwise: str) -> None:
        session = self.session
        if not take:
            session.status = otherwise
            return
        give.append(self._now)
        selected, groups = take.pop()
        self._moving = True
        try:
            session.groups = groups
            session.select(selected)
        finally:
            self._moving = False
        self._now = (session.selected, session.groups)

    def _on_change(self, *_: Any) -> None:
        step = (self.session.selected, self.session.groups)
        if self._moving or step == self._now:
            return
        self._past.append(self._now)
        del self._past[:-MOST]
        self._future.clear()
        self._now = step

    def _forget(self, *_: Any) -> None:
        self._past.clear()
        self._future.clear()
        self._now = (self.session.selected, self.session.groups)
