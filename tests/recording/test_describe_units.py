"""What is said of each unit, together."""

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.recording import SpikeTrains, open_recording
from napari_neurrator.recording.cell_types import OptotaggingRule
from napari_neurrator.recording.describe_units import UnitRules, describe_units
from napari_neurrator.recording.quality import QualityRule

SUBJECT = {"species": "Mus musculus", "genotype": "Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"}
COLUMNS = {"region", "region_parents", "layer", "depth_um", "cell_type", "cell_type_source", "waveform_class", "passes_qc"}  # fmt: skip


@pytest.fixture
def units():
    return pd.DataFrame(
        {
            "region": ["VISp2/3", "VISrl", "unknown", "LGd"],
            "cell_type": ["PV", "", "", ""],
            "waveform_duration": [0.2, 0.6, np.nan, 0.5],
            "quality": ["good", "noise", "good", "good"],
            "y_um": [40.0, 30.0, 20.0, 10.0],
        },
        index=pd.Index([5, 3, 9, 1], name="unit_id"),
    )


@pytest.fixture
def light():
    onset = 1 + 0.5 * np.arange(100)
    return pd.DataFrame({"start_time": onset, "stop_time": onset + 0.01, "stimulus_name": "pulse"})


@pytest.fixture
def spikes(light):
    answering = light["start_time"].to_numpy() + 0.004
    return SpikeTrains([5, 3, 9, 1], [answering, answering, np.array([0.5]), np.array([])])


def test_all_columns_are_filled_in(units):
    table, notes = describe_units(units)
    assert set(table) >= COLUMNS
    assert notes == []
    assert table["region"].tolist() == ["VISp", "VISrl", "unknown", "LGd"]
    assert table["layer"].tolist() == ["2/3", "", "", ""]
    assert table["region_parents"].tolist() == [
        "VISp2/3 < VISp < VIS < Isocortex < CTXpl < CTX < CH < grey",
        "VISrl < PTLp < Isocortex < CTXpl < CTX < CH < grey",
        "",
        "LGd < GENd < DORsm < TH < IB < BS < grey",
    ]
    assert table["waveform_class"].tolist() == ["narrow", "broad", "", "broad"]
    assert table["passes_qc"].tolist() == [True, False, False, True]
    assert table["cell_type_source"].tolist() == ["label", "", "", ""]
    assert table["depth_um"].isna().all(), "a place on the probe is no depth below the surface"
    assert list(units["region"]) == ["VISp2/3", "VISrl", "unknown", "LGd"], "the table that was given stays as it is"


def test_labels_come_first_then_light(units, spikes, light):
    table, notes = describe_units(units, spikes, light, SUBJECT)
    assert notes == []
    assert table["cell_type"].tolist() == ["PV", "VIP", "", ""]
    assert table["cell_type_source"].tolist() == ["label", "optotagging", "", ""]
    assert table["optotagged"].tolist() == [True, True, False, False]
    # Another rule, another answer: what was tagged before is no label.
    strict = UnitRules(optotagging=OptotaggingRule(ratio=1e6))
    again, _ = describe_units(table, spikes, light, SUBJECT, strict)
    assert again["cell_type"].tolist() == ["PV", "", "", ""]


def test_without_spikes_nothing_is_read_or_tagged(units, light):
    def read(first, last, out):
        raise AssertionError("spike times were read")

    trains = SpikeTrains.lazy([5, 3, 9, 1], [1, 1, 1, 1], read)
    table, _ = describe_units(units, None, light, SUBJECT)
    assert table["cell_type"].tolist() == ["PV", "", "", ""]
    assert "optotagged" not in table
    with pytest.raises(AssertionError):
        describe_units(units, trains, light, SUBJECT)


def test_describing_twice_changes_nothing(units, spikes, light):
    once, _ = describe_units(units, spikes, light, SUBJECT)
    pd.testing.assert_frame_equal(describe_units(once, spikes, light, SUBJECT)[0], once)
    pd.testing.assert_frame_equal(describe_units(once)[0], once)


