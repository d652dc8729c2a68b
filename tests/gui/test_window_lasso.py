"""Selecting: a real mouse on a real canvas."""

import numpy as np
from qtpy.QtCore import Qt

from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui import mouse


def rows_of(workspace, probe, region):
    units = workspace.session.recording.units
    return np.flatnonzero((units["probe"] == probe) & (units["region"] == region))


def lasso(workspace, rows, modifier=None):
    workspace.session.lassoing = True
    # napari sets a vertex every 10 pixels, so a lasso is no finer than that
    path = mouse.ring(workspace.layers.positions[rows], 10 / mouse.compat.zoom(workspace.viewer), 30)
    mouse.draw(workspace.viewer, path, modifier)
    mouse.settle(50)
    return path


def ids(workspace, rows):
    return {workspace.session.unit_ids[i] for i in rows}


def test_lasso_selects_exactly_the_enclosed_units(room):
    workspace = room()
    rows = rows_of(workspace, "probeA", "VISam")
    assert len(rows) > 2
    lasso(workspace, rows)
    assert set(workspace.session.selected) == ids(workspace, rows)
    layer = workspace.layers.get(styles.UNITS)
    ringed = np.flatnonzero(layer.border_width > 0)
    assert set(ringed) == set(rows)
    assert workspace.layers.get(styles.LASSO).nshapes == 1  # the last outline stays
    assert "selected" in workspace.docks["Recording"].count.text()


def test_add_and_subtract_by_keys_and_by_buttons(room):
    workspace = room()
    session = workspace.session
    first, second = rows_of(workspace, "probeA", "VISam"), rows_of(workspace, "probeC", "VISp")
    lasso(workspace, first)
    lasso(workspace, second, Qt.KeyboardModifier.ShiftModifier)
    assert set(session.selected) == ids(workspace, [*first, *second])
    lasso(workspace, first, Qt.KeyboardModifier.AltModifier)
    assert set(session.selected) == ids(workspace, second)
    session.select_mode = "add"
    lasso(workspace, first)
    assert set(session.selected) == ids(workspace, [*first, *second])
    session.select_mode = "subtract"
    lasso(workspace, second)
    assert set(session.selected) == ids(workspace, first)
    assert workspace.layers.get(styles.LASSO).nshapes == 1


def test_tiny_polygon_and_empty_lasso_leave_the_selection(room, notified):
    workspace = room()
    rows = rows_of(workspace, "probeA", "VISam")
    lasso(workspace, rows)
    before = workspace.session.selected
    zoom = 1 / mouse.compat.zoom(workspace.viewer)
    at = workspace.layers.positions[rows[0]]
    mouse.draw(workspace.viewer, at + zoom * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    mouse.settle(50)
    # what was begun may wait for a second click, as napari draws by clicks too
    workspace.session.lassoing = False
    mouse.settle(50)
    assert workspace.session.selected == before
    frame = workspace.layers.layout.frame
    centre = np.array([(frame.top + frame.bottom) / 2, (frame.left + frame.right) / 2])
    workspace.session.lassoing = True
    mouse.draw(workspace.viewer, mouse.ring(np.array([centre - 10, centre + 10]), 1))
    mouse.settle(50)
    assert workspace.session.selected == before
    assert any("No unit lies inside" in words for _, words in notified)


def test_click_selects_a_unit_and_points_stay(room):
    workspace = room()
    session = workspace.session
    layer = workspace.layers.get(styles.UNITS)
    workspace.viewer.layers.selection.active = layer
    mouse.settle(20)
    mouse.click(workspace.viewer, workspace.layers.positions[5])
    assert session.selected == (session.unit_ids[5],)
    mouse.click(workspace.viewer, workspace.layers.positions[9], Qt.KeyboardModifier.ShiftModifier)
    assert set(session.selected) == ids(workspace, [5, 9])
    # napari's own tool
    layer.mode = "select"
    layer.selected_data = {1, 2}
    assert set(session.selected) == ids(workspace, [1, 2])
    layer.remove_selected()
    mouse.settle(50)
    assert np.array_equal(layer.data, workspace.layers.positions)


def test_query_and_its_typos(room, notified):
    workspace = room()
    dock, session = workspace.docks["Recording"], workspace.session
    dock.query.setText('region == "VISp"')
    dock.query.returnPressed.emit()
    units = session.recording.units
    assert set(session.selected) == set(units.index[units["region"] == "VISp"])
    before = session.selected
    dock.query.setText("regoin == 'VISp'")
    dock.query.returnPressed.emit()
    assert notified[-1][0] == "error"
    assert "regoin" in notified[-1][1]
    assert session.selected == before
    dock.query.setText("y_um > 1e9")
    dock.query.returnPressed.emit()
    assert "No unit matches" in notified[-1][1]
    assert session.selected == before


def test_groups_are_kept_and_picked(room, notified):
    workspace = room()
    dock, session = workspace.docks["Recording"], workspace.session
    session.save_group("nothing")
    assert "before saving" in notified[-1][1]
    chosen = session.unit_ids[:4]
    session.select(chosen)
    session.save_group("four")
    assert dock.groups.currentText() == "four"
    session.select(session.unit_ids[10:12])
    session.save_group("two")
    assert dock.groups.currentText() == "two"
    session.delete_group("two")
    session.select(())
    # what stands there is what is selected
    assert dock.groups.currentText() == ""
    assert not dock.delete_group.isEnabled()
    dock.groups.setCurrentText("four")
    dock.groups.activated.emit(0)
    assert session.selected == chosen
    dock._delete_group()
    assert dict(session.groups) == {}


def test_units_without_positions_are_laid_out_with_a_warning(room, fakes, notified):
    recording = fakes.FakeRecording(positions=False)
    workspace = room(recording, decoder=False)
    assert np.isfinite(workspace.layers.positions).all()
    assert len({tuple(p) for p in workspace.layers.positions}) == len(recording.units)
    assert any("no position" in words for _, words in notified)


def test_the_outline_goes_with_its_selection(room):
    workspace = room()
    session, layers = workspace.session, workspace.layers
    session.lassoing = True
    mouse.settle(50)
    mouse.draw(workspace.viewer, mouse.ring(layers.positions[:1], layers.diameter))
    workspace.wait(lambda: bool(session.selected))
    mouse.settle(50)
    lasso = layers.get(styles.LASSO)
    assert lasso.nshapes == 1
    session.select(session.unit_ids[20:24])
    mouse.settle(50)
    assert lasso.nshapes == 0
