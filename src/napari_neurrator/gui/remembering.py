"""Keeps the window's settings from one start to the next, and the list of files opened last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from ..errors import NeurratorError
from ..settings import read_settings, write_settings
from .state import Session

KEPT = ("colour_by", "live", "only_good", "opacity", "speed", "loop", "sentence_every_s")
WRITE_MS = 1500


class Remembering:
    """Puts the settings into a new session, and writes them a little after they change.

    Attributes
    ----------
    settings : Settings
        As they are now.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.settings, self.problem = read_settings()
        for name in KEPT:
            setattr(session, name, getattr(self.settings, name))
        self._failed = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(WRITE_MS)
        self._timer.timeout.connect(self.write)
        self._links: list[tuple[Any, Callable]] = [(getattr(session.events, name), self._on_change) for name in KEPT]
        self._links.append((session.events.opened, self._on_opened))
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Write what has not been written, and stop listening."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        if self._timer.isActive():
            self._timer.stop()
            self.write()

    @property
    def recent(self) -> list[str]:
        """Sources opened last that can still be opened, as far as can be told without opening them."""
        return [source for source in self.settings.recent if "://" in source or Path(source).exists()]

    def forget_recent(self) -> None:
        """Empty the list of files opened last."""
        self.settings.recent = []
        self.write()

    def toured(self) -> None:
        """Remember that the tour was seen."""
        self.settings.toured = True
        self.write()

    def write(self) -> None:
        """Write the settings; that they cannot be is said once."""
        try:
            write_settings(self.settings)
        except NeurratorError as error:
            if not self._failed:
                self.session.warn(str(error))
            self._failed = True

    def _on_change(self, *_: Any) -> None:
        session = self.session
        for name in KEPT:
            # what only one recording can be coloured by is not a habit
            if name != "colour_by" or session.colour_by not in ("contribution", "session", "animal"):
                setattr(self.settings, name, getattr(session, name))
        self._timer.start()

    def _on_opened(self, opened: tuple[Any, ...]) -> None:
        before = list(self.settings.recent)
        for entry in opened:
            source = entry.source
            if not entry.pooled and ("://" in source or (source != "sample" and Path(source).exists())):
                source = source if "://" in source else str(Path(source).expanduser().resolve())
                if source not in before[:1]:
                    self.settings.opened(source)
        if self.settings.recent != before:
            self._timer.start()
