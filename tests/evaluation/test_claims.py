"""Sentences that say with how many units a null is beaten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_neurrator.evaluation.claims import beaten


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ((0.01, 0.05, 0.001), "from 1 unit on"),
        ((0.2, 0.04, 0.001), "from 10 units on"),
        ((0.01, 0.2, 0.3), "with 1 unit, but not with 10 and 1,000 units"),
        ((0.01, 0.2, 0.01), "with 1 and 1,000 units, but not with 10 units"),
        ((0.2, None, 0.06), ""),
    ],
)
def test_every_size_is_accounted_for(p, words):
    assert beaten([1, 10, 1000], p) == words


@given(st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=6))
def test_a_claim_is_made_where_and_only_where_a_null_is_beaten(p):
    sizes = [3**place for place in range(len(p))]
    assert bool(beaten(sizes, p)) == any(value is not None and value <= 0.05 for value in p)
