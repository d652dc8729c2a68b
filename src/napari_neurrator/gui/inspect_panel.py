"""The Patches panel: what is known of the patch under the mouse, and of those that were clicked or drawn round."""

import contextlib
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QListWidgetItem, QProgressBar, QWidget

from . import compat, parts
from . import layer_styles as styles
from .asking import unit_words
from .findings import Inspected, Match
from .frame_patches import patch_words
from .gallery_panel import WIDTH, Pictures, make_picture
from .match_strip import LINE, NOTHING, MatchStrip
from .side_panels import place_beside
from .threads import Background
from .workspace import Workspace

HINT = "Click a patch of the frame, drag a rectangle over several, or drag a lasso with Shift held: of several, the mean counts."


def match_words(inspected: Inspected, held_out: bool) -> str:
    """Say whether the match is better than that of other frames."""
    if inspected.cosine is None:
        return ""
    if inspected.p is None:
        words = "With which frames it could be compared was not kept when the decoder was fitted."
    else:
        n = len(inspected.null)
        better = "fits this frame better than the others do" if inspected.p <= 0.05 else "no better than chance"
        words = f"{better[0].upper()}{better[1:]} there: p = {inspected.p:.3f}, against the same patches of {n:,} other frames."
    if not held_out:
        words = f"The decoder was fitted on this showing, so that a match proves nothing. {words}"
    return words


def over_time_words(match: Match | None, held_out: bool) -> str:
    """Say how often the match is better than that of other frames, and how far it has been worked out."""
    if match is None or match.problem or not match.n_known:
        return ""
    n, above = match.tested
    words = f"{above} of {n} moments lie above the band; luck alone would bring about {n / 20:.0f}." if n else ""
    if match.n_known < match.n_wanted:
        words += f" {match.n_known} of {match.n_wanted} frames so far."
    if n and not held_out:
        words += " The decoder was fitted on some or all of these moments, so that they prove nothing."
    return words.strip()


