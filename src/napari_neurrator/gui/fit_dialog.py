"""What has to be decided before a decoder is fitted."""

import hashlib

from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QLineEdit, QWidget

from ..config import FitConfig
from . import parts
from .decoders import default_folder, profiles
from .state import OpenRecording, Session


class FitDialog(QDialog):
    """Asks for profile, units and place; everything else is the default of `FitConfig`."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setWindowTitle("Fit a decoder")
        self.setMinimumWidth(460)
        form = QFormLayout(self)
        form.setSpacing(8)
        form.addRow(
            parts.text(f"{session.recording.name}, {session.stimulus_name}: {len(session.unit_ids)} units.", bold=True)
        )
        form.addRow(
            parts.text(
                "One decoder answers for every subset of its units, so fit it on all of them unless you have a reason.",
                quiet=True,
            )
        )
        self.profile = QComboBox()
        self.profile.addItems(profiles() or ["tiny"])
        self.units = QLineEdit()
        self.units.setPlaceholderText("all units, or a query such as region == 'VISp'")
        self.folder = QLineEdit()
        self.profile.currentTextChanged.connect(self._suggest)
        self._suggest(self.profile.currentText())
        form.addRow("Models", self.profile)
        form.addRow("Units", self.units)
        form.addRow("Save in", parts.row(self.folder, parts.button("…", self._browse)))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.button(QDialogButtonBox.StandardButton.Ok).setText("Fit")  # type: ignore[union-attr]
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def config(self) -> FitConfig:
        """Return the job as the command line would write it."""
        return FitConfig(
            recording=source_of(self.session.current) or self.session.source,
            presentations=None if self.session.current is None else self.session.current.presentations,
            stimulus=self.session.stimulus_name,
            frames=self.session.stimulus_file,
            profile=self.profile.currentText(),
            units=self.units.text().strip() or None,
        )

    def out(self) -> str:
        """Return the folder to write."""
        return self.folder.text().strip()

    def _suggest(self, profile: str) -> None:
        self.folder.setText(str(default_folder(self.session.recording.name, self.session.stimulus_name, profile)))

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save the decoder in")
        if folder:
            self.folder.setText(folder)


def source_of(entry: OpenRecording | None) -> str | None:
    """Return what opens a recording again in another process: its source; of a pool, a file that names its sessions."""
    if entry is None or not entry.pooled:
        return None if entry is None else entry.source
    from ..paths import cache_folder
    from ..recording.pool import write_pool

    key = hashlib.sha256(repr((entry.pooled, entry.pooled_stimulus)).encode()).hexdigest()[:8]
    file = cache_folder("pools") / key / f"{entry.recording.name}.toml"
    write_pool(file, entry.pooled, entry.pooled_stimulus)
    return str(file)
