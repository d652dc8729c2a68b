"""Raster and rate under the film."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui import mouse
from napari_neurrator.gui.strip import GUTTER_PX


def drawn(workspace, dock, n):
    workspace.wait(lambda: dock.raster.spikes is not None and len(dock.raster.spikes.units) == n)
    mouse.settle(60)
    image = dock.raster.grab().toImage()
    pixels = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    return pixels.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width(), 2::-1]


def test_all_units_until_some_are_chosen_in_order_and_in_the_dots_colours(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Play"]
    drawn(workspace, dock, 60)
    assert "all 60 units" in dock.whose.text()
    session.select(session.unit_ids[:12])
    pixels = drawn(workspace, dock, 12)
    assert "12 units" in dock.whose.text()
    units = session.recording.units.iloc[dock.raster.spikes.units]
    assert len(set(units.index)) == 12
    for _, part in units.groupby("region", sort=False):
        assert (np.diff(part["y_um"]) <= 0).all()
    colours = styles.categories(session.recording.units["region"], dock.raster.is_dark)
    height = dock.raster.raster_px
    for line, region in enumerate(units["region"]):
        band = pixels[round(1 + height * (line + 0.5) / 12), GUTTER_PX + 2 : -10].astype(int)
        wanted = np.array([int(colours[region][i : i + 2], 16) for i in (1, 3, 5)])
        hue = band - band.mean(axis=1, keepdims=True)
        strongest = hue[np.abs(hue).sum(axis=1).argmax()]
        assert np.corrcoef(strongest, wanted - wanted.mean())[0, 1] > 0.95


def test_head_follows_the_slider_and_a_click_goes_there(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Play"]
    drawn(workspace, dock, 60)
    workspace.viewer.dims.set_current_step(0, 45)
    assert dock.raster.head_s == pytest.approx(1.5)
    assert dock.track.head_s == dock.raster.head_s
    assert dock.time.text() == "1.50 of 3.00 s"
    x = dock.raster.axis.x(2.0)
    assert x == dock.track.axis.x(2.0)
    QTest.mouseClick(dock.raster, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(round(x), 20))
    assert session.frame in (59, 60, 61)


def test_pages_turn_with_the_head(room):
    workspace = room()
    dock = workspace.docks["Play"]
    dock.span.setCurrentIndex(3)
    dock.span.activated.emit(3)
    assert (dock.raster.start_s, dock.raster.stop_s) == (0.0, pytest.approx(3.0))
    QTest.mouseClick(dock.spikes, Qt.MouseButton.LeftButton)
    assert not dock.raster.isVisible()
    QTest.mouseClick(dock.spikes, Qt.MouseButton.LeftButton)
    assert dock.raster.isVisible()


def test_heat_where_there_are_more_units_than_lines(room, fakes):
    workspace = room(fakes.FakeRecording(n=1500), decoder=False)
    dock = workspace.docks["Play"]
    pixels = drawn(workspace, dock, 1500)
    inside = pixels[2 : dock.raster.raster_px - 2, GUTTER_PX + 4 : -12]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) > 20
    assert "1,500 units" in dock.whose.text()


def test_what_is_under_the_mouse_is_said(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Play"]
    session.select(session.unit_ids[:2])
    drawn(workspace, dock, 2)
    unit = session.recording.units.index[dock.raster.spikes.units[0]]
    words = dock.raster.tip_at(1.0, 5)
    assert f"unit {unit}" in words
    assert "µm from the tip" in words
    assert "Hz on average" in words
    assert "Hz a unit" in dock.raster.tip_at(1.0, dock.raster.height() - 5)
