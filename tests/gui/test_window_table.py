"""The units table and the quality switch: clicks on real rows, and the points they belong to."""

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui import mouse


def table_of(workspace):
    dock = workspace.docks["Recording"]
    dock.tabs.setCurrentIndex(1)
    mouse.settle(50)
    return dock.table


def click_row(table, row, modifier=Qt.KeyboardModifier.NoModifier):
    index = table.proxy.index(row, 0)
    table.view.scrollTo(index)
    QTest.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, modifier, table.view.visualRect(index).center())
    mouse.settle(20)


def unit_at(table, row):
    return table.model.ids[table.proxy.mapToSource(table.proxy.index(row, 0)).row()]


def click_header(table, name):
    header = table.view.horizontalHeader()
    section = [column.name for column in table.model.columns].index(name)
    at = header.sectionViewportPosition(section) + header.sectionSize(section) // 2
    table.view.horizontalScrollBar().setValue(0)
    QTest.mouseClick(
        header.viewport(), Qt.MouseButton.LeftButton, pos=header.viewport().rect().center().__class__(at, 8)
    )
    mouse.settle(30)


def test_rows_select_points_and_points_select_rows(room):
    workspace = room(decoder=False)
    session, table = workspace.session, table_of(workspace)
    changes = []
    session.events.selected.connect(changes.append)
    click_row(table, 3)
    unit = unit_at(table, 3)
    assert session.selected == (unit,)
    assert len(changes) == 1  # nothing goes round in circles
    layer = workspace.layers.get(styles.UNITS)
    assert np.flatnonzero(layer.border_width > 0).tolist() == [session.unit_ids.index(unit)]
    click_row(table, 5, Qt.KeyboardModifier.ControlModifier)
    assert set(session.selected) == {unit, unit_at(table, 5)}
    # and the other way: a click on the canvas marks the row and brings it into view
    last = len(session.unit_ids) - 1
    mouse.click(workspace.viewer, workspace.layers.positions[last])
    assert session.selected == (session.unit_ids[last],)
    rows = [index.row() for index in table.view.selectionModel().selectedRows()]
    assert [unit_at(table, row) for row in rows] == [session.unit_ids[last]]
    assert table.view.viewport().rect().intersects(table.view.visualRect(table.proxy.index(rows[0], 0)))


def test_sorting_by_numbers_and_finding_by_words(room):
    workspace = room(decoder=False)
    session, table = workspace.session, table_of(workspace)
    units = session.recording.units
    units.loc[units.index[7], "y_um"] = np.nan
    table._units = None
    session.units_described.emit()
    click_header(table, "y_um")
    depth = [units.loc[unit_at(table, row), "y_um"] for row in range(table.proxy.rowCount())]
    assert np.isnan(depth[-1])
    assert (np.diff(depth[:-1]) >= 0).all()
    click_header(table, "y_um")
    depth = [units.loc[unit_at(table, row), "y_um"] for row in range(table.proxy.rowCount())]
    assert np.isnan(depth[-1])  # what is not known comes last both ways
    assert (np.diff(depth[:-1]) <= 0).all()
    # a parent of the region counts, and all words have to be there
    table.search.setText("vis probeA")
    expected = units.index[units["region"].str.startswith("VIS") & (units["probe"] == "probeA")]
    assert {unit_at(table, row) for row in range(table.proxy.rowCount())} == set(expected)
    assert f"{len(expected)} of {len(units)}" in table.shown.text()
    click_row(table, 0)
    QTest.keyClick(table.view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert set(session.selected) == set(expected)
    # what the words hide stays selected
    table.search.setText("nothing like it")
    assert table.proxy.rowCount() == 0
    assert set(session.selected) == set(expected)
    table.search.setText("")
    assert len(table.view.selectionModel().selectedRows()) == len(expected)


def test_only_good_units_are_shown_lassoed_and_queried(room):
    from .test_window_lasso import lasso, rows_of

    workspace = room(decoder=False)
    session, dock, table = workspace.session, workspace.docks["Recording"], table_of(workspace)
    units = session.recording.units
    passes = units["passes_qc"].to_numpy()
    session.select(session.unit_ids[:10])
    assert f"{passes.sum()} of {len(units)} pass" in dock.n_good.text()
    assert "amplitude_cutoff <= 0.1" in dock.good.toolTip()
    dock.good.click()
    assert session.only_good
    assert set(session.selected) == set(units.index[:10][passes[:10]])
    layer = workspace.layers.get(styles.UNITS)
    assert np.array_equal(layer.shown, passes)
    assert table.proxy.rowCount() == passes.sum()
    rows = rows_of(workspace, "probeA", "VISam")
    assert not passes[rows].all()
    lasso(workspace, rows)
    assert set(session.selected) == set(units.index[rows[passes[rows]]])
    session.lassoing = False
    failing = int(np.flatnonzero(~passes)[0])
    before = session.selected
    mouse.click(workspace.viewer, workspace.layers.positions[failing])
    assert units.index[failing] not in session.selected
    session.selected = before
    session.query('region == "VISp"')
    assert set(session.selected) == set(units.index[(units["region"] == "VISp") & passes])
    dock.good.click()
    assert layer.shown.all()
    assert table.proxy.rowCount() == len(units)


def test_a_recording_that_says_nothing_of_quality(room, fakes):
    recording = fakes.FakeRecording()
    recording.units = recording.units[["x_um", "y_um", "probe", "region"]]
    workspace = room(recording, decoder=False)
    dock = workspace.docks["Recording"]
    assert not dock.good.isEnabled()
    assert not dock.brain.isEnabled()
    assert [column.name for column in dock.table.model.columns] == ["unit_id", "region", "y_um", "probe"]
    workspace.session.only_good = True
    assert workspace.session.visible.all()


def test_saved_table_holds_what_is_shown_with_all_columns(room, tmp_path):
    workspace = room(decoder=False)
    table = table_of(workspace)
    table.search.setText("CA1")
    table.save(str(tmp_path / "units.csv"))
    saved = pd.read_csv(tmp_path / "units.csv", index_col="unit_id")
    units = workspace.session.recording.units
    assert set(saved.index) == set(units.index[units["region"] == "CA1"])
    assert list(saved.columns) == list(units.columns)


@pytest.mark.parametrize("n", [5000])
def test_thousands_of_rows_are_quick(qtbot, fakes, n):
    import time

    from napari_neurrator.gui.state import Session
    from napari_neurrator.gui.units_table import UnitsTable

    session = Session()
    table = UnitsTable(session)
    qtbot.addWidget(table)
    session.open("many", fakes.FakeRecording(n=n))
    started = time.perf_counter()
    session.scene_changed.emit()
    table.view.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    session.select(session.unit_ids[::2])
    table.search.setText("VISp")
    assert time.perf_counter() - started < 10
    assert table.proxy.rowCount() == session.recording.units["region"].str.contains("VISp").sum()
    table.let_go()
