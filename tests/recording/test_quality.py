"""Quality control as at Allen's, and what of it other sources can answer."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from napari_neurrator.recording.quality import QualityRule, criteria, passes_qc

GOOD = {
    "quality": "good",
    "amplitude_cutoff": 0.05,
    "presence_ratio": 0.99,
    "isi_violations": 0.1,
    "valid_data": True,
    "region": "VISp",
}


def units(*changes):
    return pd.DataFrame([GOOD | change for change in changes], index=pd.Index(range(len(changes)), name="unit_id"))


def test_allens_default_borders():
    table = units(
        {},
        {"quality": "noise"},
        {"amplitude_cutoff": 0.1},
        {"amplitude_cutoff": 0.1001},
        {"presence_ratio": 0.95},
        {"presence_ratio": 0.9499},
        {"isi_violations": 0.5},
        {"isi_violations": 0.501},
        {"valid_data": False},
        {"region": "None"},
        {"region": "unknown"},
        {"amplitude_cutoff": np.nan},
    )
    passes, applied, missing = passes_qc(table)
    assert passes.tolist() == [True, False, True, False, True, False, True, False, False, False, False, False]
    assert passes.dtype == bool
    assert len(applied) == 6
    assert missing == []


def test_a_criterion_that_the_source_cannot_answer_is_named_and_left_out():
    table = (
        units({}, {}).drop(columns=["amplitude_cutoff", "valid_data"]).assign(presence_ratio=np.nan, region="unknown")
    )
    passes, applied, missing = passes_qc(table)
    assert passes.all()
    assert applied == ["quality is good", "isi_violations <= 0.5"]
    assert missing == [
        "amplitude_cutoff <= 0.1",
        "presence_ratio >= 0.95",
        "channel is valid",
        "region is in the brain",
    ]


def test_a_source_that_says_nothing_lets_all_pass():
    passes, applied, missing = passes_qc(pd.DataFrame({"y_um": [1.0, 2.0]}))
    assert passes.tolist() == [True, True]
    assert applied == []
    assert len(missing) == 6


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"KSLabel": ["good", "mua", ""]}, [True, False, False]),
        ({"quality": ["good", "unsorted", None], "KSLabel": ["mua", "good", "mua"]}, [True, True, False]),
        ({"group": ["good", "mua", "noise"]}, [True, False, False]),
        ({"unit_type": ["GOOD", "MUA", "NON-SOMA"]}, [True, False, False]),
        ({"label": [1.0, 0.6667, np.nan]}, [True, False, False]),
        ({"bitwise_fail": [0, 1, 5]}, [True, False, False]),
        ({"isi_violations_ratio": [0.5, 0.51, np.nan]}, [True, False, False]),
        ({"isi_violations_ratio": ["0.1", "2", "x"]}, [True, False, False]),
        ({"valid_data": ["True", "False", 1]}, [True, False, True]),
    ],
)
def test_equivalents_of_other_sources(columns, expected):
    passes, applied, _ = passes_qc(pd.DataFrame(columns))
    assert passes.tolist() == expected
    assert len(applied) == 1


def test_every_criterion_can_be_changed_or_left_out():
    table = units({"quality": "mua"}, {"amplitude_cutoff": 0.3}, {"region": "None"}, {"valid_data": False})
    rule = QualityRule(
        good_labels=None,
        max_amplitude_cutoff=0.4,
        min_presence_ratio=None,
        max_isi_violations=None,
        valid_channel=False,
        in_brain=False,
    )
    passed, missing = criteria(table, rule)
    assert list(passed) == ["amplitude_cutoff <= 0.4"]
    assert passed.to_numpy().all()
    assert missing == []
    assert passes_qc(table, QualityRule(good_labels=("good", "MUA")))[0].tolist() == [True, False, False, False]
    with pytest.raises(ValidationError):
        QualityRule(amplitude=0.1)
