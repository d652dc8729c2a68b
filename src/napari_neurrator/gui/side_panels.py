"""Panels that stand beside Narrate, as tabs of one stack."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt

from . import compat
from .workspace import Workspace


def place_beside(workspace: Workspace, name: str, make: Callable[[Workspace], Any], front: bool = True) -> Any | None:
    """Put a panel into the stack of Narrate, made on first use, and bring it to the front; None without a window."""
    viewer = workspace.viewer
    window = None if viewer is None else compat.qt_window(viewer)
    if window is None:
        return None
    docks = workspace.docks
    panel = docks.get(name)
    if panel is None:
        panel = docks[name] = make(workspace)
        workspace.when_closed(panel.let_go)
    holder = compat.dock_of(panel)
    if holder is None:
        # for the first time, or again after the user closed the dock around it
        viewer.window.add_dock_widget(panel, name=name, area="right")
        holder = compat.dock_of(panel)
        assert holder is not None
        beside = compat.dock_of(docks.get("Narrate"))
        if beside is not None:
            # Qt would share the height anew
            below = compat.dock_of(docks.get("Concepts"))
            column = [dock for dock in (beside, below) if dock is not None]
            heights = [dock.height() for dock in column]
            window.tabifyDockWidget(beside, holder)
            window.resizeDocks(column, heights, Qt.Orientation.Vertical)
            if not front:
                beside.raise_()
    if front:
        holder.show()
        holder.raise_()
    return panel
