"""Clock, plan of what is asked ahead, raster, settings and undo: no window."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui import raster
from napari_neurrator.gui.clock import FrameClock
from napari_neurrator.gui.lasso import points_in_polygon
from napari_neurrator.gui.moments import Moments
from napari_neurrator.gui.state import Session
from napari_neurrator.settings import MOST_RECENT, Settings, read_settings, write_settings

from . import fakes


def shown(frames, starts, lasts, repeat=0):
    starts = np.asarray(starts, float)
    table = pd.DataFrame({"frame": frames, "time": starts, "start_time": starts, "stop_time": starts + lasts})
    return Moments(table.assign(presentation=range(len(frames)), repeat=repeat), 30.0)


def test_clock_follows_the_display_and_leaves_pauses_out():
    # frame 1 stayed twice as long; then there is a pause of 100 s between blocks
    moments = shown([0, 1, 2, 3], [10.0, 10.1, 10.3, 110.3], [0.1, 0.2, 0.1, 0.1])
    clock = FrameClock.of(moments, 0, 4, 10.0)
    assert np.allclose(clock.onsets, [0.0, 0.1, 0.3, 0.4])
    assert clock.length == pytest.approx(0.5)
    assert [clock.at(s) for s in (0.0, 0.05, 0.1, 0.29, 0.31, 0.41, 9.0)] == [0, 0, 1, 1, 2, 3, 3]
    assert clock.next_onset(0.15) == pytest.approx(0.3)
    assert clock.next_onset(0.45) == pytest.approx(0.5)
    assert np.allclose(clock.times, [10.0, 10.1, 10.3, 110.3])


def test_clock_of_pictures_in_random_order_and_of_gratings():
    pictures = shown([2, 0, 1], [1.0, 2.0, 3.0], [0.25, 0.25, 0.25])
    clock = FrameClock.of(pictures, 0, 3, None)
    assert clock.frames.tolist() == [0, 1, 2]
    assert clock.length == pytest.approx(0.75)  # each for as long as it was on
    gratings = FrameClock.of(shown([0, 60], [0.0, 3.0], [2.0, 2.0]), 0, 120, 60.0)
    assert len(gratings) == 120
    assert gratings.at(1.0) == 60
    assert len(FrameClock.of(None, 0, 0, None)) == 0


@given(st.lists(st.floats(0.001, 5.0), min_size=2, max_size=60), st.floats(0.01, 3.0))
@settings(deadline=None, max_examples=60)
def test_clock_and_its_grid_agree(lasts, every):
    lasts = np.array(lasts)
    clock = FrameClock.of(shown(range(len(lasts)), np.cumsum(lasts) - lasts, lasts), 0, len(lasts), 30.0)
    for frame, onset in zip(clock.frames, clock.onsets, strict=True):
        assert clock.at(onset) == frame
    chosen = clock.every(every)
    assert chosen[0] == 0
    assert (np.diff(chosen) > 0).all()
    assert set(chosen) <= set(clock.frames)


def test_next_chunk_asks_for_what_comes_first():
    from napari_neurrator.gui.ahead import MAPS_AT_ONCE, SENTENCES_AT_ONCE, next_chunk

    maps, sentences = np.arange(0, 900, 3), np.arange(0, 900, 30)
    first = next_chunk(maps, sentences, set(), set(), 300, True)
    assert not first.with_words
    assert first.frames[0] == 300
    assert len(first.frames) == MAPS_AT_ONCE
    then = next_chunk(maps, sentences, set(first.frames), set(), 300, True)
    assert then.with_words
    assert then.frames[0] == 300
    assert len(then.frames) == SENTENCES_AT_ONCE
    behind = next_chunk(maps, sentences, set(range(300, 900)), set(range(300, 900)), 300, True)
    assert behind.frames[0] == 0
    assert next_chunk(maps, sentences, set(range(300, 900)), set(range(300, 900)), 300, False) is None
    assert next_chunk(maps, sentences, set(maps.tolist()), set(sentences.tolist()), 0, True) is None


def test_everything_is_asked_for_once():
    from napari_neurrator.gui.ahead import next_chunk

    maps, sentences, mapped, told = np.arange(0, 400, 3), np.arange(0, 400, 30), set(), set()
    for _ in range(1000):
        chunk = next_chunk(maps, sentences, mapped, told, 200, True)
        if chunk is None:
            break
        (told if chunk.with_words else mapped).update(chunk.frames)
        if chunk.with_words:
            mapped.update(chunk.frames)
    assert mapped == set(maps.tolist()) | told
    assert told == set(sentences.tolist())


@pytest.mark.parametrize("n", [1, 7, 400, 5000])
def test_raster_is_readable_from_one_to_thousands(n):
    rng = np.random.default_rng(0)
    seconds, line = rng.uniform(0, 10, 20 * n), rng.integers(0, n, 20 * n)
    spikes = raster.Spikes(np.arange(n), seconds, line)
    colours = np.tile([1.0, 0.5, 0.0], (n, 1))
    drawn = raster.picture(spikes, colours, 0, 10, 600, 130)
    assert drawn.shape == (130, 600, 4)
    inked = drawn[..., 3] > 0
    assert 0.02 < inked.mean() <= 1.0
    assert len(np.unique(drawn[inked][:, 3])) >= (1 if n < 50 else 2)  # many spikes look different from few
    assert (drawn[inked][:, 0] >= 250).all()


def test_raster_puts_a_spike_where_it_belongs():
    spikes = raster.Spikes(np.arange(4), np.array([2.5]), np.array([2]))
    drawn = raster.picture(spikes, np.eye(4)[:, :3], 0, 10, 100, 40)
    rows, columns = np.nonzero(drawn[..., 3])
    assert set(columns) == {25}
    assert rows.min() >= 20
    assert rows.max() < 30
    assert drawn[25, 25, :3].tolist() == [0, 0, 255]
    nothing = raster.picture(spikes, np.eye(4)[:, :3], 3, 10, 100, 40)
    assert not nothing.any()


def test_raster_of_thousands_where_none_fires():
    spikes = raster.Spikes(np.arange(900), np.array([2.5]), np.array([2]))
    assert not raster.picture(spikes, np.ones((900, 3)), 3, 10, 100, 40).any()


def test_raster_reads_the_spikes_of_the_showing_and_only_those():
    recording = fakes.small_recording("one", n=4, n_frames=8, repeats=2)
    table = recording.presentations.assign(time=lambda t: t["start_time"], presentation=range(16))
    clock = FrameClock.of(Moments(table, 2.0), 1, 8, 2.0)
    spikes = raster.read(recording, np.array([3, 1]), clock)
    for line, unit in ((0, 103), (1, 101)):
        train = recording.spikes.times(unit)
        expected = train[(train >= 6) & (train < 10)] - 6
        assert np.allclose(np.sort(spikes.seconds[spikes.line == line]), expected)
    middles, rate = raster.rate(spikes, clock.length)
    assert len(middles) == 40
    assert rate.sum() * 0.1 * 2 == pytest.approx(len(spikes.seconds))


def test_units_of_a_region_stand_together_the_shallow_ones_first():
    table = pd.DataFrame({"region": ["CA1", "VISp", "CA1", "VISp"], "y_um": [500.0, 3000.0, 900.0, 2000.0]})
    assert raster.order(table, np.arange(4)).tolist() == [1, 3, 2, 0]
    assert raster.blocks(np.array(["a", "a", "b"])) == [("a", 0, 2), ("b", 2, 3)]


def test_lasso_by_winding_number_agrees_with_the_definition():
    rng = np.random.default_rng(1)
    for _ in range(20):
        polygon, points = rng.uniform(0, 10, (25, 2)), rng.uniform(0, 10, (300, 2))
        ahead = np.roll(polygon, -1, axis=0)
        py, px = points[:, :1], points[:, 1:]
        side = (ahead[:, 1] - polygon[:, 1]) * (py - polygon[:, 0]) - (px - polygon[:, 1]) * (
            ahead[:, 0] - polygon[:, 0]
        )
        up = (polygon[:, 0] <= py) & (ahead[:, 0] > py) & (side > 0)
        down = (polygon[:, 0] > py) & (ahead[:, 0] <= py) & (side < 0)
        assert np.array_equal(points_in_polygon(points, polygon), (up.sum(1) - down.sum(1)) != 0)


def lightness(rgb):
    """Relative luminance of sRGB colours."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def as_seen(rgb, kind):
    """What a person without red (protan) or green (deutan) cones sees, after Machado and colleagues (2009)."""
    matrix = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }[kind]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(matrix).T, 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("dark", [True, False])
