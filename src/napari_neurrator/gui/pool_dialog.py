"""Which open sessions to pool, and by which stimulus."""

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QListWidget, QListWidgetItem, QWidget

from . import parts
from .loader import stimulus_names
from .state import OpenRecording

EVERYTHING = "all that the sessions share"


class PoolDialog(QDialog):
    """Lists the open sessions with a tick each, and the stimuli that all ticked ones were shown.

    Parameters
    ----------
    entries : sequence of OpenRecording
        The single sessions that are open.
    parent : QWidget, optional
        Over which it stands.
    """

    def __init__(self, entries: Sequence[OpenRecording], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Pool sessions")
        self.entries = tuple(entries)
        layout = parts.column(self, margin=12, spacing=8)
        self.list = QListWidget()
        for entry in self.entries:
            item = QListWidgetItem(f"{entry.recording.name}: {len(entry.recording.units):,} units")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked)
            item.setToolTip(entry.source)
            self.list.addItem(item)
        layout.addWidget(self.list)
        self.stimulus = QComboBox()
        layout.addWidget(parts.row(parts.text("Matched by", wrap=False), self.stimulus, 1))
        self.words = parts.text(
            "A pseudo-population: spikes of different sessions are laid side by side by what was on screen. Such units never fired together.",
            quiet=True,
        )
        self.words.setMinimumSize(360, 56)
        layout.addWidget(self.words)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel  # type: ignore[operator]
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self.list.itemChanged.connect(lambda _: self._show_shared())
        self._show_shared()

    @property
    def chosen(self) -> list[OpenRecording]:
        """The ticked sessions."""
        return [
            entry
            for row, entry in enumerate(self.entries)
            if self.list.item(row).checkState() == Qt.CheckState.Checked  # type: ignore[union-attr]
        ]

    @property
    def chosen_stimulus(self) -> str | None:
        """The stimulus by which to pool, in the spelling of the first session, or None for all."""
        words = self.stimulus.currentText()
        return None if words in ("", EVERYTHING) else words

    def _show_shared(self) -> None:
        from ..recording.presentations import canonical_name

        chosen = self.chosen
        before = self.stimulus.currentText()
        names = stimulus_names(chosen[0].recording) if chosen else []
        for entry in chosen[1:]:
            theirs = {canonical_name(name) for name in stimulus_names(entry.recording)}
            names = [name for name in names if canonical_name(name) in theirs]
        self.stimulus.clear()
        self.stimulus.addItems([EVERYTHING, *names])
        self.stimulus.setCurrentText(before if before in names else EVERYTHING)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(len(chosen) > 1)  # type: ignore[union-attr]
