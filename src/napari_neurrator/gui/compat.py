"""The only module that touches parts of napari that change between versions (seen on 0.9)."""

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPoint, QTimer
from qtpy.QtGui import QFont, QFontMetricsF
from qtpy.QtWidgets import QDockWidget, QMainWindow, QStyle, QStyleOptionSlider, QWidget

CANVAS_FONT = "OpenSans"
PIXELS_PER_POINT = (96 / 72) ** 2
"""Height of a font on the canvas: vispy counts 72 points to the inch and Qt 96, and both have a hand in it."""


def unwrap(viewer: Any) -> Any:
    """Return the real viewer behind napari's public proxy, which plugins and tests are handed."""
    return getattr(viewer, "__wrapped__", viewer)


def current_viewer() -> Any | None:
    """Return the viewer of the active window, or None without one."""
    import napari

    viewer = napari.current_viewer()
    return None if viewer is None else unwrap(viewer)


def qt_window(viewer: Any) -> QMainWindow | None:
    """Return the main window of `viewer`, or None for a model without a window or a window already closed."""
    window = getattr(unwrap(viewer), "window", None)
    return getattr(window, "_qt_window", None)


def batched(viewer: Any) -> AbstractContextManager:
    """Add or remove several layers with one update of the scene; after each that is removed alone, napari collects garbage, which takes long in a process with many libraries."""
    return getattr(unwrap(viewer).layers, "batched_update", nullcontext)()


def native_canvas(viewer: Any) -> QWidget:
    """Return the widget that receives the mouse on the canvas."""
    return qt_window(viewer)._qt_viewer.canvas.native  # type: ignore[union-attr]


def zoom(viewer: Any) -> float:
    """Return screen pixels per world unit."""
    return float(_camera(viewer).zoom)


def world_to_canvas(viewer: Any, point: tuple[float, float]) -> tuple[float, float]:
    """Return the pixel (x, y) of the canvas widget at which a world point (y, x) is drawn."""
    camera, canvas = _camera(viewer), native_canvas(viewer)
    cy, cx = camera.center[-2:]
    return (
        canvas.width() / 2 + (point[1] - cx) * camera.zoom,
        canvas.height() / 2 + (point[0] - cy) * camera.zoom,
    )


def look_at(viewer: Any, top: float, left: float, bottom: float, right: float, margin: float = 0.03) -> None:
    """Move the camera so that a rectangle of the world fills the canvas."""
    camera = _camera(viewer)
    height, width = canvas_size(viewer)
    camera.center = (0.0, (top + bottom) / 2, (left + right) / 2)
    camera.zoom = (1 - 2 * margin) * min(height / max(bottom - top, 1e-9), width / max(right - left, 1e-9))


def camera_state(viewer: Any) -> tuple[Any, float, Any]:
    """Return centre, zoom and angles of the camera."""
    camera = _camera(viewer)
    return tuple(camera.center), float(camera.zoom), tuple(camera.angles)


def set_camera_state(viewer: Any, state: tuple[Any, float, Any]) -> None:
    """Put the camera back where `camera_state` found it."""
    camera = _camera(viewer)
    camera.center, camera.zoom, camera.angles = state


def hold_camera(viewer: Any, on: bool) -> None:
    """Keep a drag from moving the picture, or let it again."""
    _camera(viewer).mouse_pan = not on


def look_along(viewer: Any, extent: Any, look: tuple[float, float, float], up: tuple[float, float, float]) -> None:
    """Turn the camera of a 3D view along `look` with `up` upwards, so that a box from the origin to `extent` fills the canvas."""
    camera, extent = _camera(viewer), np.asarray(extent, float)
    height, width = canvas_size(viewer)
    corners = (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5) * extent
    ahead = np.asarray(look) / np.linalg.norm(look)
    sideways = np.cross(ahead, up)
    sideways /= np.linalg.norm(sideways)
    camera.center = tuple(extent / 2)
    camera.set_view_direction(look, up)
    camera.zoom = 0.74 * min(width / np.ptp(corners @ sideways), height / np.ptp(corners @ np.cross(sideways, ahead)))


def _camera(viewer: Any) -> Any:
    viewer = unwrap(viewer)
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def point_under_mouse(layer: Any, event: Any) -> int | None:
    """Return the index of the point of a 3D layer that a mouse event of the viewer lies on."""
    index = layer.get_value(
        event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
    )
    return None if index is None else int(index)


