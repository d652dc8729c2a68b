"""What the scripts that take pictures of the window share: waiting for it, giving it a size, and small pictures of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[1] / "docs" / "images"
STEP, FLAT_PX = 8, 400


def wait(condition: Callable[[], Any], what: str, timeout_s: float = 300.0) -> None:
    """Let the window work until something holds."""
    from napari_neurrator.gui import mouse

    end = time.perf_counter() + timeout_s
    while not condition():
        mouse.settle(10)
        if time.perf_counter() > end:
            raise SystemExit(f"The window waited {timeout_s:.0f} s for {what} in vain.")


def resize(workspace: Any, width: int, height: int) -> None:
    """Give the window a size, and fit the scene into it."""
    from napari_neurrator.gui import compat, mouse

    window = compat.qt_window(workspace.viewer)
    assert window is not None
    window.resize(width, height)
    mouse.settle(500)
    workspace.layers.look()
    mouse.settle(500)


def take_picture(window: Any, path: Path) -> None:
    """Save the whole window as it stands on screen, as a small PNG."""
    from napari_neurrator.gui import demo

    demo.take_picture(window, path)
    shrink(path)


def shrink(path: Path) -> None:
    """Write a PNG anew with coarser steps of the colours that are rare: two thirds of the size, and no hue is lost as from a palette."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        values = np.asarray(picture.convert("RGB")).astype(int)
    _, which, counts = np.unique(values @ [1 << 16, 1 << 8, 1], return_inverse=True, return_counts=True)
    flat = (counts[which] > FLAT_PX).reshape(values.shape[:2])
    coarse = np.clip((values + STEP // 2) // STEP * STEP, 0, 255)
    Image.fromarray(np.where(flat[..., None], values, coarse).astype(np.uint8)).save(path, optimize=True)
