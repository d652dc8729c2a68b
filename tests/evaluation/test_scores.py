"""Scores against counting by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_neurrator.evaluation.labels import ClassNames
from napari_neurrator.evaluation.pool import Pool
from napari_neurrator.evaluation.scores import retrieval, truth, two_way


def _by_hand(similarity, picture, top):
    """Count candidates one by one; frames of one picture are one candidate with their mean similarity."""
    names = sorted(set(picture))
    first = np.zeros(similarity.shape)
    pairs = np.zeros(similarity.shape)
    for row in range(len(similarity)):
        score = {
            name: round(float(np.mean([similarity[row, f] for f in range(len(picture)) if picture[f] == name])), 6)
            for name in names
        }
        for frame, own in enumerate(picture):
            above = sum(score[name] > score[own] for name in names)
            tied = sum(score[name] == score[own] for name in names)
            # Orders of the tied ones are equally likely.
            first[row, frame] = np.mean([above + place < top for place in range(tied)])
            others = [name for name in names if name != own]
            pairs[row, frame] = np.mean(
                [(score[own] > score[name]) + 0.5 * (score[own] == score[name]) for name in others]
            )
    return first, pairs


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 3))
def test_retrieval_and_two_way_count_what_they_say(seed, n_frames, top):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, 4, size=(5, n_frames)) / 4
    picture = rng.integers(0, n_frames, size=n_frames)
    if len(set(picture)) < 2:
        picture[0] = max(picture) + 1
    first, pairs = _by_hand(similarity, picture.tolist(), top)
    np.testing.assert_allclose(retrieval(similarity, picture, top), first, atol=1e-9)
    np.testing.assert_allclose(two_way(similarity, picture), pairs, atol=1e-9)


def test_saying_nothing_scores_chance():
    nothing = np.zeros((4, 10))
    assert np.allclose(retrieval(nothing, np.arange(10)), 0.1)
    assert np.allclose(two_way(nothing, np.arange(10)), 0.5)


def test_two_way_of_one_picture_is_not_a_number():
    assert np.isnan(two_way(np.ones((2, 3)), np.zeros(3, dtype=int))).all()


def test_truth_reads_the_frame_shown():
    table = np.arange(12.0).reshape(3, 4)
    assert truth(table, np.array([1, 0, 3])).tolist() == [1, 4, 11]


@pytest.fixture
def pool():
    generator = torch.Generator().manual_seed(1)
    grids = torch.randn(150, 5, 7, generator=generator)
    grids[100] = grids[3] + 1e-4
    return Pool(np.arange(150), grids.numpy().astype(np.float32), grids.mean(0)), grids


def test_similarities_are_cosines_of_patches_and_of_deviations(pool):
    pool, grids = pool
    decoded = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(2))
    patch, centred = pool.similarities(decoded)
    for moment in range(3):
        for frame in (0, 70, 149):
            expected = torch.cosine_similarity(decoded[moment], grids[frame], dim=-1).mean()
            assert patch[moment, frame] == pytest.approx(float(expected), abs=1e-5)
            a, b = (decoded[moment] - pool.prior).flatten(), (grids[frame] - pool.prior).flatten()
            assert centred[moment, frame] == pytest.approx(float(torch.dot(a, b) / a.norm() / b.norm()), abs=1e-5)


def test_shrinking_towards_the_mean_changes_no_rank(pool):
    pool, grids = pool
    decoded = grids[:4] + 0.5 * torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(3))
    shrunk = pool.prior + 0.1 * (decoded - pool.prior)
    np.testing.assert_allclose(pool.similarities(decoded)[1], pool.similarities(shrunk)[1], atol=1e-5)


def test_the_mean_grid_prefers_no_frame(pool):
    pool, _ = pool
    assert np.allclose(pool.similarities(pool.prior[None])[1], 0, atol=1e-6)


def test_frames_that_look_alike_are_one_picture(pool):
    pool, _ = pool
    assert pool.picture[100] == pool.picture[3]
    assert pool.n_pictures == 149


class TestClassNames:
    classes = (0, 45, 90, 135, 0)
    said = (
        "vertical stripes.",
        "stripes leaning left.",
        "horizontal stripes.",
        "stripes leaning right.",
        "vertical stripes.",
    )

    def test_every_reference_names_its_class(self):
        names = ClassNames(self.classes, self.said)
        assert names.classes == [0, 45, 90, 135]
        assert names.credit(self.said[:4]).tolist() == np.eye(4).tolist()

    def test_other_words_around_do_not_matter(self):
        names = ClassNames(self.classes, self.said)
        assert names.credit(["Some horizontal lines on a wall"])[0].tolist() == [0, 0, 1, 0]

    def test_a_word_of_two_classes_is_shared_and_no_word_is_wrong(self):
        names = ClassNames(self.classes, self.said)
        assert names.credit(["leaning"])[0].tolist() == [0, 0.5, 0, 0.5]
        assert names.credit(["stripes", ""]).sum() == 0

    def test_chance_is_the_most_frequent_class(self):
        assert ClassNames(self.classes, self.said).chance([0, 0, 0, 90]) == 0.75
