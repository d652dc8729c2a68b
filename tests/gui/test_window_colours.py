"""Colouring, its legend, the size of dots, themes."""

import numpy as np
import pytest

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles


def face(workspace):
    return np.asarray(workspace.layers.get(styles.UNITS).face_color)


def drawn(workspace):
    """Colours as they lie in the graphics memory."""
    layer = workspace.layers.get(styles.UNITS)
    return compat._markers(workspace.viewer, layer)._data["a_bg_color"]


@pytest.mark.parametrize("by", ["region", "depth", "cell type", "probe", "firing now"])
def test_every_colouring_reaches_the_screen_and_has_a_legend(room, by):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Recording"]
    dock.colour.setCurrentText(by)
    dock.colour.textActivated.emit(by)
    mouse.settle(20)
    expected = styles.unit_colours(session.recording.units, by, session.counts, dark=session.dark)
    assert np.allclose(face(workspace), expected)
    assert np.allclose(drawn(workspace), expected, atol=1e-6)
    legend = dock.legend
    assert legend.scale.isVisible() == (by in ("depth", "firing now"))
    assert legend.holder.isVisible() == (by in ("cell type", "probe"))
    if by == "depth":
        lowest, highest = session.recording.units["y_um"].min(), session.recording.units["y_um"].max()
        assert [words for _, words in legend.scale.ticks][::2] == [
            f"{lowest:,.0f} µm from the tip",
            f"{highest:,.0f} µm",
        ]


def test_a_category_in_the_legend_selects_its_units(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Recording"]
    session.colour_by = "cell type"
    bars = [dock.legend.rows.itemAt(i).widget() for i in range(dock.legend.rows.count())]
    units = session.recording.units
    assert {bar.name for bar in bars} == {"not known", *set(units["cell_type"]) - {""}}
    chosen = next(bar for bar in bars if bar.name != "not known")
    chosen.click()
    assert set(session.selected) == set(units.index[units["cell_type"] == chosen.name])
    assert chosen.number == str(len(session.selected))


def test_contribution_is_offered_once_it_is_known(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Recording"]
    assert dock.colour.findText("contribution") < 0
    values = np.linspace(-1, 2, len(session.unit_ids))
    values[5] = np.nan
    session.show_contribution(values, "the concept ball")
    mouse.settle(20)
    assert dock.colour.currentText() == "contribution"
    assert np.allclose(face(workspace), styles.signed(values, dark=session.dark))
    assert [words for _, words in dock.legend.scale.ticks] == ["−2 against", "0", "+2 for"]
    assert "the concept ball" in dock.legend.more.text()
    assert "1 units" in dock.legend.more.text()
    session.show_contribution(-values, "the sky")
    assert np.allclose(face(workspace), styles.signed(-values, dark=session.dark))
    session.show_contribution(None)
    assert session.colour_by == "region"


@pytest.mark.parametrize("n", [20, 5000])
def test_dots_can_be_seen_from_a_few_to_thousands_and_at_every_zoom(room, fakes, n):
    workspace = room(fakes.FakeRecording(n=n), decoder=False)
    layer = workspace.layers.get(styles.UNITS)
    assert tuple(layer.canvas_size_limits) == styles.DOT_PX
    smallest, largest = styles.DOT_PX
    pixels = np.clip(layer.size * compat.zoom(workspace.viewer), smallest, largest)
    assert pixels.min() >= 3
    assert pixels.max() <= 20
    # a click finds what is seen, from afar as well
    camera = compat._camera(workspace.viewer)
    camera.zoom = camera.zoom / 3
    mouse.settle(30)
    row = 3
    at = workspace.layers.positions[row] + np.array([0.0, 1.2 / compat.zoom(workspace.viewer)])
    mouse.click(workspace.viewer, at)
    near = np.hypot(*(workspace.layers.positions - at).T)
    picked = workspace.session.rows(workspace.session.selected)
    assert len(picked) == 1
    assert near[picked[0]] <= near.min() + 2 / compat.zoom(workspace.viewer)


def test_light_theme_recolours_scene_and_docks(room):
    workspace = room()
    session = workspace.session
    dock = workspace.docks["Recording"]
    session.select(session.unit_ids[:5])
    workspace.viewer.theme = "light"
    mouse.settle(100)
    assert not session.dark
    labels = workspace.layers.get(styles.LABELS)
    colours = np.asarray(labels.text.color.colors if hasattr(labels.text.color, "colors") else [])
    if len(colours):
        assert colours[:, :3].mean() < 0.5
    expected = styles.unit_colours(session.recording.units, "region", None, dark=False)
    assert np.allclose(face(workspace)[:5], expected[:5])
    ring = np.asarray(workspace.layers.get(styles.UNITS).border_color)[0]
    assert np.allclose(ring, styles.rgba([styles.ON_LIGHT.ring])[0])
    dock.tabs.setCurrentIndex(1)
    assert "#ffffff" in dock.table.view.styleSheet()
    # what is open next is drawn for the theme, too
    workspace.layers.build()
    assert np.allclose(face(workspace)[:5], expected[:5])
    workspace.viewer.theme = "dark"
    mouse.settle(100)
    assert session.dark
