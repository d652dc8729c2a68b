"""The docks as napari makes them from the Plugins menu: classes that ask for the viewer by name."""

from collections.abc import Callable
from typing import Any, ClassVar

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from . import compat
from .concepts_dock import ConceptsDock
from .narrate_dock import NarrateDock
from .play_dock import PlayDock
from .recording_dock import RecordingDock
from .workspace import Workspace


def _soon_settled(widget: Any, name: str) -> None:
    """Once napari has docked a widget, name its dock; where that dock stands already, bring the old one to the front instead."""

    def settle() -> None:
        workspace = widget.workspace
        if workspace.closed:
            return
        standing = workspace.docks.setdefault(name, widget)
        holder = None if standing is widget else compat.dock_of(standing)
        if holder is None:
            workspace.docks[name] = widget
            compat.name_dock(widget, name)
            return
        own = compat.dock_of(widget)
        if own is not None:
            workspace.viewer.window.remove_dock_widget(own)
        widget.let_go()
        widget.deleteLater()
        holder.show()
        holder.raise_()

    QTimer.singleShot(0, settle)


class RecordingWidget(RecordingDock):
    """The Recording dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)
        _soon_settled(self, "Recording")


class NarrateWidget(NarrateDock):
    """The Narrate dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)
        _soon_settled(self, "Narrate")


class ConceptsWidget(ConceptsDock):
    """The Concepts dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)
        _soon_settled(self, "Concepts")


class PlayWidget(PlayDock):
    """The Play dock of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)
        _soon_settled(self, "Play")


class NeurratorWidget(NarrateWidget):
    """The Narrate dock, which napari places; Recording, Concepts and Play follow to where they belong."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        workspace = self.workspace
        workspace.docks.setdefault("Narrate", self)
        # the others once napari has docked this one
        QTimer.singleShot(0, workspace.arrange)
        QTimer.singleShot(0, workspace.offer_tour)


class TabWidget(QWidget):
    """Stands in the dock that napari makes just until the panel, which is a tab beside Narrate, has come to the front."""

    SHOW: ClassVar[Callable[[Workspace], None]]

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._workspace = Workspace.of(napari_viewer)
        QTimer.singleShot(0, self._give_way)

    def _give_way(self) -> None:
        workspace = self._workspace
        if workspace.closed:
            return
        holder = compat.dock_of(self)
        if holder is not None:
            workspace.viewer.window.remove_dock_widget(holder)
        self.deleteLater()
        type(self).SHOW(workspace)


class AskBackWidget(TabWidget):
    """Brings the Ask back panel to the front."""

    SHOW = Workspace.show_asking


class PatchesWidget(TabWidget):
    """Brings the Patches panel to the front."""

    SHOW = Workspace.show_inspector


class CompareWidget(TabWidget):
    """Brings the Compare panel to the front."""

    SHOW = Workspace.show_comparing
