"""Ridge, CEBRA and retrieval: what each of them claims for itself."""

import numpy as np
import pytest
import torch

from napari_neurrator.decoding.baselines.least_squares import cross_validated_ridge, inner_folds
from napari_neurrator.decoding.baselines.retrieval import RetrievalDecoder
from napari_neurrator.decoding.baselines.ridge import RidgeDecoder
from napari_neurrator.decoding.baselines.targets import GridTargets
from napari_neurrator.errors import NeurratorError

from .baselines_data import SMALL, asked, cosine, session, subset_of


def test_ridge_is_the_closed_form_on_whole_grids():
    data, test = session()
    decoder = RidgeDecoder.fit(data, {"blocks": 1, "transform": "none", "alphas": [30.0]})
    rows = np.sort(np.concatenate([data.train, data.validation]))
    counts = data.windows.sum(1).astype(np.float64)
    scaled = (counts - counts[rows].mean(0)) / counts[rows].std(0, ddof=1)
    grids = data.grids.reshape(len(data.grids), -1).astype(np.float64)[data.frames]
    mean = grids[rows].mean(0)
    x = scaled[rows]
    weights = np.linalg.solve(x.T @ x + 30 * np.eye(12), x.T @ (grids[rows] - mean))
    expected = (scaled[test] @ weights + mean).reshape(-1, 6, 5)
    # The components are kept in 8-bit steps: what is decoded is off by a hundredth of its deviation at most.
    missed = decoder.predict(data.windows[test], data.unit_ids).numpy() - expected
    assert np.linalg.norm(missed) < 0.01 * np.linalg.norm(expected - mean.reshape(6, 5))


def test_ridge_of_a_subset_is_the_ridge_that_these_units_alone_would_have_got():
    data, test = session()
    units = [1, 4, 9]
    one = RidgeDecoder.fit(data).predict(*asked(data, test, units))
    other = RidgeDecoder.fit(subset_of(data, units)).predict(*asked(data, test, units))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_ridge_refitted_decodes_subsets_better_than_zeroed():
    data, test = session()
    refit, zero = RidgeDecoder.fit(data), RidgeDecoder.fit(data, {"subsets": "zero"})
    subsets = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert np.mean([cosine(refit, data, test, units) for units in subsets]) > np.mean(
        [cosine(zero, data, test, units) for units in subsets]
    )
    everything = asked(data, test, list(range(12)))
    assert torch.equal(refit.predict(*everything), zero.predict(*everything))


@pytest.mark.parametrize(
    ("wrong", "message"), [({"blocks": 21}, "20 bins only"), ({"alphas": [0.0]}, "above 0"), ({"alphas": []}, "alphas")]
)
def test_ridge_options_that_are_not_possible_are_named(wrong, message):
    with pytest.raises(NeurratorError, match=message):
        RidgeDecoder.fit(session()[0], wrong)


def test_ridge_chooses_a_time_resolution_that_the_session_asks_for():
    data, test = session()
    # Every unit spikes as often for each frame, but early or late: only finer counts tell.
    windows = data.windows.copy()
    rng = np.random.default_rng(5)
    early = rng.poisson(np.where(data.frames[:, None, None] % 2 == 0, 0.8, 0.1), size=(len(windows), 10, 12))
    late = rng.poisson(np.where(data.frames[:, None, None] % 2 == 0, 0.1, 0.8), size=(len(windows), 10, 12))
    windows[:, :10], windows[:, 10:] = early, late
    data = type(data)(**{**vars(data), "windows": windows})
    chosen, coarse = RidgeDecoder.fit(data), RidgeDecoder.fit(data, {"blocks": 1})
    assert chosen.state()[1]["blocks"] > 1
    assert cosine(chosen, data, test, list(range(12))) > cosine(coarse, data, test, list(range(12))) + 0.1


def test_inner_folds_are_of_whole_groups():
    groups = np.array([4, 4, 7, 7, 9, 1, 1, 3])
    part = inner_folds(groups, 3)
    assert set(part) == {0, 1, 2}
    assert all(len(set(part[groups == group])) == 1 for group in groups)


