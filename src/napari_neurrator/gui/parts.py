"""Small widgets that the docks share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFocusEvent, QLinearGradient, QPainter, QPaintEvent, QPen, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QFrame,
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .state import Session

ACCENT = "#56b4e9"


class Listener(QWidget):
    """A widget that listens to a session and lets go of it when told to, or when Qt destroys it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._links: list[tuple[Any, Callable]] = []

    def listen(self, slot: Callable, *signals: Any) -> None:
        """Call `slot` without arguments at each of `signals`, and once now."""

        def call(*_: Any) -> None:
            slot()

        for signal in signals:
            signal.connect(call)
            self._links.append((signal, call))
        slot()

    def let_go(self) -> None:
        """Disconnect from the session."""
        links, self._links = self._links, []
        for signal, slot in links:
            signal.disconnect(slot)


def text(words: str = "", *, bold: bool = False, quiet: bool = False, points: float = 0, wrap: bool = True) -> QLabel:
    """Make a label that wraps and can be copied from."""
    label = QLabel(words)
    label.setWordWrap(wrap)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(
        QSizePolicy.Policy.Ignored if wrap else QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum
    )
    style = []
    if bold:
        style.append("font-weight: bold")
    if points:
        style.append(f"font-size: {points}pt")
    if style:
        label.setStyleSheet("QLabel { " + "; ".join(style) + " }")
    if quiet:
        grey(label, True)
    return label


def named(widget: Any, name: str) -> Any:
    """Give a widget the name by which a screen reader reads it out; returns the widget."""
    widget.setAccessibleName(name)
    return widget


def badge(label: QLabel, words: str, kind: str) -> None:
    """Show `words` as a coloured badge; `kind` is "good", "warn" or "plain". Empty words hide it."""
    colours = {"good": ("#0e3b31", "#5fe0b5"), "warn": ("#46330c", "#ffc857"), "plain": ("#2f363f", "#c9d4dc")}
    back, front = colours[kind]
    label.setText(words)
    label.setStyleSheet(
        f"QLabel {{ background: {back}; color: {front}; border-radius: 4px; padding: 3px 7px; font-weight: bold; }}"
    )
    label.setVisible(bool(words))


def grey(label: QLabel, on: bool) -> None:
    """Let a label's words fade towards the background, whatever the theme, or stand out again."""
    if on == (label.graphicsEffect() is not None):
        return
    if not on:
        label.setGraphicsEffect(None)
        return
    effect = QGraphicsOpacityEffect(label)
    effect.setOpacity(0.62)
    label.setGraphicsEffect(effect)


def heading(words: str) -> QLabel:
    """Make the title of a section."""
    label = text(words.upper(), bold=True, points=8, wrap=False)
    label.setStyleSheet("QLabel { font-weight: bold; font-size: 8pt; letter-spacing: 1px; margin-top: 3px; }")
    grey(label, True)
    return label


class _Scrolled(QScrollArea):
    """Scrolls up and down only: what is in it is never wider than what is seen of it, so that nothing hides behind the bar."""

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep to the width that is left beside the bar."""
        inside, seen = self.widget(), self.viewport()
        if inside is not None and seen is not None:
            inside.setMaximumWidth(seen.width())
        super().resizeEvent(event)


class _Column(_Scrolled):
    """Is itself never narrower than what is in it, which would be cut."""

    def minimumSizeHint(self) -> QSize:
        """As wide as what is in it needs to be, with the bar beside it."""
        inside, bar = self.widget(), self.verticalScrollBar()
        least = super().minimumSizeHint()
        if inside is None or bar is None:
            return least
        return QSize(inside.minimumSizeHint().width() + bar.sizeHint().width(), least.height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ask for another width when what is in it changes."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


def scrolled(parent: QWidget, wide: bool = False) -> QWidget:
    """Give `parent` an inside that scrolls when the window is low, so that a dock never forces the window to grow; `wide` keeps it from being cut at its side."""
    outer = QVBoxLayout(parent)
    outer.setContentsMargins(0, 0, 0, 0)
    area = _Column() if wide else _Scrolled()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    inside = QWidget()
    area.setWidget(inside)
    outer.addWidget(area)
    return inside


def row(*widgets: QWidget | int, spacing: int = 6) -> QWidget:
    """Put widgets side by side; a number is a stretch."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        if isinstance(widget, int):
            layout.addStretch(widget)
        else:
            layout.addWidget(widget)
    return box


