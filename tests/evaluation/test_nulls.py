"""Nulls: what is matched with what, and what is not."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.nulls import (
    Course,
    circular_shifts,
    halves,
    matched_units,
    permuted_frames,
    unrelated_frames,
    word_salad,
)


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 40))
def test_unrelated_frames_are_never_the_same_nor_alike(seed, n_frames, n_pictures):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, n_pictures, size=n_frames)
    assume(2 * np.bincount(picture).max() <= n_frames)
    match = unrelated_frames(picture, 20, rng)
    assert (np.sort(match, axis=1) == np.arange(n_frames)).all()
    assert (picture[match] != picture).all()


def test_unrelated_frames_of_a_film_keep_their_distance():
    n = 60
    near = np.abs(np.arange(n)[:, None] - np.arange(n)) < 10
    match = unrelated_frames(np.arange(n), 30, np.random.default_rng(0), near)
    assert (np.abs(match - np.arange(n)) >= 10).all()
    assert len({tuple(row) for row in match}) == 30


def test_too_many_frames_alike_are_refused():
    with pytest.raises(NeurratorError, match="look alike"):
        unrelated_frames(np.array([0, 0, 0, 1]), 1, np.random.default_rng(0))


def _course(runs, gap):
    frame = np.concatenate([np.arange(n) for n in runs])
    starts = np.cumsum([0, *runs[:-1]])
    return Course([np.arange(s, s + n) for s, n in zip(starts, runs, strict=True)], frame, gap)


@given(st.integers(2, 40), st.integers(1, 4), st.integers(1, 12))
def test_circular_shifts_leave_the_gap_and_shift_all_showings_alike(length, n_runs, gap):
    course = _course([length] * n_runs, gap)
    shifted, unrelated = circular_shifts(course, 1000, np.random.default_rng(0))
    assert len(shifted) == length - 1
    lags = (course.frame - shifted) % length
    assert (lags == lags[:, :1]).all()
    assert len(np.unique(lags[:, 0])) == len(shifted)
    distance = np.minimum(lags, length - lags)[:, 0]
    assert (unrelated == (distance >= gap)).all()


def test_showings_of_unequal_length_stay_within_themselves():
    course = _course([10, 9], 2)
    shifted, _ = circular_shifts(course, 1000, np.random.default_rng(0))
    assert len(shifted) == 8
    for run in course.runs:
        assert (np.sort(shifted[:, run], axis=1) == np.sort(course.frame[run])).all()
        assert (shifted[:, run] != course.frame[run]).all()


def test_fewer_shifts_are_drawn_where_fewer_are_asked_for():
    assert len(circular_shifts(_course([100], 5), 30, np.random.default_rng(0))[0]) == 30


def test_renamed_frames_are_the_same_in_all_showings():
    frame = np.tile(np.arange(6), 3)
    renamed = permuted_frames(frame, 6, 50, np.random.default_rng(0))
    assert (renamed[:, :6] == renamed[:, 6:12]).all()
    assert (np.sort(renamed[:, :6], axis=1) == np.arange(6)).all()


def test_word_salad_keeps_frequency_and_length():
    rng = np.random.default_rng(0)
    salad = word_salad(["a a a b", "a a"], 2000, rng)
    words = " ".join(salad).split()
    assert {len(one.split()) for one in salad} == {2, 4}
    assert words.count("a") / len(words) == pytest.approx(5 / 6, abs=0.02)
    assert word_salad([""], 3, rng) == []


def test_matched_units_are_as_many_and_from_the_pool():
    pool = ["u9", "u3", 7, "u1"]
    for units in matched_units(pool, 3, 20, np.random.default_rng(0)):
        assert len(set(units)) == 3
        assert [pool.index(unit) for unit in units] == sorted(pool.index(unit) for unit in units)
    with pytest.raises(NeurratorError, match="cannot be drawn"):
        matched_units(pool, 5, 1, np.random.default_rng(0))


def test_halves_share_nothing():
    for one, other in halves(list(range(7)), 10, np.random.default_rng(0)):
        assert len(one) == len(other) == 3
        assert not set(one) & set(other)