@pytest.mark.parametrize("features", [5, 60])
def test_cross_validated_ridge_is_himalayas(features):
    backend = pytest.importorskip("himalaya.backend")
    from himalaya.ridge import RidgeCV

    rng = np.random.default_rng(1)
    states, part = torch.from_numpy(rng.integers(7, size=50)), rng.integers(4, size=50)
    values = torch.from_numpy(rng.normal(size=(7, 3)).astype(np.float32))
    signal = values[states].numpy() @ rng.normal(size=(3, features))
    x = torch.from_numpy((3 + signal + rng.normal(size=(50, features)) * rng.uniform(0.5, 20, features)).astype(np.float32))  # fmt: skip
    alphas = [1.0, 10.0, 100.0, 1000.0, 10000.0]
    weights, intercept, error = cross_validated_ridge(x, states, values, part, alphas)
    before = backend.get_backend()
    try:
        backend.set_backend("torch")
        folds = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(4)]
        theirs = RidgeCV(alphas, fit_intercept=True, cv=folds).fit(x.double(), values[states].double())
    finally:
        backend.set_backend(before.__name__.rsplit(".", 1)[-1])
    assert len(set(theirs.best_alphas_.tolist())) > 1 or features == 60
    assert error == pytest.approx(-3 * float(theirs.cv_scores_.mean()), rel=1e-3)
    torch.testing.assert_close(weights, theirs.coef_.float(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(intercept, theirs.intercept_.float(), atol=1e-3, rtol=1e-3)


def test_targets_have_the_squared_error_of_whole_grids():
    data, _ = session()
    targets = GridTargets.fit(data, data.train, 256)
    grids = torch.from_numpy(data.grids).float()
    expected = (grids[0] - grids[5]).square().sum()
    got = (targets.basis.coefficients[0] - targets.basis.coefficients[5]).square().sum()
    assert float(got) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("options", [SMALL, {"classifier": "logistic"}])
def test_what_is_retrieved_is_always_the_real_grid_of_a_training_image(options):
    data, test = session(hidden_frame=3)
    decoder = RetrievalDecoder.fit(data, options)
    known = torch.from_numpy(data.grids[np.unique(data.frames[data.train])]).float()
    decoded = decoder.predict(*asked(data, test, [0, 5]))
    assert torch.equal(decoded, known[decoder.images(*asked(data, test, [0, 5]))])


def test_logistic_retrieval_of_two_images():
    data, test = session()
    keep = {
        name: rows[data.frames[rows] < 2] for name, rows in (("train", data.train), ("validation", data.validation))
    }
    data = type(data)(**{**vars(data), **keep})
    rows = test[data.frames[test] < 2]
    decoder = RetrievalDecoder.fit(data, {"classifier": "logistic"})
    assert np.array_equal(decoder.images(data.windows[rows], data.unit_ids), data.frames[rows])


def test_retrieval_needs_two_images():
    data, _ = session()
    rows = data.train[data.frames[data.train] == 0]
    with pytest.raises(NeurratorError, match="two images"):
        RetrievalDecoder.fit(type(data)(**{**vars(data), "train": rows}), SMALL)


@pytest.mark.parametrize("options", [{"labels": "frames"}, {"regression": "ridge"}, {"subsets": "zero"}])
def test_cebra_has_other_labels_and_another_regression(options):
    cebra = pytest.importorskip("napari_neurrator.decoding.baselines.cebra")
    pytest.importorskip("cebra")
    data, test = session()
    small = {"iterations": 100, "batch_size": 48, "dimension": 8, "hidden": 16, "lr": 0.003, "device": "cpu"}
    decoder = cebra.CebraDecoder.fit(data, small | options)
    assert cosine(decoder, data, test, list(range(12))) > 0.3


def test_cebra_refuses_short_windows_and_devices_that_are_not_there():
    cebra = pytest.importorskip("napari_neurrator.decoding.baselines.cebra")
    pytest.importorskip("cebra")
    data, _ = session()
    with pytest.raises(NeurratorError, match="device='abacus'"):
        cebra.CebraDecoder.fit(data, {"device": "abacus", "iterations": 1})
    short = type(data)(
        **{**vars(data), "windows": data.windows[:, :5], "window": data.window.model_copy(update={"n_bins": 5})}
    )
    with pytest.raises(NeurratorError, match="at least 10 bins"):
        cebra.CebraDecoder.fit(short)
