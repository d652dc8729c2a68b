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