def test_colours_can_be_told_apart_and_stand_out(dark):
    canvas = 0.0 if dark else 1.0
    first = styles.rgba(styles.scene(dark).palette)[:6, :3]
    for colours in (first, as_seen(first, "protan"), as_seen(first, "deutan")):
        apart = np.abs(colours[:, None] - colours[None]).sum(-1)
        assert apart[~np.eye(6, dtype=bool)].min() > 0.12
    contrast = (np.maximum(lightness(first), canvas) + 0.05) / (np.minimum(lightness(first), canvas) + 0.05)
    assert contrast.min() >= 3.0
    values = np.linspace(0, 1, 20)
    steps = np.diff(lightness(styles.ramp(values, dark=dark)[:, :3]))
    assert (steps > 0).all()
    signed = styles.signed(np.linspace(-2, 2, 21), dark=dark)[:, :3]
    assert np.abs(signed[10] - signed[10].mean()).max() < 0.05
    for kind in ("protan", "deutan"):
        low, high = as_seen(signed[[0, -1]], kind)
        assert low[2] - low[0] > 0.3
        assert high[0] - high[2] > 0.2


def test_contribution_is_symmetric_about_zero_and_grey_where_unknown():
    colours = styles.signed(np.array([-1.0, 0.0, 4.0, np.nan]))
    assert np.allclose(colours[3], styles.rgba([styles.UNKNOWN])[0])
    # −1 of a largest 4 is a quarter of the way
    full = styles.signed(np.array([-4.0, 4.0]))
    assert np.allclose(colours[0, :3] - colours[1, :3], 0.25 * (full[0, :3] - colours[1, :3]))
    assert np.allclose(styles.signed(np.zeros(2))[0], colours[1])
    session = Session()
    session.recording = fakes.FakeRecording()
    with pytest.raises(NeurratorError, match="one number a unit"):
        session.show_contribution(np.zeros(3))
    session.show_contribution(np.arange(60.0), "the ball")
    assert session.colour_by == "contribution"


