"""Pooled units answer to the same frames as at home, and the result says what it is."""

import numpy as np
import pandas as pd
import pytest
from spikeinterface.core import NumpySorting

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import Recording, open_recording
from napari_neurrator.recording.pool import pool, write_pool


def session(name, starts, frames, trains, stimulus="natural_movie_one", animal="m"):
    rate = 30_000.0
    sorting = NumpySorting.from_unit_dict({u: (np.asarray(t) * rate).astype(int) for u, t in trains.items()}, rate)
    shown = pd.DataFrame(
        {"stimulus": stimulus, "start_time": starts, "stop_time": np.asarray(starts) + 1 / 30, "frame": frames}
    )
    units = pd.DataFrame({"region": "VISp", "x_um": 0.0, "y_um": 1.0}, index=list(trains))
    return Recording.from_sorting(sorting, shown, units, name=name, source=name, subject={"subject_id": animal})


def film(begin, repeats, n=30, jitter=0.0):
    rng = np.random.default_rng(1)
    starts = np.concatenate([begin + r * (n / 30 + 2) + np.arange(n) / 30 for r in range(repeats)])
    return starts + rng.uniform(0, jitter, len(starts)), np.tile(np.arange(n), repeats)


def test_spikes_move_with_the_frame_that_they_answered_to():
    a_starts, frames = film(5.0, 3)
    b_starts, b_frames = film(100.0, 4, jitter=0.002)
    # a unit of each session fires 60 ms after every frame 7
    a = session("a", a_starts, frames, {1: a_starts[frames == 7] + 0.06}, animal="mouse1")
    b = session("b", b_starts, b_frames, {1: b_starts[b_frames == 7] + 0.06, 2: [3.0]}, "natural_movie_1", "mouse2")
    both = pool([a, b])
    assert both.unit_ids == ["a/1", "b/1", "b/2"]
    assert both.pseudo_population
    assert both.sessions == ("a", "b")
    assert "pseudo-population" in both.warnings[0]
    assert both.units["animal"].tolist() == ["mouse1", "mouse2", "mouse2"]
    assert len(both.presentations) == 90, "the fourth showing is not in both"
    shown = both.presentations_of("natural_movie_one")
    onsets = shown.loc[shown["frame"] == 7, "start_time"].to_numpy()
    np.testing.assert_allclose(both.spikes.times("a/1"), onsets + 0.06, atol=1e-4)
    np.testing.assert_allclose(both.spikes.times("b/1"), onsets + 0.06, atol=3e-3)
    assert not len(both.spikes.times("b/2")), "outside the film nothing is shared"
    np.testing.assert_array_equal(both.sorting.get_unit_spike_train("b/1"), np.round(both.spikes.times("b/1") * 30_000))


def test_images_in_another_order_are_matched_by_image():
    frames_a, frames_b = np.array([2, 0, 1, 0]), np.array([0, 1, 0, 2])
    starts = 10 + 0.25 * np.arange(4)
    b = session("b", starts + 40, frames_b, {5: starts[frames_b == 2] + 40.1})
    a = session("a", starts, frames_a, {5: [0.5]})
    both = pool([a, b])
    np.testing.assert_allclose(both.spikes.times("b/5"), starts[frames_a == 2] + 0.1, atol=1e-4)


def test_counts_in_windows_are_those_at_home():
    rng = np.random.default_rng(0)
    starts, frames = film(5.0, 4)
    trains = {u: np.sort(rng.uniform(0, 20, 300)) for u in range(3)}
    a, b = (
        session("a", starts, frames, trains),
        session("b", starts + 33.3, frames, {u: t + 33.3 for u, t in trains.items()}),
    )
    both = pool([a, b])
    counts = both.spikes.count(both.presentations["start_time"] + 0.05, 20, 1 / 120)
    np.testing.assert_array_equal(counts[..., :3], a.spikes.count(starts + 0.05, 20, 1 / 120))
    # shifted by 33.3 s a spike may be rounded over an edge
    assert (counts[..., :3] != counts[..., 3:]).mean() < 0.002


def test_what_cannot_be_pooled_is_said():
    starts, frames = film(5.0, 1)
    a = session("a", starts, frames, {1: [1.0]})
    with pytest.raises(NeurratorError, match="two sessions"):
        pool([a])
    with pytest.raises(
        NeurratorError, match=r"share no presentation.*a shows natural_movie_one; b shows natural_scenes"
    ):
        pool([a, session("b", starts, frames, {1: [1.0]}, "natural_scenes")])


def test_sessions_of_one_name_are_told_apart():
    starts, frames = film(5.0, 1)
    assert pool([session("s", starts, frames, {1: [1.0]})] * 2).unit_ids == ["s-1/1", "s-2/1"]


def test_a_pool_file_is_a_source(tmp_path, small_sample):
    write_pool(tmp_path / "größe.toml", [small_sample, small_sample], "natural_movie_1")
    both = open_recording(tmp_path / "größe.toml")
    assert both.pseudo_population
    assert both.name == "größe"
    assert both.simulated


@pytest.mark.parametrize(
    "text", ["", "sessions = 3", "sessions = ['a']", "sessions = [", "sessions = ['a', 'b']\nx = 1"]
)
def test_a_broken_pool_file_is_one_sentence(tmp_path, text):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(NeurratorError):
        open_recording(tmp_path / "p.toml")