def canvas_size(viewer: Any) -> tuple[int, int]:
    """Return (height, width) of the canvas in pixels."""
    if qt_window(viewer) is not None:
        native = native_canvas(viewer)
        return max(1, native.height()), max(1, native.width())
    viewer = unwrap(viewer)
    return tuple(viewer.canvas.size) if hasattr(viewer, "canvas") else (600, 800)  # type: ignore[return-value]


def move_shape(layer: Any, corners: np.ndarray) -> None:
    """Give the only shape of a layer other corners; `layer.data = …` makes it anew, which takes as long as half a frame of a film lasts."""
    edit = getattr(getattr(layer, "_data_view", None), "edit", None)
    if edit is None:
        layer.data = [corners]
        return
    edit(0, corners)
    layer.refresh()


def show_layer(layer: Any, on: bool) -> None:
    """Show or hide a layer; where it is so already, napari would build its scene anew all the same."""
    if layer.visible != on:
        layer.visible = on


def set_canvas_text(viewer: Any, text: str) -> None:
    """Write a small line in the corner of the canvas, or clear it."""
    viewer = unwrap(viewer)
    overlay = viewer.canvas.overlays.text if hasattr(viewer, "canvas") else viewer.text_overlay
    overlay.text = text
    overlay.font_size = 10
    overlay.position = "top_left"
    overlay.visible = bool(text)


def show_colour_bar(layer: Any, on: bool) -> None:
    """Show a layer's colours with their numbers on the canvas, where this napari can."""
    bar = getattr(layer, "colorbar", None)
    if bar is None:
        return
    if on and not bar.visible:
        bar.position, bar.size, bar.font_size, bar.tick_length = "bottom_right", (14, 110), 7, 4
        bar.box = True
    if bar.visible != on:
        bar.visible = on


def add_below_slider(viewer: Any, widget: QWidget, name: str) -> None:
    """Put a widget under the sliders; where napari has no such place, into a dock below."""
    qt_viewer = getattr(qt_window(viewer), "_qt_viewer", None)
    holder = getattr(qt_viewer, "dims", None)
    layout = None if holder is None or holder.parentWidget() is None else holder.parentWidget().layout()
    if layout is not None:
        layout.addWidget(widget)
    else:
        unwrap(viewer).window.add_dock_widget(widget, name=name, area="bottom")


def slider_track(viewer: Any, widget: QWidget) -> tuple[float, float] | None:
    """Return where the first slider's handle has its middle at the first and at the last step, as x in `widget`; None without a slider."""
    sliders = getattr(getattr(qt_window(viewer), "_qt_viewer", None), "dims", None)
    widgets = getattr(sliders, "slider_widgets", None)
    if not widgets or not widgets[0].isVisible():
        return None
    bar = widgets[0].slider
    option = QStyleOptionSlider()
    bar.initStyleOption(option)
    style, control = bar.style(), QStyle.ComplexControl.CC_ScrollBar
    groove = style.subControlRect(control, option, QStyle.SubControl.SC_ScrollBarGroove, bar)
    handle = style.subControlRect(control, option, QStyle.SubControl.SC_ScrollBarSlider, bar)
    left = bar.mapTo(bar.window(), groove.topLeft()).x() - widget.mapTo(widget.window(), QPoint(0, 0)).x()
    return left + handle.width() / 2, left + groove.width() - handle.width() / 2


def set_title(viewer: Any, words: str) -> None:
    """Name what is open in the window's title."""
    unwrap(viewer).title = f"Neurrator: {words}" if words else "Neurrator"


