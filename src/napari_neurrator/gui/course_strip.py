"""The strip under the time slider: how strong the shown concept is from frame to frame, and where the slider stands."""

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolButton, QToolTip, QWidget

from . import compat, parts
from .findings import Course
from .state import PATCHES
from .workspace import Workspace

HEIGHT = 82
TITLE = 18
VALUE_PX = 80
LINE, FRAMES = "#f5762f", "#9aa3ae"


def nice_top(highest: float) -> float:
    """Return the round number at or above `highest` that an axis ends at."""
    for top in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000):
        if highest <= top:
            return float(top)
    return float(highest)


class CourseStrip(parts.Listener):
    """A small plot of ``session.course`` and ``session.ceiling`` that lines up with the slider; a click goes to that frame."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(workspace.session, parent)
        self.workspace, self.viewer = workspace, workspace.viewer
        self._wanted: bool | None = None
        self._curve: QPixmap | None = None
        self._curve_of: Any = None
        self._marked: QRectF | None = None
        self._seen_of: tuple[Any, str] = (None, "")
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Course of the shown concept over the film")
        self.shut = QToolButton(self)
        self.shut.setText("×")
        self.shut.setAutoRaise(True)
        self.shut.setToolTip("Hide the course; a concept's menu shows it again")
        self.shut.setAccessibleName("Hide the course")
        self.shut.setFixedSize(TITLE, TITLE)
        self.shut.clicked.connect(self._shut)
        session, events = self.session, self.session.events
        self.listen(self._show, events.course_open, events.shown, session.scene_changed, events.view, events.decoder)
        self.listen(self.update, events.course, events.ceiling, events.labels)
        self.listen(self._mark, workspace.player.followed)

    # -- what is drawn ---------------------------------------------------------------------------------------------------------------
    def _shut(self) -> None:
        self.session.course_open = False

    def _show(self) -> None:
        session = self.session
        wanted = (
            session.course_open
            and session.shown not in (None, PATCHES)
            and session.view == "probe"
            and session.moments is not None
            and session.stimulus is not None
            and session.stimulus.n_frames > 1
        )
        if wanted != self._wanted:
            self._wanted = wanted
            self.setVisible(wanted)
            # the canvas has another height now
            QTimer.singleShot(0, self.workspace.look)
        self.update()

    def _mark(self) -> None:
        """Move the marker: only where it was, where it comes and the value are painted again, for the film may be playing."""
        if self._marked is not None:
            self.update(self._marked.toAlignedRect())
        if self.session.course is not None and self.isVisible():
            self.update(self._band(self.plot()).toAlignedRect())
            self.update(self.width() - VALUE_PX - TITLE, 0, VALUE_PX, TITLE)

    def _band(self, area: QRectF) -> QRectF:
        """Return what the marker covers."""
        return QRectF(self.x_of(self.session.frame) - 5, area.top() - 5, 10, area.height() + 10)

    def title(self) -> tuple[str, str]:
        """Return what stands above the plot: on the left whose course it is, on the right the value at the slider."""
        session, course = self.session, self.session.course
        name = session.called(str(session.shown))
        if course is None:
            return f"{name}: choose a decoder and some units to see its course", ""
        if course.problem:
            return f"{name}: {course.problem}", ""
        n = len(course.key.units)
        words = f"{name} · {n} unit{'s' if n != 1 else ''}, showing {course.key.repeat + 1}{self._seen(course)}"
        if course.n_known < course.n_wanted:
            words += f" · {course.n_known} of {course.n_wanted} frames"
        value = course.strengths[session.frame] if session.frame < len(course.strengths) else np.nan
        return words, f"{value:+.1f} SD" if np.isfinite(value) else ""

    def _seen(self, course: Course) -> str:
        """Say whether the decoder was fitted on this showing."""
        decoder, moments = self.session.decoder, self.session.moments
        if decoder is None or moments is None:
            return ""
        of = (decoder, moments, course.key.repeat)
        if self._seen_of[0] is None or any(a is not b for a, b in zip(self._seen_of[0], of, strict=True)):
            frames, _ = moments.rows(course.key.repeat)
            some = frames[:: max(1, len(frames) // 50)]
            held = [decoder.is_held_out(course.key.repeat, int(frame)) for frame in some]
            words = " (held out)" if held and all(held) else " (partly held out)" if any(held) else " (seen in fitting)"
            self._seen_of = (of, words)
        return self._seen_of[1]

    def plot(self) -> QRectF:
        """Return where the plot lies: under the slider's track, so that its marker stands below the slider's handle."""
        track = compat.slider_track(self.viewer, self)
        left, right = track if track is not None else (40.0, self.width() - 40.0)
        return QRectF(left, TITLE + 8, max(right - left, 10.0), HEIGHT - TITLE - 13)

    def x_of(self, frame: float) -> float:
        """Return where a frame stands."""
        area, last = self.plot(), max(1, self._n_frames() - 1)
        return area.left() + area.width() * frame / last

    def frame_at(self, x: float) -> int:
        """Return the frame at a place."""
        area, last = self.plot(), max(1, self._n_frames() - 1)
        return int(np.clip(round((x - area.left()) / area.width() * last), 0, last))

    def _n_frames(self) -> int:
        return 1 if self.session.stimulus is None else self.session.stimulus.n_frames

    def span(self) -> tuple[float, float]:
        """Return the lowest and the highest value of the axis, standard deviations."""
        known = [c.strengths for c in (self.session.course, self.session.ceiling) if c is not None and c.n_known]
        if not known:
            return -1.0, 4.0
        low, high = min(float(np.nanmin(v)) for v in known), max(float(np.nanmax(v)) for v in known)
        return -max(1.0, np.ceil(-low)), nice_top(max(high, 1.0))

    # -- drawing ---------------------------------------------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the curve, which is kept as a picture, and the marker over it."""
        area = self.plot()
        ink = self.palette().windowText().color()
        state = (self.session.course, self.session.ceiling, area, self.width(), ink.name(), self.devicePixelRatioF())
        if self._curve is None or self._curve_of != state:
            self._curve, self._curve_of = self._draw_curve(area, ink), state
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPixmap(0, 0, self._curve)
        if event is None or event.rect().top() < TITLE:
            self._draw_title(painter, area, ink)
        self._marked = None
        if self.session.course is not None:
            self._marked = self._band(area)
            x = self.x_of(self.session.frame)
            painter.setPen(QPen(ink, 1.4))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            value = self._value(self.session.course, self.session.frame)
            if value is not None:
                painter.setBrush(QColor(LINE))
                painter.drawEllipse(QPointF(x, self._y(value, area)), 3.2, 3.2)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(parts.ACCENT), 1))
            painter.drawRect(area.adjusted(-3, -2, 3, 2))
        painter.end()

    @staticmethod
    def _value(course: Course, frame: int) -> float | None:
        value = course.strengths[frame] if frame < len(course.strengths) else np.nan
        return float(value) if np.isfinite(value) else None

    def _y(self, value: float, area: QRectF) -> float:
        low, high = self.span()
        return area.bottom() - (value - low) / (high - low) * area.height()

    def _draw_title(self, painter: QPainter, area: QRectF, ink: QColor) -> None:
        left, right = self.title()
        font = self.font()
        font.setPointSizeF(8.5)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        edge = self.width() - TITLE - 6
        painter.setPen(ink)
        room = edge - 8 - (metrics.horizontalAdvance(right) + 14 if right else 0)
        line = QRectF(8, 0, room, TITLE)
        painter.drawText(
            line, Qt.AlignmentFlag.AlignVCenter, metrics.elidedText(left, Qt.TextElideMode.ElideRight, room)
        )
        painter.drawText(
            QRectF(8, 0, edge - 8, TITLE), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, right
        )

    def _draw_curve(self, area: QRectF, ink: QColor) -> QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        course, ceiling = self.session.course, self.session.ceiling
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        quiet = QColor(ink)
        quiet.setAlpha(60)
        painter.setPen(QPen(quiet, 1))
        zero = self._y(0.0, area)
        painter.drawLine(QPointF(area.left(), zero), QPointF(area.right(), zero))
        if course is None:
            painter.end()
            return picture
        self._draw_axis(painter, area, ink)
        for one, colour, width in ((ceiling, FRAMES, 1.0), (course, LINE, 1.6)):
            if one is not None and one.n_known:
                self._draw_one(painter, area, one, QColor(colour), width, filled=one is course)
        painter.end()
        return picture

    def _draw_axis(self, painter: QPainter, area: QRectF, ink: QColor) -> None:
        font = self.font()
        font.setPointSizeF(7.5)
        painter.setFont(font)
        words = QColor(ink)
        words.setAlpha(170)
        painter.setPen(words)
        _, high = self.span()
        for value in (0.0, high):
            y = self._y(value, area)
            painter.drawText(
                QRectF(0, y - 8, area.left() - 8, 16),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                "usual" if value == 0 else f"+{value:g} SD",
            )
        if self.session.ceiling is not None and self.session.ceiling.n_known:
            painter.setPen(QPen(QColor(FRAMES), 1.4))
            x = area.right() + 8
            painter.drawLine(QPointF(x, area.top() + 8), QPointF(x + 10, area.top() + 8))
            painter.setPen(words)
            painter.drawText(
                QRectF(x + 13, area.top(), self.width() - x - 13, 16), Qt.AlignmentFlag.AlignVCenter, "true frame"
            )
            painter.setPen(QPen(QColor(LINE), 2))
            painter.drawLine(QPointF(x, area.top() + 23), QPointF(x + 10, area.top() + 23))
            painter.setPen(words)
            painter.drawText(
                QRectF(x + 13, area.top() + 15, self.width() - x - 13, 16), Qt.AlignmentFlag.AlignVCenter, "units"
            )

    def _draw_one(
        self, painter: QPainter, area: QRectF, course: Course, colour: QColor, width: float, filled: bool
    ) -> None:
        frames = np.flatnonzero(np.isfinite(course.strengths))
        last = max(1, self._n_frames() - 1)
        x = area.left() + area.width() * frames / last
        low, high = self.span()
        y = area.bottom() - (course.strengths[frames] - low) / (high - low) * area.height()
        zero = self._y(0.0, area)
        painter.setPen(QPen(colour, width))
        if self.session.stimulus is not None and not self.session.stimulus.frame_rate_hz:
            # pictures do not follow each other: a line between them would say what nobody measured
            shift = 0.0 if filled else 2.0
            for at, value in zip(x, y, strict=True):
                painter.drawLine(QPointF(at + shift, zero), QPointF(at + shift, value))
            return
        # a line leads from frame to frame, and across what is only not known yet, but not across frames that were not on
        shown = self.session.moments.rows(course.key.repeat)[0] if self.session.moments and course.key.units else frames
        jumps = np.concatenate([[0], np.cumsum(np.diff(shown) > 1)])[np.searchsorted(shown, frames)]
        breaks = np.flatnonzero(np.diff(jumps)) + 1
        for some in np.split(np.arange(len(frames)), breaks):
            points = [QPointF(a, b) for a, b in zip(x[some], y[some], strict=True)]
            if filled:
                # only what is above usual is filled: that is what says that the concept is there
                above = [QPointF(point.x(), min(point.y(), zero)) for point in points]
                body = QPolygonF([QPointF(x[some[0]], zero), *above, QPointF(x[some[-1]], zero)])
                fill = QColor(colour)
                fill.setAlpha(60)
                painter.setBrush(fill)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.drawPolygon(body)
                painter.setPen(QPen(colour, width))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(QPolygonF(points))

    # -- going there -----------------------------------------------------------------------------------------------------------------
    def _go(self, frame: int) -> None:
        self.session.frame = int(np.clip(frame, 0, self._n_frames() - 1))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to the frame under the mouse."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._go(self.frame_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Follow the mouse while it is held; otherwise say what is under it."""
        if event is None:
            return
        frame = self.frame_at(event.position().x())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(frame)
            return
        words = self.words_at(frame)
        if words:
            QToolTip.showText(event.globalPosition().toPoint(), words, self)

    def words_at(self, frame: int) -> str:
        """Say how strong the concept is at a frame."""
        session = self.session
        if session.course is None:
            return ""
        lines = [f"frame {frame + 1}"]
        for one, who in ((session.course, "these units"), (session.ceiling, "the true frame")):
            value = None if one is None else self._value(one, frame)
            if value is not None:
                lines.append(f"{who}: {value:+.1f} SD from usual")
        return "\n".join(lines)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Go a frame, a second, or to an end."""
        assert event is not None
        stimulus, frame = self.session.stimulus, self.session.frame
        second = max(1, round((stimulus.frame_rate_hz if stimulus is not None else None) or 10))
        steps = {
            Qt.Key.Key_Left: frame - 1,
            Qt.Key.Key_Right: frame + 1,
            Qt.Key.Key_PageUp: frame - second,
            Qt.Key.Key_PageDown: frame + second,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: self._n_frames() - 1,
        }
        wanted = steps.get(Qt.Key(event.key()))
        if wanted is None:
            super().keyPressEvent(event)
        else:
            self._go(wanted)

    def resizeEvent(self, event: Any) -> None:
        """Keep the button in its corner."""
        super().resizeEvent(event)
        self.shut.move(self.width() - TITLE - 2, 0)

    def changeEvent(self, event: QEvent | None) -> None:
        """Draw anew in another theme."""
        super().changeEvent(event)
        self._curve = None


def course_strip(viewer: Any) -> CourseStrip:
    """Make the strip of a viewer."""
    workspace = Workspace.of(viewer)
    # without a parent it would be a window of its own for a moment
    strip = CourseStrip(workspace, compat.qt_window(viewer))
    workspace.when_closed(strip.let_go)
    return strip
