"""Rendered gratings drift the way the table says."""

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording.stimulus.gratings import GratingStimulus


def stimulus(orientations, tf=2.0):
    rows = [
        {"frame": i, "orientation": o, "temporal_frequency": tf, "start_time": i, "stop_time": i + 1.0}
        for i, o in enumerate(orientations)
    ]
    return GratingStimulus(pd.DataFrame(rows))


@pytest.mark.parametrize(("orientation", "along", "across"), [(0, 0, 1), (180, 0, 1), (90, 1, 0), (270, 1, 0)])
def test_stripes_lie_across_the_drift(orientation, along, across):
    frame = stimulus([orientation]).frame(0)[..., 0].astype(float)
    # Luminance does not change along the stripes.
    assert np.ptp(frame, axis=along).max() <= 1
    assert np.ptp(frame, axis=across).min() > 150


@pytest.mark.parametrize("orientation", [0, 45, 90, 135, 180, 225, 270, 315])
def test_the_pattern_moves_towards_the_orientation(orientation):
    gratings = stimulus([orientation], tf=1.0)
    first, later = (gratings.frame(k)[..., 0].astype(float) for k in (0, 2))
    step = np.array([np.cos(np.deg2rad(orientation)), -np.sin(np.deg2rad(orientation))]) * 2  # x right, y down
    gradient = np.stack(np.gradient(first)[::-1])
    moved = -(gradient * step[:, None, None]).sum(0)
    assert np.corrcoef(moved.ravel(), (later - first).ravel())[0, 1] > 0.8


def test_spatial_frequency_is_in_cycles_per_degree():
    row = stimulus([0]).frame(0)[0, :, 0].astype(float)
    spectrum = np.abs(np.fft.rfft(row - row.mean()))
    assert np.argmax(spectrum) == round(0.04 * 120)


def test_frames_are_numbered_by_condition_and_time():
    gratings = stimulus([0, 90])
    assert gratings.n_frames == 60
    assert gratings.frame_at(np.array([1, 1]), np.array([0.0, 0.5])).tolist() == [30, 45]
    assert gratings.describe(45)["orientation"] == 90


def test_blanks_only_cannot_be_rendered():
    with pytest.raises(NeurratorError, match="blank"):
        GratingStimulus(pd.DataFrame({"frame": [-1], "orientation": [np.nan], "start_time": [0], "stop_time": [1]}))
