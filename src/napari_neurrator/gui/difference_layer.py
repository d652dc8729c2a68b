"""The difference of two groups on the frame, in diverging colours."""

from typing import Any

import numpy as np

from . import compat
from . import layer_styles as styles
from .comparing import difference_map
from .layers import SceneLayers
from .state import Session


class DifferenceLayer:
    """Keeps a map on the frame as ``session.difference`` says, while its moment is on screen."""

    def __init__(self, viewer: Any, session: Session, layers: SceneLayers) -> None:
        self.viewer, self.session, self.layers = viewer, session, layers
        events = session.events
        self._signals = (events.difference, events.compared, events.frame, events.repeat, events.geometry, events.opacity, layers.built)  # fmt: skip
        for signal in self._signals:
            signal.connect(self._show)

    def close(self) -> None:
        """Stop listening."""
        for signal in self._signals:
            signal.disconnect(self._show)

    def values(self) -> np.ndarray | None:
        """Return what is shown, (rows, columns), or None."""
        session = self.session
        compared, chosen = session.compared, session.difference
        if compared is None or chosen is None or session.geometry is None or self.layers.away:
            return None
        if (compared.frame, compared.repeat) != (session.frame, session.repeat):
            return None
        return difference_map(compared, *chosen)

    def _show(self, *_: Any) -> None:
        layer, values = self.layers.get(styles.DIFFERENCE), self.values()
        if values is None:
            if layer is not None:
                compat.show_layer(layer, False)
            return
        geometry, most = self.session.geometry, styles.largest(values.ravel())
        if layer is None:
            active = self.viewer.layers.selection.active
            layer = self.viewer.add_image(
                values, name=styles.DIFFERENCE, colormap=styles.diverging_colormap(), blending="translucent"
            )
            self.viewer.layers.move(len(self.viewer.layers) - 1, self.viewer.layers.index(styles.CROP))
            self.viewer.layers.selection.active = active
        layer.data = values
        layer.contrast_limits = (-most, most)
        layer.scale, layer.translate = geometry.scale, geometry.translate
        layer.opacity = self.session.opacity
        compat.show_layer(layer, True)
