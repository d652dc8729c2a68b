"""Optotagging finds the units that answer to light, and only those."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import SpikeTrains
from napari_neurrator.recording.cell_types import OptotaggingRule, cell_type_of_genotype, chosen_pulses, optotag

LENGTH_S = 200.0


def table(n=300, duration=0.010, start=5.0, step=0.5, name="pulse", condition="a single square pulse", level=1.0):
    onset = start + step * np.arange(n)
    return pd.DataFrame(
        {
            "start_time": onset,
            "stop_time": onset + duration,
            "condition": condition,
            "level": level,
            "stimulus_name": name,
            "duration": duration,
        }
    )


def poisson(rate, rng):
    return np.sort(rng.uniform(0, LENGTH_S, rng.poisson(rate * LENGTH_S)))


def driven(rate, factor, pulses, rng, window=(0.0, 0.010)):
    """Poisson spikes with the rate multiplied within a window after each onset."""
    more = rng.poisson(rate * (factor - 1) * (window[1] - window[0]), len(pulses))
    onsets = np.repeat(pulses["start_time"].to_numpy(), more)
    return np.sort(np.concatenate([poisson(rate, rng), onsets + rng.uniform(*window, len(onsets))]))


def artefacts(rate, pulses, rng):
    """Poisson spikes with a false one at every on- and offset."""
    edges = np.concatenate([pulses["start_time"] + rng.uniform(0, 0.0008), pulses["stop_time"] - rng.uniform(0, 0.0008), pulses["stop_time"] + 0.0002])  # fmt: skip
    return np.sort(np.concatenate([poisson(rate, rng), edges]))


def test_tags_are_those_of_the_simulation():
    rng = np.random.default_rng(0)
    pulses = table()
    trains = [driven(10, 4, pulses, rng) for _ in range(50)] + [poisson(10, rng) for _ in range(200)]
    trains += [artefacts(5, pulses, rng) for _ in range(50)]
    tags = optotag(SpikeTrains(list(range(300)), trains), pulses)
    assert tags["tagged"][:50].all()
    assert tags["tagged"][50:250].sum() <= 2
    assert tags["tagged"][250:].sum() <= 1, "spikes at on- and offset are artefacts"
    assert (tags["n_pulses"] == 300).all()
    np.testing.assert_allclose(tags["baseline_hz"][:250].mean(), 10, rtol=0.05)
    np.testing.assert_allclose(tags["evoked_hz"][:50].mean(), 40, rtol=0.05)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(8, 60), factor=st.floats(3, 12), seed=st.integers(0, 1000), n=st.integers(200, 380))
def test_a_threefold_answer_is_tagged_and_a_steady_unit_is_not(rate, factor, seed, n):
    rng = np.random.default_rng(seed)
    pulses = table(n)
    # The regulariser makes the border of a unit at rate r lie at 2 (r + 1).
    factor = max(factor, 3 * (rate + 1) / rate)
    tags = optotag(SpikeTrains(["a", "b"], [driven(rate, factor, pulses, rng), poisson(rate, rng)]), pulses)
    assert tags["tagged"].tolist() == [True, False]


def test_the_numbers_are_those_of_the_rule_by_hand():
    pulses = table(20, start=1.0)
    onset = pulses["start_time"].to_numpy()
    # Per pulse: one before the baseline, one in it, one between, one artefact, two evoked, one artefact at offset.
    times = np.sort(np.concatenate([onset + t for t in (-0.0105, -0.005, -0.001, 0.0005, 0.002, 0.008, 0.0095)]))
    tags = optotag(SpikeTrains([7], [times]), pulses).loc[7]
    assert tags["evoked_hz"] == pytest.approx(2 / 0.008)
    assert tags["baseline_hz"] == pytest.approx(1 / 0.008)
    assert tags["ratio"] == pytest.approx(250 / 126)
    assert not tags["tagged"]
    other = optotag(SpikeTrains([7], [times]), pulses, OptotaggingRule(regulariser_hz=0, ratio=1.9)).loc[7]
    assert other["ratio"] == pytest.approx(2)
    assert other["tagged"]


def test_chance_can_be_ruled_out():
    rng = np.random.default_rng(1)
    pulses = table(40)
    spikes = SpikeTrains(list(range(1010)), [poisson(2, rng) for _ in range(1000)] + [driven(10, 15, pulses, rng) for _ in range(10)])  # fmt: skip
    usual = optotag(spikes, pulses)["tagged"]
    sure = optotag(spikes, pulses, OptotaggingRule(max_p=0.001))["tagged"]
    assert usual[:1000].sum() > 10 * max(sure[:1000].sum(), 1)
    assert sure[1000:].all()


def test_a_silent_unit_is_not_tagged():
    tags = optotag(SpikeTrains([1, 2], [np.array([]), np.array([1.0])]), table(), OptotaggingRule(regulariser_hz=0))
    assert not tags["tagged"].any()
    assert np.isfinite(tags["ratio"]).all()


def test_only_single_pulses_of_the_right_length_count():
    kinds = [
        table(30),
        table(30, duration=0.005, start=20.1),
        table(5, duration=1.0, start=40, step=3, name="raised_cosine", condition="half-period of a cosine wave"),
        table(5, duration=1.0, start=60, step=3, name="fast_pulses", condition="2.5 ms pulses at 10 Hz"),
        table(9, duration=0.01, start=80, name="fast_pulses", condition="10 ms pulses at 10 Hz"),
    ]
    everything = pd.concat(kinds, ignore_index=True)
    assert len(chosen_pulses(everything)) == 30
    assert len(chosen_pulses(everything.sample(frac=1, random_state=0))) == 30
    assert len(chosen_pulses(everything, OptotaggingRule(pulse_s=0.005))) == 30
    assert len(chosen_pulses(everything, OptotaggingRule(pulse_s=0.0075, tolerance_s=0.0025))) == 60
    # Older tables number the conditions and have no names.
    assert len(chosen_pulses(everything.assign(condition=2).drop(columns="stimulus_name").iloc[:65])) == 30
    assert len(chosen_pulses(everything[["start_time", "stop_time"]].iloc[:65])) == 30
    assert len(chosen_pulses(everything[["start_time", "duration"]].iloc[:65])) == 30


def test_levels_duplicates_and_light_in_the_baseline():
    levels = pd.concat([table(20, level=1.0), table(20, start=50, level=1.3)], ignore_index=True)
    assert len(chosen_pulses(levels)) == 40
    assert (chosen_pulses(levels, OptotaggingRule(level="highest"))["level"] == 1.3).all()
    nameless = levels.assign(level=np.nan)
    assert len(chosen_pulses(nameless, OptotaggingRule(level="highest"))) == 40
    assert len(chosen_pulses(pd.concat([levels, levels]))) == 40
    ramp = table(1, duration=1.0, start=5.2, name="raised_cosine")
    assert len(chosen_pulses(pd.concat([levels, ramp]))) == 38, "two pulses begin in the light of the ramp"


def test_a_shorter_pulse_shortens_the_evoked_window():
    pulses = table(20, duration=0.005)
    onset = pulses["start_time"].to_numpy()
    # At 4.5 ms the offset's artefact begins.
    spikes = SpikeTrains([1], [np.sort(np.concatenate([onset + 0.002, onset + 0.0045, onset + 0.007]))])
    tags = optotag(spikes, pulses, OptotaggingRule(pulse_s=0.005)).loc[1]
    assert tags["evoked_hz"] == pytest.approx(1 / 0.003)
    with pytest.raises(NeurratorError, match="Nothing is left"):
        optotag(spikes, table(20, duration=0.002), OptotaggingRule(pulse_s=0.002))


@pytest.mark.parametrize(
    "pulses",
    [table(5), table(0), table(50, duration=0.1), table(50, name="raised_cosine"), table(50).assign(start_time=np.nan)],
)
def test_too_few_pulses_are_one_sentence(pulses):
    with pytest.raises(NeurratorError, match="at least 10 single light pulses of 10 ms"):
        chosen_pulses(pulses)


def test_a_table_without_times_is_refused():
    with pytest.raises(NeurratorError, match="stop_time"):
        chosen_pulses(pd.DataFrame({"start_time": [1.0], "level": [1.0]}))


@pytest.mark.parametrize(
    "wrong",
    [{"evoked_stop_s": 0.0005}, {"baseline_stop_s": -0.02}, {"ratio": 0}, {"level": "some"}, {"nonsense": 1}],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        OptotaggingRule(**wrong)


def test_a_whole_session_is_tagged_fast():
    rng = np.random.default_rng(0)
    pulses = table(400, step=0.4)
    spikes = SpikeTrains(list(range(2500)), [poisson(8, rng) for _ in range(2500)])
    optotag(SpikeTrains([0], [np.array([1.0])]), pulses)
    start = time.perf_counter()
    optotag(spikes, pulses)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("genotype", "expected"),
    [
        ("Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt", "SST"),
        ("Pvalb-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt", "PV"),
        ("Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt", "VIP"),
        ("PV-Cre x Ai32", "PV"),
        ("Pvalb-T2A-CreERT2", "PV"),
        ("B6.129-Sst<tm2.1(cre)Zjh>/J", "SST"),
        ("SOM-iCre", "SST"),
        ("vip-ires-cre", "VIP"),
        ("Cux2-CreERT2/wt;Ai32", "Cux2"),
        ("Ntsr1-Cre_GN220/wt", "Ntsr1"),
        ("Slc17a7-IRES2-Cre/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt", "Slc17a7"),
        ("Sst-IRES-Cre/wt;Vip-IRES-Cre/wt", "SST+VIP"),
        ("wt/wt", None),
        ("C57BL/6J", None),
        ("Ai32(RCL-ChR2(H134R)_EYFP)/wt", None),
        ("", None),
        (None, None),
    ],
)
def test_the_genotype_says_which_cells_answer(genotype, expected):
    assert cell_type_of_genotype(genotype) == expected
