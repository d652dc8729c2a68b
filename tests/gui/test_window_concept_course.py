"""The course of the shown concept under the slider: computed in the background, piece by piece, and out of the way of everything else."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_neurrator.backend.protocol import Failed
from napari_neurrator.gui import compat, course, following, mouse
from napari_neurrator.gui.moments import Moments
from napari_neurrator.gui.state import PATCHES


@pytest.fixture
def shown(room, tmp_path):
    """Return a window in which a concept of some units lies on the frame, and the recording can be found again."""

    def make(**options):
        workspace = room(**options)
        session = workspace.session
        # what is looked at can be opened again
        (tmp_path / "made-up.nwb").touch()
        entry = session.current
        session.source = str(tmp_path / "made-up.nwb")
        session.opened = (type(entry)(session.source, entry.recording),)
        session.select(session.unit_ids[:7])
        workspace.docks["Narrate"].go.click()
        workspace.wait(lambda: session.result is not None and session.result.finished)
        workspace.docks["Concepts"].bars["green hill"].click()
        return workspace

    return make


def known(workspace):
    course = workspace.session.course
    return course is not None and course.n_known == course.n_wanted


def expected(session, frame):
    """What the made-up backend says of a frame for the first concept that it is asked for."""
    window = session.decoder.window
    row = session.moments.row(frame, session.repeat)
    start = np.array([session.moments.time(row) + window.lag_s])
    return session.recording.spikes.count(start, window.n_bins, window.bin_s, list(session.selected)).sum()


def test_course_comes_in_pieces_and_is_of_these_units(shown, monkeypatch):
    monkeypatch.setattr(course, "CHUNK", 20)
    workspace = shown()
    session = workspace.session
    grown = []
    session.events.course.connect(lambda course: grown.append(0 if course is None else course.n_known))
    workspace.wait(lambda: known(workspace))
    assert session.course.key.units == session.selected
    assert sorted(set(grown)) == sorted(grown)
    assert len(set(grown)) > 5
    for frame in (0, 17, 89):
        assert session.course.strengths[frame] == pytest.approx(expected(session, frame))
    # the whole is seen early: the first piece holds frames from the beginning to the end
    first = next(r for r in workspace.backend.requests if r.kind == "course")
    assert first.concepts[0] == "green hill"
    assert set(first.concepts) == {c.name for c in session.result.concepts}
    assert first.windows.shape[0] == 20
    workspace.wait(lambda: session.ceiling.n_known == 90)
    assert session.ceiling.strengths[50] == pytest.approx(5.0)
    asked = [r for r in workspace.backend.requests if r.kind == "course" and r.shown is not None]
    assert len(asked) == 1
    assert asked[0].shown.numbers == list(range(90))


def test_what_is_known_is_not_asked_for_again(shown):
    workspace = shown()
    session = workspace.session
    workspace.wait(lambda: known(workspace) and session.ceiling.n_known == 90)
    n = len(workspace.backend.requests)
    first = session.course
    # another concept of the same list was worked out at the same time
    workspace.docks["Concepts"].bars["sun"].click()
    assert known(workspace)
    assert session.course.key.concept == "sun"
    workspace.docks["Concepts"].bars["green hill"].click()
    assert session.course.strengths is first.strengths
    mouse.settle(following.REST_MS + 200)
    assert len(workspace.backend.requests) == n
    # another showing is another course
    session.repeat = 2
    assert session.course.n_known == 0
    workspace.wait(lambda: known(workspace))
    assert len(workspace.backend.requests) > n


def test_a_narration_goes_first_and_another_lasso_ends_the_course(shown):
    workspace = shown()
    session, backend = workspace.session, workspace.backend
    backend.hold.clear()
    workspace.wait(lambda: any(r.kind == "course" for r in backend.requests))
    running = next(r for r in backend.requests if r.kind == "course")
    session.select(session.unit_ids[10:14])
    workspace.wait(lambda: running.job_id in backend.cancelled)
    assert session.course.key.units == session.unit_ids[10:14]
    workspace.wait(lambda: backend.requests[-1].kind == "course" and backend.requests[-1] is not running)
    running = backend.requests[-1]
    assert running.unit_ids == list(session.unit_ids[10:14])
    # a narration, which is what the user waits for, stops it; it goes on when that is done
    workspace.narrator.narrate()
    workspace.wait(lambda: running.job_id in backend.cancelled)
    backend.hold.set()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    workspace.wait(lambda: known(workspace))
    kinds = [r.kind for r in backend.requests]
    assert kinds[kinds.index("narrate", 1) + 1 :].count("course") >= 1


def test_click_and_keys_go_to_a_frame(shown):
    workspace = shown()
    session, strip = workspace.session, workspace.strip
    workspace.wait(lambda: known(workspace))
    assert strip.isVisible()
    mouse.settle(30)
    area = strip.plot()
    for frame in (0, 30, 89):
        QTest.mouseClick(
            strip, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
            QPoint(round(strip.x_of(frame)), round(area.center().y())),
        )  # fmt: skip
        assert session.frame == frame
        assert compat.frame_of(workspace.viewer) == frame
    QTest.keyClick(strip, Qt.Key.Key_Left)
    assert session.frame == 88
    QTest.keyClick(strip, Qt.Key.Key_PageUp)
    assert session.frame == 58
    QTest.keyClick(strip, Qt.Key.Key_Home)
    assert session.frame == 0
    QTest.keyClick(strip, Qt.Key.Key_Left)
    assert session.frame == 0
    # the marker stands under the handle of the slider
    track = compat.slider_track(workspace.viewer, strip)
    assert (strip.x_of(0), strip.x_of(89)) == pytest.approx(track)
    assert strip.title()[1] == f"{session.course.strengths[0]:+.1f} SD"
    assert "these units" in strip.words_at(12)


def test_strip_takes_no_room_while_no_concept_is_shown(room):
    workspace = room()
    assert workspace.strip is not None
    mouse.settle(100)
    assert not workspace.strip.isVisible()


def test_strip_says_what_is_missing_and_can_be_shut(shown):
    workspace = shown()
    session, strip, concepts = workspace.session, workspace.strip, workspace.docks["Concepts"]
    workspace.wait(lambda: known(workspace))
    assert "green hill" in strip.title()[0]
    assert "7 units, showing 1 (seen in fitting)" in strip.title()[0]
    session.repeat = 3
    assert "(held out)" in strip.title()[0]
    session.repeat = 0
    session.shown = PATCHES
    assert session.course is None
    assert not strip.isVisible(), "without a concept there is no course, and its room is the film's"
    concepts.bars["green hill"].click()
    assert strip.isVisible()
    QTest.mouseClick(strip.shut, Qt.MouseButton.LeftButton)
    assert not strip.isVisible()
    n = len(workspace.backend.requests)
    concepts.bars["sun"].click()
    mouse.settle(following.REST_MS + 100)
    # what is not shown is not worked out
    assert len([r for r in workspace.backend.requests[n:] if r.kind == "course"]) == 0
    concepts.rows["sun"].course_wanted.emit()
    assert strip.isVisible()
    assert session.shown == "sun"


def test_a_course_that_cannot_be_known_says_why_once(shown):
    workspace = shown()
    session, backend = workspace.session, workspace.backend
    workspace.wait(lambda: known(workspace))
    backend._course = lambda request, on_event: on_event(Failed(job_id=request.job_id, message="No such thing."))
    n = len(backend.requests)
    session.repeat = 1
    workspace.wait(lambda: bool(session.course.problem))
    assert "No such thing." in workspace.strip.title()[0]
    mouse.settle(following.REST_MS + 200)
    assert len(backend.requests) <= n + 2


def test_pictures_that_were_not_shown_leave_gaps(shown, fakes):
    workspace = shown()
    session = workspace.session
    table = session.moments.table
    session.moments = Moments(table[(table["frame"] < 20) | (table["frame"] > 60)].reset_index(drop=True), 30.0)
    session.repeat = 1
    workspace.wait(lambda: known(workspace))
    assert session.course.n_wanted == 49
    assert np.isnan(session.course.strengths[20:61]).all()
    assert np.isfinite(session.course.strengths[:20]).all()
    mouse.settle(50)


def test_coarse_to_fine_holds_everything_once():
    for n in (0, 1, 5, 16, 90, 901):
        order = following.coarse_to_fine(n)
        assert sorted(order.tolist()) == list(range(n))
    assert following.coarse_to_fine(90)[:6].tolist() == [0, 16, 32, 48, 64, 80]
