"""The Export button: a menu of what can be taken home, and how far the writing is."""

from pathlib import Path

from qtpy.QtCore import QSize
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QProgressBar, QPushButton

from . import parts
from .exporting import KINDS
from .workspace import Workspace

FILTERS = {
    "jsonl": "JSON Lines (*.jsonl)",
    "csv": "CSV (*.csv)",
    "nwb": "NWB (*.nwb)",
    "mp4": "MP4 (*.mp4)",
    "figure": "Figures (*.png *.svg *.pdf)",
    "units": "CSV (*.csv)",
}
SESSION_FILTERS = "Session (*.neurrator.json);;Session as TOML (*.neurrator.toml)"


class ExportButton(parts.Listener):
    """A button with a menu; entries that have nothing to write are off, and say why."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        workspace.when_closed(self.let_go)
        layout = parts.column(self, margin=0, spacing=2)
        self.button = QPushButton("Export")
        self.button.setToolTip("Take home what was said: narrations, movie, figure, table of units, session")
        parts.named(self.button, "Export")
        # the arrow beside the word
        self.button.setMinimumWidth(92)
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.actions_of: dict[str, QAction] = {}
        for kind, (words, _, _) in KINDS.items():
            self.actions_of[kind] = self._act(words, kind)
        self.menu.addSeparator()
        self.session_action = self._act("Session (JSON or TOML)…", "session")
        self.menu.aboutToShow.connect(self._refresh)
        self.button.setMenu(self.menu)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        parts.named(self.progress, "Progress of the export")
        layout.addWidget(self.button)
        layout.addWidget(self.progress)
        self.listen(self._show, self.session.events.exporting, self.session.events.recording)

    def sizeHint(self) -> QSize:
        """As small as the button."""
        return self.button.sizeHint()

    def _act(self, words: str, kind: str) -> QAction:
        action = self.menu.addAction(words)
        assert action is not None
        action.triggered.connect(lambda *_: self._choose(kind))
        return action

    def _refresh(self) -> None:
        """Say which exports are possible now."""
        exporting = self.workspace.exporting
        for kind, action in self.actions_of.items():
            problem = exporting.missing(kind) or ("Something is being written." if exporting.busy else "")
            action.setEnabled(not problem)
            action.setToolTip(problem or KINDS[kind][2])
        self.session_action.setToolTip("What is open, selected and said, in a file that opens all of it again")

    def _choose(self, kind: str) -> None:
        name = self.session.recording.name
        if kind == "session":
            path, chosen = QFileDialog.getSaveFileName(self, "Save the session", name, SESSION_FILTERS)
            if path:
                if "toml" in chosen and not Path(path).name.endswith((".json", ".toml")):
                    path += ".neurrator.toml"
                if (written := self.workspace.keeping.save(path)) is not None:
                    self.session.notified.emit("info", f"{written.name} is written, in {written.parent}.")
            return
        words, ending, _ = KINDS[kind]
        path, _ = QFileDialog.getSaveFileName(self, words.rstrip("…"), f"{name}{ending}", FILTERS[kind])
        if path:
            self.workspace.exporting.write(kind, path)

    def _show(self) -> None:
        job = self.session.exporting
        self.button.setEnabled(self.session.recording is not None)
        self.button.setText(f"{job.stage} …" if job.busy else "Export")
        self.progress.setVisible(job.busy)
        self.progress.setRange(0, job.total)
        self.progress.setValue(job.done)
