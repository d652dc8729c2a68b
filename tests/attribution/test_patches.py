"""The patch inspector, on grids that are known."""

import numpy as np
import pytest
import torch

from napari_neurrator.attribution.patches import inspect_patches, most_alike, patches_over_time
from napari_neurrator.errors import NeurratorError


@pytest.fixture(scope="module")
def grids():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(30, 16, 12)) + 1.5).astype(np.float32)


def test_a_patch_that_was_decoded_beats_its_null_there_and_not_elsewhere(grids):
    prior = torch.from_numpy(grids.mean(0))
    true, wrong = torch.from_numpy(grids[7]), torch.from_numpy(grids[21])
    decoded = prior.clone()
    decoded[3] = 0.6 * true[3] + 0.4 * prior[3]
    decoded[9] = 0.6 * wrong[9] + 0.4 * prior[9]
    right = inspect_patches(decoded, true, prior, [3], grids)
    assert right.p == pytest.approx(1 / 30)
    assert right.gain == pytest.approx(right.cosine - right.prior_cosine, abs=1e-6)
    assert right.cosine == pytest.approx(float(torch.cosine_similarity(decoded[3], true[3], dim=0)), abs=1e-5)
    assert len(right.null) == 29
    assert inspect_patches(decoded, true, prior, [9], grids).p > 0.1
    # Elsewhere the mean grid was decoded: no frame fits better than another.
    assert inspect_patches(decoded, true, prior, [1], grids).p == 1
    with pytest.raises(NeurratorError, match="no patch 16"):
        inspect_patches(decoded, true, prior, [16], grids)


def test_of_units_that_know_nothing_p_is_uniform(grids):
    rng = np.random.default_rng(1)
    prior = torch.from_numpy(grids.mean(0))
    p = [
        inspect_patches(prior + torch.from_numpy(rng.normal(size=(16, 12)).astype(np.float32)) / 3, torch.from_numpy(grids[rng.integers(30)]), prior, [2, 3], grids).p
        for _ in range(300)
    ]  # fmt: skip
    assert 0.08 < np.mean(np.array(p) <= 0.1 + 1e-9) + 0.02 < 0.2
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_the_patch_of_the_movie_that_looks_alike_is_found(grids):
    found = most_alike(torch.from_numpy(grids[11, 4] + 0.05), grids, n=4)
    assert (found[0].frame, found[0].patch) == (11, 4)
    assert found[0].cosine > 0.98 > found[1].cosine
    apart = most_alike(torch.from_numpy(grids[11, 4]), grids, n=4, apart=5)
    frames = sorted(one.frame for one in apart)
    assert min(np.diff(frames)) >= 5


def test_concepts_of_both_are_listed(tiny, tower, pictures):
    from napari_neurrator.concepts.dictionary import load_dictionary

    made = tower.grids(pictures)
    report = inspect_patches(
        made[1], made[0], made.mean(0), list(range(made.shape[1])), made.numpy(), dictionary=load_dictionary(tiny)
    )
    assert report.decoded_concepts != report.true_concepts
    strengths = [strength for _, strength in report.true_concepts]
    assert strengths == sorted(strengths, reverse=True)
    assert len(strengths) == 5


def test_over_time(grids):
    class Halfway:
        prior_grid = torch.from_numpy(grids.mean(0))

        def predict(self, windows, unit_ids):
            return torch.from_numpy(grids[windows[:, 0, 0]])

    windows = np.arange(30, dtype=np.uint8)[:, None, None]
    shuffled = grids.copy()
    shuffled[10:] = shuffled[10:][::-1]
    cosine, prior = patches_over_time(Halfway(), windows, ["a"], shuffled, [2, 5])
    assert cosine.shape == prior.shape == (30, 2)
    assert cosine[:10] == pytest.approx(np.ones((10, 2)), abs=1e-4)
    assert (cosine[10:] < 0.999).mean() > 0.9
