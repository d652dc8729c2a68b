"""Keys, undo, dropping, tooltips, recent files, settings, the tour, names for screen readers, wrapping."""

import json

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollBar,
    QTabBar,
)

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui.shortcuts import SHORTCUTS
from napari_neurrator.gui.strip import Strip


def press(workspace, key, modifier=Qt.KeyboardModifier.NoModifier):
    canvas = compat.native_canvas(workspace.viewer)
    canvas.setFocus()
    QTest.keyClick(canvas, key, modifier)
    mouse.settle(20)


def test_keys_do_what_the_help_says(room):
    workspace = room()
    session = workspace.session
    session.select(session.unit_ids[:4])
    press(workspace, Qt.Key.Key_K)
    assert session.playing
    press(workspace, Qt.Key.Key_K)
    assert not session.playing
    session.frame = 0
    press(workspace, Qt.Key.Key_Period)
    assert session.frame == 30
    press(workspace, Qt.Key.Key_Comma)
    assert session.frame == 0
    press(workspace, Qt.Key.Key_N)
    workspace.wait(lambda: session.result is not None and session.result.finished)
    press(workspace, Qt.Key.Key_H)
    assert session.shown == session.result.concepts[0].name
    press(workspace, Qt.Key.Key_U)
    assert session.colour_by == "depth"
    press(workspace, Qt.Key.Key_Q)
    assert session.selected == ()
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    press(workspace, Qt.Key.Key_Z, control)
    assert session.selected == session.unit_ids[:4]
    press(workspace, Qt.Key.Key_Z, control | shift)
    assert session.selected == ()
    press(workspace, Qt.Key.Key_G)
    assert session.lassoing
    press(workspace, Qt.Key.Key_G)
    assert not session.lassoing
    session.select(session.unit_ids[:4])
    press(workspace, Qt.Key.Key_N, shift)
    assert session.filling
    press(workspace, Qt.Key.Key_N, shift)
    assert not session.filling


def test_no_key_is_taken_from_napari():
    from napari.components.viewer_model import ViewerModel
    from napari.layers import Image, Points, Shapes
    from napari.utils.key_bindings import coerce_keybinding
    from napari.utils.shortcuts import _default_shortcuts

    ours = {coerce_keybinding(s.key) for s in SHORTCUTS}
    assert len(ours) == len(SHORTCUTS)
    theirs = {coerce_keybinding(key) for keys in _default_shortcuts.values() for key in keys}
    for owner in (ViewerModel, Image, Points, Shapes):
        theirs |= set(owner.class_keymap)
    assert not ours & theirs


def test_no_key_is_taken_from_napari_menus(room):
    from napari._app_model import get_app_model
    from napari.utils.key_bindings import coerce_keybinding

    room(decoder=False)
    menus = {str(bound.keybinding) for bound in get_app_model().keybindings}
    assert menus
    assert not {str(coerce_keybinding(s.key)) for s in SHORTCUTS} & menus


def test_help_lists_every_key_and_leads_to_the_tour(room):
    workspace = room(decoder=False)
    press(workspace, Qt.Key.Key_F1)
    panel = workspace.shortcuts._helper
    assert panel.isVisible()
    words = " ".join(label.text() for label in panel.findChildren(QLabel))
    for shortcut in SHORTCUTS:
        assert shortcut.shown in words
        assert shortcut.words in words
    button = next(b for b in panel.findChildren(QAbstractButton) if b.text() == "Show the tour")
    button.click()
    assert not panel.isVisible()
    assert workspace.tour is not None
    workspace.tour.leave()


