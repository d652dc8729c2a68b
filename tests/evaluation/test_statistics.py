"""P-values are uniform where nothing is there; intervals cover; corrections agree with their definitions."""

import numpy as np
import pytest
from scipy import stats

from napari_neurrator.evaluation.nulls import Course, circular_shifts, permuted_frames
from napari_neurrator.evaluation.scores import truth
from napari_neurrator.evaluation.statistics import (
    benjamini_hochberg,
    correlation_interval,
    effective_sample,
    false_alarm_bounds,
    holm,
    interval,
    p_value,
    two_sided_p,
)


def test_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(0)
    p = [p_value(draws[0], draws[1:]) for draws in rng.normal(size=(2000, 100))]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_p_is_never_zero_and_ties_count():
    assert p_value(5.0, np.zeros(99)) == 0.01
    assert p_value(0.0, np.zeros(99)) == 1.0
    assert p_value(0.1 + 0.2, np.full(99, 0.3)) == 1.0
    assert p_value(1.0, np.empty(0)) == 1.0
    assert two_sided_p(0.0, np.zeros(99)) == 1.0


def test_holm_and_benjamini_hochberg():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(holm(p), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_the_interval_is_that_of_blocks_and_not_of_moments():
    rng = np.random.default_rng(1)
    blocks = np.repeat(np.arange(20), 50)
    scores = np.repeat(rng.normal(size=20), 50)
    low, high = interval(scores, blocks, rng)
    expected = stats.bootstrap(
        (scores[::50],), np.mean, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert low == pytest.approx(expected.low, abs=0.06)
    assert high == pytest.approx(expected.high, abs=0.06)


@pytest.mark.parametrize("n_blocks", [4, 30])
def test_intervals_cover_the_true_mean(n_blocks):
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        scores = np.repeat(rng.normal(size=n_blocks), 5) + 0.3 * rng.normal(size=5 * n_blocks)
        low, high = interval(scores, np.repeat(np.arange(n_blocks), 5), rng, n=500)
        covered += low <= 0 <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_spread_between_subsets_of_units_widens_the_interval():
    rng = np.random.default_rng(4)
    blocks = np.repeat(np.arange(20), 10)
    moments = 0.1 * rng.normal(size=200)
    alike = np.stack([moments] * 8)
    unlike = alike + rng.normal(size=(8, 1))
    narrow, wide = interval(alike, blocks, rng), interval(unlike, blocks, rng)
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_two_blocks_give_no_interval():
    assert interval(np.ones(10), np.repeat([0, 1], 5), np.random.default_rng(0)) is None


def test_the_effective_sample_of_a_correlated_series_is_smaller():
    rng = np.random.default_rng(5)
    white = rng.normal(size=2000)
    slow = np.convolve(white, np.ones(20) / 20, mode="same")
    assert effective_sample(white) > 1000
    assert 50 < effective_sample(slow) < 250
    assert effective_sample(np.ones(10)) == 10


def _slow(rng, n, width=8):
    """Return a slowly changing series of vectors that closes in on itself, (n, 6)."""
    noise = rng.normal(size=(n, 6))
    kernel = np.fft.rfft(np.exp(-0.5 * (np.minimum(np.arange(n), n - np.arange(n)) / width) ** 2))
    return np.fft.irfft(np.fft.rfft(noise, axis=0) * kernel[:, None], n=n, axis=0)


def test_false_alarms_on_a_film_shown_against_shifted_activity():
    """Decoded and true series are both slow, and what is decoded is true at another lag, the same in all showings."""
    rng = np.random.default_rng(6)
    n, showings, runs = 240, 2, 400
    course = Course([np.arange(n) + n * k for k in range(showings)], np.tile(np.arange(n), showings), 15)
    alarms = 0
    for _ in range(runs):
        film = _slow(rng, n)
        lag = rng.integers(n)
        decoded = np.concatenate([np.roll(film, lag, axis=0) + 0.5 * _slow(rng, n) for _ in range(showings)])
        table = decoded @ film.T
        null = table[np.arange(len(table)), circular_shifts(course, 60, rng)[0]].mean(1)
        alarms += p_value(truth(table, course.frame).mean(), null) <= 0.05
    low, high = false_alarm_bounds(runs)
    assert low <= alarms <= high


def test_false_alarms_on_images_that_activity_does_not_know():
    """Each image evokes the same in all of its showings, but that has nothing to do with what it shows."""
    rng = np.random.default_rng(7)
    n, showings, runs = 24, 10, 400
    frame = np.concatenate([rng.permutation(n) for _ in range(showings)])
    alarms = 0
    for _ in range(runs):
        images, evoked = rng.normal(size=(n, 4)), rng.normal(size=(n, 4))
        table = (evoked[frame] + 0.3 * rng.normal(size=(len(frame), 4))) @ images.T
        null = [table[np.arange(len(table)), frames].mean() for frames in permuted_frames(frame, n, 99, rng)]
        alarms += p_value(truth(table, frame).mean(), np.array(null)) <= 0.05
    low, high = false_alarm_bounds(runs)
    assert low <= alarms <= high


def test_a_real_match_is_found():
    rng = np.random.default_rng(8)
    n = 300
    course = Course([np.arange(n)], np.arange(n), 15)
    film = _slow(rng, n)
    table = (film + 1.5 * _slow(rng, n)) @ film.T
    null = [table[np.arange(n), frames].mean() for frames in circular_shifts(course, 1000, rng)[0]]
    assert p_value(truth(table, course.frame).mean(), np.array(null)) < 0.03


def test_false_alarm_bounds_hold_their_share():
    low, high = false_alarm_bounds(100)
    assert (low, high) == (1, 10)


def test_the_interval_of_a_correlation_covers_it():
    rng = np.random.default_rng(9)
    blocks = np.repeat(np.arange(20), 10)
    covered = 0
    for _ in range(200):
        x = rng.normal(size=200)
        y = 0.6 * x + 0.8 * rng.normal(size=200)
        low, high = correlation_interval(x, y, blocks, rng, n=400)
        covered += low <= 0.6 <= high
        assert high <= 1
    assert covered >= 175
    assert correlation_interval(x, y, np.repeat([0, 1], 100), rng) is None
