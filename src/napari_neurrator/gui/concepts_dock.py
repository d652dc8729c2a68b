"""The Concepts dock: what the decoded grid holds, ranked; click one to see where."""

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider, QWidget

from . import layer_styles as styles
from . import parts
from .layers import heat_of
from .state import PATCHES, Shown
from .workspace import Workspace

HEAT = "#f5762f"
MATCH = "#2fc99a"


class ConceptsDock(parts.Listener):
    """Ranked concepts and the patch match; one of them at a time lies on the frame."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        session = self.session
        self.bars: dict[Shown, parts.Bar] = {}
        self._colours: np.ndarray | None = None
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
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(5, 100)
        parts.named(self.opacity, "Opacity of the map on the frame")
        self.opacity.valueChanged.connect(self._on_opacity)
        legend.addWidget(parts.row(parts.text("Opacity", quiet=True, wrap=False), self.opacity))
        layout.addWidget(self.legend)
        layout.addStretch(1)
        events = session.events
        self.listen(self._show_list, events.result)
        self.listen(self._show_shown, events.shown, events.result)
        self.listen(lambda: self.opacity.setValue(round(100 * session.opacity)), events.opacity)

    def click(self, entry: Shown) -> None:
        """Lay an entry on the frame, or take it off if it lies there."""
        self.session.shown = None if self.session.shown == entry else entry

    def _on_opacity(self, value: int) -> None:
        self.session.opacity = value / 100

    def _wanted(self) -> list[tuple[Shown, str, float, str, str]]:
        result = self.session.result
        if result is None:
            return []
        top = max((concept.strength for concept in result.concepts), default=0.0)
        rows: list[tuple[Shown, str, float, str, str]] = [
            (c.name, c.name, c.strength / top if top > 0 else 0.0, f"{c.strength:.1f}", HEAT) for c in result.concepts
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
            self.bars = {}
            for entry, name, share, number, colour in rows:
                bar = parts.Bar(name, share, number, colour)
                bar.clicked.connect(lambda *_, entry=entry: self.click(entry))
                self.list.addWidget(bar)
                self.bars[entry] = bar
        self.hint.setText(
            "Standard deviations above what is usual in this session. Click one to see where on the frame; click again to take it off."
            if rows
            else "What the decoded picture holds is listed here once some units have been narrated."
        )

    def _show_shown(self) -> None:
        session = self.session
        for entry, bar in self.bars.items():
            bar.setChecked(entry == session.shown)
        heat = None if session.result is None else heat_of(session.result, session.shown)
        self.legend.setVisible(session.shown is not None)
        if heat is None:
            self.what.setText("The chosen concept is not among those of these units.")
            self.scale.set(np.zeros((0, 4)), ())
            return
        if self._colours is None:
            self._colours = np.asarray(styles.heat_colormap().map(np.linspace(0, 1, 24)))
        _, (low, high) = heat
        if session.shown == PATCHES:
            self.what.setText("On the frame: <b>match of each patch</b>")
            self.scale.set(self._colours, ((0.0, "0 no match"), (1.0, "1 same")))
        else:
            self.what.setText(f"On the frame: <b>{session.shown}</b>")
            self.scale.set(self._colours, ((0.0, f"{low:.0f} none"), (1.0, f"{high:.2g} strongest patch")))


def concepts_dock(viewer: Any) -> ConceptsDock:
    """Make the dock for a viewer."""
    workspace = Workspace.of(viewer)
    dock = ConceptsDock(workspace)
    workspace.when_closed(dock.let_go)
    return dock
