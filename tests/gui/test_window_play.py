"""Playing: by button, key and track, with what is worked out ahead."""

from dataclasses import replace

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui.showing import BETTER, GREYED, UNKNOWN
from napari_neurrator.gui.strip import GUTTER_PX


def ready(room):
    workspace = room()
    session = workspace.session
    session.repeat = 3  # held out
    session.select(session.unit_ids[:7])
    return workspace, session, workspace.docks["Play"]


def click(widget, x, y=10):
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(round(x), y))
    mouse.settle(20)


def test_button_plays_at_the_films_rate_and_pauses(room):
    workspace, session, dock = ready(room)
    workspace.backend.hold.clear()
    session.loop = False
    seen = []
    session.events.frame.connect(seen.append)
    QTest.mouseClick(dock.play, Qt.MouseButton.LeftButton)
    assert session.playing
    assert "Pause" in dock.play.text()
    # a film of 3 s at its own rate, however busy the machine: frames are left out rather than played late
    workspace.wait(lambda: not session.playing)
    assert session.frame == session.stimulus.n_frames - 1
    assert (np.diff(seen) > 0).all()
    assert compat.frame_of(workspace.viewer) == session.frame
    # what is on screen is the last frame, though playing hands frames straight to the screen
    shown = workspace.layers.get(styles.MOVIE)._data_view
    assert np.array_equal(shown, session.stimulus.frame(session.frame))
    workspace.backend.hold.set()


def test_clock_drops_frames_rather_than_lag(room, monkeypatch):
    from napari_neurrator.gui import player

    workspace, session, _ = ready(room)
    now = [100.0]
    monkeypatch.setattr(player.time, "perf_counter", lambda: now[0])
    session.playing = True
    workspace.player._timer.stop()
    for at, frame in ((0.01, 0), (0.05, 1), (0.40, 12), (1.99, 59)):
        now[0] = 100.0 + at
        workspace.player._tick()
        assert session.frame == frame
    assert workspace.player.skipped == 10 + 46
    session.speed = 0.25
    now[0] += 1.0
    workspace.player._tick()
    assert session.frame == 59 + 7  # a quarter of a second on, from the beginning of frame 59
    session.speed = 4.0
    now[0] += 0.5
    workspace.player._tick()
    assert session.frame in (35, 36)  # 2 s on, and round the end
    session.frame = 10  # moved by hand
    now[0] += 0.05
    workspace.player._tick()
    assert session.frame == 16
    session.playing = False


def test_track_fills_while_the_whole_showing_is_narrated_and_a_click_goes_there(room):
    workspace, session, dock = ready(room)
    track = dock.track
    blank = track.grab().toImage()
    dock.whole.click()
    assert session.filling
    assert "Stop" in dock.whole.text()
    workspace.wait(lambda: not session.filling and not session.ahead.busy)
    showing = workspace.showing
    assert showing.told == [0, 30, 60]
    assert len(showing.frames) == 30
    assert set(showing.standings()) == {BETTER}
    assert np.allclose(showing.strength("red ball"), 44.0)
    assert np.isnan(showing.strength("a cow")).all()
    asked = [r for r in workspace.backend.requests if r.kind == "narrate"]
    assert len(asked) < 6  # in batches, not one by one
    mouse.settle(400)
    assert track.grab().toImage() != blank
    # the middle of the track is the middle of the film
    click(track, track.axis.x(1.5))
    assert session.frame in (44, 45, 46)
    assert session.result is not None
    track.setFocus()
    before = session.frame
    QTest.keyClick(track, Qt.Key.Key_Right)
    assert session.frame == before + 1
    QTest.keyClick(track, Qt.Key.Key_Home)
    assert session.frame == 0
    QTest.keyClick(track, Qt.Key.Key_End)
    assert session.frame == 89
    # the gutter leads to the beginning, and words say what is known
    click(track, GUTTER_PX / 2)
    assert session.frame == 0
    words = track.tip_at(0.5, 5)
    assert workspace.backend.sentence in words
    assert "More than chance" in words


def test_evidence_is_said_as_it_is(room):
    workspace, session, dock = ready(room)
    workspace.backend.p = 0.4
    dock.whole.click()
    workspace.wait(lambda: not session.filling)
    assert set(workspace.showing.standings()) == {GREYED}
    session.repeat = 0  # the decoder was fitted on it
    workspace.backend.p = 0.004
    assert workspace.showing.frames == []
    dock.whole.click()
    workspace.wait(lambda: not session.filling)
    assert set(workspace.showing.standings()) == {UNKNOWN}


