"""Open the window with everything in its place."""

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer

from . import compat
from .concepts_dock import concepts_dock
from .narrate_dock import narrate_dock
from .play_dock import play_dock
from .recording_dock import recording_dock
from .workspace import Workspace

LEFT_WIDTH, RIGHT_WIDTH, PLAY_HEIGHT = 290, 390, 255


def arrange(viewer: Any) -> dict[str, Any]:
    """Dock Recording on the left, Narrate and Concepts on the right and Play below, in the order in which a person uses them.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer to furnish; docks that stand already are left where they are.

    Returns
    -------
    dict
        The dock widgets by name.
    """
    viewer = compat.unwrap(viewer)
    workspace = Workspace.of(viewer)
    docks = workspace.docks
    if "Recording" not in docks:
        docks["Recording"] = recording_dock(viewer)
        holder = viewer.window.add_dock_widget(docks["Recording"], name="Recording", area="left")
        window = compat.qt_window(viewer)
        controls, layers = compat.built_in_docks(viewer)
        # one stack of tabs on the left: the session in front, napari's own panels behind it
        window.tabifyDockWidget(layers, controls)  # type: ignore[union-attr]
        window.tabifyDockWidget(controls, holder)  # type: ignore[union-attr]
        holder.show()
        holder.raise_()
        docks["Recording"].setMinimumWidth(LEFT_WIDTH)
        window.resizeDocks([holder], [LEFT_WIDTH], Qt.Orientation.Horizontal)  # type: ignore[union-attr]
    for name, make in (("Narrate", narrate_dock), ("Concepts", concepts_dock)):
        if name not in docks:
            docks[name] = make(viewer)
            holder = viewer.window.add_dock_widget(docks[name], name=name, area="right")
            docks[name].setMinimumWidth(RIGHT_WIDTH - 20)
            holder.show()
    if "Play" not in docks:
        docks["Play"] = play_dock(viewer)
        holder = viewer.window.add_dock_widget(docks["Play"], name="Play", area="bottom")
        window = compat.qt_window(viewer)
        # under the film, not under the docks beside it
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)  # type: ignore[union-attr]
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)  # type: ignore[union-attr]
        holder.show()
    if "Ask back" not in docks:
        workspace.show_asking(front=False)
    if "Patches" not in docks:
        workspace.show_inspector(front=False)
    if "Compare" not in docks:
        workspace.show_comparing(front=False)
    share_room(workspace)
    # in a window that is on screen, Qt gives new docks their room only afterwards
    QTimer.singleShot(0, lambda: share_room(workspace))
    return docks


def share_room(workspace: Workspace) -> None:
    """Give the docks beside and below the film the sizes that suit what is in them."""
    window = None if workspace.closed else compat.qt_window(workspace.viewer)
    if window is None:
        return
    right = [
        dock for name in ("Narrate", "Concepts") if (dock := compat.dock_of(workspace.docks.get(name))) is not None
    ]
    window.resizeDocks(right, [RIGHT_WIDTH] * len(right), Qt.Orientation.Horizontal)
    window.resizeDocks(right, [560, 380][: len(right)], Qt.Orientation.Vertical)
    below = compat.dock_of(workspace.docks.get("Play"))
    if below is not None:
        window.resizeDocks([below], [PLAY_HEIGHT], Qt.Orientation.Vertical)


def launch(
    recording: str | Path | Any = None,
    *,
    frames: str | None = None,
    stimulus: str | None = None,
    decoder: str | None = None,
    show: bool = True,
    block: bool = False,
    make_backend: Any = None,
) -> Any:
    """Open napari with the Recording, Narrate, Concepts and Play docks.

    Parameters
    ----------
    recording : path, str or Recording, optional
        What to open: a file or folder, the word ``sample``, or a recording that is open already. It opens in the background.
    frames : str, optional
        File or folder with the frames of the stimulus, where the recording has none beside it.
    stimulus : str, optional
        Which stimulus to show; by default the first whose frames are at hand.
    decoder : str, optional
        Folder of a fitted decoder; by default the one at the default place, if there is one.
    show : bool
        Show the window.
    block : bool
        Return only when the window is closed, as a script or command wants.
    make_backend : callable, optional
        Makes the backend that does the model work; by default it works in this process.

    Returns
    -------
    napari.Viewer
        The viewer.
    """
    import napari

    viewer = napari.Viewer(title="Neurrator", show=show)
    workspace = Workspace.of(viewer, make_backend)
    arrange(viewer)
    if recording is not None:
        workspace.open(recording, frames, stimulus, decoder)
    if block:
        # to a person, not to a script
        QTimer.singleShot(0, workspace.offer_tour)
        napari.run()
    return viewer
