"""The regression to frames that were never shown, against the same worked out frame by frame in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.decoding.bayes import EncodingModel
from napari_neurrator.decoding.latent import _PENALTIES, LatentModel, left_out_errors

N_STATES, N_UNITS, RANK = 60, 40, 6


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    # Frames that change slowly; each fifth of the film is a stretch.
    course = np.cumsum(rng.normal(size=(N_STATES, 3)), axis=0)
    course = (course - course.mean(0)) / course.std(0)
    coefficients = torch.tensor(course @ rng.normal(size=(3, RANK)), dtype=torch.float32)
    rates = np.exp(0.5 * course @ rng.normal(size=(3, N_UNITS)) + 0.5)
    states = torch.arange(N_STATES).repeat(12)
    counts = rng.poisson(rates[states.numpy()])[:, None].astype(np.uint16)
    model = EncodingModel.fit(counts, np.arange(len(counts)), states, N_STATES, rank=2)
    return model, coefficients, torch.arange(N_STATES) * 5 // N_STATES


def decode(latent, features, x):
    about = latent.posterior(features)
    return latent.regression(about)(about(x))


def by_hand(model, coefficients, parts, latent, features):
    """Return gain and weights from the frames themselves: dense matrices, one penalty and one stretch at a time."""
    loadings = latent.loadings[:, features].double()
    noise = torch.diag(latent.noise[features].double()) + (lambda a: a @ a.T)(latent.shared[features].double())
    gain = loadings @ torch.linalg.inv(noise + loadings.T @ loadings)
    whitened = (model.means / model.noise.sqrt()).double() * model.shown.double().sqrt()[:, None]
    left = torch.linalg.svd(whitened, full_matrices=False)[0][:, : len(loadings)]
    total = model.shown.double().sum()
    weight = model.shown.double()
    phi = left * total.sqrt() / weight.sqrt()[:, None]
    phi = phi - (phi * weight[:, None]).sum(0) / total
    target = coefficients.double() - (coefficients.double() * weight[:, None]).sum(0) / total
    scatter = gain @ noise @ gain.T
    seen = phi @ (gain @ loadings.T).T
    mean_square = ((seen.square() * weight[:, None]).sum() / total + scatter.trace()) / len(loadings)

    def fit(rows, penalty):
        inside = weight[rows].sum()
        scale = weight[rows][:, None]
        gram = (seen[rows] * scale).T @ seen[rows] / inside + scatter + penalty * torch.eye(len(loadings))
        return torch.linalg.solve(gram, (seen[rows] * scale).T @ target[rows] / inside)

    errors = []
    for penalty in _PENALTIES.double() * mean_square:
        error = torch.zeros(RANK, dtype=torch.float64)
        for part in parts.unique():
            out = parts == part
            weights = fit(~out, penalty)
            missed = (seen[out] @ weights - target[out]).square() * weight[out][:, None]
            noisy = weight[out].sum() * ((scatter @ weights) * weights).sum(0)
            error += missed.sum(0) + noisy
        errors.append(error)
    errors = torch.stack(errors)
    best = errors.argmin(0)
    every = torch.ones(N_STATES, dtype=torch.bool)
    own = torch.stack([fit(every, float(_PENALTIES[best[k]]) * mean_square)[:, k] for k in range(RANK)], dim=1)
    of_mean = (target.square() * weight[:, None]).sum(0)
    own[:, errors.min(0).values >= of_mean] = 0
    common = errors.sum(1)
    alike = fit(every, float(_PENALTIES[common.argmin()]) * mean_square) * float(common.min() < of_mean.sum())
    return gain, (own + alike) / 2


@pytest.mark.parametrize("n_stretches", [2, 5])
@pytest.mark.parametrize("threads", [2, 4])
def test_shared_among_threads_it_is_the_same_regression(session, n_stretches, threads):
    model, coefficients, _ = session
    latent = LatentModel.fit(model, coefficients, torch.arange(N_STATES) * n_stretches // N_STATES)
    features, before = torch.arange(3, N_UNITS), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = latent.regression(latent.posterior(features))
        torch.set_num_threads(threads)
        shared = latent.regression(latent.posterior(features))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(shared.weights, alone.weights, atol=1e-4, rtol=0)


@given(seed=st.integers(0, 1000), size=st.integers(2, N_UNITS))
@settings(max_examples=10, deadline=None)
def test_it_is_the_ridge_regression_that_predicts_left_out_stretches_best(session, seed, size):
    model, coefficients, parts = session
    latent = LatentModel.fit(model, coefficients, parts, rank=5)
    features = torch.from_numpy(np.sort(np.random.default_rng(seed).choice(N_UNITS, size, replace=False)))
    about = latent.posterior(features)
    regression = latent.regression(about)
    gain, weights = by_hand(model, coefficients, parts, latent, features)
    x = (model.means[:, features]).double()
    expected = x @ gain.T @ weights
    found = regression(about(x.float()))
    np.testing.assert_allclose(found - regression.mean, expected, atol=0.02 * float(expected.abs().max()) + 1e-4)
    np.testing.assert_allclose(about.gain, gain, atol=1e-3 * float(gain.abs().max()))
    np.testing.assert_allclose(about.known, (gain @ latent.loadings[:, features].double().T).diagonal(), atol=1e-3)
    one = torch.cat([regression(about(row[None])) for row in x[:3].float()])
    np.testing.assert_allclose(one, found[:3], atol=1e-4 * float(expected.abs().max()) + 1e-5)


def test_frames_never_shown_are_predicted_from_many_units(session):
    model, coefficients, parts = session
    out = parts == 2
    shown = torch.where(out, 0.0, model.shown)
    learnt = EncodingModel(model.means, model.grand_mean, model.loadings, model.noise, shown)
    latent = LatentModel.fit(learnt, coefficients, parts)
    decoded = decode(latent, torch.arange(N_UNITS), model.means[out])
    error = (decoded - coefficients[out]).square().sum()
    assert float(error) < 0.5 * float((latent.mean - coefficients[out]).square().sum())


def test_units_that_ignore_the_film_say_the_mean(session):
    _, coefficients, parts = session
    rng = np.random.default_rng(3)
    states = torch.arange(N_STATES).repeat(12)
    counts = rng.poisson(2.0, size=(len(states), 1, N_UNITS)).astype(np.uint16)
    model = EncodingModel.fit(counts, np.arange(len(counts)), states, N_STATES)
    latent = LatentModel.fit(model, coefficients, parts)
    decoded = decode(latent, torch.arange(N_UNITS), torch.zeros(1, N_UNITS))
    spread = coefficients.var(0).sum().sqrt()
    assert float((decoded - latent.mean).norm()) < 0.2 * float(spread)


def test_silent_units_divide_nothing_by_zero(session):
    _, coefficients, parts = session
    states = torch.arange(N_STATES).repeat(3)
    model = EncodingModel.fit(np.zeros((len(states), 1, 4), dtype=np.uint8), np.arange(len(states)), states, N_STATES)
    latent = LatentModel.fit(model, coefficients, parts)
    decoded = decode(latent, torch.arange(2), torch.zeros(3, 2))
    torch.testing.assert_close(decoded, latent.mean.expand(3, -1))


@given(
    seed=st.integers(0, 1000),
    spacing=st.sampled_from([0.0, 1e-12, 1e-7, 1e-5, 2.9e-4, 3.1e-4, 1e-3, 1.0]),
    smallest=st.sampled_from([0.0, 1e-9, 1e-4, 1.0]),
    size=st.sampled_from([1e-9, 1.0, 1e4]),
)
@settings(max_examples=60, deadline=None)
def test_errors_of_all_penalties_are_those_worked_out_for_each(seed, spacing, smallest, size):
    """Eigenvalues that are equal, nearly so, and far apart, against the penalties or each other."""
    rng = np.random.default_rng(seed)
    stretches, n, n_coefficients = 3, 12, 5
    values = np.sort(smallest * (1 + spacing * np.cumsum(rng.exponential(size=(stretches, n)), axis=1)), axis=1)
    values[:, n // 2 :] += rng.exponential(size=(stretches, n - n // 2))
    values = torch.tensor(values * size, dtype=torch.float32)
    factor = rng.normal(size=(stretches, n, 8))
    within = torch.tensor(size * factor @ factor.transpose(0, 2, 1), dtype=torch.float32)
    sides = torch.tensor(size * rng.normal(size=(stretches, n, 2 * n_coefficients)), dtype=torch.float32)
    penalties = _PENALTIES * size
    found = left_out_errors(values, within, sides, penalties)
    towards, solved = (side.double() for side in sides.chunk(2, dim=2))
    for penalty, errors in zip(penalties.double(), found, strict=True):
        weights = solved / (values.double()[:, :, None] + penalty)
        square, product = ((within.double() @ weights) * weights).sum((0, 1)), (weights * towards).sum((0, 1))
        length = float((weights.abs() * (within.double().abs() @ weights.abs())).sum((0, 1)).max())
        np.testing.assert_allclose(errors, square - 2 * product, atol=1e-6 * length, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-8, 1e-11, 1e-19, 0.0])
def test_units_that_next_to_nothing_drives_give_the_mean(size):
    # Their loadings are what rounding leaves of none: some latents little, others less by many orders of magnitude.
    n, stretches = 39, 3
    for seed in range(40):
        rng = np.random.default_rng(seed)
        loadings = torch.from_numpy(size * rng.normal(size=(n, 1)) * 0.3 ** np.arange(n)[:, None]).float()
        course = torch.from_numpy(rng.normal(size=(stretches, n, 60))).float()
        latent = LatentModel(
            loadings, torch.ones(1), torch.full((1, 2), 0.1), torch.zeros(RANK), course @ course.mT,
            torch.from_numpy(rng.normal(size=(stretches, n, RANK))).float(), torch.full((stretches,), 60.0),
        )  # fmt: skip
        decoded = decode(latent, torch.zeros(1, dtype=torch.int64), torch.ones(1, 1))
        assert float(decoded.abs().max()) < 1e-3