def test_settings_come_back_and_damage_loses_only_what_is_damaged(tmp_path):
    path = tmp_path / "deep" / "settings.json"
    assert read_settings(path) == (Settings(), "")
    kept = Settings(speed=2.0, toured=True)
    for k in range(15):
        kept.opened(f"/data/{k}.nwb")
    kept.opened("/data/9.nwb")
    assert len(kept.recent) == MOST_RECENT
    assert kept.recent[:2] == ["/data/9.nwb", "/data/14.nwb"]
    write_settings(kept, path)
    assert read_settings(path)[0] == kept
    # a newer version's setting is not lost
    newer = json.loads(path.read_text()) | {"later": [1]}
    path.write_text(json.dumps(newer))
    again, problem = read_settings(path)
    assert not problem
    write_settings(again, path)
    assert json.loads(path.read_text())["later"] == [1]
    path.write_text(json.dumps(newer | {"speed": "fast"}))
    found, problem = read_settings(path)
    assert "speed" in problem
    assert found.speed == 1.0
    assert found.recent == kept.recent
    path.write_text("{")
    found, problem = read_settings(path)
    assert found == Settings()
    assert path.with_name("settings.json.damaged").read_text() == "{"
    with pytest.raises(NeurratorError, match="could not be written"):
        write_settings(kept, path / "below")


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=60)
def test_no_file_of_settings_keeps_the_window_from_opening(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("s") / "settings.json"
    path.write_bytes(contents)
    found, _ = read_settings(path)
    assert isinstance(found, Settings)


def test_undo_and_redo():
    from napari_neurrator.gui.history import History

    session = Session()
    history = History(session)
    session.recording = fakes.FakeRecording()
    ids = session.unit_ids
    session.select(ids[:3])
    session.save_group("three")
    session.select(ids[3:5])
    history.undo()
    assert session.selected == ids[:3]
    assert list(session.groups) == ["three"]
    history.undo()
    assert dict(session.groups) == {}
    history.redo()
    assert session.groups["three"] == ids[:3]
    session.select(ids[7:8])
    assert not history.can_redo
    for _ in range(5):
        history.undo()
    assert session.selected == ()
    history.undo()
    assert "nothing to undo" in session.status
    session.recording = fakes.FakeRecording(n=5)
    assert not history.can_undo


def test_maps_are_forgotten_before_sentences(monkeypatch):
    from napari_neurrator.gui import narrator
    from napari_neurrator.gui.findings import ConceptMap, Result, ResultKey

    monkeypatch.setattr(narrator, "KEPT", 3)
    maps = (ConceptMap(1, "ball", 2.0, np.ones((2, 2), np.float32)),)
    results = {}
    for moment in range(8):
        key = ResultKey("d", "", moment, (1,))
        results[key] = Result(key, moment, 0, 1, text="" if moment % 2 else "a ball", concepts=maps)
    narrator.let_go(results)
    assert [key.moment for key in results] == [0, 2, 4, 5, 6, 7]
    assert [bool(result.concepts) for result in results.values()] == [False, False, False, True, True, True]


def test_frames_are_read_ahead_and_are_the_same():
    from napari_neurrator.gui.frames import AHEAD, Frames

    stimulus = fakes.FakeStimulus(n_frames=12)
    frames = Frames(stimulus)
    frames.read_ahead(3)
    frames._reading.result(10)
    assert set(frames._kept) == {0, *range(4, 4 + AHEAD)}
    # at the end there is nothing ahead
    frames.read_ahead(11)
    assert all(np.array_equal(frames[i], stimulus.frame(i)) for i in range(12))
