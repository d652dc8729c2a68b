"""Plays the film at its own rate: the clock of the showing says which frame is due, and frames that came too late are left out."""

import time
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt, QTimer

from .clock import FrameClock
from .state import Session

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
FOLLOW_S = 0.06
"""Sliders, play heads and numbers follow the film that often: drawing them at every frame would cost as much as the frame itself."""


class Player:
    """Moves ``session.frame`` while ``session.playing``.

    Attributes
    ----------
    clock : FrameClock
        Of the showing that is on.
    skipped : int
        Frames left out since play began, because the window was not ready for them.
    followed : Signal
        The frame changed, for what need not be drawn at every frame of a film that plays.
    """

    followed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.clock = FrameClock.of(None, 0, 0, None)
        self.skipped = 0
        self._moving = False
        self._followed_s = 0.0
        self._began, self._from_s = 0.0, 0.0
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        events = session.events
        self._links: list[tuple[Any, Any]] = [
            (events.playing, self._on_playing),
            (events.speed, self._anchor),
            (events.frame, self._on_frame),
            (events.repeat, self._read_clock),
            (events.moments, self._read_clock),
            (events.stimulus, self._read_clock),
            (session.scene_changed, self._read_clock),
        ]
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop."""
        self._timer.stop()
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []

    @property
    def follows(self) -> bool:
        """Whether what follows the film is due."""
        return time.perf_counter() - self._followed_s >= FOLLOW_S

    def _follow(self) -> None:
        self._followed_s = time.perf_counter()
        self.followed.emit()

    def toggle(self) -> None:
        """Play or pause."""
        self.session.playing = not self.session.playing

    def go(self, seconds: float) -> None:
        """Show the frame that is on at `seconds` of the showing."""
        self.session.frame = self.clock.at(min(max(0.0, seconds), self.clock.length))

    def jump(self, seconds: float) -> None:
        """Go so many seconds on, or back."""
        self.go(self.clock.onset(self.session.frame) + seconds)

    def _read_clock(self, *_: Any) -> None:
        session = self.session
        if session.stimulus is None:
            self.clock = FrameClock.of(None, 0, 0, None)
            session.playing = False
        else:
            rate = session.stimulus.frame_rate_hz
            self.clock = FrameClock.of(session.moments, session.repeat, session.stimulus.n_frames, rate)
        self._anchor()

    def _on_playing(self, on: bool) -> None:
        session = self.session
        if not on:
            self._timer.stop()
            self._follow()
            return
        if session.stimulus is None or len(self.clock) < 2:
            session.playing = False
            session.warn("There is no film to play; open a recording whose frames are known.")
            return
        if session.frame >= self.clock.frames[-1]:
            session.frame = int(self.clock.frames[0])
        self.skipped = 0
        self._anchor()
        self._timer.start(0)

    def _on_frame(self, _frame: int) -> None:
        # moved by the user
        if not self._moving:
            self._anchor()
        if not self.session.playing or self.follows:
            self._follow()

    def _anchor(self, *_: Any) -> None:
        self._began, self._from_s = time.perf_counter(), self.clock.onset(self.session.frame)

    def _now(self) -> float:
        return self._from_s + (time.perf_counter() - self._began) * self.session.speed

    def _tick(self) -> None:
        session, clock = self.session, self.clock
        if not session.playing or not len(clock):
            return
        now = self._now()
        if now >= clock.length:
            if not session.loop:
                self._move(int(clock.frames[-1]))
                session.playing = False
                return
            self._from_s, self._began = now % clock.length, time.perf_counter()
            now = self._from_s
        self._move(clock.at(now))
        now = self._now()
        self._timer.start(max(1, round(1000 * (clock.next_onset(now) - now) / session.speed)))

    def _move(self, frame: int) -> None:
        ahead = frame - self.session.frame
        if not ahead:
            return
        if ahead > 1:
            self.skipped += ahead - 1
        self._moving = True
        try:
            self.session.frame = frame
        finally:
            self._moving = False
