"""The closed form is the textbook's, for any subset; units that know nothing decode to nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.decoding.basis import GridBasis
from napari_neurrator.decoding.bayes import EncodingModel, SubsetPosterior, _shared_part, block_features
from napari_neurrator.decoding.calibration import calibrate, positions_of_features, random_subset
from napari_neurrator.decoding.states import by_picture, merge_alike, pictures_of


def session(rng, n_units=24, n_states=12, repeats=20, tuned=True):
    """Counts of Poisson units, half of them tuned, (moment, bin, unit), and the states shown."""
    rates = rng.gamma(2.0, 2.0, size=(n_states, n_units)) if tuned else np.full((n_states, n_units), 4.0)
    states = np.tile(np.arange(n_states), repeats)
    counts = rng.poisson(rates[states][:, None] / 2, size=(len(states), 2, n_units))
    return counts.astype(np.uint8), torch.tensor(states)


def features_of(counts, units):
    return block_features(torch.from_numpy(counts[:, :, np.asarray(units)].astype(np.int32))).flatten(1)


def log_posterior(posterior, counts, units):
    units = np.asarray(units)
    return posterior(
        features_of(counts, units), positions_of_features(units, counts.shape[1], counts.shape[2]), len(units)
    )


@pytest.fixture(scope="module")
def fitted():
    counts, states = session(np.random.default_rng(0))
    model = EncodingModel.fit(counts, np.arange(len(counts)), states, 12)
    return SubsetPosterior.of_model(model).eval(), counts, states


@given(seed=st.integers(0, 1000), size=st.integers(1, 24))
@settings(max_examples=25, deadline=None)
def test_any_subset_is_the_dense_gaussian_posterior(fitted, seed, size):
    posterior, counts, _ = fitted
    units = np.sort(np.random.default_rng(seed).choice(24, size, replace=False))
    features = positions_of_features(units, 2, 24)
    with torch.inference_mode():
        log_p = log_posterior(posterior, counts[:5], units).double()
        x = (features_of(counts[:5], units) - posterior.grand_mean[features]).double()
        means = posterior.means[features].T.double()
        loadings = posterior.loadings[features].double()
        sigma = loadings @ loadings.T + torch.diag(posterior.noise[features].double())
        distance = torch.stack([((x - m) @ torch.linalg.inv(sigma) * (x - m)).sum(1) for m in means], dim=1)
        information = (means @ torch.linalg.inv(sigma) * means).sum(1).mean()
        tau = posterior.temperature(size, information.float()).double()
        dense = torch.log_softmax(-0.5 * tau * distance, dim=1)
    torch.testing.assert_close(log_p, dense, atol=2e-3, rtol=1e-3)


def test_more_units_know_more(fitted):
    posterior, *_ = fitted
    counts, states = session(np.random.default_rng(0))
    with torch.inference_mode():
        right = [
            float((log_posterior(posterior, counts, range(n)).argmax(1) == states).float().mean()) for n in (1, 4, 24)
        ]
    assert right[0] < right[1] < right[2]
    assert right[2] > 0.9


def test_units_that_ignore_the_stimulus_decode_to_the_prior():
    counts, states = session(np.random.default_rng(1), tuned=False)
    posterior = SubsetPosterior.of_model(EncodingModel.fit(counts, np.arange(len(counts)), states, 12)).eval()
    with torch.inference_mode():
        p = log_posterior(posterior, session(np.random.default_rng(2), tuned=False)[0], range(24)).exp()
    assert float(p.max()) < 0.3


def test_the_decoded_certainty_is_honest_on_new_showings():
    rng = np.random.default_rng(3)
    rates = rng.gamma(2.0, 1.0, size=(8, 16))
    gain = rng.gamma(8, 1 / 8, size=(8 * 60, 1, 1))  # shared by all units: naive decoders become too sure
    states = torch.tensor(np.tile(np.arange(8), 60))
    counts = rng.poisson(rates[states][:, None] * gain, size=(480, 1, 16)).astype(np.uint8)
    coefficients = GridBasis.fit(rng.normal(size=(8, 4, 6)).astype(np.float32)).coefficients
    train, held, test = np.arange(200), np.arange(200, 300), np.arange(300, 480)
    posterior = SubsetPosterior.of_model(EncodingModel.fit(counts, train, states[train], 8))
    calibrate(posterior, coefficients, torch.arange(len(coefficients)), counts, held, states[held], steps=150)
    with torch.inference_mode():
        for n in (2, 16):
            p = log_posterior(posterior, counts[test], range(n)).exp()
            sure, right = float(p.max(1).values.mean()), float((p.argmax(1) == states[test]).float().mean())
            assert sure == pytest.approx(right, abs=0.12)


def test_shared_noise_is_found_and_independent_noise_is_not():
    rng = np.random.default_rng(5)
    true = rng.normal(size=(40, 2)) * 0.6
    noise = rng.normal(size=(4000, 2)) @ true.T + rng.normal(size=(4000, 40))
    noise /= noise.std(0)
    scaled = true / np.sqrt((true**2).sum(1) + 1)[:, None]
    found = _shared_part(torch.tensor(noise, dtype=torch.float32), 6).numpy()
    np.testing.assert_allclose(found @ found.T, scaled @ scaled.T, atol=0.12)
    assert _shared_part(torch.tensor(rng.normal(size=(4000, 40)), dtype=torch.float32), 6).abs().max() == 0


def test_random_subsets_run_from_one_unit_to_all():
    rng = np.random.default_rng(0)
    sizes = [len(random_subset(rng, 50)) for _ in range(500)]
    assert min(sizes) == 1
    assert max(sizes) == 50
    assert np.median(sizes) == pytest.approx(50**0.5, rel=0.3)


def test_basis_keeps_squared_errors_and_rebuilds_grids():
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(30, 5)) @ rng.normal(size=(5, 12 * 7))).reshape(30, 12, 7).astype(np.float16)
    basis = GridBasis.fit(table)
    rebuilt = basis.grids(basis.coefficients)
    deviations = torch.from_numpy(table.astype(np.float32)) - basis.mean.view(12, 7)
    # The core is kept in 8-bit steps: a deviation is off by a hundredth of its length at most.
    length = deviations.flatten(1).norm(dim=1)
    one_at_a_time = torch.cat([basis.grids(row[None]) for row in basis.coefficients])
    for found in (rebuilt, one_at_a_time):
        missed = found - basis.mean.view(12, 7) - deviations
        assert float((missed.flatten(1).norm(dim=1) / length).max()) < 0.01
    gram = basis.core.T @ basis.core
    torch.testing.assert_close(gram, torch.eye(len(gram)), atol=0.01, rtol=0)
    a, b = basis.coefficients[3], basis.coefficients[9]
    exact = (rebuilt[3] - rebuilt[9]).square().sum()
    assert float((a - b).square().sum()) == pytest.approx(float(exact), rel=0.01)


def test_frames_that_look_the_same_are_one_picture():
    rng = np.random.default_rng(0)
    pictures = torch.tensor(rng.normal(size=(3, 6)), dtype=torch.float32)
    shown = pictures[[0, 1, 0, 2, 1]] + 1e-4 * torch.tensor(rng.normal(size=(5, 6)), dtype=torch.float32)
    assert merge_alike(shown).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("shape", [(9, 7), (150, 200)])
def test_frames_of_a_large_table_that_look_the_same_are_found(tmp_path, shape):
    rng = np.random.default_rng(0)
    of = rng.integers(20, size=70)
    of = merge_alike(torch.eye(20)[of]).numpy()
    grids = rng.normal(size=(20, *shape))[of]
    # Where half of the frames differ in one patch only, they are others.
    other = rng.random(70) < 0.5
    grids[other, 3] = 5
    table = np.lib.format.open_memmap(tmp_path / "grids.npy", mode="w+", dtype=np.float16, shape=grids.shape)
    table[:] = grids + 1e-3 * rng.normal(size=grids.shape)
    table.flush()
    found = pictures_of(table)
    expected = merge_alike(torch.eye(40)[2 * of + other]).numpy()
    np.testing.assert_array_equal(found, expected)


def test_frames_of_one_picture_may_be_answered_differently():
    # Two gratings that begin alike and drift apart: their common mean says nothing, each one's own does.
    rng = np.random.default_rng(0)
    own = rng.normal(size=(2, 24))
    rates = np.exp(np.concatenate([own, -own]) + 1)
    picture = torch.tensor([0, 1, 0, 1])
    states = torch.arange(4).repeat(30)
    counts = rng.poisson(rates[states.numpy()])[:, None].astype(np.uint16)
    train, test = np.arange(80), np.arange(80, 120)
    model = EncodingModel.fit(counts, train, states[train], 4, picture)
    posterior = SubsetPosterior.of_model(model, picture)
    with torch.inference_mode():
        log_p = by_picture(log_posterior(posterior, counts[test], np.arange(24)), picture)
    assert float((log_p.argmax(1) == picture[states[test]]).float().mean()) > 0.9


def test_pictures_are_as_likely_and_what_was_not_shown_cannot_be_guessed():
    rng = np.random.default_rng(0)
    picture, states = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3] * 10)
    counts = rng.poisson(2.0, size=(40, 1, 6)).astype(np.uint16)
    model = EncodingModel.fit(counts, np.arange(40), states, 5, picture)
    prior = SubsetPosterior.of_model(model, picture).log_prior.exp()
    torch.testing.assert_close(prior, torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0, 0.0]))


def test_a_wide_model_is_kept_in_fewer_channels():
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(20, 6, 30)) @ rng.normal(size=(30, 400)) + 0.001 * rng.normal(size=(20, 6, 400))).astype(
        np.float16
    )
    basis = GridBasis.fit(table)
    assert basis.channels.shape == (30, 400)
    cosine = torch.cosine_similarity(
        basis.grids(basis.coefficients), torch.from_numpy(table.astype(np.float32)), dim=-1
    )
    assert float(cosine.min()) > 0.999