def test_tour_has_four_steps_can_be_left_and_does_not_come_again(room, settings_folder):
    (settings_folder / "settings.json").unlink()
    workspace = room(decoder=False)
    workspace.offer_tour()
    tour = workspace.tour
    mouse.settle(50)
    seen = []
    for _ in range(4):
        seen.append(tour.title.text())
        assert tour.isVisible()
        assert compat.qt_window(workspace.viewer).rect().contains(tour.geometry())
        for label in (tour.title, tour.words):
            assert label.height() >= label.heightForWidth(label.width())
        QTest.mouseClick(tour.next, Qt.MouseButton.LeftButton)
        mouse.settle(20)
    assert len(set(seen)) == 4
    assert workspace.tour is None
    assert json.loads((settings_folder / "settings.json").read_text())["toured"] is True
    workspace.offer_tour()
    assert workspace.tour is None
    workspace.show_tour()
    QTest.keyClick(workspace.tour, Qt.Key.Key_Right)
    assert workspace.tour.at == 1
    QTest.keyClick(workspace.tour, Qt.Key.Key_Escape)
    assert workspace.tour is None


def test_settings_and_recent_files_come_back(room, settings_folder, tmp_path):
    workspace = room(decoder=False)
    session = workspace.session
    session.speed, session.loop, session.colour_by, session.sentence_every_s = 2.0, False, "depth", 0.5
    here = tmp_path / "mouse" / "night.nwb"
    here.parent.mkdir()
    here.touch()
    session.open(str(here), session.recording)
    workspace.remembering.close()
    kept = json.loads((settings_folder / "settings.json").read_text())
    assert (kept["speed"], kept["loop"], kept["colour_by"]) == (2.0, False, "depth")
    assert kept["recent"] == [str(here.resolve())]
    from napari_neurrator.gui.remembering import Remembering
    from napari_neurrator.gui.state import Session

    again = Session()
    remembering = Remembering(again)
    assert (again.speed, again.loop, again.colour_by, again.sentence_every_s) == (2.0, False, "depth", 0.5)
    assert remembering.recent == [str(here.resolve())]
    here.unlink()
    assert remembering.recent == []
    remembering.close()


def test_opened_last_lists_what_can_be_opened(room, tmp_path, monkeypatch):
    workspace = room(decoder=False)
    path = tmp_path / "a.nwb"
    path.touch()
    workspace.remembering.settings.opened(str(path))
    button = workspace.docks["Recording"].recent
    button.fill()
    action = button.list.actions()[0]
    assert action.text().endswith("a.nwb")
    opened = []
    monkeypatch.setattr(workspace, "open", opened.append)
    action.trigger()
    assert opened == [str(path)]
    button.list.actions()[-1].trigger()
    button.fill()
    assert "nothing" in button.list.actions()[0].text()


def test_a_file_dropped_on_the_canvas_opens(room, tmp_path, monkeypatch):
    workspace = room(decoder=False)
    path = tmp_path / "dropped.nwb"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    opened = []
    monkeypatch.setattr(workspace, "open", opened.append)
    from napari_neurrator.gui import plugin

    monkeypatch.setattr(plugin, "is_session", lambda name: str(name).endswith(".nwb"))
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    viewer = compat.qt_window(workspace.viewer)._qt_viewer
    at, buttons, keys = QPointF(50, 50), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    viewer.dragEnterEvent(QDragEnterEvent(at.toPoint(), Qt.DropAction.CopyAction, data, buttons, keys))
    try:
        viewer.dropEvent(QDropEvent(at, Qt.DropAction.CopyAction, data, buttons, keys))
    except Exception as error:  # napari knows plugins by their installed manifest only
        pytest.skip(f"napari's plugin manager is not at hand here: {error}")
    mouse.settle(50)
    if not opened:
        # without installed plugins napari has no reader; ours is asked as it would be
        reader = plugin.get_reader(str(path))
        reader(str(path))
    assert [str(p) for p in opened] == [str(path)]