def on_theme(viewer: Any, callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback` whenever the theme changes; returns what undoes it."""
    signal = unwrap(viewer).events.theme

    def call(_event: Any = None) -> None:
        callback()

    signal.connect(call)
    return lambda: signal.disconnect(call)


def is_dark(viewer: Any) -> bool:
    """Whether the canvas is dark."""
    from napari.utils.theme import get_theme

    colour = get_theme(unwrap(viewer).theme).canvas
    return sum(int(c) for c in colour.as_rgb_tuple()[:3]) < 384


def frame_of(viewer: Any) -> int:
    """Return where the first slider stands."""
    step = unwrap(viewer).dims.current_step
    return int(step[0]) if len(step) > 2 else 0


def go_to_frame(viewer: Any, frame: int) -> None:
    """Move the first slider."""
    dims = unwrap(viewer).dims
    if dims.ndim > 2 and frame_of(viewer) != frame:
        dims.set_current_step(0, frame)


def draw_frame(viewer: Any, layer: Any, frame: int) -> bool:
    """Draw a frame of the film and leave the slider where it is; where this napari cannot, or other layers change along the slider, return False."""
    viewer = unwrap(viewer)
    if any(other.visible and other is not layer and other.ndim > 2 for other in viewer.layers):
        return False
    return _draw_image(viewer, layer, np.asarray(layer.data[frame]))


def play_to_frame(viewer: Any, layer: Any, frame: int) -> None:
    """Move the first slider while the film plays: only layers that change along it are sliced, once, and no thumbnail is made.

    What else napari does at every step (slicing every layer twice, thumbnails, the place of the mouse) costs more than the frame itself.
    `settle_dims` makes up for it.
    """
    viewer = unwrap(viewer)
    dims = viewer.dims
    if dims.ndim <= 2 or frame_of(viewer) == frame:
        return
    update = getattr(viewer, "_update_layers", None)
    if update is None or not hasattr(layer, "_slicing_state"):
        go_to_frame(viewer, frame)
        return
    with dims.events.point.blocker(update), dims.events.current_step.blocker(update):
        dims.set_current_step(0, frame)
    for other in viewer.layers:
        if other is layer:
            picture = np.asarray(layer.data[frame])
            if _draw_image(viewer, layer, picture):
                continue
        if other.visible and (other is layer or other.ndim > 2):
            other._slicing_state.set_slice_input_from_dims(dims, False)
            other.events.set_data()


def settle_dims(viewer: Any) -> None:
    """Let napari do what `play_to_frame` left out."""
    viewer = unwrap(viewer)
    if hasattr(viewer, "_update_layers"):
        viewer._update_layers()
        for layer in viewer.layers:
            if layer.visible and layer.ndim > 2:
                layer._update_thumbnail()


def name_axes(viewer: Any, *names: str) -> None:
    """Name the sliders; without it, napari writes their negative numbers."""
    dims = unwrap(viewer).dims
    if dims.ndim == len(names):
        dims.axis_labels = names


def text_width(text: str, points: float) -> float:
    """Return the width in screen pixels of text that a layer draws at `points`."""
    font = QFont(CANVAS_FONT)
    font.setPixelSize(100)
    return QFontMetricsF(font).horizontalAdvance(text) / 100 * points * PIXELS_PER_POINT


def dock_of(widget: QWidget | None) -> QDockWidget | None:
    """Return the dock that holds `widget`."""
    parent = widget
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def name_dock(widget: QWidget, name: str) -> None:
    """Write a name on the dock around `widget`, where napari writes that of the plugin too."""
    dock = dock_of(widget)
    if dock is None:
        return
    dock.setWindowTitle(name)
    title = getattr(getattr(dock, "title", None), "title", None)
    if title is not None:
        title.setText(name)


def built_in_docks(viewer: Any) -> tuple[QDockWidget, QDockWidget]:
    """Return napari's own docks: layer controls and layer list."""
    qt_viewer = qt_window(viewer)._qt_viewer  # type: ignore[union-attr]
    return qt_viewer.dockLayerControls, qt_viewer.dockLayerList


def protect_points(layer: Any) -> None:
    """Keep the keyboard from deleting, copying in or adding points of a layer that mirrors data."""
    for key in ("Delete", "Backspace", "Control-V"):
        layer.bind_key(key, lambda _layer: None, overwrite=True)


def _markers(viewer: Any, layer: Any) -> Any | None:
    """Return what draws the points of a layer, or None where this napari keeps it elsewhere."""
    markers = getattr(getattr(_visual(viewer, layer), "node", None), "points_markers", None)
    data = getattr(markers, "_data", None)
    if data is None or not hasattr(markers, "_vbo") or len(data) != len(layer._view_indices):
        return None
    return markers if {"a_fg_color", "a_bg_color", "a_size", "a_edgewidth"} <= set(data.dtype.names or ()) else None


def resize_points(viewer: Any, layer: Any, sizes: np.ndarray) -> None:
    """Give points other sizes, as the slider does at every step: without the thumbnail and the slicing that `layer.size = …` brings along."""
    layer._size = np.array(sizes, float)
    if layer.visible:
        _redraw_points(viewer, layer)


def paint_points(
    viewer: Any, layer: Any, face: np.ndarray, border: np.ndarray, width: np.ndarray, sizes: np.ndarray
) -> None:
    """Give points colours, borders and sizes at once: napari's own properties check, copy and draw anew for each of them.

    Parameters
    ----------
    viewer : napari.Viewer
        Its viewer.
    layer : napari.layers.Points
        The layer.
    face, border : ndarray of float, shape (n, 4)
        RGBA.
    width : ndarray of float, shape (n,)
        Width of the border, as a share of the size.
    sizes : ndarray of float, shape (n,)
        Diameters, data units.
    """
    managers = getattr(layer, "_face", None), getattr(layer, "_border", None)
    known = all(getattr(getattr(manager, "colors", None), "shape", None) == face.shape for manager in managers)
    if not known or getattr(layer, "_border_width", np.empty(0)).shape != width.shape:
        layer.face_color, layer.border_color, layer.border_width, layer.size = face, border, width, sizes
        return
    managers[0].colors[:], managers[1].colors[:] = face, border  # type: ignore[union-attr]
    layer._border_width = np.array(width, float)
    resize_points(viewer, layer, sizes)


def _redraw_points(viewer: Any, layer: Any) -> None:
    markers = _markers(viewer, layer)
    if markers is None or not layer.border_width_is_relative:
        layer.events.set_data()
        return
    data, view = markers._data, layer._view_indices
    data["a_fg_color"], data["a_bg_color"] = layer._border.colors[view], layer._face.colors[view]
    data["a_size"] = layer._size[view] * abs(layer.scale[-1])
    data["a_edgewidth"] = data["a_size"] * layer._border_width[view]
    markers._vbo.set_data(data)
    markers.update()


def show_image(viewer: Any, layer: Any, values: np.ndarray) -> None:
    """Put other values into an image layer of numbers; where the shape stays, without thumbnail, slicing and new extent."""
    if getattr(layer.data, "shape", None) != values.shape or not layer.visible or not layer.data.flags.writeable:
        layer.data = np.array(values, np.float32)
        return
    layer.data[...] = values
    if not _draw_image(viewer, layer, layer.data):
        layer.refresh(thumbnail=False, highlight=False, extent=False)


def _visual(viewer: Any, layer: Any) -> Any | None:
    """Return what draws a layer, or None where this napari keeps it elsewhere."""
    canvas = getattr(getattr(qt_window(viewer), "_qt_viewer", None), "canvas", None)
    return getattr(canvas, "layer_to_visual", {}).get(layer)


def _draw_image(viewer: Any, layer: Any, values: np.ndarray) -> bool:
    """Hand a picture straight to what draws it, if it is like the one before."""
    node = getattr(_visual(viewer, layer), "node", None)
    before = getattr(node, "_data", None)
    if not layer.visible or getattr(before, "shape", None) != values.shape or before.dtype != values.dtype:  # type: ignore[union-attr]
        return False
    # what draws keeps the array until the next frame is drawn
    node.set_data(np.array(values))  # type: ignore[union-attr]
    node.update()  # type: ignore[union-attr]
    return True


def draw_less(viewer: Any, layer: Any, *parts: str) -> None:
    """Leave out parts of how a layer is drawn that are empty as long as nobody edits it: each costs as much as a full one.

    Parameters
    ----------
    viewer : napari.Viewer
        Its viewer.
    layer : napari.layers.Layer
        Points or shapes.
    parts : str
        Names of the parts, as napari's visuals call them.
    """
    node = getattr(_visual(viewer, layer), "node", None)
    for name in parts:
        part = getattr(node, name, None)
        if part is not None:
            part.visible = False


def lasso_is_open(layer: Any) -> bool:
    """Whether a polygon is being drawn."""
    return bool(getattr(layer, "_is_creating", False))


def warm_up_shapes() -> None:
    """Draw one polygon in the air, so that numba and triangulation compile before the user's first lasso."""
    from napari.layers import Shapes

    rng = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    Shapes([np.column_stack([np.sin(rng), np.cos(rng)])], shape_type="polygon")
    from napari.layers.shapes._shapes_utils import rdp

    rdp(np.column_stack([np.sin(rng), np.cos(rng)]), epsilon=0.1)


class _CloseFilter(QObject):
    def __init__(self, window: QMainWindow, callback: Callable[[], None]) -> None:
        super().__init__(window)
        self.callback: Callable[[], None] | None = callback
        self.window = weakref.ref(window)
        window.installEventFilter(self)

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Close:
            if event.spontaneous():
                # the user may still say no in napari's dialog
                QTimer.singleShot(0, self._if_hidden)
            else:
                self.fire()
        return False

    def _if_hidden(self) -> None:
        try:
            window = self.window()
            if window is None or not window.isVisible():
                self.fire()
        except RuntimeError:
            self.fire()

    def fire(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


def on_close(viewer: Any, callback: Callable[[], None]) -> None:
    """Call `callback` once, when the window of `viewer` closes."""
    window = qt_window(viewer)
    if window is not None:
        _CloseFilter(window, callback)
