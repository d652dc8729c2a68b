"""The list of what was opened last, behind a button."""

from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QMenu, QPushButton

from . import parts
from .workspace import Workspace


def short(source: str) -> str:
    """Name a source by its last two parts, which tell sessions of one animal apart."""
    if "://" in source:
        return source.rstrip("/").rsplit("/", 1)[-1] or source
    path = Path(source)
    return str(Path(*path.parts[-2:])) if len(path.parts) > 2 else str(path)


class RecentButton(QPushButton):
    """Opens one of the sources opened last; files that are gone are left out."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.setText("Opened last  ▾")
        self.setToolTip("Open again what was open before")
        parts.named(self, "Opened last")
        self.list = QMenu(self)
        # napari draws an arrow of its own over the words
        self.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0px; }")
        self.list.setToolTipsVisible(True)
        self.list.aboutToShow.connect(self.fill)
        self.setMenu(self.list)

    def fill(self) -> None:
        """List them anew."""
        self.list.clear()
        remembering = self.workspace.remembering
        for source in remembering.recent:
            action = self.list.addAction(short(source))
            assert action is not None
            action.setToolTip(source)
            action.triggered.connect(partial(self._open, source))
        if self.list.isEmpty():
            nothing = self.list.addAction("nothing yet")
            assert nothing is not None
            nothing.setEnabled(False)
            return
        self.list.addSeparator()
        forget = self.list.addAction("Forget these")
        assert forget is not None
        forget.triggered.connect(remembering.forget_recent)

    def _open(self, source: str, *_: object) -> None:
        self.workspace.open(source)