def column(parent: QWidget, margin: int = 8, spacing: int = 4) -> QVBoxLayout:
    """Give `parent` a vertical layout."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    return layout


def button(words: str, slot: Callable[[], Any], tip: str = "", *, primary: bool = False) -> QPushButton:
    """Make a push button; the primary one of a dock stands out."""
    made = QPushButton(words)
    made.clicked.connect(lambda *_: slot())
    made.setToolTip(tip)
    made.setAccessibleName(words.strip("… ▶") or tip)
    made.setAccessibleDescription(tip)
    if primary:
        made.setStyleSheet(
            f"QPushButton {{ background: {ACCENT}; color: #0b1620; font-weight: bold; padding: 6px; }}"
            "QPushButton:hover { background: #7cc8f2; } QPushButton:disabled { background: rgba(128, 138, 150, 70); color: #7d8792; }"
        )
    return made


def toggle(words: str, tip: str = "") -> QToolButton:
    """Make a checkable button that shows plainly whether it is on."""
    made = QToolButton()
    made.setText(words)
    made.setCheckable(True)
    made.setToolTip(tip)
    made.setAccessibleName(words)
    made.setAccessibleDescription(tip)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    made.setStyleSheet(
        "QToolButton { padding: 4px 6px; border-radius: 3px; background: rgba(128, 138, 150, 90); }"
        f"QToolButton:checked {{ background: {ACCENT}; color: #0b1620; font-weight: bold; }}"
    )
    return made


def line() -> QFrame:
    """Make a thin rule."""
    rule = QFrame()
    rule.setFixedHeight(1)
    rule.setStyleSheet("QFrame { background: rgba(128, 138, 150, 110); }")
    return rule


class Bar(QAbstractButton):
    """One row of a ranked list: a swatch or not, a name, a bar, a number. Clicking it checks or unchecks it."""

    HEIGHT = 23

    def __init__(self, name: str, share: float, number: str, colour: str = ACCENT, swatch: bool = False) -> None:
        super().__init__()
        self.setCheckable(True)
        self.name, self.share, self.number, self.colour, self.swatch = name, share, number, colour, swatch
        self.setText(name)
        self.setAccessibleName(f"{name} {number}")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self._by_key = False

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Mark the row where the keyboard led to it; after a click it is plain where one is."""
        keys = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.OtherFocusReason)
        self._by_key = event is not None and event.reason() in keys
        super().focusInEvent(event)

    def sizeHint(self) -> QSize:
        """Room for the name at a usual font."""
        return QSize(220, self.HEIGHT)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the row."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        ink = self.palette().windowText().color()
        colour = QColor(self.colour)
        if self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(ink.red(), ink.green(), ink.blue(), 18))
            painter.drawRoundedRect(whole, 3, 3)
        bar = QRectF(whole)
        bar.setWidth(max(0.0, min(1.0, self.share)) * whole.width())
        colour.setAlpha(150 if self.isChecked() else 70)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(bar, 3, 3)
        inner = whole.adjusted(8, 0, -8, 0)
        if self.swatch:
            painter.setBrush(QColor(self.colour))
            painter.drawEllipse(QRectF(inner.left(), inner.center().y() - 5, 10, 10))
            inner.adjust(18, 0, 0, 0)
        if self.isChecked():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(self.colour), 1.6))
            painter.drawRoundedRect(whole, 3, 3)
        if self.hasFocus() and self._by_key:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(ACCENT), 1, Qt.PenStyle.DashLine))
            painter.drawRoundedRect(whole, 3, 3)
        font = self.font()
        font.setBold(self.isChecked())
        painter.setFont(font)
        painter.setPen(ink)
        metrics = painter.fontMetrics()
        right = metrics.horizontalAdvance(self.number) + 10
        name = metrics.elidedText(self.name, Qt.TextElideMode.ElideRight, int(inner.width() - right))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self.number)
        painter.end()


class Scale(QWidget):
    """A horizontal colour bar with numbers below it."""

    def __init__(self) -> None:
        super().__init__()
        self.colours: np.ndarray = np.zeros((0, 4))
        self.ticks: tuple[tuple[float, str], ...] = ()
        self.setFixedHeight(36)

    def set(self, colours: np.ndarray, ticks: Sequence[tuple[float, str]]) -> None:
        """Show `colours` (n × rgba) and `ticks`: how far along each stands, 0 to 1, and its words."""
        self.colours, self.ticks = colours, tuple(ticks)
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the bar as its colours look over the background: what is clear on the frame is clear here."""
        if not len(self.colours):
            return
        painter = QPainter(self)
        bar = QRectF(0.5, 2, self.width() - 1, 12)
        fade = QLinearGradient(bar.topLeft(), bar.topRight())
        for at, (r, g, b, a) in zip(np.linspace(0, 1, len(self.colours)), self.colours, strict=True):
            fade.setColorAt(float(at), QColor.fromRgbF(float(r), float(g), float(b), float(a)))
        painter.fillRect(bar, fade)
        ink = self.palette().windowText().color()
        edge = QColor(ink)
        edge.setAlpha(90)
        painter.setPen(QPen(edge, 1))
        painter.drawRect(bar)
        painter.setPen(ink)
        metrics = painter.fontMetrics()
        # the ends come first: where there is no room, what lies between is left out
        taken: list[tuple[float, float]] = []
        for at, words in sorted(self.ticks, key=lambda tick: min(tick[0], 1 - tick[0])):
            width = metrics.horizontalAdvance(words)
            end = min(max(at * bar.width() - width / 2, 0), bar.width() - width)
            if any(end < right + 8 and end + width > left - 8 for left, right in taken):
                continue
            taken.append((end, end + width))
            x = bar.left() + at * bar.width()
            painter.drawLine(QPointF(x, bar.bottom()), QPointF(x, bar.bottom() + 3))
            painter.drawText(QRectF(end, 18, width + 2, 18), Qt.AlignmentFlag.AlignLeft, words)
        painter.end()


def clear(layout: Any) -> None:
    """Take every widget out of `layout`."""
    while layout.count():
        item = layout.takeAt(0)
        widget = item.widget()
        if widget is not None:
            # one that Qt has not shown yet would open as a window of its own
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()
