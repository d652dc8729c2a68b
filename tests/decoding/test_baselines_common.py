"""What all baselines have in common: options, subsets, saving, held-out frames."""

import sys

import numpy as np
import pytest
import torch

from napari_neurrator.decoding.baselines import BASELINES, baseline_class
from napari_neurrator.decoding.baselines.counts import UnitScale, mean_grid, pooled
from napari_neurrator.decoding.basis import GridBasis
from napari_neurrator.decoding.rows import Rows
from napari_neurrator.errors import NeurratorError, Stopped

from .baselines_data import SMALL, asked, cosine, prior_cosine, session, through_a_file

# Enough training for a made-up session; the networks learn faster without the dropout of the paper.
QUICK = {
    "paper": SMALL | {"epochs": 40, "lr": 0.01, "dropout": 0.0, "unit_dropout": 0.0, "patience": 40},
    "ridge": {},
    "cebra": {"iterations": 150, "batch_size": 48, "dimension": 8, "hidden": 16, "lr": 0.003, "device": "cpu"},
    "retrieval": SMALL | {"epochs": 40, "lr": 0.01, "dropout": 0.0, "unit_dropout": 0.0, "patience": 40},
    "logistic": {"classifier": "logistic", "strength": 1.0},
}
EVERY = list(range(12))
_fitted: dict = {}


def kind_of(name):
    if name == "cebra":
        pytest.importorskip("cebra")
    return baseline_class("retrieval" if name == "logistic" else name)


def fitted(name):
    kind = kind_of(name)
    if name not in _fitted:
        data, test = session()
        _fitted[name] = kind.fit(data, QUICK[name]), data, test
    return _fitted[name]


@pytest.mark.parametrize("name", QUICK)
def test_decodes_held_out_repeats_better_than_the_prior(name):
    decoder, data, test = fitted(name)
    assert cosine(decoder, data, test, EVERY) > prior_cosine(decoder, data, test) + 0.3


@pytest.mark.parametrize("name", QUICK)
def test_a_saved_decoder_decodes_the_same(name, tmp_path):
    decoder, data, test = fitted(name)
    again = through_a_file(decoder, tmp_path)
    for units in (EVERY, [3, 7]):
        assert torch.equal(decoder.predict(*asked(data, test, units)), again.predict(*asked(data, test, units)))
    assert torch.equal(decoder.prior_grid, again.prior_grid)


@pytest.mark.parametrize("name", QUICK)
def test_units_may_come_in_any_order(name):
    decoder, data, test = fitted(name)
    one = decoder.predict(*asked(data, test, [2, 5, 9]))
    other = decoder.predict(*asked(data, test, [9, 2, 5]))
    assert one.shape == (len(test), 6, 5)
    assert one.dtype == torch.float32
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", QUICK)
def test_unknown_units_no_units_and_other_windows_are_refused(name):
    decoder, data, test = fitted(name)
    windows = data.windows[test]
    with pytest.raises(NeurratorError, match="not among the 12"):
        decoder.predict(windows[:, :, :1], ["u99"])
    with pytest.raises(NeurratorError, match="at least one"):
        decoder.predict(windows[:, :, :0], [])
    with pytest.raises(NeurratorError, match="expects"):
        decoder.predict(windows[:, :5], data.unit_ids)


@pytest.mark.parametrize("name", QUICK)
def test_same_seed_same_decoder_and_global_generators_are_left_alone(name):
    data, test = session()
    options = QUICK[name] | ({"epochs": 2} if "epochs" in QUICK[name] else {})
    grids = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        np.random.seed(noise)  # noqa: NPY002
        expected = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        grids.append(kind_of(name).fit(data, options).predict(*asked(data, test, EVERY)))
        assert torch.equal(torch.get_rng_state(), expected[0])
        assert np.array_equal(np.random.get_state()[1], expected[1])  # noqa: NPY002
    assert torch.equal(*grids)


