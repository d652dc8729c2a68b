"""Every frame gets the time of its edge, also where edges or frames are lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording.presentation_ttl import presentations_from_ttl

DT = 1 / 30
FRAMES = np.tile(np.arange(30), 4)
RNG = np.random.default_rng(5)
EDGES = 10 + np.arange(120) * DT + RNG.normal(0, 3e-4, 120)


def times(edges, frames=FRAMES, **options):
    return presentations_from_ttl(edges, frames, stimulus="film", **options)


@pytest.mark.parametrize("rate", [None, 30])
def test_as_many_edges_as_frames(rate):
    table, warnings = times(EDGES, expected_rate_hz=rate)
    assert warnings == []
    np.testing.assert_array_equal(table["start_time"], EDGES)
    np.testing.assert_array_equal(table["stop_time"][:-1], EDGES[1:])
    assert table["frame"].tolist() == FRAMES.tolist()
    assert set(table["stimulus"]) == {"film"}


def test_dropped_edges_are_interpolated_and_counted():
    lost = [7, 50, 51, 52, 90]
    table, warnings = times(np.delete(EDGES, lost))
    assert len(table) == 120
    assert np.flatnonzero(table["interpolated"]).tolist() == lost
    np.testing.assert_allclose(table["start_time"], EDGES, atol=2e-3)
    assert warnings == ["5 edges are missing (dropped); the times of their frames are interpolated."]


def test_a_frame_that_stayed_on_lasts_longer():
    edges = EDGES.copy()
    edges[60:] += DT
    edges[80:] += 2 * DT
    table, warnings = times(edges)
    np.testing.assert_array_equal(table["start_time"], edges)
    length = table["stop_time"] - table["start_time"]
    assert length[59] == pytest.approx(2 * DT, abs=2e-3)
    assert length[79] == pytest.approx(3 * DT, abs=2e-3)
    assert warnings == ["2 frames stayed on for more than one period (3 repeated frames in all)."]


def test_lost_edges_and_repeated_frames_together_are_off_by_as_many_as_is_said():
    edges = EDGES.copy()
    edges[60:] += DT
    table, warnings = times(np.delete(edges, 20))
    assert np.abs(table["start_time"] - edges).max() < 1.1 * DT
    assert "off by up to 1" in warnings[0]


def test_a_list_by_refresh_makes_one_presentation_a_frame():
    listed = np.repeat(np.arange(60), 2)
    listed[81:] = np.repeat(np.arange(40, 60), 2)[: 120 - 81]  # frame 40 stays on a refresh longer
    table, warnings = times(EDGES, listed)
    assert table["frame"].tolist() == list(range(60))
    length = (table["stop_time"] - table["start_time"]) / DT
    assert length.round()[40] == 3
    assert "60 frames of the list repeat" in warnings[0]


def test_the_same_image_twice_by_chance_is_two_presentations():
    table, warnings = times(np.arange(8) * 0.25, [5, 5, 2, 7, 0, 3, 1, 9])
    assert len(table) == 8
    assert warnings == []


def test_bounces_are_left_out():
    bounced = np.sort(np.concatenate([EDGES, EDGES[[3, 3, 40]] + [0.001, 0.002, 0.004]]))
    table, warnings = times(bounced)
    np.testing.assert_array_equal(table["start_time"], EDGES)
    assert "3 edges" in warnings[0]


def test_pauses_between_blocks_lose_no_frames():
    edges = np.concatenate([EDGES, EDGES + 100])
    table, warnings = times(edges, np.tile(FRAMES, 2))
    assert warnings == []
    assert table["stop_time"][119] == pytest.approx(EDGES[-1] + DT, abs=1e-3)
    table, warnings = times(np.delete(edges, [30, 200]), np.tile(FRAMES, 2))
    np.testing.assert_allclose(table["start_time"], edges, atol=2e-3)


def test_a_long_loss_is_told_from_a_pause_by_the_count():
    table, _ = times(np.delete(EDGES, range(40, 75)))
    np.testing.assert_allclose(table["start_time"], EDGES, atol=4e-3)
    assert table["interpolated"].sum() == 35


def test_test_pulses_before_and_one_edge_after_are_left_out():
    table, warnings = times(np.concatenate([np.arange(10) * DT, EDGES]))
    np.testing.assert_array_equal(table["start_time"], EDGES)
    assert "10 edges before and 0 after" in warnings[0]
    table, warnings = times(np.concatenate([np.arange(10) * DT, np.delete(EDGES, 9)]))
    np.testing.assert_allclose(table["start_time"], EDGES, atol=2e-3)
    table, warnings = times(np.append(EDGES, EDGES[-1] + DT))
    assert warnings == []
    assert table["stop_time"].iloc[-1] == EDGES[-1] + DT


def test_two_columns_give_the_rising_edges():
    events = np.column_stack([np.repeat(EDGES, 2) + np.tile([0, 0.01], 120), np.tile([1, 0], 120)])
    table, _ = times(events)
    np.testing.assert_array_equal(table["start_time"], EDGES)


def test_one_stimulus_a_frame():
    names = ["a"] * 60 + ["b"] * 60
    table, _ = presentations_from_ttl(EDGES, FRAMES, stimulus=names)
    assert table["stimulus"].tolist() == names


@pytest.mark.parametrize(
    ("edges", "frames", "options", "message"),
    [
        (EDGES[::-1], FRAMES, {}, "comes before edge 1"),
        ([0.0, np.nan, 1.0], [0, 1, 2], {}, "edge 2 of 3 is not a number"),
        ([], [0], {}, "There are 0 TTL edges"),
        (["a"], [0], {}, "edges"),
        (np.zeros((3, 3)), [0], {}, "one column"),
        (np.c_[EDGES, np.zeros(120)], FRAMES, {}, "never goes above 0"),
        (EDGES, [0, 1.5], {}, "Row 2 of the frame list is 1.5"),
        (EDGES, [0, -3], {}, "Row 2 of the frame list is -3"),
        (EDGES, [], {}, "frame list has shape"),
        (EDGES, ["x"], {}, "other things than numbers"),
        (EDGES[:60], FRAMES, {}, "60 TTL edges for 120 frames"),
        (np.concatenate([EDGES, EDGES + 100]), FRAMES, {}, "240 TTL edges for 120 frames"),
        (EDGES, FRAMES, {"expected_rate_hz": 60}, "do not come at 60 Hz"),
        (EDGES, FRAMES, {"expected_rate_hz": 0}, "above 0"),
        ([1.0], [0], {}, "give the rate"),
    ],
)
def test_what_does_not_fit_is_one_sentence(edges, frames, options, message):
    with pytest.raises(NeurratorError, match=message):
        times(edges, frames, **options)


wild = st.one_of(st.floats(), st.floats(0, 10), st.sampled_from([0.0, 1e300, np.nan, 0.1, 0.2]))


@settings(max_examples=150, deadline=None)
@given(
    edges=st.lists(wild, max_size=40),
    ordered=st.booleans(),
    frames=st.lists(st.one_of(st.integers(-2, 6), wild), max_size=40),
    rate=st.one_of(st.none(), wild),
)
def test_any_edges_give_a_table_or_a_sentence(edges, ordered, frames, rate):
    edges = sorted(edge for edge in edges if np.isfinite(edge)) if ordered else edges
    try:
        table, warnings = times(edges, frames, expected_rate_hz=rate)
    except NeurratorError:
        return
    assert np.isfinite(table[["start_time", "stop_time"]]).all(axis=None)
    assert (np.diff(table["start_time"]) >= 0).all()
    assert len(table) <= len(frames)
    assert all(isinstance(warning, str) for warning in warnings)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_lost_edges_are_found_wherever_they_are(data):
    # The first and the last edge stay: without them nothing tells that there was one.
    lost = data.draw(st.sets(st.integers(1, 118), max_size=40))
    table, _ = times(np.delete(EDGES, sorted(lost)), expected_rate_hz=30)
    np.testing.assert_allclose(table["start_time"], EDGES, atol=5e-3)
    assert set(np.flatnonzero(table["interpolated"])) == lost
