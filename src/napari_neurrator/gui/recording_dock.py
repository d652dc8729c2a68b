"""The Recording dock: open a session, see what it is, choose units."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QTabWidget,
    QWidget,
)

from . import compat, parts
from . import layer_styles as styles
from .legend import Legend
from .loader import stimulus_names
from .recent import RecentButton
from .session_list import SessionList
from .state import COLOUR_BY, SelectMode, Session
from .units_table import UnitsTable
from .workspace import Workspace

MODES: tuple[tuple[SelectMode, str, str], ...] = (
    ("replace", "Replace", "The lasso replaces the selection"),
    ("add", "Add", "The lasso adds to the selection (or hold Shift)"),
    ("subtract", "Subtract", "The lasso takes units away (or hold Alt, or Ctrl)"),
)


TABLE_WIDTH = 440
OPENS = (
    "Recordings (*.nwb *.toml *.neurrator.json);;Neurodata Without Borders (*.nwb);;"
    "Pools of sessions (*.toml);;Saved sessions (*.neurrator.json);;All files (*)"
)


def colour_choices(session: Session) -> list[str]:
    """Return what the units of the open recording can be coloured by."""
    units = None if session.recording is None else session.recording.units
    found = []
    for words in COLOUR_BY:
        column = styles.COLUMNS.get(words)
        # cell type stands there always, so that its absence is seen
        if words == "contribution" and session.contribution is None:
            continue
        if (
            column is None
            or words == "cell type"
            or (units is not None and column in units and units[column].nunique() > 1)
        ):
            found.append(words)
    return found


def quality_words(units: Any) -> str:
    """Say by which criteria units pass quality control, and how many fail each."""
    from ..recording.quality import criteria

    if "passes_qc" not in units:
        return "This recording does not say how good its units are."
    passed, missing = criteria(units)
    if not (passed.all(axis=1).to_numpy() == units["passes_qc"].to_numpy(bool)).all():
        return "By the rules with which the recording was opened."
    lines = [f"{name}: {int((~passed[name]).sum()):,} units fail" for name in passed]
    lines = ["A unit passes if (Allen's default):", *lines] if lines else ["The source says nothing of quality."]
    if missing and passed.columns.size:
        lines.append("not known of these units: " + ", ".join(missing))
    return "\n".join(lines)


class RecordingDock(parts.Listener):
    """Open button(s), facts, stimulus, colours, selection and groups of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        self._bars: dict[str, parts.Bar] = {}
        self._legend: tuple[tuple[Any, bool], dict[str, str]] | None = None
        layout = parts.column(parts.scrolled(self, wide=True))
        layout.addWidget(
            parts.row(
                parts.button("File…", self._open_file, "Open an NWB file, a pool of sessions or a saved session"),
                parts.button(
                    "Folder…",
                    self._open_folder,
                    "Open a folder: Kilosort, phy, SortingAnalyzer, ALF, or NWB as Zarr; or drop it on the canvas",
                ),
                parts.button("URL…", self._open_url, "Open an NWB file by its address (https://…, s3://…)"),
                parts.button(
                    "Sample", lambda: workspace.open("sample"), "Open the simulated session that comes with the package"
                ),
                spacing=4,
            )
        )
        self.recent = RecentButton(workspace)
        layout.addWidget(self.recent)
        layout.addWidget(SessionList(workspace))
        self.name = parts.text(bold=True, points=11)
        self.badge = parts.text(wrap=True)
        self.facts = parts.text(quiet=True)
        self.problems = parts.text()
        for label in (self.name, self.badge, self.facts, self.problems):
            layout.addWidget(label)

        layout.addWidget(parts.heading("Shown to the animal"))
        self.stimulus = QComboBox()
        self.stimulus.activated.connect(lambda i: workspace.loader.show(self.stimulus.itemText(i)))
        self.frames = parts.button(
            "Frames…", self._choose_frames, "The movie file or image folder with the frames of this stimulus"
        )
        self.shown_when = parts.button(
            "When…", self._choose_presentations, "A table (CSV) or TTL file that says what was shown when"
        )
        layout.addWidget(parts.row(self.stimulus, self.frames, self.shown_when, spacing=4))
        self.stimulus.setMinimumContentsLength(12)
        self.stimulus.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        parts.named(self.stimulus, "Stimulus that is shown")
        parts_policy = self.stimulus.sizePolicy()
        parts_policy.setHorizontalStretch(1)
        self.stimulus.setSizePolicy(parts_policy)

        layout.addWidget(parts.heading("Units"))
        self.colour = QComboBox()
        self.colour.textActivated.connect(self._on_colour)
        self.brain = parts.button("Brain view", self._on_view)
        parts.named(self.colour, "Colour the units by")
        # as wide as there is room for, and never so wide that the dock is cut
        self.colour.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.colour.setMinimumContentsLength(5)
        self.colour.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        layout.addWidget(parts.row(parts.text("Colour by", wrap=False), self.colour, self.brain))
        self.legend = Legend(self.session)
        workspace.when_closed(self.legend.let_go)
        layout.addWidget(self.legend)
        self.good = parts.named(
            QCheckBox("Only units that pass quality control"), "Only units that pass quality control"
        )
        self.good.toggled.connect(self._on_good)
        self.n_good = parts.text(quiet=True, points=8.5, wrap=False)
        self.n_good.setContentsMargins(22, 0, 0, 2)
        layout.addWidget(self.good)
        layout.addWidget(self.n_good)
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
        history = workspace.history
        self.undo = parts.button("↶", history.undo, "Undo: selection and groups (Ctrl+Z)")
        self.redo = parts.button("↷", history.redo, "Do again what was undone (Ctrl+Shift+Z)")
        for step, name in ((self.undo, "Undo"), (self.redo, "Redo")):
            parts.named(step, name).setFixedWidth(32)
        layout.addWidget(parts.row(self.lasso, self.undo, self.redo, spacing=2))
        layout.addWidget(parts.row(*mode_buttons, spacing=2))

        self.query = QLineEdit()
        self.query.setPlaceholderText('region == "VISp" and y_um > 800')
        self.query.setToolTip("A pandas query on the units table; Enter selects")
        parts.named(self.query, "Query on the units table")
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
        every = parts.button("All", self._all, "Select all units that are shown")
        none = parts.button("Clear", self._clear, "Select nothing (Q)")
        layout.addWidget(parts.row(self.count, 1, every, none, spacing=4))

        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        self.regions = parts.column(inner, margin=0, spacing=1)
        scroll.setWidget(inner)
        self.table = UnitsTable(self.session)
        workspace.when_closed(self.table.let_go)
        self.tabs = QTabWidget()
        self.tabs.addTab(scroll, "Regions")
        self.tabs.addTab(self.table, "Table")
        self.tabs.setTabToolTip(0, "How many units of each region are selected")
        self.tabs.setTabToolTip(1, "Every unit: sort by a header, find by words, select rows")
        self.tabs.setDocumentMode(True)
        parts.named(self.tabs, "Regions and table of units")
        self.tabs.setMinimumHeight(200)
        self.tabs.currentChanged.connect(self._make_room)
        layout.addWidget(self.tabs, 1)

        layout.addWidget(parts.heading("Groups"))
        self.groups = QComboBox()
        self.groups.activated.connect(lambda _: self._pick_group())
        parts.named(self.groups, "Saved groups of units")
        self.groups.setSizePolicy(parts_policy)
        self.groups.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.groups.setMinimumContentsLength(8)
        self.delete_group = parts.button("Delete", self._delete_group, "Forget this group")
        layout.addWidget(
            parts.row(
                self.groups,
                parts.button("Save…", self._save_group, "Keep the selection under a name"),
                self.delete_group,
                spacing=4,
            )
        )

        events = self.session.events
        described = self.session.units_described
        self.listen(self._show_recording, self.session.scene_changed, events.recording, events.stimulus_name, described)
        self.listen(self._show_colours, events.colour_by, events.recording, events.contribution, described)
        self.listen(self._show_theme, events.dark)
        self.listen(self._show_selection, events.selected, events.only_good, self.session.scene_changed, described)
        self.listen(self._show_quality, events.only_good, events.recording, described)
        self.listen(self._show_view, events.view, events.recording)
        self.listen(self._show_groups, events.groups, events.selected)
        self.listen(self._show_history, events.groups, events.selected, events.recording)
        self.listen(lambda: self.lasso.setChecked(self.session.lassoing), events.lassoing)
        self.listen(lambda: self.setEnabled(self.session.job.kind != "opening"), events.job)

    # -- opening ---------------------------------------------------------------------------------------------------------------------
    def _open_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a recording", "", OPENS)
        if path:
            self.workspace.open(path)

    def _open_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder")
        if path:
            self.workspace.open(path)

    def _open_url(self) -> None:
        address, said_yes = QInputDialog.getText(
            self, "Open by address", "Address of an NWB file (https://… or s3://…):"
        )
        if said_yes and address.strip():
            self.workspace.open(address.strip())

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

    def _choose_presentations(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "What was shown when", "", "Presentations (*.csv *.tsv *.txt *.toml);;All files (*)"
        )
        if path:
            self.workspace.loader.attach_presentations(path)

    # -- selecting -------------------------------------------------------------------------------------------------------------------
    def _on_colour(self, words: str) -> None:
        self.session.colour_by = words

    def _on_lasso(self, on: bool) -> None:
        if on and self.session.recording is None:
            self.lasso.setChecked(False)
            self.session.fail("Open a recording before drawing a lasso.")
            return
        self.session.lassoing = on

    def _on_good(self, on: bool) -> None:
        self.session.only_good = on

    def _on_view(self) -> None:
        self.session.view = "probe" if self.session.view == "brain" else "brain"

    def _make_room(self, tab: int) -> None:
        """Give the table the width that its columns want, where the window has it to spare."""
        holder, window = compat.dock_of(self), self.window()
        if (
            tab == 1
            and holder is not None
            and window is not None
            and holder.width() < TABLE_WIDTH < 0.35 * window.width()
        ):
            window.resizeDocks([holder], [TABLE_WIDTH], Qt.Orientation.Horizontal)  # type: ignore[attr-defined]
            # the canvas has become narrower
            QTimer.singleShot(0, self.workspace.layers.look)

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
        session = self.session
        units = session.recording.units
        ids = list(units.index[(units["region"].astype(str) == name).to_numpy() & session.visible])
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
            self.facts.setText("Open a file, a folder or the sample, or drop one on the canvas.")
            self.problems.hide()
            self.stimulus.clear()
            self.frames.hide()
            self.shown_when.setEnabled(False)
            return
        self.shown_when.setEnabled(True)
        units = recording.units
        probes = units["probe"].nunique() if "probe" in units else 0
        self.name.setText(recording.name)
        badges = ["SIMULATED: a model made these spikes, not an animal"] if recording.simulated else []
        if session.population:
            badges.append(session.population.upper() + ": units of different sessions never fired together")
        parts.badge(self.badge, "\n".join(badges), "warn")
        self.facts.setText(f"{len(units):,} units on {probes} probe{'s' if probes != 1 else ''}")
        warnings = list(getattr(recording, "remarks", recording.warnings))
        self.problems.setText("\n".join(f"• {words}" for words in warnings[:3]) + ("\n…" if len(warnings) > 3 else ""))
        self.problems.setToolTip("\n".join(warnings))
        self.problems.setVisible(bool(warnings))
        self.stimulus.clear()
        self.stimulus.addItems(stimulus_names(recording))
        self.stimulus.setCurrentText(session.stimulus_name)
        self.frames.setVisible(session.stimulus is None or session.stimulus_file is not None)

    def _show_colours(self) -> None:
        session = self.session
        choices = colour_choices(session)
        if [self.colour.itemText(i) for i in range(self.colour.count())] != choices:
            with QSignalBlocker(self.colour):
                self.colour.clear()
                self.colour.addItems(choices)
        if session.colour_by not in choices:
            session.colour_by = "region"
        self.colour.setCurrentText(session.colour_by)

    def _show_theme(self) -> None:
        self.problems.setStyleSheet(f"QLabel {{ color: {'#ffc857' if self.session.dark else '#8a5a00'}; }}")
        self._show_selection()

    def _show_history(self) -> None:
        history = self.workspace.history
        self.undo.setEnabled(history.can_undo)
        self.redo.setEnabled(history.can_redo)

    def _show_quality(self) -> None:
        session = self.session
        known = session.recording is not None and "passes_qc" in session.recording.units
        self.good.setEnabled(known)
        with QSignalBlocker(self.good):
            self.good.setChecked(session.only_good)
        if session.recording is None:
            self.n_good.setText("")
            return
        tip = quality_words(session.recording.units)
        self.good.setToolTip(tip)
        self.n_good.setToolTip(tip)
        n, n_all = int(session.passing.sum()), len(session.unit_ids)
        self.n_good.setText(f"{n:,} of {n_all:,} pass" if known else "not known of this recording")

    def _show_view(self) -> None:
        session = self.session
        inside = session.view == "brain"
        self.brain.setText("Probe view" if inside else "Brain view")
        self.brain.setEnabled(inside or session.has_ccf)
        if inside:
            tip = "Back to the units on their probes, beside the movie"
        elif session.has_ccf:
            tip = "Show the units where they are in the Allen CCF; turn it with the mouse"
        else:
            tip = "This recording does not say where its units are in the Allen CCF"
        self.brain.setToolTip(tip)

    def _show_selection(self) -> None:
        session = self.session
        shown = session.visible
        n_all, n = int(shown.sum()), len(session.selected)
        self.count.setText(f"{n:,} of {n_all:,} selected" if n_all else "")
        units = None if session.recording is None else session.recording.units
        if units is None or "region" not in units:
            parts.clear(self.regions)
            self._bars = {}
            return
        every = session.count_by("region", np.flatnonzero(shown))
        chosen = session.count_by("region", session.rows(session.selected))
        legend = self._region_legend(units)
        if list(self._bars) != list(legend):
            parts.clear(self.regions)
            self._bars = {}
            for name, colour in legend.items():
                bar = parts.Bar(name, 0, "", colour, swatch=True)
                bar.setCheckable(False)
                bar.setToolTip("Click: select the units of this region, or let go of them")
                bar.clicked.connect(lambda *_, name=name: self._click_region(name))
                self.regions.addWidget(bar)
                self._bars[name] = bar
            self.regions.addStretch(1)
        for name, bar in self._bars.items():
            bar.share, bar.number = chosen[name] / max(1, every[name]), f"{chosen[name]} / {every[name]}"
            bar.colour = legend[name]
            bar.setAccessibleName(f"{name}: {chosen[name]} of {every[name]} units selected")
            bar.setVisible(every[name] > 0)
            bar.update()

    def _region_legend(self, units: Any) -> dict[str, str]:
        now = (units, self.session.dark)
        if self._legend is None or self._legend[0][0] is not units or self._legend[0][1] != now[1]:
            self._legend = (now, styles.categories(units["region"], self.session.dark))
        return self._legend[1]

    def _show_groups(self) -> None:
        session, now = self.session, self.groups.currentText()
        groups = session.groups
        if [self.groups.itemText(i) for i in range(self.groups.count())] != list(groups):
            self.groups.clear()
            self.groups.addItems(list(groups))
        self.groups.setPlaceholderText("choose one" if groups else "none saved yet")
        # two groups may hold the same units
        fits = [name for name, units in groups.items() if units and units == session.selected]
        self.groups.setCurrentIndex(self.groups.findText(now if now in fits else fits[-1]) if fits else -1)
        self.delete_group.setEnabled(bool(fits))


def recording_dock(viewer: Any) -> RecordingDock:
    """Make the dock for a viewer."""
    workspace = Workspace.of(viewer)
    dock = RecordingDock(workspace)
    workspace.when_closed(dock.let_go)
    return dock
