"""The help panel: every key and what the mouse does, on one page."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QVBoxLayout, QWidget

from . import compat, parts
from .shortcuts import MOUSE, NAPARIS, SHORTCUTS


class HelpPanel(QDialog):
    """Lists the shortcuts that are bound in this window, and leads back to the tour."""

    def __init__(self, workspace: Any) -> None:
        super().__init__(compat.qt_window(workspace.viewer))
        self.workspace = workspace
        self.setWindowTitle("Keys and mouse")
        self.setAccessibleName("Help: keys and mouse")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        holder = QWidget()
        outer.addWidget(holder, 1)
        inside = parts.scrolled(holder)
        layout = parts.column(inside, margin=16, spacing=6)
        bound = {shortcut.key for shortcut in workspace.shortcuts.bound}
        for group in dict.fromkeys(shortcut.group for shortcut in SHORTCUTS):
            layout.addWidget(parts.heading(group))
            rows = [
                (s.shown, s.words if s.key in bound else f"{s.words} (this key is bound to something else)")
                for s in SHORTCUTS
                if s.group == group
            ]
            layout.addWidget(self._grid(rows))
        layout.addWidget(parts.heading("Mouse"))
        layout.addWidget(self._grid(MOUSE))
        layout.addWidget(parts.heading("napari's own, useful here"))
        layout.addWidget(self._grid(NAPARIS))
        note = parts.text("While a Labels layer of yours is chosen, Ctrl+Z is its own.", quiet=True, points=8.5)
        layout.addWidget(note)
        layout.addStretch(1)
        buttons = parts.row(
            parts.button("Show the tour", self._tour, "Four steps through the window"),
            1,
            parts.button("Close", self.close, "Close this help"),
        )
        foot = QWidget()
        parts.column(foot, margin=10).addWidget(buttons)
        outer.addWidget(foot)
        self.resize(520, 640)

    @staticmethod
    def _grid(rows: Any) -> QWidget:
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 4)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        for i, (key, words) in enumerate(rows):
            cap = QLabel(key)
            cap.setAlignment(Qt.AlignmentFlag.AlignCenter)
            cap.setMinimumWidth(112)
            cap.setStyleSheet(
                "QLabel { border: 1px solid rgba(128,128,128,140); border-radius: 4px; padding: 2px 6px; background: rgba(128,128,128,40); }"
            )
            grid.addWidget(cap, i, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(parts.text(words), i, 1)
        return box

    def _tour(self) -> None:
        self.close()
        self.workspace.show_tour()
