"""The Concepts dock: what the decoded grid holds, ranked; click one to see where."""

import html
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QSlider, QWidget

from . import parts
from .concept_row import ConceptRow
from .findings import ConceptMap
from .layers import heat_of
from .state import HEAT_COLOURS, INTERPOLATIONS, PATCHES, Shown
from .workspace import Workspace

HEAT = "#f5762f"
MATCH = "#2fc99a"

SCALE_NOTE = "One scale for all of this showing, as far as it is known: brightness can be compared from frame to frame."


class ConceptsDock(parts.Listener):
    """Ranked concepts and the patch match; one of them at a time lies on the frame."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self.workspace = workspace
        session = self.session
        self.bars: dict[Shown, parts.Bar] = {}
        self.rows: dict[Shown, ConceptRow] = {}
        layout = parts.column(parts.scrolled(self))
        self.hint = parts.text(quiet=True)
        layout.addWidget(self.hint)
        holder = QWidget()
        self.list = parts.column(holder, margin=0, spacing=2)
        layout.addWidget(holder)
        self.legend = QWidget()
        legend = parts.column(self.legend, margin=0, spacing=3)
        self.what = parts.text()
        self.scale = parts.Scale()
        legend.addWidget(self.what)
        legend.addWidget(self.scale)
        legend.addWidget(parts.text(SCALE_NOTE, quiet=True, points=8.5))
        self.colours = self._choice(HEAT_COLOURS, "heat_colours", "Colours of the map")
        self.interpolation = self._choice(INTERPOLATIONS, "interpolation", "How the map is drawn between patches")
        for place, tip in enumerate(INTERPOLATIONS.values()):
            self.interpolation.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        legend.addWidget(parts.row(parts.text("Colours", quiet=True, wrap=False), self.colours, self.interpolation))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(5, 100)
        parts.named(self.opacity, "Opacity of the map on the frame")
        self.opacity.valueChanged.connect(self._on_opacity)
        self.bar_on_canvas = parts.named(QCheckBox("bar on canvas"), "Colour bar beside the picture")
        self.bar_on_canvas.setToolTip("Show the colours and their numbers beside the picture, too")
        self.bar_on_canvas.toggled.connect(self._on_bar)
        legend.addWidget(parts.row(parts.text("Opacity", quiet=True, wrap=False), self.opacity, self.bar_on_canvas))
        layout.addWidget(self.legend)
        layout.addStretch(1)
        events = session.events
        self.listen(self._show_list, events.result, events.labels)
        self.listen(self._show_shown, events.shown, events.result, events.labels)
        self.listen(self._show_scale, events.heat_scale, events.shown)
        self.listen(lambda: self.opacity.setValue(round(100 * session.opacity)), events.opacity)
        self.listen(lambda: self.bar_on_canvas.setChecked(session.colour_bar), events.colour_bar)

    def _choice(self, names: Any, field: str, tip: str) -> QComboBox:
        """Make a list to choose from that follows a field of the session and writes to it."""
        box, session = QComboBox(), self.session
        for name in names:
            box.addItem(name, name)
        box.setToolTip(tip)
        box.setAccessibleName(tip)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(7)
        box.currentIndexChanged.connect(lambda place: setattr(session, field, box.itemData(place)))

        def follow() -> None:
            with QSignalBlocker(box):
                box.setCurrentIndex(box.findData(getattr(session, field)))

        self.listen(follow, getattr(session.events, field))
        return box

    def click(self, entry: Shown) -> None:
        """Lay an entry on the frame, or take it off if it lies there."""
        self.session.shown = None if self.session.shown == entry else entry

    def follow(self, entry: Shown) -> None:
        """Show the course of an entry under the slider, and where it is on the frame."""
        self.session.course_open = True
        self.session.shown = entry

    def _on_opacity(self, value: int) -> None:
        self.session.opacity = value / 100

    def _on_bar(self, on: bool) -> None:
        self.session.colour_bar = on

    def _wanted(self) -> list[tuple[Shown, str, float, str, str]]:
        result = self.session.result
        if result is None:
            return []
        top = max((concept.strength for concept in result.concepts), default=0.0)
        rows: list[tuple[Shown, str, float, str, str]] = [
            (
                c.name,
                self.session.called(c.name),
                c.strength / top if top > 0 else 0.0,
                f"{c.strength:.1f}",
                HEAT,
            )
            for c in result.concepts
        ]
        if result.cosine is not None and result.mean_cosine is not None:
            rows.append(
                (PATCHES, "Patch match: decoded against true", result.mean_cosine, f"{result.mean_cosine:.2f}", MATCH)
            )
        return rows

    def _show_list(self) -> None:
        rows = self._wanted()
        # tokens change the result many times a second; rows are made anew only when they differ
        if [row[0] for row in rows] == list(self.bars) and rows:
            for entry, name, share, number, _ in rows:
                bar = self.bars[entry]
                bar.name, bar.share, bar.number = name, share, number
                bar.update()
        else:
            parts.clear(self.list)
            self.bars, self.rows = {}, {}
            for entry, name, share, number, colour in rows:
                bar = parts.Bar(name, share, number, colour)
                bar.clicked.connect(partial(self._on_click, entry))
                self.bars[entry] = bar
                self.rows[entry] = self._row(entry, bar)
                self.list.addWidget(self.rows[entry])
        result = self.session.result
        for concept in () if result is None else result.concepts:
            called = self.session.called(concept.name)
            self.rows[concept.name].name(called, concept.given, self.where_from(concept))
        if rows:
            hint = "Standard deviations above what is usual in this session. Click one to see where on the frame; click again to take it off."
        elif result is not None and result.finished and result.cosine is None:
            hint = "A session file keeps sentences, not what the decoded picture held: press Narrate to have it listed here again."
        else:
            hint = "What the decoded picture holds is listed here once some units have been narrated."
        self.hint.setText(hint)

    def _row(self, entry: Shown, bar: parts.Bar) -> ConceptRow:
        row = ConceptRow(bar, movable=entry != PATCHES)
        row.gallery_wanted.connect(partial(self._on_gallery, entry))
        row.course_wanted.connect(partial(self.follow, entry))
        row.who_wanted.connect(partial(self._on_who, entry))
        row.renamed.connect(partial(self._on_renamed, entry))
        return row

    def _on_click(self, entry: Shown, *_: Any) -> None:
        self.click(entry)

    def _on_gallery(self, entry: Shown) -> None:
        self.workspace.show_gallery(str(entry))

    def _on_who(self, entry: Shown) -> None:
        self.workspace.who_says(str(entry))

    def _on_renamed(self, entry: Shown, label: str) -> None:
        self.workspace.labels.rename(str(entry), self.rows[entry].original, label)

    def where_from(self, concept: ConceptMap) -> str:
        """Say what a concept is in the dictionary, and how its name was found."""
        result, called = self.session.result, self.session.called(concept.name)
        lines = [f"“{called}”: your own name for “{concept.given}”"] if called != concept.given else [called]
        if result is not None and result.naming:
            score = "" if concept.score is None else f"; score {concept.score:.2f}"
            lines.append(f"{result.naming[:1].upper()}{result.naming[1:]}{score}.")
        lines.append(f"Strongest here: feature {concept.feature} of the dictionary.")
        # as rich text, long lines are wrapped
        return "<br>".join(html.escape(line, quote=False) for line in lines)

    def _show_shown(self) -> None:
        session = self.session
        for entry, bar in self.bars.items():
            bar.setChecked(entry == session.shown)
        self.legend.setVisible(session.shown is not None)
        if session.result is None or heat_of(session.result, session.shown) is None:
            self.what.setText("The chosen concept is not among those of these units.")
        elif session.shown == PATCHES:
            self.what.setText("On the frame: <b>match of each patch</b>")
        else:
            self.what.setText(f"On the frame: <b>{session.called(str(session.shown))}</b>")
        self._show_scale()

    def _show_scale(self) -> None:
        """Show the colours as they are drawn, with the values that they stand for."""
        session, scale = self.session, self.session.heat_scale
        if scale is None or session.result is None or heat_of(session.result, session.shown) is None:
            self.scale.set(np.zeros((0, 4)), ())
            return
        low, middle, high = (f"{v:.3g}" for v in (scale.low, (scale.low + scale.high) / 2, scale.high))
        unit = "same" if session.shown == PATCHES else "activation"
        self.scale.set(scale.colours, ((0.0, low), (0.5, middle), (1.0, f"{high} {unit}")))


def concepts_dock(viewer: Any) -> ConceptsDock:
    """Make the dock for a viewer."""
    workspace = Workspace.of(viewer)
    dock = ConceptsDock(workspace)
    workspace.when_closed(dock.let_go)
    return dock