def test_resting_on_a_dot_says_what_it_is(room):
    from napari_neurrator.gui.hover import unit_words

    workspace = room()
    session = workspace.session
    canvas = compat.native_canvas(workspace.viewer)
    session.lassoing = False
    row = 7
    words = workspace.hover.words(row)
    unit = session.recording.units.iloc[row]
    assert words.splitlines()[0] == f"unit {session.unit_ids[row]}"
    assert unit["region"] in words
    assert f"{unit['y_um']:,.0f} µm from the tip on {unit['probe']}" in words
    assert f"{unit['firing_rate_hz']:.1f} Hz on average" in words
    assert "at this frame" in words
    shown = []
    from napari_neurrator.gui import hover

    class Tip:
        showText = staticmethod(lambda _pos, text, *_: shown.append(text))
        hideText = staticmethod(lambda: shown.append(""))

    old, hover.QToolTip = hover.QToolTip, Tip
    try:
        QTest.mouseMove(canvas, mouse.to_canvas(workspace.viewer, workspace.layers.positions[row]))
        mouse.settle(100)
        assert shown[-1:] == [words]
    finally:
        hover.QToolTip = old
    table = session.recording.units.assign(y_um=np.nan, region="nan", cell_type="")
    assert unit_words(table, row).splitlines() == [
        f"unit {session.unit_ids[row]}",
        f"{unit['firing_rate_hz']:.1f} Hz on average",
    ]


CONTROLS = (
    QAbstractButton,
    QComboBox,
    QLineEdit,
    QAbstractSpinBox,
    QAbstractSlider,
    QAbstractItemView,
    QProgressBar,
    Strip,
)


def nameless(root):
    found = []
    for kind in CONTROLS:
        for widget in root.findChildren(kind):
            inner = widget.parent() is not None and isinstance(
                widget.parent(), QAbstractSpinBox | QComboBox | QLineEdit | QAbstractItemView | QTabBar
            )
            inner = inner or type(widget.parent()).__name__.startswith("QComboBoxPrivate")
            # the list that a box drops down
            inner = inner or (widget.parent() is not None and isinstance(widget.parent().parent(), QComboBox))
            own = type(widget).__name__.startswith(("QComboBoxPrivate", "QTableCorner")) or "qt_" in widget.objectName()
            if (
                inner
                or own
                or isinstance(widget, QScrollBar)
                or type(widget).__name__ in ("QHeaderView", "QTabBar", "QComboBoxListView")
            ):
                continue
            if not widget.accessibleName().strip():
                found.append((type(widget).__name__, widget.objectName(), getattr(widget, "text", str)()))
    return found


def test_every_control_has_a_name_for_those_who_do_not_see_it(room):
    workspace = room()
    session = workspace.session
    session.select(session.unit_ids[:5])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    session.colour_by = "cell type"
    workspace.shortcuts.show_help()
    workspace.show_tour()
    mouse.settle(50)
    for name, root in (*workspace.docks.items(), ("help", workspace.shortcuts._helper), ("tour", workspace.tour)):
        assert nameless(root) == [], name
    workspace.tour.leave()


def cut(root):
    """Words that stand in a label or button too small for them."""
    found = []
    for widget in [*root.findChildren(QLabel), *root.findChildren(QAbstractButton)]:
        if not widget.isVisible() or not widget.text().strip() or widget.visibleRegion().isEmpty():
            continue
        if isinstance(widget, QLabel) and widget.wordWrap():
            if widget.heightForWidth(widget.width()) > widget.height() + 2:
                found.append(widget.text())
        elif type(widget).__name__ in ("QPushButton", "QCheckBox"):
            wanted = widget.fontMetrics().boundingRect(widget.text()).width()
            if wanted > widget.width() + 1:
                found.append(widget.text())
    return found


@pytest.mark.parametrize("width", [800, 1500])
def test_words_wrap_and_are_not_cut(room, width):
    workspace = room()
    session = workspace.session
    session.select(session.unit_ids[:5])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    dock = workspace.docks["Play"]
    alone = [compat.dock_of(d) for d in workspace.docks.values()]
    for holder in alone:
        holder.setFloating(True)
        holder.resize(width, 420 if holder is compat.dock_of(dock) else 900)
    mouse.settle(100)
    for name, widget in workspace.docks.items():
        assert widget.width() >= 0.9 * (width - 40) or width > 800
        assert cut(widget) == [], name
    assert dock.track.width() > 0.8 * width
    for holder in alone:
        holder.setFloating(False)
    QApplication.processEvents()
