"""The Play dock under the film: play, how fast, the track, and the spikes of the chosen units on the same axis of time."""

import time
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QSizePolicy, QVBoxLayout, QWidget
from superqt import QFlowLayout

from . import parts
from .ahead import MAP_EVERY_S
from .player import SPEEDS
from .raster_view import RasterView, words_of
from .track import IN_WORDS, STANDINGS, Track
from .workspace import Workspace

EVERY_S = (0.25, 0.5, 1.0, 2.0, 5.0)
SPANS_S = (0.0, 30.0, 10.0, 3.0)
REDRAW_MS = 200
CAPTION_S = 0.1


class PlayDock(parts.Listener):
    """Transport, track, raster and rate."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace, self.player = workspace, workspace.player
        self._timed_s = 0.0
        session = self.session
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(4)
        layout.addWidget(self._transport())
        self.track = Track(session, workspace.showing)
        self.raster = RasterView(session, self.player, workspace.ahead.background)
        layout.addWidget(self.track)
        layout.addWidget(self.raster, 1)
        self.key = parts.text(quiet=True, points=8.5, wrap=False)
        self.key.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.key.setTextFormat(Qt.TextFormat.RichText)
        self.key.setText(
            "evidence: "
            + " &nbsp; ".join(f'<span style="color:{STANDINGS[k]}">■</span> {IN_WORDS[k]}' for k in STANDINGS)
        )
        self.whose = parts.text(quiet=True, points=8.5, wrap=False)
        foot = parts.row(self.key, self.whose)
        layout.addWidget(foot)
        foot.layout().setStretch(0, 1)  # type: ignore[union-attr]
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self.track.redraw)
        for strip in (self.track, self.raster):
            strip.went.connect(self._go)
            strip.stepped.connect(self.player.go)

        events = session.events
        self.listen(self._show_playing, events.playing, events.stimulus)
        self.listen(self._show_speed, events.speed)
        self.listen(lambda: self.loop.setChecked(session.loop), events.loop)
        self.listen(self._show_every, events.sentence_every_s)
        self.listen(self._show_head, workspace.player.followed)
        self.listen(self._show_span, events.repeat, events.stimulus, session.scene_changed)
        self.listen(
            self._read, events.selected, events.repeat, events.only_good, events.spikes_ready, session.scene_changed
        )
        self.listen(self.raster.redraw, events.colour_by, events.contribution, events.dark, session.units_described)
        self.listen(self._soon, events.shown, workspace.showing.changed)
        self.listen(self._show_ahead, events.ahead, events.filling, events.selected, events.decoder, events.stimulus)

    def _transport(self) -> QWidget:
        """Make the buttons; where there is no room for all beside each other, they wrap."""
        self.play = parts.button(
            "▶  Play", self.player.toggle, "Run the film at its own rate, with sentences and heatmap (K)", primary=True
        )
        self.play.setFixedWidth(88)
        self.speed = QComboBox()
        self.speed.addItems([f"{speed:g}×" for speed in SPEEDS])
        self.speed.setToolTip("How fast the film runs")
        self.speed.activated.connect(self._on_speed)
        parts.named(self.speed, "Speed of the film")
        self.loop = parts.named(QCheckBox("loop"), "Begin again at the end")
        self.loop.setToolTip("Begin again at the end")
        self.loop.toggled.connect(self._on_loop)
        self.time = parts.text(wrap=False)
        self.time.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.span = QComboBox()
        self.span.addItems([f"{seconds:g} s" if seconds else "all of it" for seconds in SPANS_S])
        self.span.setToolTip("How much of the showing the track and the spikes cover")
        self.span.activated.connect(self._show_span)
        parts.named(self.span, "Time covered by track and spikes")
        self.every = QComboBox()
        self.every.addItems([f"sentence every {seconds:g} s" for seconds in EVERY_S])
        self.every.setToolTip("How far apart in the film the sentences are")
        self.every.activated.connect(self._on_every)
        parts.named(self.every, "Film between two sentences")
        self.whole = parts.button(
            "Narrate whole showing",
            self._on_whole,
            "Work out sentences, maps and evidence of all of this showing (Shift+N)",
        )
        self.ahead = parts.text(quiet=True, points=8.5, wrap=False)
        self.spikes = parts.toggle("Spikes", "Show or hide raster and rate")
        self.spikes.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.spikes.setChecked(True)
        self.spikes.toggled.connect(self._on_spikes)
        for widget in (self.loop, self.time, self.ahead):
            # on one line with the buttons
            widget.setFixedHeight(self.play.sizeHint().height())
        box = QWidget()
        flow = QFlowLayout(box)
        flow.setContentsMargins(0, 0, 0, 0)
        flow.setHorizontalSpacing(6)
        flow.setVerticalSpacing(4)
        for widget in (
            self.play,
            self.speed,
            self.loop,
            self.time,
            self.span,
            self.spikes,
            self.every,
            self.whole,
            self.ahead,
        ):
            flow.addWidget(widget)
        return box

    def let_go(self) -> None:
        """Disconnect from the session."""
        super().let_go()
        self.raster.forget()

    def _go(self, seconds: float) -> None:
        """Go to a place that was clicked: to the moment nearby of which something is known, if there is one."""
        clock, known = self.player.clock, self.workspace.showing.frames
        if known and len(clock):
            onsets = np.array([clock.onset(frame) for frame in known])
            near = int(np.abs(onsets - seconds).argmin())
            if abs(onsets[near] - seconds) <= MAP_EVERY_S:
                seconds = float(onsets[near])
        self.player.go(seconds)

    # -- doing -----------------------------------------------------------------------------------------------------------------------
    def _on_speed(self, i: int) -> None:
        self.session.speed = SPEEDS[i]

    def _on_loop(self, on: bool) -> None:
        self.session.loop = on

    def _on_every(self, i: int) -> None:
        self.session.sentence_every_s = EVERY_S[i]

    def _on_whole(self) -> None:
        self.workspace.ahead.narrate_whole()

    def _on_spikes(self, on: bool) -> None:
        self.raster.setVisible(on)
        self.whose.setVisible(on)

    # -- showing ---------------------------------------------------------------------------------------------------------------------
    def _show_playing(self) -> None:
        on = self.session.playing
        self.play.setText("❚❚  Pause" if on else "▶  Play")
        self.play.setAccessibleName("Pause the film" if on else "Play the film")
        self.play.setEnabled(self.session.stimulus is not None)

    def _show_speed(self) -> None:
        near = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.session.speed))
        self.speed.setCurrentIndex(near)

    def _show_every(self) -> None:
        near = min(range(len(EVERY_S)), key=lambda i: abs(EVERY_S[i] - self.session.sentence_every_s))
        self.every.setCurrentIndex(near)
        self._soon()

    def _soon(self) -> None:
        if hasattr(self, "_redraw") and not self._redraw.isActive():
            self._redraw.start()

    def _show_head(self) -> None:
        clock = self.player.clock
        seconds = clock.onset(self.session.frame)
        page = SPANS_S[max(0, self.span.currentIndex())]
        if page and not self.track.start_s <= seconds < self.track.stop_s:
            self._show_span()
        for strip in (self.track, self.raster):
            strip.head(seconds)
        # nobody reads numbers faster, and a label that changes lays the dock out anew
        if self.session.playing and time.perf_counter() - self._timed_s < CAPTION_S:
            return
        self._timed_s = time.perf_counter()
        if len(clock):
            # as wide as the longest, so that nothing moves while it runs
            widest = f"{clock.length:.2f} of {clock.length:.2f} s"
            self.time.setFixedWidth(self.time.fontMetrics().horizontalAdvance(widest) + 8)
            self.time.setText(f"{seconds:.2f} of {clock.length:.2f} s")
        else:
            self.time.setText("")

    def _show_span(self, *_: Any) -> None:
        """Turn to the page of the showing that holds the play head."""
        clock = self.player.clock
        page = SPANS_S[max(0, self.span.currentIndex())]
        start, stop = 0.0, max(clock.length, 1e-3)
        if page and page < clock.length:
            start = page * (clock.onset(self.session.frame) // page)
            stop = start + page
        for strip in (self.track, self.raster):
            strip.STEP_S = clock.length / len(clock) if len(clock) else 1.0
            strip.span(start, stop)
        self._show_head()
        self._soon()

    def _read(self) -> None:
        session = self.session
        if session.recording is None:
            self.whose.setText("")
        else:
            self.whose.setText(words_of(session, len(session.selected) or int(session.visible.sum())))
        if self.spikes.isChecked():
            QTimer.singleShot(0, self._read_now)

    def _read_now(self) -> None:
        if not self.workspace.closed:
            self.raster.read()

    def _show_ahead(self) -> None:
        session = self.session
        job = session.ahead
        self.whole.setText("Stop narrating" if session.filling else "Narrate whole showing")
        self.whole.setEnabled(
            session.filling or (session.decoder is not None and bool(session.selected) and session.stimulus is not None)
        )
        words = f"{job.stage.lower()}: {100 * job.done // job.total} %" if job.busy and job.total else ""
        self.ahead.setText(words)


def play_dock(viewer: Any) -> PlayDock:
    """Make the dock for a viewer."""
    workspace = Workspace.of(viewer)
    dock = PlayDock(workspace)
    workspace.when_closed(dock.let_go)
    return dock
