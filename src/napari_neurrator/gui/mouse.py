"""Real mouse events on the canvas, for the demo and for tests."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from . import compat


def settle(ms: int = 20) -> None:
    """Let the window work for a while."""
    end = time.perf_counter() + ms / 1000
    while True:
        QApplication.processEvents()
        if time.perf_counter() >= end:
            return
        time.sleep(0.001)


def to_canvas(viewer: Any, point: Sequence[float]) -> QPoint:
    """Return the canvas pixel of a world point (y, x)."""
    x, y = compat.world_to_canvas(viewer, (point[0], point[1]))
    return QPoint(round(x), round(y))


def ring(positions: np.ndarray, margin: float, n: int = 60) -> np.ndarray:
    """Return `n` points of a smooth closed path round points: their convex hull, `margin` outside it."""
    from scipy.spatial import ConvexHull

    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = margin * np.column_stack([np.sin(angle), np.cos(angle)])
    around = (np.asarray(positions)[:, None] + circle).reshape(-1, 2)
    corners = around[ConvexHull(around).vertices]
    corners = np.vstack([corners, corners[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    # past its own beginning, as a hand draws it: napari drops the last vertex and closes the gap with a straight line
    at = np.linspace(0, 1.1 * along[-1], n) % along[-1]
    return np.column_stack([np.interp(at, along, corners[:, 0]), np.interp(at, along, corners[:, 1])])


def draw(viewer: Any, path: np.ndarray, modifier: Any = None) -> float:
    """Press, move along `path` (world, y and x), release.

    Returns
    -------
    float
        `time.perf_counter` just before the button was released.
    """
    canvas = compat.native_canvas(viewer)
    keys = Qt.KeyboardModifier.NoModifier if modifier is None else modifier
    pixels = [to_canvas(viewer, point) for point in path]
    QTest.mouseMove(canvas, pixels[0])  # type: ignore[call-overload]
    settle(10)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, keys, pixels[0])  # type: ignore[call-overload]
    settle(10)
    for pixel in pixels[1:]:
        move(canvas, pixel, keys)
        settle(8)  # napari takes one move in 5 ms
    released = time.perf_counter()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, keys, pixels[-1])  # type: ignore[call-overload]
    return released


def move(canvas: Any, pixel: QPoint, keys: Any) -> None:
    """Send a move with the left button held, which `QTest.mouseMove` cannot."""
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent

    at = QPointF(pixel)
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        at,
        QPointF(canvas.mapToGlobal(pixel)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        keys,
    )
    QApplication.sendEvent(canvas, event)


def click(viewer: Any, point: Sequence[float], modifier: Any = None) -> None:
    """Click at a world point."""
    canvas = compat.native_canvas(viewer)
    keys = Qt.KeyboardModifier.NoModifier if modifier is None else modifier
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, keys, to_canvas(viewer, point))  # type: ignore[call-overload]
    settle(10)
