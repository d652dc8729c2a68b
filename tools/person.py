"""A person before the window: moves the mouse and types, on what can be seen only, and answers the menus and dialogs that open."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, QPointF, QRect, Qt, QTimer
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QListWidget,
    QMainWindow,
    QMenu,
    QPushButton,
    QScrollArea,
    QTabBar,
    QWidget,
)

from napari_neurrator.gui import mouse

from .window import wait

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier
PAUSE_MS = 40
OPENS_WITHIN_S = 20.0


def without_mark(words: str) -> str:
    """Return the words of a menu without the mark of their key."""
    return words.replace("&", "").rstrip("…").strip()


# -- the mouse ---------------------------------------------------------------------------------------------------------------------------
def reach(widget: QWidget, at: QPoint | None = None) -> QPoint:
    """Return where to press on a widget, after scrolling it into sight with the wheel; one that cannot be seen is refused."""
    name = widget.accessibleName() or getattr(widget, "text", lambda: "")() or type(widget).__name__
    for _ in range(60):
        point = widget.rect().center() if at is None else at
        if widget.isVisible() and widget.visibleRegion().contains(point):
            if not widget.isEnabled():
                raise SystemExit(f"{name!r} is switched off: {widget.toolTip()}")
            return point
        if not _scroll_towards(widget, point):
            break
    raise SystemExit(f"{name!r} cannot be seen, so nobody could press it.")


def _scroll_towards(widget: QWidget, point: QPoint) -> bool:
    """Turn the wheel once over the area that scrolls a widget; False where there is none."""
    area = widget.parentWidget()
    while area is not None and not (isinstance(area, QScrollArea) and area.isVisible()):
        area = area.parentWidget()
    if area is None:
        return False
    inside = area.viewport()
    assert inside is not None
    down = widget.mapTo(inside, point).y() > inside.rect().center().y()
    middle = QPointF(inside.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(inside.mapToGlobal(middle.toPoint())),
        QPoint(0, 0),
        QPoint(0, -40 if down else 40),
        Qt.MouseButton.NoButton,
        NONE,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(inside, event)
    mouse.settle(5)
    return True


def click(widget: QWidget, at: QPoint | None = None) -> None:
    """Click on a widget."""
    point = reach(widget, at)
    QTest.mouseMove(widget, point)
    QTest.mouseClick(widget, LEFT, NONE, point)
    mouse.settle(PAUSE_MS)


def press(widget: QWidget, key: Any, keys: Any = NONE, times: int = 1) -> None:
    """Press a key in a widget."""
    for _ in range(times):
        QTest.keyClick(widget, key, keys)
    mouse.settle(PAUSE_MS)


def write(line: QLineEdit, words: str) -> None:
    """Click into a line, replace what stands there, and press Enter."""
    click(line)
    press(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(line, words)
    press(line, Qt.Key.Key_Return)


def choose(box: QComboBox, words: str) -> None:
    """Choose an entry of a combo box with the arrow keys."""
    wanted = box.findText(words)
    if wanted < 0:
        raise SystemExit(f"{words!r} is not to be chosen in {box.accessibleName()!r}.")
    reach(box)
    box.setFocus(Qt.FocusReason.MouseFocusReason)
    while box.currentIndex() != wanted:
        press(box, Qt.Key.Key_Down if box.currentIndex() < wanted else Qt.Key.Key_Up)


def tick(items: QListWidget, starts_with: str) -> None:
    """Tick the box of the entry of a list that begins with some words."""
    found = [item for row in range(items.count()) if (item := items.item(row)) and item.text().startswith(starts_with)]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} entries of {items.accessibleName()!r} begin with {starts_with!r}.")
    items.scrollToItem(found[0], QAbstractItemView.ScrollHint.EnsureVisible)
    place = items.visualItemRect(found[0])
    viewport = items.viewport()
    assert viewport is not None
    click(viewport, QPoint(place.left() + 10, place.center().y()))
    if found[0].checkState() != Qt.CheckState.Checked:
        raise SystemExit(f"A click beside {starts_with!r} did not tick it.")


def show_tab(window: QMainWindow, name: str) -> None:
    """Bring a dock that stands behind others to the front, by its tab."""
    for bar in window.findChildren(QTabBar):
        for i in range(bar.count()):
            if bar.tabText(i) == name and bar.isVisible():
                click(bar, bar.tabRect(i).center())
                return
    raise SystemExit(f"The window has no tab {name!r}.")


def button(inside: QWidget, words: str) -> QPushButton:
    """Return the button that says some words."""
    found = [one for one in inside.findChildren(QPushButton) if one.text() == words]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} buttons say {words!r}.")
    return found[0]


# -- menus and dialogs -------------------------------------------------------------------------------------------------------------------
@contextmanager
def answering(kind: type, answer: Callable[[Any], None]) -> Iterator[None]:
    """Answer a menu or dialog that what is done inside opens: who opens it waits until it is closed.

    Parameters
    ----------
    kind : type
        Class of the menu or dialog.
    answer : callable
        Is given it once it is on screen.
    """
    ended: list[BaseException | None] = []
    end = time.perf_counter() + OPENS_WITHIN_S
    timer = QTimer()
    timer.setInterval(30)

    def look() -> None:
        found = QApplication.activePopupWidget() if issubclass(kind, QMenu) else QApplication.activeModalWidget()
        if isinstance(found, kind) and found.isVisible():
            timer.stop()
            try:
                mouse.settle(PAUSE_MS)
                answer(found)
            # Qt ends the program at an exception in here
            except BaseException as error:
                ended.append(error)
                found.close()
            else:
                ended.append(None)
        elif time.perf_counter() > end:
            timer.stop()
            ended.append(SystemExit(f"No {kind.__name__} opened within {OPENS_WITHIN_S:.0f} s."))
            if (other := QApplication.activeModalWidget() or QApplication.activePopupWidget()) is not None:
                other.close()

    timer.timeout.connect(look)
    timer.start()
    yield
    wait(lambda: bool(ended), f"the end of a {kind.__name__}")
    if ended[0] is not None:
        raise ended[0]


def take(menu: QMenu, words: Sequence[str], then: Callable[[], None] = lambda: None) -> None:
    """Go through a menu and the menus in it with the arrow keys, and press Enter; `then` comes before the Enter."""
    wanted = [action for action in menu.actions() if without_mark(action.text()) == words[0]]
    if not wanted:
        raise SystemExit(f"{words[0]!r} is not in the menu: {[without_mark(one.text()) for one in menu.actions()]}.")
    if not wanted[0].isEnabled():
        raise SystemExit(f"{words[0]!r} is switched off: {wanted[0].toolTip()}")
    for _ in menu.actions():
        if menu.activeAction() is wanted[0]:
            break
        press(menu, Qt.Key.Key_Down)
    inner = wanted[0].menu()
    if inner is not None and len(words) > 1:
        press(menu, Qt.Key.Key_Right)
        wait(inner.isVisible, f"the menu {words[0]}", OPENS_WITHIN_S)
        take(inner, words[1:], then)
        return
    then()
    press(menu, Qt.Key.Key_Return)


def take_from_bar(window: QMainWindow, *words: str) -> None:
    """Click through a menu of the menu bar."""
    bar = window.menuBar()
    assert bar is not None
    for action in bar.actions():
        if without_mark(action.text()) == words[0]:
            menu = action.menu()
            assert menu is not None
            QTest.mouseClick(bar, LEFT, NONE, bar.actionGeometry(action).center())
            wait(menu.isVisible, f"the menu {words[0]}", OPENS_WITHIN_S)
            take(menu, words[1:])
            return
    raise SystemExit(f"The menu bar has no {words[0]!r}.")


def take_from_button(button: QWidget, words: str, then: Callable[[], None] = lambda: None) -> None:
    """Click on a button that opens a menu, and take an entry of that."""
    with answering(QMenu, lambda menu: take(menu, [words], then)):
        click(button)


def type_path(path: Path) -> Callable[[QFileDialog], None]:
    """Return how to answer a file dialog: type a path and press Enter."""

    def answer(dialog: QFileDialog) -> None:
        line = dialog.findChild(QLineEdit, "fileNameEdit")
        assert line is not None
        press(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(line, str(path))
        press(line, Qt.Key.Key_Return)

    return answer


def press_button(words: str) -> Callable[[QDialog], None]:
    """Return how to answer a dialog by one of its buttons."""

    def answer(dialog: QDialog) -> None:
        click(button(dialog, words))

    return answer


def type_name(words: str) -> Callable[[QInputDialog], None]:
    """Return how to answer a dialog that asks for a name."""

    def answer(dialog: QInputDialog) -> None:
        line = dialog.findChild(QLineEdit)
        assert line is not None
        write(line, words)

    return answer


def on_screen(window: QWidget) -> QRect:
    """Return where a window lies on the screen."""
    return QRect(window.mapToGlobal(QPoint(0, 0)), window.size())
