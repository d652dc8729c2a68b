"""The gallery of a concept, its menu, own names, and how maps look."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui.state import HEAT_COLOURS, INTERPOLATIONS, PATCHES
from napari_neurrator.gui.thumbnails import thumbnail


@pytest.fixture
def narrated(room, tmp_path):
    """Return a window in which some units have been narrated, of a recording that can be found again."""

    def make(findable=True):
        workspace = room()
        session = workspace.session
        if findable:
            (tmp_path / "made-up.nwb").touch()
            entry = session.current
            session.source = str(tmp_path / "made-up.nwb")
            session.opened = (type(entry)(session.source, entry.recording),)
        session.course_open = False
        session.select(session.unit_ids[:7])
        workspace.docks["Narrate"].go.click()
        workspace.wait(lambda: session.result is not None and session.result.finished)
        return workspace

    return make


def row_of(workspace, name):
    return workspace.docks["Concepts"].rows[name]


def pictures_of(workspace):
    return workspace.docks["Gallery"].pictures


def shown_gallery(workspace, name="sun"):
    row = row_of(workspace, name)
    row.bar.setFocus()
    QTest.keyClick(row.bar, Qt.Key.Key_G)
    session = workspace.session
    workspace.wait(lambda: session.gallery is not None and session.gallery.finished)
    panel = workspace.docks["Gallery"]
    workspace.wait(lambda: panel.n_made == 3)
    return workspace.docks["Gallery"]


def test_gallery_shows_frames_and_a_click_goes_there(narrated):
    workspace = narrated()
    session = workspace.session
    before = compat.dock_of(workspace.docks["Concepts"]).height()
    panel = shown_gallery(workspace)
    request = next(r for r in workspace.backend.requests if r.kind == "gallery")
    assert request.concept == "sun"
    assert request.shown.numbers == list(range(90))
    assert "sun" in panel.title.text()
    assert "33 of 90" in panel.note.text()
    mouse.settle(100)
    assert panel.isVisible()
    # the list of concepts keeps its room
    assert abs(compat.dock_of(workspace.docks["Concepts"]).height() - before) < 0.2 * before
    pictures = panel.pictures
    assert pictures.count() == 3
    assert pictures.item(0).text() == "frame 41 · 1.3 s\nactivation 9.00"
    item = pictures.item(1)
    QTest.mouseClick(
        pictures.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
        pictures.visualItemRect(item).center(),
    )  # fmt: skip
    assert session.frame == 5
    assert compat.frame_of(workspace.viewer) == 5
    assert [pictures.item(i).isSelected() for i in range(3)] == [False, True, False]
    # a dock that was closed comes back with what it held
    workspace.viewer.window.remove_dock_widget(compat.dock_of(panel))
    assert compat.dock_of(panel) is None
    workspace.show_gallery("sun")
    mouse.settle(50)
    assert panel.isVisible()
    assert pictures.count() == 3
    # with the keyboard, too
    pictures.setFocus()
    QTest.keyClick(pictures, Qt.Key.Key_Home)
    QTest.keyClick(pictures, Qt.Key.Key_Return)
    assert session.frame == 40


def test_what_was_found_is_kept_and_another_stimulus_clears_it(narrated):
    workspace = narrated()
    session = workspace.session
    panel = shown_gallery(workspace)
    found = session.gallery
    row_of(workspace, "sky").gallery_wanted.emit()
    workspace.wait(lambda: session.gallery.concept == "sky" and session.gallery.finished)
    n = len(workspace.backend.requests)
    row_of(workspace, "sun").gallery_wanted.emit()
    assert session.gallery.pictures is found.pictures
    assert len(workspace.backend.requests) == n
    session.show_stimulus("other", None, None)
    assert session.gallery is None
    assert "Show gallery" in panel.note.text()
    assert not panel.pictures.isVisible()


def test_a_narration_goes_first(narrated):
    workspace = narrated()
    session, backend = workspace.session, workspace.backend
    backend.hold.clear()
    row_of(workspace, "sun").gallery_wanted.emit()
    workspace.wait(lambda: session.gallery is not None and session.gallery.total == 90)
    assert "Looking through the frames: 10 of 90" in workspace.docks["Gallery"].note.text()
    running = backend.requests[-1]
    session.frame = 3
    workspace.narrator.narrate()
    workspace.wait(lambda: running.job_id in backend.cancelled)
    backend.hold.set()
    workspace.wait(lambda: session.gallery.finished)
    assert len(session.gallery.pictures) == 3


def test_faults_are_sentences(narrated, notified):
    workspace = narrated(findable=False)
    session = workspace.session
    row_of(workspace, "sun").gallery_wanted.emit()
    assert "was not opened from a file" in notified[-1][1]
    assert session.gallery is None
    session.source = "sample"
    session.opened = (type(session.current)("sample", session.recording),)
    workspace.backend.fail = "The dictionary is not on this machine."
    row_of(workspace, "sun").gallery_wanted.emit()
    workspace.wait(lambda: session.gallery is not None and session.gallery.finished)
    assert workspace.docks["Gallery"].note.text() == workspace.backend.fail


def test_menu_by_mouse_and_by_keyboard(narrated):
    workspace = narrated()
    row = row_of(workspace, "sun")
    opened = []
    row.menu.aboutToShow.connect(lambda: opened.append(True))
    for number, click in enumerate(
        (
            lambda: QTest.mouseClick(row.more, Qt.MouseButton.LeftButton),
            lambda: (row.more.setFocus(), QTest.keyClick(row.more, Qt.Key.Key_Space)),
            lambda: row.bar.customContextMenuRequested.emit(QPoint(5, 5)),
        ),
        1,
    ):
        click()
        mouse.settle(50)
        assert len(opened) == number
        words = [action.text() for action in row.menu.actions() if action.text()]
        assert words == ["Show gallery", "Show its course", "Who says this?", "Rename…", "Back to its own name"]
        row.menu.close()
    # every row can be reached by the tabulator
    assert row.bar.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert row.more.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert not row_of(workspace, PATCHES).more.isEnabled()


def test_own_names(narrated, notified):
    workspace = narrated()
    session, backend, concepts = workspace.session, workspace.backend, workspace.docks["Concepts"]
    row = row_of(workspace, "sun")
    tip = row.bar.toolTip()
    assert "Named by CLIP text against its strongest patches; score 0.79" in tip
    row.bar.setFocus()
    QTest.keyClick(row.bar, Qt.Key.Key_F2)
    assert row.line.window().focusWidget() is row.line
    QTest.keyClicks(row.line, "  evening   light ")
    QTest.keyClick(row.line, Qt.Key.Key_Return)
    assert session.labels == {"sun": "evening light"}
    assert row.bar.name == "evening light"
    assert "“evening light”: your own name for “sun”" in row.bar.toolTip()
    workspace.wait(lambda: backend.requests[-1].kind == "label")
    assert (backend.requests[-1].concept, backend.requests[-1].label) == ("sun", "evening light")
    row.bar.click()
    assert "evening light" in concepts.what.text()
    assert "evening light" in workspace.strip.title()[0]
    # it stays when something else is narrated
    session.select(session.unit_ids[3:9])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert row_of(workspace, "sun").bar.name == "evening light"
    # Escape changes nothing
    row = row_of(workspace, "sky")
    row.edit()
    QTest.keyClicks(row.line, "heaven")
    QTest.keyClick(row.line, Qt.Key.Key_Escape)
    assert row.line is None
    assert "sky" not in session.labels
    # and back to the dictionary's own
    row_of(workspace, "sun").reset.trigger()
    assert session.called("sun") == "sun"
    workspace.wait(lambda: backend.requests[-1].kind == "label" and backend.requests[-1].label == "")
    # a name that cannot be written is taken back, and said
    backend.refused = "The labels cannot be written to x: disk full."
    row_of(workspace, "sky").renamed.emit("heaven")
    workspace.wait(lambda: session.error == backend.refused)
    assert session.called("sky") == "sky"
    assert notified[-1] == ("error", backend.refused)


def test_names_are_of_one_dictionary(narrated):
    workspace = narrated()
    session = workspace.session
    row_of(workspace, "sun").renamed.emit("lamp")
    workspace.backend.dictionary = "another"
    session.select(session.unit_ids[3:9])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert session.called("sun") == "sun"


def test_look_of_the_map_is_chosen_in_the_dock_and_on_the_layer(narrated):
    workspace = narrated()
    session, concepts = workspace.session, workspace.docks["Concepts"]
    concepts.bars["sun"].click()
    layer = workspace.layers.get(styles.HEATMAP)
    for name in INTERPOLATIONS:
        concepts.interpolation.setCurrentIndex(concepts.interpolation.findData(name))
        assert (session.interpolation, str(layer.interpolation2d)) == (name, name)
    # napari's own controls are heard
    layer.interpolation2d = "nearest"
    assert session.interpolation == "nearest"
    assert concepts.interpolation.currentData() == "nearest"
    for name in HEAT_COLOURS:
        concepts.colours.setCurrentIndex(concepts.colours.findData(name))
        assert session.heat_colours == name
        assert np.allclose(concepts.scale.colours[-1], layer.colormap.map([1.0])[0], atol=1e-6)
    # the scale says what the colours mean, also when the limits are changed by hand
    assert [words for _, words in concepts.scale.ticks] == ["0", "3", "6 activation"]
    layer.contrast_limits = (1.0, 4.0)
    assert [words for _, words in concepts.scale.ticks] == ["1", "2.5", "4 activation"]
    assert np.allclose(layer.data, session.result.concepts[2].heatmap)


def test_colour_bar_on_the_canvas(narrated):
    workspace = narrated()
    session, concepts = workspace.session, workspace.docks["Concepts"]
    layer = workspace.layers.get(styles.HEATMAP)
    if not hasattr(layer, "colorbar"):
        pytest.skip("this napari has no colour bar")
    assert not layer.colorbar.visible
    concepts.bars["sun"].click()
    assert layer.colorbar.visible
    concepts.bar_on_canvas.click()
    assert not layer.colorbar.visible
    session.colour_bar = True
    assert concepts.bar_on_canvas.isChecked()
    assert layer.colorbar.visible
    session.shown = "something that these units do not hold"
    assert not layer.colorbar.visible


def test_session_file_keeps_the_look(narrated, tmp_path):
    workspace = narrated()
    session = workspace.session
    session.interpolation, session.heat_colours, session.colour_bar = "nearest", "cividis", False
    path = workspace.keeping.save(tmp_path / "s")
    from napari_neurrator.session_file import read_session

    file = read_session(path)
    assert (file.interpolation, file.heat_colours, file.colour_bar) == ("nearest", "cividis", False)


def test_pictures_fill_their_rows_at_any_width(narrated):
    workspace = narrated()
    panel = shown_gallery(workspace)
    holder = compat.dock_of(panel)
    holder.setFloating(True)
    for width in (260, 420, 900):
        holder.resize(width, 500)
        mouse.settle(80)
        room = panel.pictures.viewport().width()
        grid = panel.pictures.gridSize().width()
        assert (room // grid) * grid > 0.95 * room
        assert 100 <= panel.pictures.iconSize().width() <= 300
        # the whole picture and its words have room
        cell = panel.pictures.visualItemRect(panel.pictures.item(0))
        assert cell.height() >= panel.pictures.iconSize().height() + 2 * panel.fontMetrics().lineSpacing()
        assert cell.width() >= panel.pictures.iconSize().width()
    QApplication.processEvents()


def test_thumbnail_lays_the_map_where_its_patches_are(fakes):
    frame = np.full((120, 160, 3), 100, np.uint8)
    heat = np.zeros((12, 12), np.float32)
    heat[3, 4] = 2.0
    colours = np.array([[0, 0, 0, 0], [1, 0, 0, 1]], float)
    made = thumbnail(frame, heat, 2.0, fakes.GEOMETRY, colours, 320, "nearest")
    assert made.shape == (240, 320, 3)
    red = np.all(made == [255, 0, 0], axis=-1)
    rows, columns = np.nonzero(red)
    # crop begins at column 20, a patch is 10 pixels, and the picture is twice as large
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (60, 80, 120, 140)
    assert (made[~red] == 100).all()
    faint = thumbnail(
        frame, heat, 4.0, fakes.GEOMETRY, np.linspace([0, 0, 0, 0], [1, 0, 0, 1], 101), 320, "nearest", 0.5
    )
    assert faint[70, 130].tolist() == [round(0.75 * 100 + 0.25 * 0.5 * 255), 75, 75]
    smooth = thumbnail(frame, heat, 2.0, fakes.GEOMETRY, np.linspace([0, 0, 0, 0], [1, 0, 0, 1], 101), 320, "linear")
    assert smooth[70, 130, 1] < smooth[70, 145, 1] < 100
