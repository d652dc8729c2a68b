"""The basis of the grids in its short form, against the same sums in double precision."""

import numpy as np
import pytest
import torch

from napari_neurrator.decoding import basis as module
from napari_neurrator.decoding.basis import GridBasis, in_steps, kept_core
from napari_neurrator.decoding.kernels import add_up_codes, whole_weights

PATCHES, WIDTH, RANK = 48, 24, 60


@pytest.fixture
def core():
    """Orthonormal columns, some patches and channels of which are far larger than others, as those of vision models are."""
    generator = torch.Generator().manual_seed(0)
    uneven = torch.exp(torch.randn(PATCHES * WIDTH, 1, generator=generator))
    return torch.linalg.qr(torch.randn(PATCHES * WIDTH, RANK, generator=generator) * uneven)[0]


def basis_of(core):
    channels = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)))[0]
    mean = torch.randn(PATCHES * WIDTH, generator=torch.Generator().manual_seed(2))
    return GridBasis(mean, *in_steps(core), channels, torch.zeros(1, RANK), (PATCHES, WIDTH))


@pytest.mark.parametrize("short", [True, False])
def test_deviations_are_off_by_a_hundredth_of_their_length_at_most(core, short, monkeypatch):
    monkeypatch.setattr(module, "_has_bfloat16", lambda: short)
    basis = basis_of(core)
    coefficients = torch.randn(7, RANK, generator=torch.Generator().manual_seed(3)) / (1 + torch.arange(RANK)) * 300
    exact = (core.double() @ coefficients.T.double()).T.view(7, PATCHES, WIDTH) @ basis.channels.double()
    mean = basis.mean.view(PATCHES, WIDTH)
    for found in (basis.grids(coefficients), torch.cat([basis.grids(row[None]) for row in coefficients])):
        missed = (found - mean - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
        assert float(missed.max()) < 0.01


def test_several_threads_say_what_one_says(core, monkeypatch):
    basis, coefficients = basis_of(core), torch.randn(1, RANK, generator=torch.Generator().manual_seed(3))
    alone = basis.grids(coefficients)
    monkeypatch.setattr(module, "_WORTH_THREADS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        np.testing.assert_array_equal(basis.grids(coefficients), alone)
    finally:
        torch.set_num_threads(before)


def test_a_core_of_an_older_version_is_read(core):
    codes, steps = kept_core({"grid_core": core.half()})
    torch.testing.assert_close(codes.float() * steps[:, None], core, atol=float(core.abs().max()) / 200, rtol=0)
    again = kept_core({"grid_codes": codes, "grid_steps": steps})
    assert torch.equal(again[0], codes)
    assert torch.equal(again[1], steps)


def test_a_row_of_nothing_stays_nothing():
    codes, steps = in_steps(torch.zeros(3, 4))
    assert torch.isfinite(steps).all()
    assert not codes.any()


@pytest.mark.parametrize("rank", [1, 5, 256, 4000])
@pytest.mark.parametrize("even", [True, False])
def test_whole_weights_never_overflow_and_cost_next_to_nothing(rank, even):
    rng = np.random.default_rng(0)
    weights = np.full(rank, -3.0, dtype=np.float32) if even else (rng.normal(size=rank) * 1e3).astype(np.float32)
    whole, unit = whole_weights(weights)
    # The largest sum that codes can make.
    codes = np.where(weights < 0, -127, 127).astype(np.int8)[None]
    sums = np.empty(1, dtype=np.float32)
    add_up_codes(codes, np.ones(1, dtype=np.float32), whole, unit, 0, sums)
    exact = 127 * np.abs(weights.astype(np.float64)).sum()
    assert sums[0] == pytest.approx(exact, rel=1e-3)
    assert np.linalg.norm(whole * unit - weights) < 1e-3 * np.linalg.norm(weights)
    assert not whole_weights(np.zeros(3, dtype=np.float32))[0].any()
