"""Counting spikes is counting spikes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import SpikeTrains

times = st.lists(st.floats(-5, 5, allow_nan=False), max_size=40)


@given(
    trains=st.lists(times, min_size=1, max_size=4), starts=st.lists(st.floats(-6, 6), max_size=6), n=st.integers(1, 7)
)
@settings(max_examples=150, deadline=None)
def test_counts_are_those_of_a_loop(trains, starts, n):
    width = 0.25
    spikes = SpikeTrains(range(len(trains)), [np.array(train) for train in trains])
    counts = spikes.count(np.array(starts), n, width)
    assert counts.shape == (len(starts), n, len(trains))
    for i, start in enumerate(starts):
        edges = start + np.arange(n + 1) * width
        for k in range(n):
            for u, train in enumerate(trains):
                assert counts[i, k, u] == sum(edges[k] <= t < edges[k + 1] for t in train)


def test_order_of_units_and_windows_is_kept():
    spikes = SpikeTrains(["b", "a"], [np.array([0.1, 0.2]), np.array([1.1])])
    counts = spikes.count(np.array([1.0, 0.0]), 1, 1.0, ["a", "b"])
    assert counts[:, 0].tolist() == [[1, 0], [0, 2]]


def test_wild_times_are_sorted_and_those_that_are_no_number_left_out():
    spikes = SpikeTrains([1], [np.array([3.0, np.nan, -1.0, np.inf, 2.0])])
    assert spikes.times(1).tolist() == [-1.0, 2.0, 3.0]
    assert spikes.dropped == 2


def test_many_spikes_in_a_bin_do_not_overflow():
    assert SpikeTrains([1], [np.zeros(300)]).count(np.array([-0.5]), 1, 1.0)[0, 0, 0] == 300


def test_an_unknown_unit_is_named():
    with pytest.raises(NeurratorError, match="no unit 7"):
        SpikeTrains([1], [np.zeros(1)]).count(np.zeros(1), 1, 1.0, [7])


def test_counts_agree_with_a_histogram_where_the_work_is_done_in_parts(monkeypatch):
    from napari_neurrator.recording import spikes as module

    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 60, n)) for n in (0, 5, 900, 4000)]
    spikes = SpikeTrains(range(4), trains)
    starts = rng.uniform(-1, 61, 200)
    whole = spikes.count(starts, 20, 1 / 120)
    monkeypatch.setattr(module, "_WORTH_A_THREAD", 40)
    np.testing.assert_array_equal(spikes.count(starts, 20, 1 / 120), whole)
    edges = starts[:, None] + np.arange(21) * (1 / 120)
    for unit, train in enumerate(trains):
        np.testing.assert_array_equal(whole[..., unit], np.diff(np.searchsorted(train, edges), axis=1))


@given(
    trains=st.lists(times, min_size=1, max_size=4),
    starts=st.lists(st.floats(-6, 6), max_size=9),
    piece=st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_counts_in_pieces_are_the_counts(trains, starts, piece):
    spikes = SpikeTrains(range(len(trains)), [np.repeat(train, 90) for train in trains])
    starts = np.sort(np.array(starts, dtype=float))
    whole = spikes.count(starts, 5, 0.3)
    got = [(part, counts.copy()) for part, counts in spikes.count_in_pieces(starts, 5, 0.3, piece=piece)]
    assert [row for part, _ in got for row in range(part.start, part.stop)] == list(range(len(starts)))
    for part, counts in got:
        np.testing.assert_array_equal(counts, whole[part])


@given(
    width=st.floats(1e-4, 0.3),
    starts=st.lists(st.floats(0, 9000), min_size=1, max_size=4),
    k=st.integers(0, 9),
    nudge=st.integers(-2, 2),
)
@settings(max_examples=150, deadline=None)
def test_spikes_on_the_edge_of_a_bin_fall_on_the_right_side(width, starts, k, nudge):
    edges = np.array(starts)[:, None] + np.arange(11) * width
    on_edge = edges[:, k].copy()
    for _ in range(abs(nudge)):
        on_edge = np.nextafter(on_edge, np.inf * nudge)
    counts = SpikeTrains([1], [on_edge]).count(np.array(starts), 10, width)[..., 0]
    np.testing.assert_array_equal(counts, np.diff(np.searchsorted(np.sort(on_edge), edges), axis=1))


def test_nothing_to_count_has_the_right_shape():
    spikes = SpikeTrains([1, 2], [np.zeros(1), np.zeros(0)])
    assert spikes.count(np.zeros(0), 3, 1.0).shape == (0, 3, 2)
    assert spikes.count(np.zeros(2), 3, 1.0, []).shape == (2, 3, 0)
    assert SpikeTrains([], []).span() == (0.0, 0.0)


def test_a_whole_population_and_a_small_subset_agree():
    spikes = SpikeTrains(list("abc"), [np.array([0.1]), np.array([0.2, 0.25]), np.array([0.3])])
    every = spikes.count(np.array([0.0]), 4, 0.1)
    np.testing.assert_array_equal(spikes.count(np.array([0.0]), 4, 0.1, ["c", "b"]), every[..., [2, 1]])


class Source:
    """Spike times in a file, as far as the trains can tell."""

    def __init__(self, trains):
        self.flat = np.concatenate(trains)
        self.counts = [len(train) for train in trains]
        self.asked = []

    def read(self, first, last, out):
        self.asked.append((first, last))
        out[:] = self.flat[first:last]


@given(
    trains=st.lists(st.lists(st.floats(width=16), max_size=9), min_size=1, max_size=8),
    wanted=st.lists(st.integers(0, 7), max_size=5),
    at_once=st.integers(1, 12),
)
@settings(max_examples=150, deadline=None)
def test_lazy_trains_are_those_of_memory_whichever_are_asked_for_first(trains, wanted, at_once):
    from napari_neurrator.recording import spikes as module

    source, here = Source([np.array(t) for t in trains]), SpikeTrains(range(len(trains)), trains)
    kept, module._AT_ONCE = module._AT_ONCE, at_once
    try:
        lazy = SpikeTrains.lazy(range(len(trains)), source.counts, source.read)
        assert source.asked == []
        for unit in wanted:
            if unit < len(trains):
                np.testing.assert_array_equal(lazy.times(unit), here.times(unit))
        assert sum(last - first for first, last in source.asked) == sum(
            source.counts[u] for u in {u for u in wanted if u < len(trains)}
        )
        lazy.load()
    finally:
        module._AT_ONCE = kept
    assert lazy.loaded
    assert lazy.dropped == here.dropped
    assert lazy.span() == here.span()
    assert sum(last - first for first, last in source.asked) == sum(source.counts)
    for unit in range(len(trains)):
        np.testing.assert_array_equal(lazy.times(unit), here.times(unit))


def test_the_span_of_unread_trains_reads_their_ends_alone():
    rng = np.random.default_rng(0)
    source = Source([np.sort(rng.uniform(3, 90, n)) for n in (5, 4000, 300)])
    lazy = SpikeTrains.lazy("abc", source.counts, source.read, random_access=True)
    assert lazy.span() == (min(source.flat[[0, 5, 4005]]), max(source.flat[[4, 4004, 4304]]))
    assert sum(last - first for first, last in source.asked) == 6
    wild = Source([np.array([5.0, np.nan]), np.array([7.0, 6.0])])
    assert SpikeTrains.lazy("ab", wild.counts, wild.read, random_access=True).span() == (5.0, 7.0)


def test_what_was_mended_is_counted():
    spikes = SpikeTrains("ab", [np.array([2.0, 1.0, -1.0, np.nan]), np.array([1.0])])
    assert (spikes.dropped, spikes.reordered, spikes.before_zero) == (1, 1, 1)


def test_a_source_that_fails_says_so_and_can_be_asked_again():
    source = Source([np.array([1.0, 2.0])])

    def broken(first, last, out):
        raise NeurratorError("The disk is gone.")

    lazy = SpikeTrains.lazy(["a"], [2], broken)
    with pytest.raises(NeurratorError, match="disk is gone"):
        lazy.load()
    lazy._read = source.read
    assert lazy.times("a").tolist() == [1.0, 2.0]
