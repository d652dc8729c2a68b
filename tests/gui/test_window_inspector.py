"""The patch inspector with a real mouse: what hovering and clicking show, of one patch and of several."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui.frame_patches import boxes, patches_within

from .test_window_habits import nameless


@pytest.fixture
def inspecting(room, tmp_path):
    """Return a window in which seven units have spoken, with the inspector in front and switched on."""

    def make():
        workspace = room()
        session = workspace.session
        # what is looked at can be opened again
        (tmp_path / "made-up.nwb").touch()
        entry = session.current
        session.source = str(tmp_path / "made-up.nwb")
        session.opened = (type(entry)(session.source, entry.recording),)
        session.select(session.unit_ids[:7])
        workspace.docks["Narrate"].go.click()
        workspace.wait(lambda: session.result is not None and session.result.finished)
        workspace.show_inspector()
        mouse.settle(50)
        QTest.mouseClick(workspace.docks["Patches"].on_frame, Qt.MouseButton.LeftButton)
        assert session.on_frame == "inspect"
        return workspace

    return make


def requests(workspace, kind):
    return [request for request in workspace.backend.requests if request.kind == kind]


def done(workspace):
    inspected = workspace.session.inspected
    return inspected is not None and not inspected.stage


def test_hover_says_what_is_known_and_asks_nothing(inspecting):
    workspace = inspecting()
    session, panel = workspace.session, workspace.docks["Patches"]
    canvas = compat.native_canvas(workspace.viewer)
    for y, x in ((45, 57), (66, 72)):
        QTest.mouseMove(canvas, mouse.to_canvas(workspace.viewer, (y, x)))
        mouse.settle(40)
        row, column = int((y + 0.5) // 10), int((x + 0.5 - 20) // 10)
        match = session.result.cosine[row, column]
        assert f"row {row + 1}, column {column + 1}, match {match:.2f}" in panel.hover.text()
    QTest.mouseMove(canvas, mouse.to_canvas(workspace.viewer, (60, 5)))
    mouse.settle(40)
    assert panel.hover.text().strip() == ""
    assert requests(workspace, "inspect") == []


def test_a_click_shows_match_null_concepts_and_pictures(inspecting):
    workspace = inspecting()
    session, panel = workspace.session, workspace.docks["Patches"]
    mouse.click(workspace.viewer, (105, 125))
    workspace.wait(lambda: done(workspace))
    request = requests(workspace, "inspect")[-1]
    assert request.patches == [10 * 12 + 10]
    assert request.unit_ids == list(session.selected)
    assert request.shown.numbers == list(range(90))
    assert panel.title.text() == "The patch in row 11, column 11"
    assert panel.match.number == "0.65"
    assert panel.prior.number == "0.20"
    assert "p = 0.020, against the same patches of 50 other frames" in panel.because.text()
    # this showing was seen in fitting
    assert "proves nothing" in panel.because.text()
    texts = [panel.table.itemAt(i).widget().text() for i in range(panel.table.count())]
    assert texts == ["Active in the decoded", "sun 3.00", "sky 1.00", "Active in the true", "sun 4.00"]
    pictures = panel.pictures
    assert [pictures.item(i).text() for i in range(2)] == ["frame 4\ncosine 0.89", "frame 61\ncosine 0.60"]
    workspace.wait(lambda: not pictures.item(1).icon().isNull())
    assert workspace.layers.get(styles.CHOSEN_PATCHES).visible
    assert nameless(panel) == []
    # the units behind it
    mouse.settle(50)
    QTest.mouseClick(panel.who, Qt.MouseButton.LeftButton)
    workspace.wait(lambda: session.asked is not None and session.asked.known)
    assert requests(workspace, "ask")[-1].patches == [130]
    assert session.colour_by == "contribution"
    workspace.show_inspector()
    mouse.settle(50)
    # a picture leads to its frame; the patch was of another moment
    pictures.setFocus()
    pictures.setCurrentRow(1)
    QTest.keyClick(pictures, Qt.Key.Key_Return)
    assert session.frame == 60
    assert "not the moment on screen" in panel.note.text()
    assert not workspace.layers.get(styles.CHOSEN_PATCHES).visible


def test_a_region_averages_and_what_is_known_is_kept(inspecting):
    workspace = inspecting()
    session = workspace.session
    mouse.draw(workspace.viewer, np.array([[12, 32], [15, 36], [28, 58]]))
    workspace.wait(lambda: done(workspace))
    assert session.inspected.patches == (13, 14, 15, 25, 26, 27)
    assert session.inspected.cosine == pytest.approx(20 / 200)
    workspace.inspector.clear()
    assert session.on_frame == ""
    assert not workspace.docks["Patches"].title.isVisible()
    workspace.inspector.inspect((13, 14, 15, 25, 26, 27))
    assert done(workspace)
    assert len(requests(workspace, "inspect")) == 1


def test_grid_on_the_frame(inspecting):
    workspace = inspecting()
    session, panel = workspace.session, workspace.docks["Patches"]
    active = workspace.viewer.layers.selection.active
    QTest.mouseClick(panel.grid, Qt.MouseButton.LeftButton, pos=panel.grid.rect().center() * 0 + panel.grid.rect().topLeft() + type(panel.grid.rect().topLeft())(8, panel.grid.height() // 2))  # fmt: skip
    grid = workspace.layers.get(styles.PATCH_GRID)
    assert session.grid_shown
    assert grid.visible
    assert grid.nshapes == 13 + 13
    lines = np.array([line[:, -2:] for line in grid.data])
    assert lines[..., 0].min() == pytest.approx(-0.5)
    assert lines[..., 1].min() == pytest.approx(19.5)
    assert lines[..., 1].max() == pytest.approx(139.5)
    assert workspace.viewer.layers.selection.active is active
    session.grid_shown = False
    assert not grid.visible


def test_match_over_the_film_follows_the_region_and_a_click_goes_there(inspecting):
    workspace = inspecting()
    session, panel = workspace.session, workspace.docks["Patches"]
    # of all patches, for none is chosen yet
    workspace.wait(lambda: session.match is not None and session.match.n_known == session.match.n_wanted == 90)
    assert session.match.key.patches == ()
    assert session.match.cosine.shape == (90, 144)
    assert panel.over_time.text() == "Over the film: all patches"
    # a region that is drawn
    mouse.draw(workspace.viewer, np.array([[12, 32], [15, 36], [28, 58]]))
    patches = (13, 14, 15, 25, 26, 27)
    workspace.wait(lambda: session.match.key.patches == patches and session.match.n_known == 90)
    match = session.match
    assert match.cosine == pytest.approx(np.array(patches) / 200 + np.arange(90)[:, None] / 900, abs=1e-5)
    assert {request.patches is None for request in requests(workspace, "match")} == {True, False}
    assert sorted(frame for r in requests(workspace, "match") if r.patches for frame in r.frames) == list(range(90))
    assert "0 of 90 moments lie above the band" in panel.tested.text()
    assert "prove nothing" in panel.tested.text()
    # a click goes to that moment; this one is not the one that was inspected
    strip = panel.strip
    x = round(strip.axis.x(workspace.player.clock.onset(60) + 1 / 60))
    QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=strip.rect().topLeft() + type(strip.rect().topLeft())(x, 20))
    assert session.frame == 60
    assert strip.head_s == pytest.approx(workspace.player.clock.onset(60))
    tip = strip.tip_at(workspace.player.clock.onset(60) + 0.01, 150)
    assert "decoded against true: 0.17" in tip
    assert "0.10 to 0.40" in tip
    assert "row 2, column 2" in strip.tip_at(workspace.player.clock.onset(60) + 0.01, 2)
    # what is drawn: the band and the curve have their colours
    picture = strip.grab().toImage()
    seen = {picture.pixelColor(px, py).name() for px in range(80, picture.width() - 10, 7) for py in range(2, 90, 9)}
    assert len(seen) > 3
    # what is known is kept
    n = len(requests(workspace, "match"))
    workspace.inspector.clear()
    workspace.wait(lambda: session.match.key.patches == ())
    mouse.settle(600)
    assert len(requests(workspace, "match")) == n


def test_nothing_is_followed_while_nobody_looks(inspecting):
    workspace = inspecting()
    session = workspace.session
    workspace.wait(lambda: session.match is not None and session.match.n_known == 90)
    compat.dock_of(workspace.docks["Patches"]).hide()
    mouse.settle(50)
    assert not session.match_open
    assert session.match is None
    n = len(requests(workspace, "match"))
    session.select(session.unit_ids[:5])
    mouse.settle(600)
    assert len(requests(workspace, "match")) == n


def test_a_lost_film_leaves_the_rest(inspecting, monkeypatch):
    from napari_neurrator.errors import NeurratorError
    from napari_neurrator.gui import inspecting as module

    def lost(_session):
        raise NeurratorError("gone")

    workspace = inspecting()
    monkeypatch.setattr(module, "shown_frames", lost)
    workspace.inspector.inspect((5,))
    workspace.wait(lambda: done(workspace))
    assert requests(workspace, "inspect")[-1].shown is None
    assert workspace.session.inspected.cosine is not None
    assert not workspace.docks["Patches"].pictures.isVisible()


def test_patches_within_and_their_boxes(fakes):
    geometry = fakes.GEOMETRY
    everything = patches_within(geometry, np.array([[-50.0, -50.0], [500.0, 500.0]]), free=False)
    assert everything == tuple(range(144))
    assert patches_within(geometry, np.array([[31.0, 52.0], [31.5, 52.5]]), free=False) == (3 * 12 + 3,)
    assert len(boxes(geometry, everything)) == 1
    # one run a row, and never across the edge
    assert len(boxes(geometry, [0, 1, 2, 11, 12, 13])) == 3
    area = sum(np.ptp(box[:, 0]) * np.ptp(box[:, 1]) for box in boxes(geometry, [0, 1, 2, 11, 12, 13]))
    assert area == pytest.approx(600)


def test_the_match_is_worked_out_only_while_its_panel_is_in_front(room):
    workspace = room(decoder=False)
    session, docks = workspace.session, workspace.docks
    mouse.settle(200)
    assert not session.match_open
    for show, followed in (
        (workspace.show_inspector, True),
        (workspace.show_comparing, False),
        (workspace.show_inspector, True),
        (compat.dock_of(docks["Narrate"]).raise_, False),
    ):
        show()
        mouse.settle(200)
        assert session.match_open is followed
