"""What a unit is, in a few lines, beside the mouse that rests on its dot."""

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QToolTip

from . import compat
from . import layer_styles as styles
from .layers import SceneLayers
from .state import Session


def _known(value: Any) -> bool:
    return not (value is None or (isinstance(value, float) and np.isnan(value)) or str(value) in styles.NO_REGION)


def unit_words(table: pd.DataFrame, row: int, contribution: float | None = None, count: int | None = None) -> str:
    """Say what a unit is, with the units of each number; what is not known is left out.

    Parameters
    ----------
    table : DataFrame
        The units table.
    row : int
        Which of its rows.
    contribution : float, optional
        How much the unit adds to what is attributed.
    count : int, optional
        Spikes in the window of the present moment.
    """
    unit = table.iloc[row]
    lines = [f"unit {table.index[row]}"]
    place = [str(unit[c]) for c in ("region", "layer") if c in table and _known(unit[c])]
    if place:
        lines.append(" ".join(place))
    if "y_um" in table and np.isfinite(unit["y_um"]):
        probe = f" on {unit['probe']}" if "probe" in table and _known(unit["probe"]) else ""
        lines.append(f"{unit['y_um']:,.0f} µm from the tip{probe}")
    if "firing_rate_hz" in table and np.isfinite(unit["firing_rate_hz"]):
        lines.append(f"{unit['firing_rate_hz']:.1f} Hz on average")
    if count is not None:
        lines.append(f"{count} spike{'s' if count != 1 else ''} at this frame")
    if "cell_type" in table and _known(unit["cell_type"]):
        lines.append(f"cell type {unit['cell_type']}")
    if contribution is not None and np.isfinite(contribution):
        lines.append(f"contribution {contribution:+.3g}")
    return "\n".join(lines)


class Hover:
    """Shows a tooltip while the mouse is on a unit."""

    def __init__(self, viewer: Any, session: Session, layers: SceneLayers, lasso: Any) -> None:
        self.viewer, self.session, self.layers, self.lasso = viewer, session, layers, lasso
        self._row: int | None = None
        viewer.mouse_move_callbacks.append(self._on_move)

    def close(self) -> None:
        """Stop listening."""
        if self._on_move in self.viewer.mouse_move_callbacks:
            self.viewer.mouse_move_callbacks.remove(self._on_move)

    def _on_move(self, _viewer: Any, event: Any) -> None:
        session = self.session
        if session.recording is None or session.lassoing:
            return
        row = self.lasso.unit_under(event)
        if row is None:
            if self._row is not None:
                self._row = None
                QToolTip.hideText()
            return
        if row != self._row:
            self._row = row
            QToolTip.showText(QCursor.pos(), self.words(row), compat.native_canvas(self.viewer))

    def words(self, row: int) -> str:
        """Return what is said of a unit."""
        session = self.session
        contribution = None if session.contribution is None else float(session.contribution[row])
        count = None if session.counts is None else int(session.counts[row])
        return unit_words(session.recording.units, row, contribution, count)
