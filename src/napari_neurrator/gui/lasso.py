"""From a drawn polygon, or a click, to units."""

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from . import compat
from . import layer_styles as styles
from .layers import SceneLayers
from .state import SelectMode, Session

TINY_PX = 6
"""A polygon smaller than this on screen is a slip of the hand, not a selection."""


def points_in_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Tell which points lie inside a polygon, by winding number, so that a lasso that crosses itself has no holes.

    Parameters
    ----------
    points : array, shape (n, 2)
        Points (y, x).
    polygon : array, shape (k, 2)
        Vertices (y, x), open or closed.

    Returns
    -------
    array of bool, shape (n,)
    """
    points, start = np.asarray(points, float), np.asarray(polygon, float)
    end = np.roll(start, -1, axis=0)
    # an edge can only turn round points of its own height
    order = np.argsort(points[:, 0], kind="stable")
    y, x = points[order].T
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    firsts, lasts = np.searchsorted(y, low, side="left"), np.searchsorted(y, high, side="left")
    turns = np.zeros(len(points), int)
    for (y0, x0), (y1, x1), first, last in zip(start, end, firsts, lasts, strict=True):
        if last > first:
            part = slice(first, last)
            side = (x1 - x0) * (y[part] - y0) - (x[part] - x0) * (y1 - y0)
            turns[part] += (side > 0) if y1 > y0 else -(side < 0).astype(int)
    inside = np.empty(len(points), bool)
    inside[order] = turns != 0
    return inside


def mode_of(modifiers: Any, otherwise: SelectMode) -> SelectMode:
    """Shift adds and Alt (or Ctrl, where the desktop keeps Alt to itself) takes away, whatever the buttons say."""
    names = {str(getattr(m, "name", m)) for m in modifiers}
    if "Shift" in names:
        return "add"
    if names & {"Alt", "Control"}:
        return "subtract"
    return otherwise


class LassoTool:
    """Listens to the lasso layer and to clicks on units, and writes the selection into the session."""

    def __init__(self, viewer: Any, session: Session, layers: SceneLayers) -> None:
        self.viewer, self.session, self.layers = viewer, session, layers
        self.mode: SelectMode = "replace"
        self._n_before = 0
        self._selecting = False
        self._undo: list[Callable[[], Any]] = []
        layers.attached.connect(self.attach)
        session.events.lassoing.connect(self._on_lassoing)
        session.events.selected.connect(self._on_selected)

    def attach(self) -> None:
        """Connect to freshly made layers."""
        self.detach()
        lasso, units = self.layers.get(styles.LASSO), self.layers.get(styles.UNITS)
        if lasso is None or units is None:
            return
        lasso.mouse_drag_callbacks.insert(0, self._on_press)
        lasso.events.data.connect(self._on_data)
        lasso.events.mode.connect(self._on_mode)
        self.viewer.mouse_drag_callbacks.append(self._on_click)
        units.selected_data.events.items_changed.connect(self._on_points_selected)
        units.events.data.connect(self._on_points_moved)
        brain = self.layers.get(styles.BRAIN_UNITS)
        if brain is not None:
            brain.selected_data.events.items_changed.connect(self._on_points_selected)
            brain.events.data.connect(self._on_points_moved)
        self._undo = [
            lambda: lasso.mouse_drag_callbacks.remove(self._on_press),
            lambda: lasso.events.data.disconnect(self._on_data),
            lambda: lasso.events.mode.disconnect(self._on_mode),
            lambda: self.viewer.mouse_drag_callbacks.remove(self._on_click),
            lambda: units.selected_data.events.items_changed.disconnect(self._on_points_selected),
            lambda: units.events.data.disconnect(self._on_points_moved),
        ]
        self._n_before = lasso.nshapes

    def detach(self) -> None:
        """Let go of the layers."""
        for undo in self._undo:
            try:
                undo()
            except (ValueError, KeyError, RuntimeError, TypeError):  # the layer went first
                continue
        self._undo = []

    def close(self) -> None:
        """Let go of everything."""
        self.detach()
        self.layers.attached.disconnect(self.attach)
        self.session.events.lassoing.disconnect(self._on_lassoing)
        self.session.events.selected.disconnect(self._on_selected)

    # -- the lasso -------------------------------------------------------------------------------------------------------------------
    def _on_lassoing(self, on: bool) -> None:
        lasso, units = self.layers.get(styles.LASSO), self.layers.get(styles.UNITS)
        if lasso is None or units is None:
            return
        if on:
            # the lasso is drawn round units on their probes
            self.session.view = "probe"
            self.viewer.layers.selection.active = lasso
            lasso.mode = "add_polygon_lasso"
        else:
            lasso.mode = "pan_zoom"
            if self.session.view == "probe":
                self.viewer.layers.selection.active = units

    def _on_mode(self) -> None:
        lasso = self.layers.get(styles.LASSO)
        if lasso is not None:
            self.session.lassoing = str(lasso.mode) == "add_polygon_lasso"

    def _on_press(self, layer: Any, event: Any) -> None:
        # noted before the layer's own callback starts (or, drawing by clicks, ends) the polygon
        self.mode = mode_of(event.modifiers, self.session.select_mode)
        if not compat.lasso_is_open(layer):
            self._n_before = layer.nshapes

    def _on_data(self, event: Any) -> None:
        layer = self.layers.get(styles.LASSO)
        if layer is None or str(getattr(event, "action", "")) != "added" or layer.nshapes <= self._n_before:
            return
        if str(layer.shape_type[-1]) != "polygon":  # only begun: napari draws a path until the lasso closes
            return
        polygon = np.array([layer.data_to_world(vertex)[-2:] for vertex in layer.data[-1]])
        extent = np.ptp(polygon, axis=0).max() * compat.zoom(self.viewer)
        if extent >= TINY_PX:
            self.select_inside(polygon, self.mode)
        kept = extent >= TINY_PX
        QTimer.singleShot(0, lambda: self._tidy(keep_last=kept))

    def select_inside(self, polygon: np.ndarray, mode: SelectMode) -> None:
        """Select the units inside a polygon given in world coordinates (y, x)."""
        inside = points_in_polygon(self.layers.positions, polygon) & self.session.visible
        if not inside.any():
            self.session.warn("No unit lies inside the lasso; the selection is unchanged.")
            return
        ids = self.session.unit_ids
        self._selecting = True
        try:
            self.session.select([ids[i] for i in np.flatnonzero(inside)], mode)
        finally:
            self._selecting = False

    def _on_selected(self, *_: Any) -> None:
        # an outline round units that are not selected any more would mislead
        layer = self.layers.get(styles.LASSO)
        if not self._selecting and layer is not None and layer.nshapes and not compat.lasso_is_open(layer):
            QTimer.singleShot(0, lambda: self._tidy(keep_last=False, everything=True))

    def _tidy(self, keep_last: bool, everything: bool = False) -> None:
        """Leave only the last lasso, as a thin outline, or none."""
        layer = self.layers.get(styles.LASSO)
        if layer is None or compat.lasso_is_open(layer):
            return
        drop = set(range(layer.nshapes - (1 if keep_last else 0)))
        if not keep_last and not everything:
            drop = set(range(self._n_before, layer.nshapes))
        if drop:
            with layer.events.data.blocker(self._on_data):
                layer.selected_data = drop
                layer.remove_selected()
        layer.selected_data = set()
        self._n_before = layer.nshapes

    # -- clicks ----------------------------------------------------------------------------------------------------------------------
    def _on_click(self, viewer: Any, event: Any) -> Any:
        """A click on a unit, with any layer in pan and zoom, selects it."""
        active = viewer.layers.selection.active
        brain = self.layers.get(styles.BRAIN_UNITS)
        units = brain if brain is not None else self.layers.get(styles.UNITS)
        if (
            units is None
            or not units.visible
            or event.button != 1
            or (active is not None and str(active.mode) != "pan_zoom")
        ):
            return
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos) - start).max() > 3:
            return
        row = self.unit_under(event)
        if row is not None:
            unit = self.session.unit_ids[row]
            mode = mode_of(event.modifiers, self.session.select_mode)
            if mode == "add" and unit in self.session.selected:
                mode = "subtract"
            self.session.select([unit], mode)

    def unit_under(self, event: Any) -> int | None:
        """Return the row of the unit that the mouse is on, on its probe or in the brain."""
        brain = self.layers.get(styles.BRAIN_UNITS)
        if brain is not None:
            return compat.point_under_mouse(brain, event)
        units = self.layers.get(styles.UNITS)
        return self._nearest(event) if units is not None and units.visible else None

    def _nearest(self, event: Any) -> int | None:
        """Return the row of the unit on its probe that the mouse is on."""
        distance = np.hypot(*(self.layers.positions - np.asarray(event.position)[-2:]).T)
        distance[~self.session.visible] = np.inf
        # as large as it is drawn, and a little more
        zoom = compat.zoom(self.viewer)
        drawn = float(np.clip(self.layers.diameter * zoom, *styles.DOT_PX))
        near = max(0.7 * drawn, 4) / zoom
        return int(distance.argmin()) if len(distance) and distance.min() <= near else None

    def _on_points_selected(self, *_: Any) -> None:
        if self.layers.painting:
            return
        for name in (styles.BRAIN_UNITS, styles.UNITS):
            units = self.layers.get(name)
            if units is not None and units.visible and str(units.mode) == "select":
                ids = self.session.unit_ids
                self.session.select([ids[i] for i in units.selected_data], "replace")
                return

    def _on_points_moved(self, event: Any) -> None:
        # units stay where the probe recorded them
        if self.layers.painting or str(getattr(event, "action", "")) not in {"changed", "added", "removed"}:
            return
        QTimer.singleShot(0, self.layers.restore_units)
