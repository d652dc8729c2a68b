"""The network from latents to coefficients: what it learns, when it is asked, and that it is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_neurrator.config import WindowConfig
from napari_neurrator.decoding.bayes import EncodingModel, features_of
from napari_neurrator.decoding.calibration import positions_of_features
from napari_neurrator.decoding.interface import TrainingData
from napari_neurrator.decoding.latent import LatentModel
from napari_neurrator.decoding.network import LatentNetwork, network_of, network_share, train_network
from napari_neurrator.decoding.subset import SubsetBayes
from napari_neurrator.errors import Stopped

N_UNITS, N_STATES, SHOWN = 40, 120, 6


@pytest.fixture(scope="module")
def curved():
    """Return spikes along a line, and coefficients that bend along it: (model, latent, counts, states, coefficients)."""
    rng = np.random.default_rng(0)
    place = np.linspace(-1, 1, N_STATES)
    rate = np.exp(1.0 + place[:, None] * rng.normal(size=N_UNITS))
    states = torch.arange(N_STATES).repeat(SHOWN)
    counts = rng.poisson(rate[states]).astype(np.uint16)[:, None]
    coefficients = torch.from_numpy(np.stack([place, 3 * (place**2 - np.mean(place**2))], axis=1)).float()
    model = EncodingModel.fit(counts, np.arange(len(counts)), states, N_STATES)
    return (
        model,
        LatentModel.fit(model, coefficients, torch.arange(N_STATES) * 5 // N_STATES, 8),
        counts,
        states,
        coefficients,
    )


def trained(curved, rows, steps=200, seed=0, on_progress=None):
    model, latent, counts, states, coefficients = curved
    deviations = coefficients[states[rows]] - latent.mean
    return train_network(latent, model.grand_mean, counts, rows, deviations, steps, seed, on_progress)


def test_it_follows_what_a_regression_cannot(curved):
    model, latent, counts, states, coefficients = curved
    learnt = (states.numpy() // 6) % 5 != 2
    network = trained(curved, np.flatnonzero(learnt))
    rows = np.flatnonzero(~learnt)
    true = coefficients[states[rows]] - latent.mean
    for size in (N_UNITS, 15):
        units = np.sort(np.random.default_rng(size).choice(N_UNITS, size, replace=False))
        features = positions_of_features(units, 1, N_UNITS)
        about = latent.posterior(features)
        latents = about(features_of(counts, rows, units) - model.grand_mean[features])
        by_network = (network(latents, about.known) - true).square().sum()
        by_regression = (latent.regression(about)(latents) - latent.mean - true).square().sum()
        assert by_network < 0.5 * by_regression < 0.5 * true.square().sum()


def test_the_seed_decides_and_the_global_generator_is_left_alone(curved):
    rows = np.arange(200)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (trained(curved, rows, steps=3, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["layers.0.0.weight"], other["layers.0.0.weight"])


def test_it_can_be_stopped(curved):
    heard = []

    def stop(stage, done, total):
        heard.append((done, total))
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        trained(curved, np.arange(200), steps=9, on_progress=stop)
    assert heard == [(1, 9), (2, 9)]


def test_one_unit_is_not_its_business():
    assert network_share(1) == 0
    assert 0 < network_share(3) < network_share(10) == network_share(400) == 0.5


def test_it_is_made_of_its_tensors_again():
    network = LatentNetwork(5, 7).eval()
    again = network_of(network.state_dict())
    x, known = torch.randn(3, 5), torch.rand(5)
    assert torch.equal(again(x, known), network(x, known))
    assert network_of({}) is None
    tensors = network.state_dict()
    tensors["layers.1.0.weight"] = tensors["layers.1.0.weight"][:4]
    with pytest.raises(ValueError, match="do not fit"):
        network_of(tensors)
    with pytest.raises(ValueError, match="empty"):
        network_of({"scale": torch.ones(())})


def data_of(curved, held_out: str) -> TrainingData:
    _, _, counts, states, coefficients = curved
    rng = np.random.default_rng(1)
    patterns = rng.normal(size=(2, 6, 4))
    grids = (np.einsum("sk,kpw->spw", coefficients.numpy(), patterns) + rng.normal(size=(6, 4))).astype(np.float16)
    frames, parts = states.numpy(), states.numpy() // 24
    showing = np.repeat(np.arange(SHOWN), N_STATES)
    tested = showing == 5 if held_out == "showings" else parts == 2
    validation = (showing == 4 if held_out == "showings" else parts == 3) & ~tested
    return TrainingData(
        counts, frames, grids, np.flatnonzero(~tested & ~validation), np.flatnonzero(validation),
        showing if held_out == "showings" else parts, list(range(N_UNITS)), WindowConfig(n_bins=1, bin_s=0.1),
        beyond=held_out == "the end",
    )  # fmt: skip


@pytest.mark.parametrize("n_units", [1, 4])
def test_units_that_tell_nothing_have_none(curved, n_units):
    data = data_of(curved, "a stretch")
    silent = replace(data, windows=np.zeros_like(data.windows[:, :, :n_units]), unit_ids=list(range(n_units)))
    decoder = SubsetBayes.fit(silent, {"calibration_steps": 5})
    assert decoder.network is None
    assert torch.isfinite(decoder.predict(silent.windows[:1], silent.unit_ids)).all()


@pytest.mark.parametrize(
    ("held_out", "steps", "film", "there"),
    [
        ("a stretch", 20, True, True),
        ("a stretch", 0, True, False),
        ("a stretch", 20, False, False),
        ("showings", 20, True, False),
        ("the end", 20, True, False),
    ],
)
def test_it_is_there_for_frames_among_known_ones_only(curved, held_out, steps, film, there):
    data = replace(data_of(curved, held_out), film=film)
    decoder = SubsetBayes.fit(data, {"calibration_steps": 5, "network_steps": steps})
    assert (decoder.network is not None) == there
    tensors, settings = decoder.state()
    again = SubsetBayes.from_state(tensors, settings, decoder.unit_ids, decoder.window)
    assert (again.network is not None) == there
    windows = data.windows[:5]
    torch.testing.assert_close(
        again.predict(windows, decoder.unit_ids), decoder.predict(windows, decoder.unit_ids), atol=5e-3, rtol=0
    )
    if there:
        # Its half of all units' word, and nothing of one unit's.
        without = SubsetBayes.from_state(
            {name: tensors[name] for name in tensors if not name.startswith("network.")}, settings, decoder.unit_ids,
            decoder.window,
        )  # fmt: skip
        one = windows[:, :, :1]
        assert torch.equal(again.coefficients(one, [0]), without.coefficients(one, [0]))
        subset = again._subset(decoder.unit_ids)
        x = again._features(windows, decoder.unit_ids, subset)
        said = again.network(subset.latents(x), subset.latents.known)
        mean = again.latent.mean
        mixed = without.coefficients(windows, decoder.unit_ids) - mean
        torch.testing.assert_close(
            again.coefficients(windows, decoder.unit_ids) - mean, 0.5 * mixed + 0.5 * said, atol=1e-3, rtol=1e-3
        )
