"""The first-run tour: four steps, each beside the thing that it speaks of; it can be left at any time and does not come again unasked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QFrame, QWidget

from . import compat, parts


@dataclass(frozen=True)
class Step:
    """What is said, and beside which widget."""

    title: str
    words: str
    target: Callable[[Any], QWidget | None]


def _dock(name: str) -> Callable[[Any], QWidget | None]:
    return lambda workspace: workspace.docks.get(name)


STEPS = (
    Step(
        "Open a recording",
        "Choose an NWB file or a folder here, drop one on the canvas, or take the simulated sample. Units appear on their probes, beside the film.",
        _dock("Recording"),
    ),
    Step(
        "Draw a lasso round some units",
        "Press Lasso (or G) and draw round dots with the mouse. Shift adds, Alt takes away, Ctrl+Z undoes. Or click a region, or type a query.",
        lambda workspace: compat.native_canvas(workspace.viewer),
    ),
    Step(
        "Read what they say, and how far to trust it",
        "The sentence appears here and on the frame. Below it stands the evidence: a sentence that is no more than chance is greyed. Concepts lie on the frame when you click them.",
        _dock("Narrate"),
    ),
    Step(
        "Play the film",
        "Sentences and heatmaps are worked out ahead while the film runs (K). The track fills as they come; click in it to go there. F1 lists all keys.",
        _dock("Play"),
    ),
)


MARGIN = 16


class Ring(QWidget):
    """A frame round the thing that is spoken of; the mouse goes through it."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the frame."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(parts.ACCENT), 3))
        painter.drawRoundedRect(self.rect().adjusted(2, 2, -2, -2), 6, 6)
        painter.end()


class Tour(QFrame):
    """A card over the window that walks through `STEPS`.

    Parameters
    ----------
    workspace : Workspace
        Whose window.
    """

    WIDTH = 350

    def __init__(self, workspace: Any) -> None:
        window = compat.qt_window(workspace.viewer)
        assert window is not None
        super().__init__(window)
        self.workspace, self._window, self.at = workspace, window, 0
        self.setObjectName("tour")
        self.setAccessibleName("Tour")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setStyleSheet(
            f"QFrame#tour {{ background: #1b222b; border: 2px solid {parts.ACCENT}; border-radius: 8px; }} QFrame#tour QLabel {{ color: #eef2f6; }} QFrame#tour QWidget#tourButtons {{ background: transparent; }}"
        )
        self.setFixedWidth(self.WIDTH)
        layout = parts.column(self, margin=MARGIN, spacing=8)
        self.count = parts.text(quiet=True, points=8.5)
        self.title = parts.text(bold=True, points=12)
        self.words = parts.text(points=10.5)
        self.skip = parts.button("Skip", self.leave, "Leave the tour; F1 brings it back")
        self.back = parts.button("Back", self._back, "The step before")
        self.next = parts.button("Next", self._next, "The next step", primary=True)
        buttons = parts.row(self.skip, 1, self.back, self.next)
        buttons.setObjectName("tourButtons")
        for widget in (self.count, self.title, self.words, buttons):
            layout.addWidget(widget)
        self.ring = Ring(window)
        window.installEventFilter(self)
        self.show_step(0)

    def show_step(self, at: int) -> None:
        """Go to a step."""
        self.at = at
        step = STEPS[at]
        self.count.setText(f"{at + 1} of {len(STEPS)}")
        self.title.setText(step.title)
        self.words.setText(step.words)
        self.back.setEnabled(at > 0)
        self.next.setText("Next" if at + 1 < len(STEPS) else "Done")
        self._place()
        self.show()
        self.raise_()
        self.next.setFocus()

    def leave(self) -> None:
        """End the tour, and remember that it was seen."""
        self._window.removeEventFilter(self)
        self.ring.deleteLater()
        self.workspace.tour = None
        self.workspace.remembering.toured()
        self.hide()
        self.deleteLater()

    def _next(self) -> None:
        if self.at + 1 < len(STEPS):
            self.show_step(self.at + 1)
        else:
            self.leave()

    def _back(self) -> None:
        self.show_step(max(0, self.at - 1))

    def _place(self) -> None:
        """Put the card beside its target, inside the window."""
        target = STEPS[self.at].target(self.workspace)
        # as high as the words need at this width and in the user's font
        for label in (self.count, self.title, self.words):
            label.ensurePolished()
            label.setFixedHeight(label.heightForWidth(self.WIDTH - 2 * MARGIN) + 2)
        self.setFixedHeight(self.sizeHint().height())
        whole = self._window.rect()
        if target is None or not target.isVisible():
            self.ring.hide()
            self.move(whole.center() - self.rect().center())
            return
        box = QRect(target.mapTo(self._window, QPoint(0, 0)), target.size()).intersected(whole)
        self.ring.setGeometry(box.adjusted(-3, -3, 3, 3))
        self.ring.show()
        self.ring.raise_()
        gap = 16
        places = (
            QPoint(box.right() + gap, box.top() + 30),
            QPoint(box.left() - gap - self.width(), box.top() + 30),
            QPoint(box.center().x() - self.width() // 2, box.top() - gap - self.height()),
        )
        inner = whole.adjusted(8, 8, -8, -8)
        for place in places:
            if inner.contains(QRect(place, self.size())):
                self.move(place)
                return
        self.move(box.center() - self.rect().center())

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the window as it changes size."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape leaves, the arrow keys turn the pages."""
        if event is None:
            return
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        elif event.key() == Qt.Key.Key_Right:
            self._next()
        elif event.key() == Qt.Key.Key_Left:
            self._back()
        else:
            super().keyPressEvent(event)
