"""The Recording dock: open a session, see what it is, choose units."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QScrollArea,
    QWidget,
)

from . import layer_styles as styles
from . import parts
from .loader import stimulus_names
from .state import COLOUR_BY, SelectMode
from .workspace import Workspace

MODES: tuple[tuple[SelectMode, str, str], ...] = (
    ("replace", "Replace", "The lasso replaces the selection"),
    ("add", "Add", "The lasso adds to the selection (or hold Shift)"),
    ("subtract", "Subtract", "The lasso takes units away (or hold Alt, or Ctrl)"),
)


class RecordingDock(parts.Listener):
    """Open button(s), facts, stimulus, colours, selection and groups of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        layout = parts.column(parts.scrolled(self))
        layout.addWidget(
            parts.row(
                parts.button("File…", self._open_file, "Open an NWB file"),
                parts.button("Folder…", self._open_folder, "Open a Kilosort or phy folder"),
                parts.button(
                    "Sample", lambda: workspace.open("sample"), "Open the simulated session that comes with the package"
                ),
            )
        )
        self.name = parts.text(bold=True, points=11)
        self.badge = parts.text(wrap=True)
        self.facts = parts.text(quiet=True)
        self.problems = parts.text()
        self.problems.setStyleSheet("QLabel { color: #ffc857; }")
        for label in (self.name, self.badge, self.facts, self.problems):
            layout.addWidget(label)

        layout.addWidget(parts.heading("Shown to the animal"))
        self.stimulus = QComboBox()
        self.stimulus.activated.connect(lambda i: workspace.loader.show(self.stimulus.itemText(i)))
        self.frames = parts.button(
            "Frames…", self._choose_frames, "The movie file or image folder with the frames of this stimulus"
        )
        layout.addWidget(parts.row(self.stimulus, self.frames))
        self.stimulus.setMinimumContentsLength(12)
        self.stimulus.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        parts_policy = self.stimulus.sizePolicy()
        parts_policy.setHorizontalStretch(1)
        self.stimulus.setSizePolicy(parts_policy)

        layout.addWidget(parts.heading("Units"))
        self.colour = QComboBox()
        self.colour.addItems(list(COLOUR_BY))
        self.colour.currentTextChanged.connect(self._on_colour)
        layout.addWidget(parts.row(parts.text("Colour by", wrap=False), self.colour, 1))
        self.lasso = parts.toggle("Lasso", "Draw round units with the mouse; click again to move and zoom the picture")
        self.lasso.toggled.connect(self._on_lasso)
        self.modes = QButtonGroup(self)
        mode_buttons: list[QWidget] = []
        for i, (mode, words, tip) in enumerate(MODES):
            made = parts.toggle(words, tip)
            self.modes.addButton(made, i)
            made.setChecked(mode == self.session.select_mode)
            mode_buttons.append(made)
        self.modes.idClicked.connect(self._on_mode)
        layout.addWidget(self.lasso)
        layout.addWidget(parts.row(*mode_buttons, spacing=2))

        self.query = QLineEdit()
        self.query.setPlaceholderText('region == "VISp" and y_um > 800')
        self.query.setToolTip("A pandas query on the units table; Enter selects")
        self.query.returnPressed.connect(lambda: self._query("replace"))
        layout.addWidget(self.query)
        layout.addWidget(
            parts.row(
                *(
                    parts.button(words, partial(self._query, mode), f"{words} by the query above")
                    for (mode, _, _), words in zip(MODES, ("Select", "Add", "Subtract"), strict=True)
                ),
                spacing=4,
            )
        )
        self.count = parts.text(bold=True, wrap=False)
        layout.addWidget(parts.row(self.count, 1, parts.button("All", self._all), parts.button("Clear", self._clear)))

        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        self.regions = parts.column(inner, margin=0, spacing=1)
        scroll.setWidget(inner)
        scroll.setMinimumHeight(110)
        layout.addWidget(scroll, 1)

        layout.addWidget(parts.heading("Groups"))
        self.groups = QComboBox()
        self.groups.activated.connect(lambda _: self._pick_group())
        self.groups.setSizePolicy(parts_policy)
        self.groups.setMinimumContentsLength(8)
        layout.addWidget(
            parts.row(
                self.groups,
                parts.button("Save…", self._save_group, "Keep the selection under a name"),
                parts.button("Delete", self._delete_group, "Forget this group"),
                spacing=4,
            )
        )

        events = self.session.events
        self.listen(self._show_recording, self.session.scene_changed, events.recording, events.stimulus_name)
        self.listen(self._show_selection, events.selected, events.colour_by, self.session.scene_changed)
        self.listen(self._show_groups, events.groups)
        self.listen(lambda: self.lasso.setChecked(self.session.lassoing), events.lassoing)
        self.listen(lambda: self.colour.setCurrentText(self.session.colour_by), events.colour_by)
        self.listen(lambda: self.setEnabled(self.session.job.kind != "opening"), events.job)

    # -- opening ---------------------------------------------------------------------------------------------------------------------
    def _open_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a recording", "", "Neurodata Without Borders (*.nwb);;All files (*)"
        )
        if path:
            self.workspace.open(path)

    def _open_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a Kilosort or phy folder")
        if path:
            self.workspace.open(path)

    def _choose_frames(self) -> None:
        name = self.stimulus.currentText()
        if not name:
            self.session.warn("This recording has no stimulus to show frames of.")
            return
        path, _ = QFileDialog.getOpenFileName(self, f"Frames of {name}", "", "Movies, arrays, images (*)")
        if path:
            # one picture stands for the folder of all of them
            folder = Path(path).suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp"}
            self.workspace.loader.show(name, str(Path(path).parent if folder else path))

    # -- selecting -------------------------------------------------------------------------------------------------------------------
    def _on_colour(self, words: str) -> None:
        self.session.colour_by = words

    def _on_lasso(self, on: bool) -> None:
        if on and self.session.recording is None:
            self.lasso.setChecked(False)
            self.session.fail("Open a recording before drawing a lasso.")
            return
        self.session.lassoing = on

    def _on_mode(self, i: int) -> None:
        self.session.select_mode = MODES[i][0]

    def _query(self, mode: SelectMode) -> None:
        self.session.query(self.query.text(), mode)

    def _all(self) -> None:
        self.session.select(self.session.unit_ids)

    def _clear(self) -> None:
        self.session.select(())

    def _save_group(self) -> None:
        name, said_yes = QInputDialog.getText(self, "Save as a group", "Name of the group:")
        if said_yes:
            self.session.save_group(name)

    def _pick_group(self) -> None:
        units = self.session.groups.get(self.groups.currentText())
        if units is not None:
            self.session.select(units)

    def _delete_group(self) -> None:
        self.session.delete_group(self.groups.currentText())

    def _click_region(self, name: str) -> None:
        units = self.session.recording.units
        ids = list(units.index[units["region"].astype(str) == name])
        all_in = set(ids) <= set(self.session.selected)
        only = len(self.session.selected) == len(ids)
        mode = self.session.select_mode
        if all_in and mode != "subtract":
            mode = "subtract" if not only else mode
        self.session.select(() if all_in and only else ids, mode)

    # -- showing ---------------------------------------------------------------------------------------------------------------------
    def _show_recording(self) -> None:
        session = self.session
        recording = session.recording
        if recording is None:
            self.name.setText("No recording is open")
            parts.badge(self.badge, "", "warn")
            self.facts.setText("Open an NWB file, a Kilosort or phy folder, or the sample.")
            self.problems.hide()
            return
        units = recording.units
        probes = units["probe"].nunique() if "probe" in units else 0
        self.name.setText(recording.name)
        parts.badge(
            self.badge, "SIMULATED: a model made these spikes, not an animal" if recording.simulated else "", "warn"
        )
        self.facts.setText(f"{len(units):,} units on {probes} probe{'s' if probes != 1 else ''}")
        warnings = list(recording.warnings)
        self.problems.setText("\n".join(f"• {words}" for words in warnings[:3]) + ("\n…" if len(warnings) > 3 else ""))
        self.problems.setToolTip("\n".join(warnings))
        self.problems.setVisible(bool(warnings))
        self.stimulus.clear()
        self.stimulus.addItems(stimulus_names(recording))
        self.stimulus.setCurrentText(session.stimulus_name)
        self.frames.setVisible(session.stimulus is None or session.stimulus_file is not None)

    def _show_selection(self) -> None:
        session = self.session
        parts.clear(self.regions)
        n_all, n = len(session.unit_ids), len(session.selected)
        self.count.setText(f"{n} of {n_all} selected" if n_all else "")
        if session.recording is None:
            return
        units = session.recording.units
        if "region" not in units:
            return
        every = Counter(units["region"].astype(str))
        chosen = Counter(units.loc[list(session.selected), "region"].astype(str))
        for name, colour in styles.categories(units["region"]).items():
            bar = parts.Bar(name, chosen[name] / every[name], f"{chosen[name]} / {every[name]}", colour, swatch=True)
            bar.setCheckable(False)
            bar.setToolTip("Click: select the units of this region, or let go of them")
            bar.clicked.connect(lambda *_, name=name: self._click_region(name))
            self.regions.addWidget(bar)
        self.regions.addStretch(1)

    def _show_groups(self) -> None:
        now = self.groups.currentText()
        self.groups.clear()
        self.groups.addItems(list(self.session.groups))
        self.groups.setPlaceholderText("none saved yet")
        self.groups.setCurrentIndex(
            self.groups.findText(now) if now in self.session.groups else len(self.session.groups) - 1
        )


def recording_dock(viewer: Any) -> RecordingDock:
    """Make the dock for a viewer."""
    workspace = Workspace.of(viewer)
    dock = RecordingDock(workspace)
    workspace.when_closed(dock.let_go)
    return dock
