"""The account of a session is complete and fast, for people and for machines."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_neurrator.cli.app import app
from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import Recording, SpikeTrains, open_recording
from napari_neurrator.recording.cell_types import OptotaggingRule
from napari_neurrator.recording.describe_units import UnitRules
from napari_neurrator.recording.inspect import account, summary


def run(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], catch_exceptions=False)


def session(n_units=6, **columns):
    from spikeinterface.core import NumpySorting

    rng = np.random.default_rng(0)
    trains = {f"u{i}": np.sort(rng.integers(0, 600_000, 40)) for i in range(n_units)}
    table = pd.DataFrame(
        {"probe": "A", "x_um": 0.0, "y_um": np.arange(n_units) * 20.0, "region": "VISp5"} | columns,
        index=list(trains),
    )
    shown = pd.DataFrame(
        {
            "stimulus": "natural_movie_one",
            # Three showings of ten frames; of the last one only four, and one frame of the second is missing.
            "start_time": np.concatenate([np.arange(10), 10 + np.arange(10), 20 + np.arange(4)]) / 30 + 1,
            "frame": [*range(10), *range(10), *range(4)],
        }
    ).drop(index=15)
    shown["stop_time"] = shown["start_time"] + 1 / 30
    sorting = NumpySorting.from_unit_dict(trains, sampling_frequency=30_000)
    return Recording.from_sorting(sorting, shown, table, subject={"species": "Mus musculus"})


def test_the_text_holds_all_that_is_known(small_sample):
    recording = open_recording(small_sample)
    text = account(recording)
    for word in (
        "SIMULATED", "subject", "Sst-IRES-Cre", "probeC", "VIS < Isocortex", "LGd", "Cell types", "(label)", "(optotagging)", "amplitude_cutoff <= 0.1",
        "natural_movie_one", "30.0", "384 × 288", "raised_cosine", "units answer to light", "narrow", "passes_qc",
    ):  # fmt: skip
        assert word in text, word
    assert all(str(unit) in text for unit in recording.unit_ids)


def test_json_is_strict_and_agrees_with_the_recording(small_sample):
    recording = open_recording(small_sample)
    document = json.loads(run(small_sample, "--json").stdout, parse_constant=pytest.fail)
    assert document["n_units"] == len(recording.units) == 80
    assert document["n_spikes"] == recording.spikes.n_spikes
    assert [unit["unit_id"] for unit in document["units"]] == recording.unit_ids
    assert sum(place["units"] for place in document["regions"]) == 80
    assert sum(place["units"] for place in document["probes"]) == 80
    assert document["quality"]["passed"] == int(recording.units["passes_qc"].sum())
    assert document["optogenetics"]["tagged_units"] == int(recording.units["optotagged"].sum())
    film = next(row for row in document["stimuli"] if row["stimulus"] == "natural_movie_one")
    assert (film["presentations"], film["frames"], film["repeats"], film["blocks"]) == (1125, 225, 5, 2)
    assert film["frames_missing"] is None
    assert document["rules"]["optotagging"]["ratio"] == 2


def test_options_change_the_rules(small_sample):
    usual = json.loads(run(small_sample, "--json").stdout)
    strict = json.loads(
        run(
            small_sample, "--json", "--optotag-ratio", "1000", "--max-amplitude-cutoff", "0.01", "--narrow-below", "0.1"
        ).stdout
    )
    assert usual["optogenetics"]["tagged_units"] > strict["optogenetics"]["tagged_units"] == 0
    assert not any(row["source"] == "optotagging" for row in strict["cell_types"])
    assert usual["waveform_classes"].get("narrow", 0) > strict["waveform_classes"].get("narrow", 0)
    assert "amplitude_cutoff <= 0.01" in [row["criterion"] for row in strict["quality"]["criteria"]]
    shorter = json.loads(run(small_sample, "--json", "--optotag-pulse", "5").stdout)
    assert shorter["optogenetics"]["used_pulses"] == 30
    without = json.loads(run(small_sample, "--json", "--no-optotag").stdout)
    assert without["optogenetics"]["tagged_units"] is None


def test_a_rule_that_makes_no_sense_is_one_sentence(small_sample):
    with pytest.raises(NeurratorError, match=r"--optotag options.*evoked window"):
        run(small_sample, "--optotag-evoked", "9", "1")
    with pytest.raises(NeurratorError, match=r"^--optotag-ratio cannot"):
        run(small_sample, "--optotag-ratio", "-1")


def test_a_query_restricts_the_units(small_sample):
    document = json.loads(run(small_sample, "--json", "--units", 'within("VIS") and cell_type == "SST"').stdout)
    assert 0 < document["n_units"] < document["n_units_in_session"] == 80
    assert {unit["cell_type"] for unit in document["units"]} == {"SST"}
    assert document["n_spikes"] == sum(unit["n_spikes"] for unit in document["units"])
    text = run(small_sample, "--units", 'region == "LGd"').stdout
    assert "of 80" in text
    assert "CA1" not in text.split("What was shown")[0].split("Probes")[1].split("Where the units are")[1]
    with pytest.raises(NeurratorError, match="has a region"):
        run(small_sample, "--units", 'within("nowhere")')


def test_presentations_from_a_file(small_sample, tmp_path):
    file = tmp_path / "shown.csv"
    file.write_text("stimulus,start_time,stop_time,frame\nscenes,1,1.25,0\nscenes,1.25,1.5,-1\nscenes,1.5,1.75,1\n")
    document = json.loads(run(small_sample, "--json", "--presentations", file).stdout)
    (row,) = document["stimuli"]
    assert (row["stimulus"], row["presentations"], row["frames"], row["blanks"]) == ("scenes", 3, 2, 1)
    assert "scenes" in row["frames_missing"]


def test_partial_repeats_gaps_and_layers():
    recording = session()
    (row,) = summary(recording)["stimuli"]
    assert (row["repeats"], row["partial_repeats"], row["gaps"]) == (3, 2, 1)
    assert row["gaps_s"] == pytest.approx(1 / 30, abs=0.01)
    assert row["rate_hz"] == pytest.approx(30)
    (place,) = summary(recording)["regions"]
    assert (place["region"], place["layer"]) == ("VISp", "5")
    assert place["within"].startswith("VIS < Isocortex")
    text = account(recording)
    assert "not beside" in text
    assert "no table of optogenetic stimulation" in text


def test_a_session_that_says_nothing_is_accounted_for():
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict({1: np.array([], dtype=int), 2: np.array([], dtype=int)}, 30_000)
    recording = Recording.from_sorting(sorting)
    text = account(recording, width=40)
    assert "nothing: this source holds no presentations" in text
    assert "not known" in text
    json.dumps(summary(recording), allow_nan=False)


def test_numbers_that_are_none_are_null(tmp_path):
    recording = session(
        snr=[np.nan, np.inf, -np.inf, 1.0, 2.0, np.float32(3)], odd=[None, pd.NA, pd.NaT, "ü", b"x", 1j]
    )
    document = json.loads(json.dumps(summary(recording), allow_nan=False))
    assert [unit["snr"] for unit in document["units"]] == [None, None, None, 1.0, 2.0, 3.0]
    assert document["units"][3]["odd"] == "ü"
    assert "nan" not in account(recording).lower()


def test_a_narrow_terminal_is_kept_to():
    recording = session(**{f"a_long_column_{number}": 1.0 for number in range(20)})
    tables = account(recording, width=80).split("Units\n")[1].splitlines()
    assert max(map(len, tables[:7])) <= 80
    assert tables[-1].startswith("(too narrow for: ")
    assert "a_long_column_19" in account(recording)


def test_a_large_session_is_accounted_for_fast():
    rng = np.random.default_rng(0)
    n = 2500
    recording = session()
    units = pd.concat([recording.units] * (n // 6 + 1)).iloc[:n].set_axis(pd.RangeIndex(n, name="unit_id"))
    big = Recording(
        "big", "memory", recording.sorting, units.assign(region=rng.choice(["VISp", "CA1", "LGd"], n)), recording.presentations,
        SpikeTrains(list(range(n)), [np.array([1.0])] * n),
    )  # fmt: skip
    start = time.perf_counter()
    assert len(summary(big)["units"]) == n
    assert account(big).count("\n") > n
    assert time.perf_counter() - start < 5


def test_the_rules_are_told_with_the_numbers():
    assert "5 ms pulses" in str(OptotaggingRule(pulse_s=0.005))
    assert summary(session(), UnitRules(narrow_below_ms=0.5))["rules"]["narrow_below_ms"] == 0.5
