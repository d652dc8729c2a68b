"""What all strips below the film share: one axis of time, a gutter for names, the play head, and going to where one clicks."""

from dataclasses import dataclass

from qtpy.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QFont, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

GUTTER_PX = 74
RIGHT_PX = 8
HEAD = "#ff8a3d"
HEAD_PX = 9


@dataclass(frozen=True)
class Axis:
    """From seconds of the showing to pixels of a strip.

    Attributes
    ----------
    start_s, stop_s : float
        What is seen of the showing, seconds from its beginning.
    left, right : float
        Where that begins and ends in the strip, pixels.
    """

    start_s: float
    stop_s: float
    left: float
    right: float

    def x(self, seconds: float) -> float:
        """Return the pixel of a time."""
        return self.left + (seconds - self.start_s) / max(self.stop_s - self.start_s, 1e-9) * (self.right - self.left)

    def seconds(self, x: float) -> float:
        """Return the time at a pixel, within what is seen."""
        share = (x - self.left) / max(self.right - self.left, 1e-9)
        return self.start_s + min(1.0, max(0.0, share)) * (self.stop_s - self.start_s)


class Strip(QWidget):
    """A widget with time from left to right. Subclasses draw what stands still in `draw`; the play head moves over it cheaply.

    Clicking and dragging asks to go there (`went`, seconds of the showing); so do the arrow keys, Page Up and Down, Home and End (`stepped`).
    """

    went = Signal(float)
    stepped = Signal(float)
    STEP_S, PAGE_S = 1 / 30, 1.0

    def __init__(self, name: str, height: int) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setMinimumHeight(height)
        self.setMinimumWidth(160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.start_s, self.stop_s, self.head_s = 0.0, 1.0, 0.0
        self._still: QPixmap | None = None

    # -- for subclasses --------------------------------------------------------------------------------------------------------------
    def draw(self, painter: QPainter, axis: Axis) -> None:
        """Draw what stands still."""

    def tip_at(self, seconds: float, y: float) -> str:
        """Return what is said of a place under the mouse."""
        return ""

    # -- for owners ------------------------------------------------------------------------------------------------------------------
    @property
    def axis(self) -> Axis:
        """The axis as it is now."""
        return Axis(self.start_s, self.stop_s, GUTTER_PX, max(GUTTER_PX + 1, self.width() - RIGHT_PX))

    def span(self, start_s: float, stop_s: float) -> None:
        """Show this part of the showing."""
        if (start_s, stop_s) != (self.start_s, self.stop_s):
            self.start_s, self.stop_s = start_s, stop_s
            self.redraw()

    def head(self, seconds: float) -> None:
        """Put the play head there; only two narrow bands are painted again."""
        before, self.head_s = self.axis.x(self.head_s), seconds
        after = self.axis.x(seconds)
        if abs(before - after) < 0.25:
            return
        for x in (before, after):
            self.update(QRect(int(x) - HEAD_PX, 0, 2 * HEAD_PX + 1, self.height()))

    def redraw(self) -> None:
        """Draw everything anew."""
        self._still = None
        self.update()

    # -- Qt --------------------------------------------------------------------------------------------------------------------------
    def ink(self, alpha: int = 255) -> QColor:
        """Return the colour of text in this theme."""
        colour = QColor(self.palette().windowText().color())
        colour.setAlpha(alpha)
        return colour

    @property
    def is_dark(self) -> bool:
        """Whether text is lighter than what it stands on."""
        return self.ink().lightness() > 128

    def small_font(self) -> QFont:
        """Return the font of names in the gutter."""
        font = QFont(self.font())
        font.setPointSizeF(8.0)
        return font

    def name(self, painter: QPainter, words: str, top: float, height: float) -> None:
        """Write a name into the gutter."""
        painter.setFont(self.small_font())
        painter.setPen(self.ink(190))
        room = QRectF(2, top, GUTTER_PX - 8, height)
        elided = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, int(room.width()))
        painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, elided)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw what stands still, from a picture that is kept, and the play head."""
        ratio = self.devicePixelRatioF()
        if self._still is None:
            self._still = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
            self._still.setDevicePixelRatio(ratio)
            self._still.fill(Qt.GlobalColor.transparent)
            painter = QPainter(self._still)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            try:
                self.draw(painter, self.axis)
            finally:
                # Qt crashes where a picture goes while somebody still paints it
                painter.end()
        painter = QPainter(self)
        if event is not None:
            painter.setClipRect(event.rect())
        painter.drawPixmap(QPointF(0, 0), self._still)
        axis = self.axis
        if self.start_s <= self.head_s <= self.stop_s:
            x = axis.x(self.head_s)
            painter.setPen(QPen(QColor(HEAD), 1.6))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        if self.hasFocus():
            painter.setPen(QPen(self.ink(90), 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Draw anew at the new size."""
        self._still = None
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent | None) -> None:
        """Draw anew in another theme."""
        if event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._still = None
        super().changeEvent(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go there."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.went.emit(self.axis.seconds(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Drag the play head along, or say what is under the mouse."""
        if event is None:
            return
        at = event.position()
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.went.emit(self.axis.seconds(at.x()))
            return
        words = self.tip_at(self.axis.seconds(at.x()), at.y()) if at.x() >= GUTTER_PX else ""
        if words:
            QToolTip.showText(event.globalPosition().toPoint(), words, self)
        else:
            QToolTip.hideText()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Move the play head by keys."""
        if event is None:
            return
        key, Key = event.key(), Qt.Key
        steps: dict[int, float] = {
            int(Key.Key_Left): -self.STEP_S,
            int(Key.Key_Right): self.STEP_S,
            int(Key.Key_PageUp): -self.PAGE_S,
            int(Key.Key_PageDown): self.PAGE_S,
        }
        if key in steps:
            # half a step more, for a frame lasts until the next
            self.stepped.emit(self.head_s + steps[key] + 0.5 * self.STEP_S)
        elif key == Key.Key_Home:
            self.stepped.emit(0.0)
        elif key == Key.Key_End:
            self.stepped.emit(float("inf"))
        else:
            super().keyPressEvent(event)
