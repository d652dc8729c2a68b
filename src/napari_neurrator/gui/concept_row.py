"""One concept in the list: its bar, and a menu of what can be done with it."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint, Qt, Signal
from qtpy.QtGui import QAction, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QToolButton, QWidget

from . import parts


class ConceptRow(QWidget):
    """A bar that lays the concept on the frame, and beside it a button with its menu; right-click and the menu key open the same.

    Attributes
    ----------
    renamed : Signal(str)
        The user typed another name; empty to go back to the dictionary's.
    """

    renamed = Signal(str)
    gallery_wanted = Signal()
    course_wanted = Signal()
    who_wanted = Signal()

    def __init__(self, bar: parts.Bar, movable: bool) -> None:
        super().__init__()
        self.bar, self.original = bar, ""
        self.line: QLineEdit | None = None
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(bar)
        self.more = QToolButton()
        self.more.setAccessibleName("More on this entry")
        self.more.setText("⋯")
        self.more.setAutoRaise(True)
        self.more.setFixedSize(24, bar.HEIGHT)
        self.more.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.more.setStyleSheet(
            "QToolButton { font-size: 13pt; padding: 0px; } QToolButton::menu-indicator { image: none; }"
        )
        layout.addWidget(self.more)
        if not movable:
            # takes its place, so that the bars stay in line
            self.more.setEnabled(False)
            self.more.setText("")
            self.more.setAccessibleName("Nothing more")
            self.more.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            return
        self.menu = QMenu(self)
        self._act("Show gallery", self.gallery_wanted.emit, "G", "The frames of this stimulus in which it is strongest")
        self._act(
            "Show its course", self.course_wanted.emit, "C", "How strong it is from frame to frame, under the slider"
        )
        self._act("Who says this?", self.who_wanted.emit, "W", "Colour the units by how much each moved it")
        self.menu.addSeparator()
        self._act("Rename…", self.edit, "F2", "Call it what you like; kept for this dictionary")
        self.reset = self._act("Back to its own name", lambda: self.renamed.emit(""), "", "Forget your name for it")
        self.menu.setToolTipsVisible(True)
        self.more.clicked.connect(lambda: self._open(self.more.mapToGlobal(QPoint(0, self.more.height()))))
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        bar.customContextMenuRequested.connect(lambda point: self._open(bar.mapToGlobal(point)))
        bar.installEventFilter(self)

    def _act(self, words: str, slot: Callable[[], object], key: str, tip: str) -> QAction:
        action = self.menu.addAction(words)
        assert action is not None
        action.triggered.connect(lambda *_: slot())
        action.setToolTip(tip)
        if key:
            # shown in the menu; the row itself answers to the keys, and only while it has the focus
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        return action

    def _open(self, point: QPoint) -> None:
        self.menu.popup(point)

    def name(self, shown: str, original: str, tip: str) -> None:
        """Say what the concept is called and where the name is from."""
        self.original = original
        self.bar.name = shown
        self.bar.setText(shown)
        self.bar.setToolTip(tip)
        self.more.setToolTip(f"More on {shown}: gallery, course, units, name")
        self.more.setAccessibleName(f"More on {shown}")
        self.reset.setEnabled(shown != original)
        self.bar.update()

    # -- renaming --------------------------------------------------------------------------------------------------------------------
    def edit(self) -> None:
        """Let the user type another name in the row itself."""
        if self.line is not None:
            return
        line = self.line = QLineEdit(self.bar.name, self)
        line.setPlaceholderText(self.original)
        line.setMaxLength(80)
        line.setAccessibleName(f"Another name for {self.original}")
        line.setToolTip("Enter keeps the name, Escape leaves it; empty brings back the dictionary's own")
        line.setFixedHeight(self.bar.HEIGHT)
        line.setGeometry(self.bar.geometry())
        line.selectAll()
        line.show()
        line.setFocus()
        line.editingFinished.connect(self._done)
        line.installEventFilter(self)

    def _done(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            words = " ".join(line.text().split())
            line.deleteLater()
            self.bar.setFocus()
            if words != self.bar.name:
                self.renamed.emit("" if words == self.original else words)

    def _leave(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            line.deleteLater()
            self.bar.setFocus()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Answer to the keys of the menu on the bar, and to Escape while a name is typed."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = Qt.Key(event.key())
            if watched is self.line and key == Qt.Key.Key_Escape:
                self._leave()
                return True
            does = {
                Qt.Key.Key_G: self.gallery_wanted.emit,
                Qt.Key.Key_C: self.course_wanted.emit,
                Qt.Key.Key_W: self.who_wanted.emit,
                Qt.Key.Key_F2: self.edit,
            }.get(key)
            if watched is self.bar and does is not None and event.modifiers() == Qt.KeyboardModifier.NoModifier:
                does()
                return True
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: Any) -> None:
        """Keep the line that is typed in over the bar."""
        super().resizeEvent(event)
        if self.line is not None:
            self.line.setGeometry(self.bar.geometry())
