"""The docks as napari makes them from the Plugins menu: classes that ask for the viewer by name."""

from typing import Any

from qtpy.QtCore import QTimer

from .concepts_dock import ConceptsDock
from .narrate_dock import NarrateDock
from .play_dock import PlayDock
from .recording_dock import RecordingDock
from .workspace import Workspace


class RecordingWidget(RecordingDock):
    """The Recording dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)


class NarrateWidget(NarrateDock):
    """The Narrate dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)


class ConceptsWidget(ConceptsDock):
    """The Concepts dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)


class PlayWidget(PlayDock):
    """The Play dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)


class NeurratorWidget(NarrateWidget):
    """The Narrate dock, which napari places; Recording, Concepts and Play follow to where they belong."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        workspace = self.workspace
        workspace.docks.setdefault("Narrate", self)
        # the others once napari has docked this one
        QTimer.singleShot(0, workspace.arrange)
        QTimer.singleShot(0, workspace.offer_tour)
