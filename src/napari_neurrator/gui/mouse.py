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


def ring(positions: np.ndarray, margin: float, n: int = 40) -> np.ndarray:
    """Return a smooth closed path round points: an ellipse on their extent, `margin` outside it."""
    low, high = positions.min(0) - margin, positions.max(0) + margin
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    # a superellipse keeps the corners of the extent inside
    curve = np.column_stack(
        [np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.4, np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.4]
    )
    return (low + high) / 2 + curve * (high - low) / 2


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
