"""Sessions that say nothing of the film are not called more than chance more often than α allows.

Every run is a session of its own: fresh spikes, drawn from the rates of the simulated units (shifted circularly against the film by a lag of its own), or from a
hippocampus simulated anew. The decoder was fitted on the true session. All goes through what ``neurrator evaluate`` does: windows, decoding, narration, p-values.
"""

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.evaluation.config import EvaluateConfig
from napari_neurrator.evaluation.draws import draw
from napari_neurrator.evaluation.judging import make_bench
from napari_neurrator.evaluation.material import gather
from napari_neurrator.evaluation.null_frames import NullFrames
from napari_neurrator.evaluation.sizes import judge_size
from napari_neurrator.evaluation.statistics import false_alarm_bounds

RUNS, ALPHA = 100, 0.05
BINS_A_FRAME = 4


class Bench:
    """Judges made-up spikes at the tested moments of the small session, which come from one showing."""

    def __init__(self, sample, decoder, cache, units):
        config = EvaluateConfig(
            recording=str(sample),
            decoder=str(decoder),
            units=units,
            moments=250,
            narrated=6,
            sentence_model=None,
            n_permutations=199,
        )
        self.material = gather(config, lambda *a: None)
        assert self.material.moments["repeat"].nunique() == 1
        self.bench = make_bench(self.material, [], lambda *a: None)
        self.nulls = NullFrames(self.material, [])
        self.cache = cache
        self.window = self.material.stored.info.window
        assert self.window.bin_s == pytest.approx(1 / 30 / BINS_A_FRAME)

    def p_values(self, counts):
        """Return the p-value of every score, from counts along the showing, (bin, unit)."""
        material, window = self.material, self.window
        first = self.material.moments["frame"].to_numpy() * BINS_A_FRAME + round(window.lag_s / window.bin_s)
        rows = first[:, None] + np.arange(window.n_bins)
        material.windows = counts[rows % len(counts)].astype(np.uint8)
        drawn = draw(material, material.unit_ids, self.bench.narrator, self.cache)
        size = len(material.unit_ids)
        return judge_size(material, self.nulls, self.bench.judge, size, [drawn], "")[0].p

    def rates(self):
        """Return the mean counts along a showing, over showings and slightly smoothed, (bin, unit)."""
        shown, window = self.material.recording.presentations, self.window
        begins = shown[shown["frame"] == 0]["start_time"].to_numpy()
        n_bins = (int(shown["frame"].max()) + 1) * BINS_A_FRAME
        spikes = self.material.recording.spikes
        mean = spikes.count(begins, n_bins, window.bin_s, self.material.unit_ids).astype(float).mean(0)
        kernel = np.array([0.25, 0.5, 0.25])
        return np.apply_along_axis(lambda one: np.convolve(one, kernel, mode="same"), 0, mean)


def within_bounds(alarms):
    low, high = false_alarm_bounds(RUNS, ALPHA)
    assert low <= alarms["two_way"] <= high, alarms
    assert low <= alarms["patch_cosine"] <= high, alarms
    # Few sentences are said, and ties count against a finding: this test may only be too careful.
    assert alarms["label_accuracy"] <= high, alarms


@pytest.mark.slow
def test_spikes_shifted_against_the_film(small_sample, small_decoder, tmp_path):
    bench = Bench(small_sample, small_decoder, tmp_path, None)
    rates = bench.rates()
    rng = np.random.default_rng(1)
    # The test is able to find something: the same fresh spikes, not shifted.
    for _ in range(3):
        assert bench.p_values(rng.poisson(rates))["two_way"] <= ALPHA
    alarms = dict.fromkeys(("two_way", "patch_cosine", "label_accuracy"), 0)
    for _ in range(RUNS):
        shifted = np.roll(rates, rng.integers(len(rates)), axis=0)
        p = bench.p_values(rng.poisson(shifted))
        for name in alarms:
            alarms[name] += p[name] <= ALPHA
    within_bounds(alarms)


@pytest.mark.slow
def test_a_hippocampus(small_sample, small_decoder, tmp_path):
    from napari_neurrator.recording.sample.neurons import simulate

    bench = Bench(small_sample, small_decoder, tmp_path, 'region == "CA1"')
    n_units = len(bench.material.unit_ids)
    placed = pd.DataFrame({"region": ["CA1"] * n_units, "peak_channel_id": 0, "latency_s": 0.0})
    n_bins = bench.rates().shape[0]
    edges = np.arange(n_bins + 1) * bench.window.bin_s
    starts = np.arange(n_bins // BINS_A_FRAME) / 30
    alarms = dict.fromkeys(("two_way", "patch_cosine", "label_accuracy"), 0)
    for run in range(RUNS):
        trains = simulate(placed, None, starts, np.arange(len(starts)), edges[-1] + 1, (384, 288), 5000 + run).trains
        p = bench.p_values(np.stack([np.histogram(one, edges)[0] for one in trains], axis=1))
        for name in alarms:
            alarms[name] += p[name] <= ALPHA
    within_bounds(alarms)
