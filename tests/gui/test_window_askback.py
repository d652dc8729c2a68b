"""Asking back with a real mouse: on the frame, on a word, in a concept's menu; the answer on the probes, and what to do with it."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui.sentence_label import words_in

from .test_window_habits import nameless


@pytest.fixture
def narrated(room):
    """Return a window in which seven units have spoken."""

    def make():
        workspace = room()
        session = workspace.session
        session.select(session.unit_ids[:7])
        workspace.docks["Narrate"].go.click()
        workspace.wait(lambda: session.result is not None and session.result.finished)
        return workspace

    return make


def answered(workspace):
    asked = workspace.session.asked
    return asked is not None and asked.known and not asked.stage


def ask_on_frame(workspace):
    panel = workspace.docks["Ask back"]
    workspace.show_asking()
    mouse.settle(50)
    QTest.mouseClick(panel.on_frame, Qt.MouseButton.LeftButton)
    assert workspace.session.on_frame == "ask"
    return panel


def requests(workspace, kind):
    return [request for request in workspace.backend.requests if request.kind == kind]


def test_a_click_on_the_frame_lights_up_the_units(narrated):
    workspace = narrated()
    session = workspace.session
    camera = compat.camera_state(workspace.viewer)
    panel = ask_on_frame(workspace)
    # row 4, column 3 of the grid that begins at (0, 20) with patches of 10 pixels
    mouse.click(workspace.viewer, (45, 57))
    workspace.wait(lambda: answered(workspace))
    assert requests(workspace, "ask")[-1].patches == [4 * 12 + 3]
    assert requests(workspace, "ask")[-1].unit_ids == list(session.selected)
    assert requests(workspace, "ask")[-1].windows.shape == [1, session.decoder.window.n_bins, 7]
    assert session.colour_by == "contribution"
    assert np.isfinite(session.contribution).sum() == 7
    rows = session.rows(session.selected)
    assert session.contribution[rows] == pytest.approx(0.5 * (-0.5) ** np.arange(7))
    ringed = np.flatnonzero(workspace.layers.get(styles.UNITS).border_width > 0)
    assert set(ringed) == set(session.rows(session.asked.explained))
    # orange for, blue against
    colours = workspace.layers.get(styles.UNITS).face_color
    assert colours[rows[0]][0] > colours[rows[0]][2]
    assert colours[rows[1]][0] < colours[rows[1]][2]
    assert panel.title.text() == "Who says the patch in row 5, column 4?"
    assert panel.share.text() == "3 of 7 units (43 %) make up 80 % of it; they are ringed."
    assert "not what these cells cause" in panel.limits.text()
    outline = workspace.layers.get(styles.CHOSEN_PATCHES)
    assert outline.visible
    assert outline.data[0][:, -2:].min(0) == pytest.approx([39.5, 49.5])
    assert outline.data[0][:, -2:].max(0) == pytest.approx([49.5, 59.5])
    assert compat.camera_state(workspace.viewer) == camera
    # another frame: the answer stays, is not taken for this one's, and its outline goes
    session.frame = 9
    assert "not the moment on screen" in panel.note.text()
    assert not outline.visible
    assert "at frame 1, showing 1" in session.contribution_of
    QTest.mouseClick(panel.clear, Qt.MouseButton.LeftButton)
    assert session.colour_by == "region"
    assert session.contribution is None
    assert session.on_frame == ""
    assert not panel.title.isVisible()


def test_a_rectangle_and_a_lasso(narrated):
    workspace = narrated()
    session = workspace.session
    ask_on_frame(workspace)
    camera = compat.camera_state(workspace.viewer)
    mouse.draw(workspace.viewer, np.array([[12, 32], [15, 36], [28, 58]]))
    workspace.wait(lambda: answered(workspace))
    assert session.asked.patches == (13, 14, 15, 25, 26, 27)
    assert session.asked.what == "6 patches"
    # the picture stays where it is
    assert compat.camera_state(workspace.viewer) == camera
    circle = np.linspace(0, 2 * np.pi, 24)
    path = np.column_stack([60 + 14 * np.sin(circle), 80 + 14 * np.cos(circle)])
    mouse.draw(workspace.viewer, path, Qt.KeyboardModifier.ShiftModifier)
    workspace.wait(lambda: answered(workspace) and len(session.asked.patches) != 6)
    at = np.array([[4.5 + 10 * (p // 12), 24.5 + 10 * (p % 12)] for p in range(144)])
    near = np.hypot(*(at - [60, 80]).T)
    assert set(session.asked.patches) >= set(np.flatnonzero(near < 12))
    assert set(session.asked.patches) <= set(np.flatnonzero(near < 16))
    # outside of what the models see, nothing is asked
    n = len(requests(workspace, "ask"))
    mouse.click(workspace.viewer, (60, 8))
    assert len(requests(workspace, "ask")) == n
    assert "see nothing there" in session.status


def test_without_the_mode_a_click_on_the_frame_asks_nothing(narrated):
    workspace = narrated()
    mouse.click(workspace.viewer, (45, 57))
    mouse.settle(50)
    assert requests(workspace, "ask") == []


def test_a_click_on_a_word(narrated):
    workspace = narrated()
    session, label = workspace.session, workspace.docks["Narrate"].sentence
    words = words_in(session.result.text)
    mouse.settle(100)
    # wherever the line breaks, the word is where it is drawn
    wanted = words.index("green")
    document, inside = label.document(), label.contentsRect()
    found = None
    for y in range(inside.top() + 2, inside.bottom(), 4):
        for x in range(inside.left(), inside.right(), 4):
            if label.word_under(QPointF(x, y)) == wanted:
                found = found or QPoint(x + 6, y + 4)
    assert found is not None
    assert document.size().height() <= inside.height() + 1
    QTest.mouseClick(label, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, found)
    workspace.wait(lambda: answered(workspace))
    request = requests(workspace, "ask")[-1]
    assert (request.word.sentence, request.word.place) == (session.result.text.strip(), wanted)
    panel = workspace.docks["Ask back"]
    assert panel.title.text() == "Who says the word “green”?"
    assert "language model’s" in panel.limits.text()
    assert panel.isVisible()
    # from the list, too, with the keyboard
    assert [panel.words.itemText(i) for i in range(1, panel.words.count())] == words
    panel.words.setFocus()
    panel.words.setCurrentIndex(wanted)
    QTest.keyClick(panel.words, Qt.Key.Key_Up)
    workspace.wait(lambda: session.asked.name == words[wanted - 2])


def test_who_says_a_concept_and_a_second_time_it_is_known(narrated):
    workspace = narrated()
    session = workspace.session
    row = workspace.docks["Concepts"].rows["sun"]
    row.bar.setFocus()
    QTest.keyClick(row.bar, Qt.Key.Key_W)
    workspace.wait(lambda: answered(workspace))
    assert requests(workspace, "ask")[-1].concept == "sun"
    assert session.asked.patches == (5, 6)
    assert "Who says this?" in [action.text() for action in row.menu.actions()]
    first = session.asked
    workspace.asking.clear()
    row.who_wanted.emit()
    assert session.asked.carried is first.carried
    assert len(requests(workspace, "ask")) == 1
    # other units are another question
    session.select(session.unit_ids[10:14])
    workspace.asking.ask_concept("sun")
    workspace.wait(lambda: len(requests(workspace, "ask")) == 2 and answered(workspace))
    assert requests(workspace, "ask")[-1].unit_ids == list(session.unit_ids[10:14])


def test_a_group_of_them_and_what_is_lost_without_them(narrated):
    workspace = narrated()
    session = workspace.session
    workspace.who_says("sun")
    workspace.wait(lambda: answered(workspace))
    panel = workspace.docks["Ask back"]
    mouse.settle(50)
    QTest.mouseClick(panel.group, Qt.MouseButton.LeftButton)
    (name,) = session.groups
    assert session.groups[name] == session.asked.explained == session.unit_ids[:3]
    assert "sun" in name
    assert name in panel.made.text()
    # a second click makes no second group
    QTest.mouseClick(panel.group, Qt.MouseButton.LeftButton)
    assert list(session.groups) == [name]
    workspace.history.undo()
    assert session.groups == {}
    QTest.mouseClick(panel.without, Qt.MouseButton.LeftButton)
    workspace.wait(
        lambda: session.asked.lost is not None and session.asked.lost.text is not None and answered(workspace)
    )
    request = requests(workspace, "without")[-1]
    assert request.group == list(session.unit_ids[:3])
    assert request.patches == [5, 6]
    others = requests(workspace, "narrate")[-1]
    assert others.unit_ids == list(session.unit_ids[3:7])
    assert others.want == ["text"]
    assert "falls from 0.700 to 0.500" in panel.lost.text()
    assert "p = 0.025, n = 39" in panel.lost.text()
    assert workspace.backend.sentence in panel.others.text()
    assert nameless(panel) == []


def test_a_narration_goes_first(narrated):
    workspace = narrated()
    session, backend = workspace.session, workspace.backend
    backend.hold.clear()
    workspace.who_says("sun")
    workspace.wait(lambda: session.asked.total == 144)
    running = requests(workspace, "ask")[-1]
    session.frame = 3
    workspace.narrator.narrate()
    workspace.wait(lambda: running.job_id in backend.cancelled)
    backend.hold.set()
    workspace.wait(lambda: answered(workspace))
    assert len(requests(workspace, "ask")) == 2
    assert session.asked.frame == 0


def test_what_is_missing_is_said(room, notified):
    workspace = room(decoder=False)
    workspace.asking.ask_concept("sun")
    assert notified[-1][0] == "error"
    assert "No decoder" in notified[-1][1]
    assert workspace.session.asked is None
    workspace.decoders.choose("decoder")
    workspace.backend.fail = "The dictionary has no concept 'sun'."
    workspace.asking.ask_concept("sun")
    workspace.wait(lambda: bool(workspace.session.asked.problem))
    assert "no concept" in workspace.docks["Ask back"].note.text()
    assert workspace.session.colour_by == "region"
    # nobody is selected: all were asked
    assert len(requests(workspace, "ask")[-1].unit_ids) == 60


def test_a_loss_too_small_to_be_shown_is_none():
    from napari_neurrator.gui.ask_panel import loss_words
    from napari_neurrator.gui.findings import Lost

    lost = Lost(n=2, whole=0.9842, rest=0.9838, alone=0.7, lost=0.0004, random=np.array([0.003]), p=0.8)
    assert "stays at 0.984: a loss of +0.000" in loss_words(lost, 9)
    assert "rises from 0.984 to 0.986" in loss_words(
        Lost(n=2, whole=0.984, rest=0.986, alone=0.7, lost=-0.002, random=np.zeros(1), p=1.0), 9
    )
