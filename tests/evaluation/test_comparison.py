"""Compare groups: false alarms at their rate, differences that are there found, words by log-odds."""

import numpy as np
import pytest
import torch

from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.comparison import (
    compare_groups,
    concept_differences,
    count_differences,
    word_differences,
)


def decoder(signal, rng, n_units=40, moments=6, patches=9, width=5):
    """Return units whose mean is decoded: those from 20 on say something else at patch 4, by `signal`."""
    vectors = rng.normal(size=(n_units, moments, patches, width))
    vectors[20:, :, 4] += signal
    table = torch.from_numpy(vectors.astype(np.float32))
    return lambda units: table[list(units)].mean(0)


def test_groups_of_one_kind_differ_at_the_rate_of_luck():
    rng = np.random.default_rng(0)
    p = [
        compare_groups({"a": range(12), "b": range(20, 30)}, decoder(0.0, rng), draws=39, seed=run)[0].p
        for run in range(150)
    ]
    # 99 % of the binomial of 150 draws at 0.1.
    assert 6 <= np.sum(np.array(p) <= 0.1) <= 25


def test_a_difference_is_found_where_it_is():
    found = compare_groups({"a": range(12), "b": range(20, 34)}, decoder(2.0, np.random.default_rng(1)), draws=99)[0]
    assert found.p == pytest.approx(0.01)
    assert found.by_patch.argmax() == 4
    assert found.distance > found.null.max()


def test_units_that_are_in_both_stay_in_both():
    asked = []
    base = decoder(1.0, np.random.default_rng(2))

    def decode(units):
        asked.append(list(units))
        return base(units)

    compare_groups({"a": [0, 1, 2, 3], "b": [2, 3, 20, 21, 22]}, decode, draws=20)
    for one, other in zip(asked[2::2], asked[3::2], strict=True):
        assert {2, 3} <= set(one)
        assert {2, 3} <= set(other)
        assert (len(one), len(other)) == (4, 5)
        assert set(one) | set(other) == {0, 1, 2, 3, 20, 21, 22}


def test_pairs_are_adjusted_together():
    found = compare_groups(
        {"a": range(10), "b": range(10, 20), "c": range(20, 30)}, decoder(2.0, np.random.default_rng(3)), draws=99
    )
    assert [(one.first, one.second) for one in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(one.p_adjusted >= one.p for one in found)
    assert found[0].p > 0.05 > found[1].p_adjusted


@pytest.mark.parametrize(
    ("groups", "words"),
    [({"a": [1]}, "two groups"), ({"a": [1], "b": []}, "no units"), ({"a": [1], "b": [1]}, "same units")],
)
def test_what_cannot_be_compared(groups, words):
    with pytest.raises(NeurratorError, match=words):
        compare_groups(groups, decoder(0.0, np.random.default_rng(4)))


def test_words_by_log_odds():
    table = word_differences(["A tiger in the forest."] * 8 + ["A bee."], ["A house in the forest."] * 8 + ["a house"])
    assert table.index[0] == "tiger"
    assert table.index[-1] == "house"
    assert table.loc["tiger", "log_odds"] > 0 > table.loc["house", "log_odds"]
    assert abs(table.loc["forest", "z"]) < abs(table.loc["tiger", "z"]) / 3
    assert {"a", "in", "the"}.isdisjoint(table.index)
    assert abs(table.loc["bee", "z"]) < table.loc["tiger", "z"]
    assert table.loc["tiger", ["first", "second"]].tolist() == [8, 0]


def test_concepts_count_once_a_moment_and_nothing_is_no_difference():
    table = concept_differences([["night", "night"], ["night"]], [["day"], ["day"]])
    assert table.loc["night", "first"] == 2
    same = count_differences({"a": 5, "b": 9}, {"a": 5, "b": 9})
    assert np.abs(same["z"]).max() < 1e-9
    assert len(count_differences({}, {})) == 0
