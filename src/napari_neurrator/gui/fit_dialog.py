"""What has to be decided before a decoder is fitted."""

import hashlib
from typing import cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QLineEdit, QWidget

from ..config import DECODERS, SPLITS, DecoderKind, FitConfig, SplitName
from . import parts
from .decoders import default_folder, profiles
from .state import OpenRecording, Session


class FitDialog(QDialog):
    """Asks for models, kind of decoder, split, units and place; everything else is the default of `FitConfig`."""

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
        self.profile.addItems(profiles())
        self.profile.setCurrentText(FitConfig.model_fields["profile"].default)
        self.decoder = QComboBox()
        for kind, meaning in DECODERS.items():
            self.decoder.addItem(kind)
            self.decoder.setItemData(self.decoder.count() - 1, meaning, Qt.ItemDataRole.ToolTipRole)
        self.split = QComboBox()
        for name, meaning in SPLITS.items():
            self.split.addItem(name)
            self.split.setItemData(self.split.count() - 1, meaning, Qt.ItemDataRole.ToolTipRole)
        self.explained = parts.text("", quiet=True)
        self.units = QLineEdit()
        self.units.setPlaceholderText("all units, or a query such as region == 'VISp'")
        self.folder = QLineEdit()
        for choice in (self.profile, self.decoder, self.split):
            choice.currentTextChanged.connect(self._suggest)
        self._suggest()
        form.addRow("Models", self.profile)
        form.addRow("Decoder", self.decoder)
        form.addRow("Held out", self.split)
        form.addRow(self.explained)
        self.decoder.currentTextChanged.connect(self._explain)
        self.split.currentTextChanged.connect(self._explain)
        self._explain()
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
            decoder=cast(DecoderKind, self.decoder.currentText()),
            split=cast(SplitName, self.split.currentText()),
            units=self.units.text().strip() or None,
        )

    def out(self) -> str:
        """Return the folder to write."""
        return self.folder.text().strip()

    def _explain(self) -> None:
        kind, split = self.decoder.currentText(), self.split.currentText()
        self.explained.setText(f"{kind}: {DECODERS[kind]}.\n{split}: {SPLITS[split]}.")

    def _suggest(self) -> None:
        session = self.session
        folder = default_folder(session.recording.name, session.stimulus_name, self.profile.currentText())
        usual = FitConfig.model_fields
        unusual = [
            choice.currentText()
            for name, choice in (("decoder", self.decoder), ("split", self.split))
            if choice.currentText() != usual[name].default
        ]
        self.folder.setText(str(folder.with_name("--".join([folder.name, *unusual]))))

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