def test_what_cannot_be_said_is_said(units, spikes, light):
    _, notes = describe_units(units, spikes, light, SUBJECT | {"genotype": "wt/wt"})
    assert notes == ["2 units answer to light, but the genotype (wt/wt) does not say of what type they are."]
    _, notes = describe_units(units, spikes, light.iloc[:3], SUBJECT)
    assert len(notes) == 1
    assert "at least 10" in notes[0]
    table, notes = describe_units(units, subject={"species": "Macaca mulatta"})
    assert "atlas is of the mouse" in notes[0]
    assert (table["region_parents"] == "").all()
    assert table["region"].iloc[0] == "VISp2/3"
    _, notes = describe_units(units.assign(region=["VISp", "my area", "unknown", "LGd"]))
    assert notes == ["The Allen mouse atlas has no region my area, so that no parents are known of it."]
    assert describe_units(units.assign(region="unknown"))[1] == []
    _, notes = describe_units(units[["y_um"]])
    assert "quality" in notes[0]


def test_the_sources_own_layers_and_depths_count():
    units = pd.DataFrame({"region": "VISp", "cortical_layer": [4.0, np.nan, 5], "depth_from_surface": [100.0, 2.0, 3]})
    table, _ = describe_units(units)
    assert table["layer"].tolist() == ["4", "", "5"]
    assert table["depth_um"].tolist() == [100, 2, 3]
    assert describe_units(pd.DataFrame({"layer": ["L2/3", "layer 5", None, "unknown"]}))[0]["layer"].tolist() == [
        "2/3",
        "5",
        "",
        "",
    ]


def test_rules_are_the_users(units):
    rules = UnitRules(quality=QualityRule(good_labels=None, in_brain=False), narrow_below_ms=0.55)
    table, _ = describe_units(units, rules=rules)
    assert table["passes_qc"].all()
    assert table["waveform_class"].tolist() == ["narrow", "broad", "", "narrow"]
    with pytest.raises(ValueError, match="extra"):
        UnitRules.model_validate({"quality": {"nonsense": 1}})


def test_no_units_and_odd_tables():
    assert len(describe_units(pd.DataFrame({"region": []}))[0]) == 0
    odd = pd.DataFrame({"region": [None, 3, "VISp"], "cell_type": [None, np.nan, "x"], "waveform_duration": "word"})
    assert describe_units(odd)[0]["cell_type"].tolist() == ["", "", "x"]


def test_metrics_of_spikeinterface_are_understood():
    from spikeinterface.core import create_sorting_analyzer, generate_ground_truth_recording

    recording, sorting = generate_ground_truth_recording(durations=[10.0], num_channels=16, num_units=4, seed=0)
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False)
    analyzer.compute(["random_spikes", "waveforms", "templates", "noise_levels", "spike_amplitudes"])
    analyzer.compute(
        {
            "template_metrics": {},
            "quality_metrics": {"metric_names": ["isi_violation", "presence_ratio", "amplitude_cutoff"]},
        }
    )
    tables = [analyzer.get_extension(name).get_data() for name in ("template_metrics", "quality_metrics")]
    table, _ = describe_units(pd.concat(tables, axis=1))
    assert set(table["waveform_class"]) <= {"narrow", "broad"}
    from napari_neurrator.recording.quality import criteria

    assert "isi_violations_ratio <= 0.5" in criteria(table)[0]


def test_the_sample_is_optotagged(small_sample):
    import json

    truth = json.loads((small_sample.parent / "truth.json").read_text())["units_in_file_order"]
    answers = np.array([unit["answers_to_light"] for unit in truth])
    recording = open_recording(small_sample, optotag=True)
    assert recording.optogenetics is not None
    assert set(recording.optogenetics["stimulus_name"]) == {"pulse", "fast_pulses", "raised_cosine"}
    assert recording.units["optotagged"][answers].all()
    assert recording.units["optotagged"][~answers].mean() < 0.05
    source = recording.units["cell_type_source"]
    assert set(recording.units["cell_type"][source == "optotagging"]) == {"SST"}
    assert 0 < (source == "optotagging").sum() < answers.sum() < (source != "").sum()
    assert 0 < (recording.units["amplitude_cutoff"] > 0.1).sum() < 20
    assert recording.optogenetics["start_time"].min() > recording.presentations["stop_time"].max()
