"""Weights of the two estimates: those that least squares on the same moments gives, and what is flattened where that helps."""

import numpy as np
import pytest
import torch

from napari_neurrator.decoding.mixing import FLATTENINGS, Mixing, MixingFit, sizes_up_to


def moments(n=400, rank=6, seed=0):
    rng = np.random.default_rng(seed)
    true = torch.tensor(rng.normal(size=(n, rank)), dtype=torch.float32)
    noise = [torch.tensor(rng.normal(size=(n, rank)), dtype=torch.float32) for _ in range(2)]
    return true, *noise


def test_the_weights_are_those_of_least_squares():
    true, first, second = moments()
    known, regressed = true + first, 0.5 * true + 0.2 * second
    fit = MixingFit([7])
    fit.add(7, [known], regressed, true)
    expected = np.linalg.lstsq(
        torch.stack([known.flatten(), regressed.flatten()], 1).numpy(), true.flatten().numpy(), rcond=None
    )[0]
    # No weight is above 1.
    assert expected[1] > 1
    assert fit.result().weights[0, 1] == 1.0
    fit = MixingFit([7])
    fit.add(7, [known], 2 * regressed, true)
    np.testing.assert_allclose(fit.result().weights[0], expected * [1, 0.5], rtol=1e-3)


def test_an_estimate_against_the_truth_gets_no_weight():
    true, first, second = moments()
    fit = MixingFit([3])
    fit.add(3, [-true + first], second, true)
    assert fit.result().weights[0, 0] == 0


def test_the_flattening_that_predicts_best_is_taken_and_neighbouring_sizes_share():
    true, first, _ = moments()
    sizes = sizes_up_to(100)
    fit = MixingFit(sizes, FLATTENINGS)
    for size in sizes:
        better = [true + (0.5 if number == 2 else 2.0) * first for number in range(len(FLATTENINGS))]
        fit.add(size, better, torch.zeros_like(true), true)
    mixing = fit.result()
    assert set(mixing.flattening) == {FLATTENINGS[2]}
    known, regressed, flattening = mixing.at(17)
    assert flattening == pytest.approx(FLATTENINGS[2])
    assert regressed == 0
    assert 0.7 < known < 0.9


def test_between_two_sizes_weights_are_interpolated():
    mixing = Mixing([1, 100], np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 0.25]))
    assert mixing.at(10) == pytest.approx((0.5, 0.5, 0.5))
    assert mixing.at(1000) == pytest.approx((1.0, 0.0, 0.25))