class InspectPanel(parts.Listener):
    """Shows ``session.inspected``."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        self._background = Background(workspace.main, "neurrator-patches")
        workspace.when_closed(self._background.close)
        self._made_of: Any = None
        self._dock: Any = None
        layout = parts.column(parts.scrolled(self))
        layout.addWidget(parts.text(HINT, quiet=True))
        self.on_frame = parts.toggle("Inspect on the frame", HINT)
        self.on_frame.toggled.connect(self._on_mode)
        self.grid = QCheckBox("grid")
        parts.named(self.grid, "Grid of patches")
        self.grid.setToolTip("Show the patches as a grid on the frame")
        self.grid.toggled.connect(self._on_grid)
        layout.addWidget(parts.row(self.on_frame, self.grid))
        self.hover = parts.text(quiet=True)
        layout.addWidget(self.hover)
        layout.addWidget(parts.line())
        self.title = parts.text(bold=True)
        self.note = parts.text(quiet=True, points=8.5)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        parts.named(self.progress, "Progress of looking at patches")
        self.match = parts.Bar("Decoded against true (cosine)", 0, "", parts.ACCENT)
        self.prior = parts.Bar("Knowing nothing", 0, "", "#9aa3ae")
        for bar in (self.match, self.prior):
            bar.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            bar.setCheckable(False)
        self.because = parts.text()
        self.concepts = QWidget()
        self.table = QGridLayout(self.concepts)
        self.table.setContentsMargins(0, 0, 0, 0)
        self.table.setHorizontalSpacing(12)
        self.alike_title = parts.heading("What was decoded looks most like")
        self.pictures = Pictures()
        self.pictures.setAccessibleName("Patches of the film that look most like what was decoded")
        self.pictures.setToolTip("The white square; click one to go to its frame")
        self.pictures.setMinimumHeight(300)
        self.pictures.itemClicked.connect(self._go)
        self.pictures.itemActivated.connect(self._go)
        self.who = parts.button("Which units say it?", self._who, "Ask back for these patches")
        self.clear = parts.button("Clear", workspace.inspector.clear, "Take the outline off the frame")
        for widget in (self.title, self.note, self.progress, self.match, self.prior, self.because, self.concepts):
            layout.addWidget(widget)
        layout.addWidget(parts.row(self.who, self.clear))
        self.over_time = parts.heading("Over the film")
        self.strip = MatchStrip(self.session, workspace.player)
        self.strip.went.connect(workspace.player.go)
        self.strip.stepped.connect(workspace.player.go)
        self.tested = parts.text()
        self.legend = parts.text(quiet=True, points=8.5)
        self.legend.setText(
            f'<span style="color:{LINE}">━</span> decoded against true, mean of the patches &nbsp; '
            f'<span style="color:{NOTHING}">╌</span> knowing nothing &nbsp; ▒ nine tenths of what it would be, had another frame been on. '
            "The picture has one line a patch and runs from 0 (dark) to 1 (bright)."
        )
        for widget in (self.over_time, self.strip, self.tested, self.legend):
            layout.addWidget(widget)
        layout.addWidget(self.alike_title)
        layout.addWidget(self.pictures, 1)
        layout.addStretch(1)
        events = self.session.events
        self._under: int | None = None
        workspace.frame_tool.hovered.connect(self._on_hover)
        self.listen(self._show, events.inspected, workspace.player.followed, events.repeat)
        self.listen(self._show_head, workspace.player.followed)
        self.listen(self._show_span, events.repeat, events.stimulus, self.session.scene_changed)
        self.listen(self._show_match, events.match, events.heat_colours, events.dark)
        self.listen(self._show_mode, events.on_frame, events.geometry, events.grid_shown)
        self.listen(self._show_hover, events.result, events.on_frame)

    def let_go(self) -> None:
        """Disconnect from the session and from the frame."""
        super().let_go()
        self.workspace.frame_tool.hovered.disconnect(self._on_hover)

    # -- doing -----------------------------------------------------------------------------------------------------------------------
    def _on_mode(self, on: bool) -> None:
        if on:
            self.session.on_frame = "inspect"
        elif self.session.on_frame == "inspect":
            self.session.on_frame = ""

    def _on_grid(self, on: bool) -> None:
        self.session.grid_shown = on

    def _on_hover(self, patch: int | None) -> None:
        self._under = patch
        self._show_hover()

    def _who(self) -> None:
        inspected = self.session.inspected
        if inspected is not None:
            self.workspace.show_asking()
            self.workspace.asking.ask_patches(inspected.patches)

    def _go(self, item: QListWidgetItem) -> None:
        self.session.frame = int(item.data(Qt.ItemDataRole.UserRole))

    def showEvent(self, event: Any) -> None:
        """Follow the match while it is seen."""
        super().showEvent(event)
        dock = compat.dock_of(self)
        if dock is not None and dock is not self._dock:
            self._dock = dock
            dock.visibilityChanged.connect(self._look)
        # Behind another tab it counts as visible, and once the docks have settled shows nothing.
        QTimer.singleShot(0, self._look)

    def hideEvent(self, event: Any) -> None:
        """Spend nothing on what nobody sees."""
        super().hideEvent(event)
        self.session.match_open = False

    def _look(self, *_: Any) -> None:
        with contextlib.suppress(RuntimeError):
            self.session.match_open = self.isVisible() and not self.visibleRegion().isEmpty()

    # -- showing ---------------------------------------------------------------------------------------------------------------------
    def _show_mode(self) -> None:
        session = self.session
        with QSignalBlocker(self.on_frame), QSignalBlocker(self.grid):
            self.on_frame.setChecked(session.on_frame == "inspect")
            self.grid.setChecked(session.grid_shown)
        self.on_frame.setEnabled(session.geometry is not None)
        self.grid.setEnabled(session.geometry is not None)

    def _show_hover(self) -> None:
        """Say of the patch under the mouse what is known already: nothing is worked out for it."""
        session = self.session
        result, geometry = session.result, session.geometry
        words = ""
        if self._under is not None and geometry is not None and session.on_frame == "inspect":
            words = f"Under the mouse: {patch_words(geometry, (self._under,))}"
            if result is not None and result.cosine is not None:
                words += (
                    f", match {float(result.cosine.ravel()[self._under]):.2f} (whole frame {result.mean_cosine:.2f})"
                )
        self.hover.setText(words or " ")

    def _show(self) -> None:
        session, inspected = self.session, self.session.inspected
        known = inspected is not None and inspected.cosine is not None
        always: tuple[QWidget, ...] = (self.title, self.note, self.clear, self.who)
        for widget in always:
            widget.setVisible(inspected is not None)
        once_known: tuple[QWidget, ...] = (self.match, self.prior, self.because, self.concepts)
        for widget in once_known:
            widget.setVisible(known)
        self.progress.setVisible(inspected is not None and bool(inspected.stage))
        alike = () if inspected is None else inspected.alike
        self.alike_title.setVisible(bool(alike))
        self.pictures.setVisible(bool(alike))
        if inspected is None:
            self._made_of = None
            return
        words = patch_words(session.geometry, inspected.patches)
        self.title.setText(words[0].upper() + words[1:])
        here = (inspected.frame, inspected.repeat) == (session.frame, session.repeat)
        moment = f"{unit_words(len(inspected.units))} at frame {inspected.frame + 1}, showing {inspected.repeat + 1}"
        after = f": {inspected.stage.lower()} …" if inspected.stage else "." if here else ", which is not the moment on screen."  # fmt: skip
        self.note.setText(inspected.problem or moment + after)
        self.progress.setRange(0, inspected.total)
        self.progress.setValue(inspected.done)
        if inspected.cosine is not None:
            for bar, value in ((self.match, inspected.cosine), (self.prior, inspected.prior_cosine)):
                bar.share, bar.number = max(0.0, value), f"{value:.2f}"
                bar.setAccessibleName(f"{bar.name} {bar.number}")
                bar.update()
            decoder = session.decoder
            held_out = decoder is not None and bool(decoder.is_held_out(inspected.repeat, inspected.frame))
            self.because.setText(match_words(inspected, held_out))
            self._fill_concepts(inspected)
        if alike is not self._made_of:
            self._made_of = alike
            self._fill_pictures(inspected)

    def _show_head(self) -> None:
        self.strip.head(self.workspace.player.clock.onset(self.session.frame))

    def _show_span(self) -> None:
        self.strip.span(0.0, max(self.workspace.player.clock.length, 1e-3))
        self._show_head()

    def _show_match(self) -> None:
        session, match = self.session, self.session.match
        of = () if match is None else match.key.patches
        words = patch_words(session.geometry, of) if of and session.geometry is not None else "all patches"
        self.over_time.setText(f"Over the film: {words}")
        held_out = False
        if match is not None and session.decoder is not None:
            seen = np.flatnonzero(np.isfinite(match.prior))
            some = seen[:: max(1, len(seen) // 50)]
            held_out = all(session.decoder.is_held_out(match.key.repeat, int(frame)) for frame in some)
        self.tested.setText(over_time_words(match, held_out))
        self.tested.setVisible(bool(self.tested.text()))
        self.strip.redraw()

    def _fill_concepts(self, inspected: Inspected) -> None:
        parts.clear(self.table)
        both = {name for name, _ in inspected.decoded} & {name for name, _ in inspected.true}
        for column, (title, listed) in enumerate(
            (("Active in the decoded", inspected.decoded), ("Active in the true", inspected.true))
        ):
            self.table.addWidget(parts.text(title, quiet=True, points=8.5), 0, column)
            for row, (name, value) in enumerate(listed or (("nothing", 0.0),), start=1):
                called = self.session.called(name)
                words = f"{called} {value:.2f}" if listed else called
                self.table.addWidget(parts.text(words, bold=name in both), row, column)

    def _fill_pictures(self, inspected: Inspected) -> None:
        session, stimulus = self.session, self.session.stimulus
        self.pictures.clear()
        if stimulus is None or session.geometry is None or not inspected.alike:
            return
        height, width = stimulus.frame(0).shape[:2]
        self.pictures.aspect = height / width
        self.pictures.fit()
        blank = QPixmap(WIDTH, round(WIDTH * self.pictures.aspect))
        blank.fill(Qt.GlobalColor.transparent)
        colours = np.asarray(styles.heat_colormap(session.heat_colours).map(np.linspace(0, 1, 8)))
        colours[:, 3] = 0.0
        for place, picture in enumerate(inspected.alike):
            item = QListWidgetItem(QIcon(blank), f"frame {picture.frame + 1}\ncosine {picture.value:.2f}")
            item.setData(Qt.ItemDataRole.UserRole, picture.frame)
            item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.pictures.addItem(item)
            make = partial(make_picture, stimulus, picture, 1.0, session.geometry, colours, "nearest", 0.0)
            self._background.run(make, partial(self._place, inspected.alike, place), lambda _: None)
        self.pictures.size_items()

    def _place(self, made_of: Any, place: int, image: Any) -> None:
        item = self.pictures.item(place)
        if made_of is self._made_of and item is not None:
            item.setIcon(QIcon(QPixmap.fromImage(image)))


def show_inspector(workspace: Workspace, front: bool = True) -> None:
    """Put the panel beside Narrate."""
    place_beside(workspace, "Patches", InspectPanel, front)
