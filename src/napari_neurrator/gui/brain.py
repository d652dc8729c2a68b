"""The brain view: the same units in the Allen CCF, turned with the mouse, in place of probes and movie."""

from typing import Any

from . import brain_layers, compat
from . import layer_styles as styles
from .layers import SceneLayers
from .state import Session

LOOK = (-0.42, 0.42, -0.80)
"""Along which way one looks (AP, DV, ML): from behind, above, and the side of the units."""
CAPTION = (
    "Allen CCF (2017). The box is the extent of the atlas, not the outline of a brain.\n"
    "Drag to turn, scroll to zoom, click a unit to select it."
)
OWN = (styles.BRAIN_BOX, styles.BRAIN_MIDLINE, styles.BRAIN_PROBES, styles.BRAIN_LABELS, styles.BRAIN_UNITS)


class BrainView:
    """Switches the viewer between the scene of probes and movie and the brain, as ``session.view`` says."""

    def __init__(self, viewer: Any, session: Session, layers: SceneLayers) -> None:
        self._viewer, self.session, self.layers = compat.unwrap(viewer), session, layers
        self._visible: dict[str, bool] = {}
        self._camera: Any = None
        session.events.view.connect(self._on_view)
        self._viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def close(self) -> None:
        """Stop listening."""
        self.session.events.view.disconnect(self._on_view)
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    def _on_view(self, view: str) -> None:
        if view == "brain":
            if not self.session.has_ccf:
                self.session.view = "probe"
                self.session.fail("No unit has a place in the Allen CCF (ccf_ap_um, ccf_dv_um, ccf_lr_um).")
                return
            self.session.lassoing = False
            self._enter()
        elif self.layers.away:
            self._leave()

    def _on_ndisplay(self) -> None:
        # napari's own button for 2D leads back to the probes
        if self.layers.away and self._viewer.dims.ndisplay == 2:
            self.session.view = "probe"

    def _enter(self) -> None:
        viewer, units = self._viewer, self.session.recording.units
        self.layers.away = True
        self._camera = compat.camera_state(viewer)
        self._visible = {layer.name: layer.visible for layer in viewer.layers}
        for layer in viewer.layers:
            layer.visible = False
        for data in (
            brain_layers.brain_box(),
            brain_layers.midline(),
            brain_layers.brain_probes(units, self.session.dark),
            brain_layers.brain_labels(units, self.session.dark),
            brain_layers.brain_units(units, self.session.colour_by, self.session.dark),
        ):
            self.layers.add(data)
        compat.protect_points(viewer.layers[styles.BRAIN_UNITS])
        viewer.dims.ndisplay = 3
        compat.name_axes(viewer, "AP", "DV", "ML")
        self.look()
        compat.set_canvas_text(viewer, CAPTION)
        viewer.layers.selection.active = viewer.layers[styles.BRAIN_UNITS]
        self.layers.attached.emit()
        self.layers.paint_units()
        lost = int((~brain_layers.places(units)[1]).sum())
        if lost:
            self.session.status = f"{lost} units have no place in the CCF and are not shown in the brain."

    def look(self) -> None:
        """Fit the whole CCF into the canvas."""
        ap, dv, ml = LOOK
        look = (ap, dv, ml * brain_layers.side(self.session.recording.units))
        compat.look_along(self._viewer, brain_layers.CCF_UM, look, (0.0, -1.0, 0.0))

    def _leave(self) -> None:
        viewer, session = self._viewer, self.session
        compat.set_canvas_text(viewer, "")
        with compat.batched(viewer):
            for name in OWN:
                if name in viewer.layers:
                    del viewer.layers[name]
        viewer.dims.ndisplay = 2
        if session.stimulus is not None:
            compat.name_axes(viewer, "t", "y", "x")
        for layer in viewer.layers:
            layer.visible = self._visible.get(layer.name, True)
        compat.set_camera_state(viewer, self._camera)
        self.layers.away = False
        self.layers.return_to_frame()
        if styles.UNITS in viewer.layers:
            viewer.layers.selection.active = viewer.layers[styles.UNITS]
        self.layers.attached.emit()
        self.layers.paint_units()
