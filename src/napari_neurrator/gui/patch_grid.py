"""A grid of thin lines on the frame that shows the patches."""

from typing import Any

import numpy as np

from . import compat
from . import layer_styles as styles
from .layers import SceneLayers
from .state import Session


def grid_lines(geometry: Any) -> list[np.ndarray]:
    """Return the lines between and around patches, each (2, 2)."""
    top, left, height, width = (float(part) for part in geometry.crop)
    top, left = top - 0.5, left - 0.5
    across = [np.array([[top + height * i / geometry.rows, left], [top + height * i / geometry.rows, left + width]]) for i in range(geometry.rows + 1)]  # fmt: skip
    down = [np.array([[top, left + width * i / geometry.columns], [top + height, left + width * i / geometry.columns]]) for i in range(geometry.columns + 1)]  # fmt: skip
    return across + down


class PatchGrid:
    """Keeps the grid on the frame as ``session.grid_shown`` says."""

    def __init__(self, viewer: Any, session: Session, layers: SceneLayers) -> None:
        self.viewer, self.session, self.layers = viewer, session, layers
        self._of: Any = None
        self._signals = (session.events.grid_shown, session.events.geometry, layers.built)
        for signal in self._signals:
            signal.connect(self._show)

    def close(self) -> None:
        """Stop listening."""
        for signal in self._signals:
            signal.disconnect(self._show)

    def _show(self, *_: Any) -> None:
        session, layer = self.session, self.layers.get(styles.PATCH_GRID)
        wanted = session.grid_shown and session.geometry is not None and session.stimulus is not None
        if not wanted or self.layers.layout is None or self.layers.away:
            if layer is not None:
                compat.show_layer(layer, False)
            return
        if layer is None:
            active = self.viewer.layers.selection.active
            layer = self.viewer.add_shapes(ndim=2, name=styles.PATCH_GRID, opacity=0.4)
            # under the outline of what is chosen, over the map
            self.viewer.layers.move(len(self.viewer.layers) - 1, self.viewer.layers.index(styles.CROP))
            self.viewer.layers.selection.active = active
            compat.draw_less(self.viewer, layer, "shape_highlights", "highlight_lines", "highlight_vertices")
            self._of = None
        if self._of is not session.geometry:
            self._of = session.geometry
            layer.data = []
            layer.add(grid_lines(session.geometry), shape_type="line", edge_color="#ffffff", edge_width=0.0045 * self.layers.layout.frame.height)  # fmt: skip
        compat.show_layer(layer, True)
