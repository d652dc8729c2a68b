"""``neurrator``, whose window is closed once it holds a session: for tests of commands that leave it open."""

import napari
from qtpy.QtCore import QTimer

from napari_neurrator import demo
from napari_neurrator.cli import main

# The small session has fewer frames than the whole.
demo._FRAME = 112
_run = napari.run


def run() -> None:
    """Run the window until units and film are in it."""
    viewer = napari.current_viewer()

    def look() -> None:
        points = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Points) and len(layer.data)]
        films = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Image) and layer.ndim > 2]
        if points and films:
            print(f"{max(len(layer.data) for layer in points)} units and a film are in the window", flush=True)
            viewer.close()

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(100)
    _run()


napari.run = run
main()