def test_sentences_and_maps_move_while_it_plays(room):
    workspace, session, dock = ready(room)
    dock.whole.click()
    workspace.wait(lambda: not session.filling)
    session.shown = "red ball"
    session.loop = True
    session.frame = 40
    session.playing = True
    workspace.wait(lambda: session.frame > 50)
    assert session.spoken is workspace.showing.sentence(session.frame)
    layer = workspace.layers.get(styles.SENTENCE)
    assert " ".join(layer.text.values[0].split()) == workspace.backend.sentence
    heat = workspace.layers.get(styles.HEATMAP)
    assert heat.visible
    assert np.allclose(heat.data, workspace.showing.map_at(session.frame).concepts[0].heatmap)
    assert tuple(heat.contrast_limits) == (0.0, workspace.showing.top("red ball"))
    session.playing = False
    # the sentence on the frame is the frame's own again
    session.frame = 41
    mouse.settle(30)
    assert session.spoken is session.result


def test_one_scale_holds_for_the_showing_also_while_it_stands_still(room):
    workspace, session, _ = ready(room)
    session.live = False
    session.frame = 30
    workspace.docks["Narrate"].go.click()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    session.shown = "red ball"
    heat = workspace.layers.get(styles.HEATMAP)
    top = workspace.showing.top("red ball")
    assert tuple(heat.contrast_limits) == (0.0, top)
    # another frame of the showing is twice as bright
    twice = tuple(replace(concept, heatmap=2 * concept.heatmap) for concept in session.result.concepts)
    key = replace(session.result.key, moment=session.moments.row(31, session.repeat))
    session.results[key] = replace(session.result, key=key, frame=31, concepts=twice)
    session.results_grew.emit()
    session.frame = 31
    assert session.result.key == key
    assert tuple(heat.contrast_limits) == (0.0, 2 * top)
    session.frame = 30
    assert workspace.showing.top("red ball") == 2 * top
    assert float(np.max(heat.data)) == top
    assert tuple(heat.contrast_limits) == (0.0, 2 * top)
    assert session.heat_scale.high == 2 * top


def test_playing_asks_ahead_and_a_new_selection_cancels(room):
    workspace, session, _ = ready(room)
    backend = workspace.backend
    backend.hold.clear()
    session.speed = 0.25
    session.playing = True
    workspace.wait(lambda: len(backend.requests) == 1)
    first = backend.requests[0]
    assert first.windows.shape[0] > 8
    session.select(session.unit_ids[10:14])
    workspace.wait(lambda: len(backend.requests) == 2)
    workspace.wait(lambda: first.job_id in backend.cancelled)
    assert backend.requests[1].unit_ids == list(session.unit_ids[10:14])
    # the user's own narration goes before
    session.playing = False
    workspace.narrator.narrate()
    workspace.wait(lambda: len(backend.requests) == 3)
    workspace.wait(lambda: backend.requests[1].job_id in backend.cancelled)
    backend.hold.set()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert session.result.key.units == session.unit_ids[10:14]


def test_what_was_worked_out_ahead_counts_as_a_sentence_only_with_words(room):
    workspace, session, dock = ready(room)
    dock.whole.click()
    workspace.wait(lambda: not session.filling)
    session.frame = 30
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert session.tested_so_far() == (3, 3)
    session.frame = 33
    mouse.settle(30)
    assert session.result.in_part
    assert workspace.docks["Narrate"].sentence.text() == ""
    # live narration still says the words of a moment of which only maps are known
    session.live = True
    session.frame = 36
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert session.result.text == workspace.backend.sentence


def test_failure_is_said_once_and_nothing_hangs(room, notified):
    workspace, session, dock = ready(room)
    workspace.backend.fail = "The models are on holiday."
    dock.whole.click()
    workspace.wait(lambda: not session.filling)
    assert [words for _, words in notified].count("Narrating ahead stopped: The models are on holiday.") == 1
    assert not session.ahead.busy
    session.select(())
    workspace.ahead.narrate_whole()
    assert "select units" in notified[-1][1]


def test_nothing_to_play(room, notified, fakes, qtbot):
    workspace = room()
    session = workspace.session
    session.close(session.recording)
    session.playing = True
    assert not session.playing
    assert "no film to play" in notified[-1][1]
    assert not workspace.docks["Play"].play.isEnabled()


def test_an_old_sentence_does_not_stand_over_another_scene(room, monkeypatch):
    workspace, session, _ = ready(room)
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    monkeypatch.setattr(workspace.ahead, "_go_on", lambda *_: None)
    workspace.backend.hold.clear()
    session.playing = True
    workspace.player._timer.stop()
    session.frame = 30
    assert session.spoken.frame == 0
    session.frame = 75
    assert session.spoken is None
    session.sentence_every_s = 5.0
    session.frame = 76
    assert session.spoken.frame == 0
    session.playing = False
    workspace.backend.hold.set()
