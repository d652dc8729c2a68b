"""The mouse on the frame: a click chooses a patch, a drag a rectangle of patches, with Shift a lasso."""

from typing import Any

import numpy as np
from psygnal import Signal

from . import compat
from . import layer_styles as styles
from .frame_patches import boxes, patches_within
from .lasso import TINY_PX
from .layers import SceneLayers
from .state import Session

CHOSEN = "#ffffff"


class FrameTool:
    """Listens to the canvas while ``session.on_frame`` says what the mouse does there.

    Attributes
    ----------
    chosen : Signal(tuple)
        Patches that were clicked or drawn round, by number.
    hovered : Signal(object)
        The patch that the mouse is on, by number, or None.
    """

    chosen = Signal(tuple)
    hovered = Signal(object)

    def __init__(self, viewer: Any, session: Session, layers: SceneLayers) -> None:
        self.viewer, self.session, self.layers = viewer, session, layers
        self._outlined: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self._under: int | None = None
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.mouse_move_callbacks.append(self._on_move)
        events = session.events
        self._links: list[tuple[Any, Any]] = [(events.on_frame, self._on_mode), (events.view, self._on_view)]
        self._links += [(signal, self._outline) for signal in (events.asked, events.inspected, events.frame, events.repeat, events.geometry, layers.built)]  # fmt: skip
        for signal, slot in self._links:
            signal.connect(slot)
        # napari lets another layer that becomes active move the picture again
        self._active = compat.unwrap(viewer).layers.selection.events.active
        self._active.connect(self._hold, position="last")

    def close(self) -> None:
        """Stop listening."""
        self._active.disconnect(self._hold)
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        for callbacks, slot in (
            (self.viewer.mouse_drag_callbacks, self._on_press),
            (self.viewer.mouse_move_callbacks, self._on_move),
        ):
            if slot in callbacks:
                callbacks.remove(slot)

    # -- the mouse -------------------------------------------------------------------------------------------------------------------
    def _on_mode(self, what: str) -> None:
        if what:
            self.session.view, self.session.lassoing = "probe", False
        compat.hold_camera(self.viewer, bool(what))

    def _hold(self, _event: Any = None) -> None:
        if self.session.on_frame:
            compat.hold_camera(self.viewer, True)

    def _on_view(self, view: str) -> None:
        if view != "probe":
            self.session.on_frame = ""

    def _on_press(self, _viewer: Any, event: Any) -> Any:
        session = self.session
        geometry = session.geometry
        if not session.on_frame or geometry is None or event.button != 1 or session.lassoing:
            return
        start = np.asarray(event.position, float)[-2:]
        if not self._on_picture(start):
            return
        path, pixel, moved = [start], np.asarray(event.pos, float), 0.0
        free = "Shift" in {str(getattr(m, "name", m)) for m in event.modifiers}
        yield
        while event.type == "mouse_move":
            path.append(np.asarray(event.position, float)[-2:])
            moved = max(moved, float(np.abs(np.asarray(event.pos, float) - pixel).max()))
            yield
        # a lasso ends where it began
        if moved < TINY_PX:
            patch = self.patch_at(start)
            patches: tuple[int, ...] = () if patch is None else (patch,)
        else:
            path.append(np.asarray(event.position, float)[-2:])
            patches = patches_within(geometry, np.array(path), free)
        if patches:
            self.chosen.emit(patches)
        else:
            session.warn("The models see nothing there: click inside the white line.")

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if not self.session.on_frame and self._under is None:
            return
        under = self.patch_at(np.asarray(event.position, float)[-2:]) if self.session.on_frame else None
        if under != self._under:
            self._under = under
            self.hovered.emit(under)

    def _on_picture(self, point: np.ndarray) -> bool:
        layout = self.layers.layout
        if layout is None:
            return False
        frame = layout.frame
        return bool(frame.top <= point[0] <= frame.bottom and frame.left <= point[1] <= frame.right)

    def patch_at(self, point: np.ndarray) -> int | None:
        """Return the number of the patch at a point (y, x) of the frame, or None where there is none."""
        geometry = self.session.geometry
        return None if geometry is None or self.layers.away else geometry.patch_at(float(point[0]), float(point[1]))

    # -- what was chosen -------------------------------------------------------------------------------------------------------------
    def _outline(self, *_: Any) -> None:
        """Outline the patches that are asked for or inspected, while their frame is on screen."""
        layer, session = self.layers.get(styles.CHOSEN_PATCHES), self.session
        if layer is None or self.layers.layout is None:
            return
        here = (session.frame, session.repeat)
        shown: tuple[int, ...] = ()
        for one in (session.inspected, session.asked):
            if one is not None and one.patches and (one.frame, one.repeat) == here:
                shown = tuple(one.patches)
                break
        geometry = session.geometry
        everywhere = geometry is not None and len(shown) == geometry.rows * geometry.columns
        made = boxes(geometry, shown) if geometry is not None and not everywhere else []
        if not made:
            compat.show_layer(layer, False)
            return
        layer.data = []
        layer.add(
            made,
            shape_type="rectangle",
            edge_color=CHOSEN,
            face_color="transparent",
            edge_width=0.005 * self.layers.layout.frame.height,
        )
        compat.show_layer(layer, True)
