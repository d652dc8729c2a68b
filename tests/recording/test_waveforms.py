"""Narrow and broad spikes."""

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.recording.waveforms import durations_ms, trough_to_peak_ms, waveform_class


def spike(trough_ms, peak_ms, rate_hz=30_000, n=120, sign=-1.0):
    time = np.arange(n) / rate_hz * 1000
    return sign * (np.exp(-((time - trough_ms) ** 2) / 0.01) - 0.4 * np.exp(-((time - peak_ms) ** 2) / 0.03))


@pytest.mark.parametrize("duration", [0.21, 0.333, 0.4, 0.55, 0.81])
@pytest.mark.parametrize("rate", [20_000, 30_000])
def test_trough_to_peak_is_found_between_samples(duration, rate):
    assert trough_to_peak_ms(spike(1.003, 1.003 + duration, rate), rate) == pytest.approx(duration, abs=0.02)


def test_the_channel_with_the_largest_swing_counts():
    template = np.stack([0.1 * spike(1, 1.8), spike(1, 1.3), np.zeros(120)], axis=1)
    assert trough_to_peak_ms(template, 30_000) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    "template",
    [
        np.zeros(50),
        np.zeros(0),
        np.zeros((0, 3)),
        np.full(50, np.nan),
        spike(1, 1.5, sign=1.0),
        np.linspace(0, -1, 50),
    ],
)
def test_what_has_no_trough_to_peak_is_nan(template):
    assert np.isnan(trough_to_peak_ms(template, 30_000))


def test_classes_by_the_usual_border():
    durations = pd.Series([0.2, 0.399, 0.4, 0.9, -0.3, 0.0, 5.0, np.nan], index=list("abcdefgh"))
    assert waveform_class(durations).tolist() == ["narrow", "narrow", "broad", "broad", "", "", "", ""]
    assert waveform_class(durations, 0.5)["c"] == "narrow"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("waveform_duration", [0.3, 0.6]),
        ("peak_to_trough_duration", [0.0003, 0.0006]),
        ("peak_to_valley", [0.0003, 0.0006]),
        ("peakToTrough", [0.3, 0.6]),
        ("waveform_duration", [0.0003, 0.0006]),
        ("waveform_duration", ["0.3", "0.6"]),
    ],
)
def test_durations_come_in_milliseconds_from_every_source(column, values):
    found, name = durations_ms(pd.DataFrame({column: values}))
    np.testing.assert_allclose(found, [0.3, 0.6])
    assert name == column


def test_a_column_without_values_is_passed_over():
    table = pd.DataFrame({"waveform_duration": [np.nan, np.nan], "peakToTrough": [0.3, np.nan]})
    assert durations_ms(table)[1] == "peakToTrough"
    assert durations_ms(table[["waveform_duration"]])[1] == ""
