"""Comparing groups with a real mouse: what each says, what differs, where on the frame, and whether it beats chance."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui import mouse
from napari_neurrator.gui.comparing import candidates, only_in
from napari_neurrator.gui.state import PATCHES

from .test_window_habits import nameless


@pytest.fixture
def two(room):
    """Return a window with two saved groups that say different things, and the panel in front."""

    def make():
        workspace = room()
        session, backend = workspace.session, workspace.backend
        session.groups = {"left": session.unit_ids[:6], "right": session.unit_ids[10:14]}
        backend.sentences = {session.unit_ids[:6]: "a red ball by day", session.unit_ids[10:14]: "a green hill by day"}
        backend.matches = {session.unit_ids[:6]: 0.2}
        workspace.show_comparing()
        mouse.settle(50)
        return workspace

    return make


def tick(panel, name):
    for row in range(panel.groups.count()):
        item = panel.groups.item(row)
        if item.data(Qt.ItemDataRole.UserRole) == name:
            box = panel.groups.visualItemRect(item)
            QTest.mouseClick(
                panel.groups.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
                QPoint(box.left() + 10, box.center().y()),
            )  # fmt: skip
            return item
    raise AssertionError(name)


def compared(workspace):
    panel = workspace.docks["Compare"]
    tick(panel, "left")
    tick(panel, "right")
    assert panel.ticked() == ["left", "right"]
    QTest.mouseClick(panel.go, Qt.MouseButton.LeftButton)
    session = workspace.session
    workspace.wait(lambda: session.compared is not None and not session.compared.stage)
    return panel


def words(panel):
    return [panel.said.itemAt(i).widget().text() for i in range(panel.said.count())]


def test_what_only_one_group_says():
    said = {"a": "A red ball on a hill by day.", "b": "The red ball is with a dog."}
    assert only_in("a", said) == ["hill", "day"]
    assert only_in("b", said) == ["dog"]
    assert only_in("a", {"a": "Ein Hund auf dem Ball", "b": "Ein Hund mit dem Ball"}) == ["auf"]


def test_two_groups_side_by_side(two):
    workspace = two()
    session, panel = workspace.session, compared(workspace)
    kinds = [request.kind for request in workspace.backend.requests]
    assert kinds == ["narrate", "narrate", "compare"]
    request = workspace.backend.requests[-1]
    assert request.groups == {"left": list(session.unit_ids[:6]), "right": list(session.unit_ids[10:14])}
    assert request.unit_ids == [*session.unit_ids[:6], *session.unit_ids[10:14]]
    said = words(panel)
    assert said[0] == "left · 6 units"
    assert said[1] == "a red ball by day"
    assert "Only here – words: red, ball" in said
    assert "Only here – words: green, hill" in said
    assert any("p = 0.004" in text for text in said)
    assert "differ by more than random groups" in panel.pairs.text()
    assert "p = 0.020, n = 99 draws" in panel.pairs.text()
    # selecting nothing, nobody's narration was shown
    assert session.result is None
    assert nameless(panel) == []


def test_what_is_no_more_than_chance_is_greyed(two):
    workspace = two()
    workspace.backend.p = 0.6
    panel = compared(workspace)
    labels = [panel.said.itemAt(i).widget() for i in range(panel.said.count())]
    sentence = next(label for label in labels if label.text() == "a red ball by day")
    assert sentence.graphicsEffect() is not None


def test_the_difference_lies_on_the_frame_in_diverging_colours(two):
    workspace = two()
    session, panel = workspace.session, compared(workspace)
    assert panel.pair.currentText() == "left less right"
    # with the keyboard, as a person who tabs there
    panel.what.setFocus()
    QTest.keyClick(panel.what, Qt.Key.Key_Down)
    assert session.difference == ("left", "right", PATCHES)
    layer = workspace.layers.get(styles.DIFFERENCE)
    assert layer.visible
    assert layer.data == pytest.approx(np.full((12, 12), 0.2), abs=1e-6)
    assert tuple(layer.contrast_limits) == pytest.approx((-0.2, 0.2))
    assert tuple(layer.scale) == (10.0, 10.0)
    low, middle, high = np.asarray(layer.colormap.map(np.array([0.0, 0.5, 1.0])))
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert middle[3] == pytest.approx(0.0, abs=1e-6)
    assert any("more in left" in words for _, words in panel.scale.ticks)
    # another moment is not what was compared
    session.frame = 5
    assert not layer.visible
    assert "not the moment on screen" in panel.note.text()
    session.frame = 0
    assert layer.visible
    QTest.mouseClick(panel.clear, Qt.MouseButton.LeftButton)
    assert not layer.visible
    assert session.difference is None
    assert not panel.pairs.isVisible()


def test_a_narration_goes_first_and_what_was_said_is_not_asked_again(two):
    workspace = two()
    session, backend = workspace.session, workspace.backend
    session.select(session.unit_ids[:6])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    panel = compared(workspace)
    # the first group had spoken
    assert [request.kind for request in backend.requests] == ["narrate", "narrate", "compare"]
    assert backend.requests[1].unit_ids == list(session.unit_ids[10:14])
    assert words(panel)[1] == "a red ball by day"


def test_a_part_is_not_held_against_random_groups(two):
    workspace = two()
    session, panel = workspace.session, workspace.docks["Compare"]
    session.groups = {**session.groups, "some <i>left</i>": session.unit_ids[:3]}
    workspace.comparing.compare(["left", "some <i>left</i>"])
    workspace.wait(lambda: session.compared is not None and not session.compared.stage)
    assert "some &lt;i&gt;left&lt;/i&gt;</b> is part of <b>left" in panel.pairs.text()


def test_too_few_are_refused(two, notified):
    workspace = two()
    panel = workspace.docks["Compare"]
    tick(panel, "left")
    QTest.mouseClick(panel.go, Qt.MouseButton.LeftButton)
    assert "Tick two groups" in notified[-1][1]
    assert workspace.session.compared is None


def test_regions_and_cell_types_are_candidates(two):
    workspace = two()
    session = workspace.session
    found = candidates(session)
    units = session.recording.units
    assert list(found)[:2] == ["left", "right"]
    assert found["VISp"] == tuple(units.index[units["region"] == "VISp"])
    assert found["PV"] == tuple(units.index[units["cell_type"] == "PV"])
    assert "" not in found
    session.select(session.unit_ids[:3])
    assert candidates(session)["the selection"] == session.unit_ids[:3]
    assert only_in("a", {"a": "A red red ball", "b": "a ball"}) == ["red"]


def test_a_list_that_is_made_anew_opens_no_windows(two):
    from qtpy.QtCore import QEvent, QObject
    from qtpy.QtWidgets import QApplication, QWidget

    from napari_neurrator.gui import parts

    opened = []

    class Watch(QObject):
        def eventFilter(self, watched, event):
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                opened.append(watched)
            return False

    panel = two().docks["Compare"]
    panel.holder.setVisible(True)
    watch = Watch()
    QApplication.instance().installEventFilter(watch)
    try:
        # Qt shows what was added to a layout a little later, and by then it is out again
        panel.said.addWidget(parts.text("a red ball by day"))
        parts.clear(panel.said)
        mouse.settle(50)
    finally:
        QApplication.instance().removeEventFilter(watch)
    assert opened == []
