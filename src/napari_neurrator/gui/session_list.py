"""The open sessions: switch between them, close one, pool them, save what is open."""

from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QFileDialog, QListWidget, QListWidgetItem, QSizePolicy

from ..session_file import SUFFIX
from . import parts
from .pool_dialog import PoolDialog
from .workspace import Workspace

ROW_PX = 24
MOST_ROWS = 5


class SessionList(parts.Listener):
    """A list of what is open, which shows once there is more than one, and the buttons that act on it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        workspace.when_closed(self.let_go)
        layout = parts.column(self, margin=0)
        self.list = QListWidget()
        self.list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.list.setUniformItemSizes(True)
        parts.named(self.list, "Open sessions")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._switch)
        layout.addWidget(self.list)
        self.pool = parts.button("Pool…", self._pool, "Pool open sessions into a pseudo-population")
        self.close_one = parts.button("Close", self._close, "Close the session that is shown")
        self.save = parts.button(
            "Save session…", self._save, "Write what is open, selected and said into a file that opens all of it again"
        )
        self.buttons = parts.row(self.pool, self.close_one, 1, self.save, spacing=4)
        layout.addWidget(self.buttons)
        events = self.session.events
        self.listen(self._show, events.opened, events.recording)

    def _show(self) -> None:
        session = self.session
        opened = session.opened
        with QSignalBlocker(self.list):
            self.list.clear()
            for entry in opened:
                many = len(entry.sessions) > 1
                words = f"pool of {len(entry.sessions)}: {' + '.join(entry.sessions)}" if many else entry.recording.name
                item = QListWidgetItem(f"{words}   ({len(entry.recording.units):,} units)")
                item.setToolTip(entry.source)
                item.setSizeHint(QSize(0, ROW_PX))
                self.list.addItem(item)
            shown = next((row for row, entry in enumerate(opened) if entry.recording is session.recording), -1)
            self.list.setCurrentRow(shown)
        self.list.setFixedHeight(ROW_PX * min(MOST_ROWS, len(opened)) + 6)
        self.list.setVisible(len(opened) > 1)
        self.buttons.setVisible(bool(opened))
        singles = [entry for entry in opened if len(entry.sessions) == 1]
        self.pool.setEnabled(len(singles) > 1)
        self.pool.setToolTip(
            "Pool open sessions into a pseudo-population"
            if len(singles) > 1
            else "Open another session to pool it with this one"
        )

    def _switch(self, row: int) -> None:
        if 0 <= row < len(self.session.opened):
            self.session.switch(self.session.opened[row].recording)

    def _close(self) -> None:
        if self.session.recording is not None:
            self.session.close(self.session.recording)

    def _pool(self) -> None:
        dialog = PoolDialog([entry for entry in self.session.opened if len(entry.sessions) == 1], self)
        if dialog.exec():
            self.workspace.loader.pool(dialog.chosen, dialog.chosen_stimulus)

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the session", f"{self.session.recording.name}{SUFFIX}", f"Session (*{SUFFIX})"
        )
        if path and (written := self.workspace.keeping.save(path)) is not None:
            self.session.notified.emit("info", f"{written.name} is written, in {written.parent}.")