@pytest.mark.parametrize("name", QUICK)
def test_the_grid_of_a_frame_that_only_tested_moments_show_is_not_looked_at(name):
    data, test = session(hidden_frame=3)
    options = QUICK[name] | ({"epochs": 1} if "epochs" in QUICK[name] else {})
    decoder = kind_of(name).fit(data, options)
    assert decoder.predict(*asked(data, test, EVERY)).isfinite().all()
    assert decoder.prior_grid.isfinite().all()


@pytest.mark.parametrize("name", QUICK)
def test_stops_when_asked(name):
    data, _ = session()

    def stop(stage, done, total):
        assert 0 <= done <= total
        raise Stopped

    with pytest.raises(Stopped):
        kind_of(name).fit(data, QUICK[name], stop)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    ("wrong", "message"), [({"speed": 3}, "has no option 'speed'"), ({"epochs": 0, "rank": 0, "nodes": 0}, "")]
)
def test_options_that_are_not_possible_are_refused(name, wrong, message):
    data, _ = session()
    with pytest.raises(NeurratorError, match=message or f"of the decoder|has no option"):  # noqa: F541
        kind_of(name).fit(data, wrong)


@pytest.mark.parametrize("name", QUICK)
def test_damaged_tensors_are_told_apart(name):
    decoder, _, _ = fitted(name)
    tensors, settings = decoder.state()
    first = next(iter(tensors))
    with pytest.raises((KeyError, ValueError)):
        type(decoder).from_state(
            {key: value for key, value in tensors.items() if key != first}, settings, decoder.unit_ids, decoder.window
        )
    with pytest.raises((KeyError, ValueError)):
        type(decoder).from_state(tensors, settings, decoder.unit_ids[:-1], decoder.window)


def test_kinds_are_known_by_name():
    assert BASELINES == ("paper", "ridge", "cebra", "retrieval")
    assert [baseline_class(kind).kind for kind in BASELINES] == list(BASELINES)
    with pytest.raises(NeurratorError, match="choose one of paper"):
        baseline_class("lasso")


def test_without_cebra_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cebra", None)
    with pytest.raises(NeurratorError, match=r"napari-neurrator\[baselines\]"):
        baseline_class("cebra").fit(session()[0])


def test_z_scores_use_the_given_rows_only_and_survive_a_silent_unit():
    windows = np.random.default_rng(0).poisson(3, (30, 4, 3)).astype(np.uint8)
    windows[:, :, 1] = 0
    scale = UnitScale.fit(windows, np.arange(10), chunk=3)
    scored = scale(torch.from_numpy(windows[:10])).reshape(-1, 3)
    torch.testing.assert_close(scored.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scored[:, ::2].std(0, correction=0), torch.ones(2))
    assert scale.std[1] == 1
    assert torch.equal(scale(torch.from_numpy(windows[:, :, [2, 0]]), torch.tensor([2, 0]))[..., 1], scored.new_tensor((windows[:, :, 0] - float(scale.mean[0])) / float(scale.std[0])))  # fmt: skip


def test_pooling_keeps_every_spike():
    windows = np.random.default_rng(0).poisson(200, (5, 20, 3)).clip(0, 255).astype(np.uint8)
    for blocks in (1, 3, 7, 20):
        assert np.array_equal(pooled(windows, blocks).sum(1), windows.sum(1, dtype=np.int64))


def test_rows_of_a_table_are_a_basis_of_those_rows_alone():
    grids = np.random.default_rng(0).normal(size=(9, 4, 5)).astype(np.float16)
    rows = np.array([1, 4, 5, 8])
    some, same = GridBasis.fit(Rows(grids, rows)), GridBasis.fit(grids[rows])
    torch.testing.assert_close(some.mean, same.mean)
    torch.testing.assert_close(some.grids(some.coefficients), same.grids(same.coefficients))


def test_the_mean_grid_weighs_frames_by_how_often_they_were_shown():
    grids = np.arange(12, dtype=np.float16).reshape(3, 2, 2)
    expected = (grids[0].astype(np.float32) + 3 * grids[2]) / 4
    assert np.allclose(mean_grid(grids, np.array([2, 0, 2, 2]), chunk=1), expected)
