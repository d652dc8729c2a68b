"""The brain view: there and back again, with the same selection."""

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles


def pixel_of(workspace, point):
    """Return the canvas pixel of a point of the 3D view."""
    from qtpy.QtCore import QPoint

    canvas = compat.qt_window(workspace.viewer)._qt_viewer.canvas
    visual = canvas.layer_to_visual[workspace.layers.get(styles.BRAIN_UNITS)]
    at = visual.node.get_transform("visual", "canvas").map(point[::-1])
    return QPoint(round(at[0] / at[3]), round(at[1] / at[3]))


def test_there_and_back_with_the_selection(room):
    workspace = room(decoder=False)
    session, viewer, dock = workspace.session, compat.unwrap(workspace.viewer), workspace.docks["Recording"]
    session.frame = 40
    session.select(session.unit_ids[:5])
    before = [(layer.name, layer.visible) for layer in viewer.layers]
    zoom = compat.zoom(viewer)
    dock.brain.click()
    mouse.settle(100)
    assert session.view == "brain"
    assert viewer.dims.ndisplay == 3
    assert dock.brain.text() == "Probe view"
    layer = workspace.layers.get(styles.BRAIN_UNITS)
    units = session.recording.units
    known = units["ccf_ap_um"].notna().to_numpy()
    assert np.allclose(layer.data[known], units.loc[known, ["ccf_ap_um", "ccf_dv_um", "ccf_lr_um"]])
    assert np.array_equal(layer.shown, known)
    assert set(np.flatnonzero(layer.border_width > 0)) == set(range(5))
    assert not workspace.layers.get(styles.MOVIE).visible
    assert session.frame == 40
    # a real click on a unit that nothing hides
    row = int(np.argmax(np.where(known, layer.data[:, 1] * -1, -np.inf)))
    QTest.mouseClick(
        compat.native_canvas(viewer),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        pixel_of(workspace, layer.data[row]),
    )
    mouse.settle(50)
    assert len(session.selected) == 1
    chosen = session.selected
    dock.brain.click()
    mouse.settle(100)
    assert viewer.dims.ndisplay == 2
    assert [(layer.name, layer.visible) for layer in viewer.layers] == before
    assert session.frame == compat.frame_of(viewer) == 40
    assert np.isclose(compat.zoom(viewer), zoom)
    assert session.selected == chosen
    ringed = np.flatnonzero(workspace.layers.get(styles.UNITS).border_width > 0)
    assert [session.unit_ids[i] for i in ringed] == list(chosen)
    workspace.viewer.dims.set_current_step(0, 12)
    assert session.frame == 12


def test_quality_switch_and_lasso_in_the_brain(room):
    workspace = room(decoder=False)
    session, viewer = workspace.session, compat.unwrap(workspace.viewer)
    session.view = "brain"
    session.only_good = True
    layer = workspace.layers.get(styles.BRAIN_UNITS)
    assert np.array_equal(layer.shown, session.visible & session.recording.units["ccf_ap_um"].notna().to_numpy())
    # the lasso is for the probes: choosing it leads back to them
    session.lassoing = True
    assert session.view == "probe"
    assert viewer.dims.ndisplay == 2
    assert viewer.layers.selection.active is workspace.layers.get(styles.LASSO)
    session.lassoing = False
    # so does napari's own button
    session.view = "brain"
    viewer.dims.ndisplay = 2
    assert session.view == "probe"
    assert styles.BRAIN_UNITS not in viewer.layers


def test_another_recording_leaves_the_brain(room, fakes):
    workspace = room(decoder=False)
    session, viewer = workspace.session, compat.unwrap(workspace.viewer)
    session.view = "brain"
    workspace.open(fakes.FakeRecording(n=20, ccf=False, name="other", source="other.nwb"))
    workspace.wait(lambda: session.recording.name == "other" and not session.job.busy)
    assert viewer.dims.ndisplay == 2
    assert workspace.layers.get(styles.UNITS).visible
    assert not workspace.docks["Recording"].brain.isEnabled()
    session.view = "brain"
    assert session.view == "probe"
    assert "Allen CCF" in session.error


def test_probe_lines_and_short_names(fakes):
    from napari_neurrator.gui.brain_layers import probe_lines, short_names

    units = fakes.FakeRecording(n=120).units
    lines = probe_lines(units)
    for name, line in lines.items():
        mine = units[(units["probe"] == name) & units["ccf_ap_um"].notna()]
        assert np.isclose(line[0, 1], mine["ccf_dv_um"].min())
        assert np.isclose(line[1, 1], mine["ccf_dv_um"].max())
    assert short_names(["probeA", "probeB"]) == ["A", "B"]
    assert short_names(["probe10", "probe11"]) == ["10", "11"]
    assert short_names(["probeA"]) == ["probeA"]
    assert short_names(["probe", "probeA"]) == ["probe", "probeA"]
