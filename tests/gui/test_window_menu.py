"""The docks as the Plugins menu opens them, named as they are and never twice."""

import time

import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtWidgets import QTabBar

from napari_neurrator.gui import compat, mouse, raster, widgets


def from_menu(workspace, make, name):
    """Do what napari does for an entry of the menu."""
    viewer = compat.unwrap(workspace.viewer)
    viewer.window.add_dock_widget(make(napari_viewer=PublicOnlyProxy(viewer)), name=f"{name} (Neurrator)")
    mouse.settle(100)


@pytest.mark.parametrize(
    ("make", "name"),
    [(widgets.AskBackWidget, "Ask back"), (widgets.PatchesWidget, "Patches"), (widgets.CompareWidget, "Compare")],
)
def test_a_tab_comes_to_the_front(room, make, name):
    workspace = room(decoder=False)
    window = compat.qt_window(workspace.viewer)
    panel = workspace.docks[name]
    assert panel.visibleRegion().isEmpty()
    docks = set(workspace.viewer.window._wrapped_dock_widgets)
    from_menu(workspace, make, name)
    assert workspace.docks[name] is panel
    assert not panel.visibleRegion().isEmpty()
    assert set(workspace.viewer.window._wrapped_dock_widgets) == docks
    fronts = [bar.tabText(bar.currentIndex()) for bar in window.findChildren(QTabBar) if bar.isVisible()]
    assert name in fronts
    # closed by its cross, it comes back
    compat.dock_of(panel).destroyOnClose()
    mouse.settle(50)
    assert not panel.isVisible()
    from_menu(workspace, make, name)
    assert not panel.visibleRegion().isEmpty()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (widgets.RecordingWidget, "Recording"),
        (widgets.NarrateWidget, "Narrate"),
        (widgets.NeurratorWidget, "Narrate"),
        (widgets.ConceptsWidget, "Concepts"),
        (widgets.PlayWidget, "Play"),
    ],
)
def test_a_dock_that_stands_is_not_opened_twice(room, monkeypatch, make, name):
    workspace = room(decoder=False)
    read, read_to_the_end = raster.read, []

    def slowly(*arguments):
        # until after the second dock has gone
        time.sleep(0.3)
        read_to_the_end.append(True)
        return read(*arguments)

    mouse.settle(300)
    monkeypatch.setattr(raster, "read", slowly)
    panel = workspace.docks[name]
    docks = set(workspace.viewer.window._wrapped_dock_widgets)
    compat.dock_of(panel).hide()
    from_menu(workspace, make, name)
    assert workspace.docks[name] is panel
    assert panel.isVisible()
    assert set(workspace.viewer.window._wrapped_dock_widgets) == docks
    mouse.settle(500)
    assert bool(read_to_the_end) == (name == "Play")


def test_in_a_window_without_docks_the_panel_opens_alone(make_napari_viewer_proxy, fakes, notified):
    from napari_neurrator.gui.workspace import Workspace

    viewer = compat.unwrap(make_napari_viewer_proxy(show=True))
    workspace = Workspace.of(viewer, fakes.FakeBackend)
    from_menu(workspace, widgets.CompareWidget, "Compare")
    assert set(workspace.docks) == {"Compare"}
    assert workspace.docks["Compare"].isVisible()
    workspace.close()


def test_docks_are_named_as_they_are(make_napari_viewer_proxy, fakes, notified):
    from napari_neurrator.gui.workspace import Workspace

    viewer = compat.unwrap(make_napari_viewer_proxy(show=True))
    workspace = Workspace.of(viewer, fakes.FakeBackend)
    from_menu(workspace, widgets.NeurratorWidget, "Neurrator")
    holder = compat.dock_of(workspace.docks["Narrate"])
    assert holder.windowTitle() == "Narrate"
    assert holder.title.title.text() == "Narrate"
    workspace.close()
