"""The evidence of one sentence."""

import numpy as np
import pytest
from pydantic import ValidationError

from napari_neurrator.evaluation.evidence import EvidenceTable


@pytest.fixture(scope="module")
def gains():
    rng = np.random.default_rng(0)
    return {1: rng.normal(0, 0.01, 5000), 10: rng.normal(-0.05, 0.03, 5000), 100: rng.normal(-0.2, 0.05, 5000)}


def test_p_is_the_share_of_unrelated_frames_that_fit_as_well(gains):
    table = EvidenceTable.of(gains)
    for size in gains:
        for gain in np.quantile(gains[size], [0.02, 0.3, 0.8, 0.97]):
            expected = np.mean(gains[size] >= gain)
            assert table.judge(0.5 + gain, 0.5, size).p == pytest.approx(expected, abs=0.005)


def test_single_sentences_raise_false_alarms_at_their_rate(gains):
    table = EvidenceTable.of(gains)
    fresh = np.random.default_rng(1).normal(-0.05, 0.03, 2000)
    assert np.mean([table.judge(gain, 0.0, 10).better for gain in fresh]) == pytest.approx(0.05, abs=0.015)


def test_p_is_never_zero_nor_above_one(gains):
    table = EvidenceTable.of(gains)
    assert 0 < table.judge(1.0, 0.0, 100).p <= 1 / 5001 + 1e-9
    assert table.judge(-1.0, 1.0, 100).p == 1.0


def test_between_sizes_the_table_is_interpolated_and_beyond_it_held(gains):
    table = EvidenceTable.of(gains)
    few, between, many = (table.judge(-0.1, 0.0, size).p for size in (10, 31, 100))
    assert many < between or few > between > 0
    assert table.judge(-0.1, 0.0, 1000) == table.judge(-0.1, 0.0, 100)


def test_gains_that_are_all_the_same_are_ties():
    table = EvidenceTable.of({5: np.zeros(100)})
    assert table.judge(0.7, 0.7, 5).p == 1.0
    assert not table.judge(0.7, 0.7, 5).better
    assert table.judge(0.8, 0.7, 5).better


def test_the_table_survives_json_and_refuses_nonsense(gains):
    table = EvidenceTable.of(gains)
    assert EvidenceTable.model_validate_json(table.model_dump_json()) == table
    with pytest.raises(ValidationError):
        EvidenceTable(sizes=[3, 1], levels=[0, 1], quantiles=[[0, 1], [0, 1]], n=[1, 1])


def test_it_says_in_words_what_it_means(gains):
    table = EvidenceTable.of(gains)
    assert "Not more than chance" in table.judge(0.0, 0.1, 10).in_words()
    assert table.judge(0.9, 0.1, 10).in_words().startswith("More than chance")
