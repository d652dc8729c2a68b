"""What can be narrated: every frame shown, without blanks and pauses."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import moments
from napari_neurrator.recording.presentations import tidy_presentations
from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
from napari_neurrator.recording.stimulus.gratings import GratingStimulus


def recording(table):
    shown, _ = tidy_presentations(table, "test")
    return SimpleNamespace(presentations_of=lambda name: shown[shown["stimulus"] == name])


def test_blanks_and_other_stimuli_are_left_out():
    table = pd.DataFrame(
        {
            "stimulus": ["a", "a", "b", "a", "a"],
            "start_time": [0.0, 1, 2, 3, 4],
            "stop_time": [1.0, 2, 3, 4, 5],
            "frame": [4, -1, 2, 4, 1],
        }
    )
    found = moments(recording(table), "a", ArrayStimulus(np.zeros((5, 2, 2), np.uint8)))
    assert found.to_dict("list") == {
        "presentation": [0, 3, 4], "frame": [4, 4, 1], "time": [0.0, 3.0, 4.0], "start_time": [0.0, 3.0, 4.0], "stop_time": [1.0, 4.0, 5.0],
        "repeat": [0, 1, 0],
    }  # fmt: skip


def test_a_shuffled_movie_keeps_its_frames_and_showings():
    rng = np.random.default_rng(0)
    frames = np.concatenate([rng.permutation(30) for _ in range(4)])
    onset = np.arange(120) / 30
    table = pd.DataFrame({"stimulus": "a", "start_time": onset, "stop_time": onset + 1 / 30, "frame": frames})
    found = moments(recording(table), "a", ArrayStimulus(np.zeros((30, 2, 2), np.uint8)))
    assert found["frame"].tolist() == frames.tolist()
    assert found["repeat"].tolist() == np.repeat(range(4), 30).tolist()


def test_only_blanks_give_no_moments():
    table = pd.DataFrame({"stimulus": "a", "start_time": [0.0], "stop_time": [1.0], "frame": [-1]})
    assert moments(recording(table), "a", ArrayStimulus(np.zeros((5, 2, 2), np.uint8))).empty


def gratings(**columns):
    table = pd.DataFrame(
        {
            "stimulus": "g",
            "start_time": [0.0, 3.0, 6.0],
            "stop_time": [2.0, 5.0, 8.0],
            "orientation": [90, 0, 90],
            **columns,
        }
    )
    shown = recording(table)
    return shown, GratingStimulus(shown.presentations_of("g"), "g")


def test_steps_stay_within_presentations():
    shown, stimulus = gratings(temporal_frequency=2.0)
    table = moments(shown, "g", stimulus, step_s=0.75)
    assert table["time"].tolist() == [0, 0.75, 1.5, 3, 3.75, 4.5, 6, 6.75, 7.5]
    assert ((table["time"] >= table["start_time"]) & (table["time"] < table["stop_time"])).all()
    assert table["repeat"].tolist() == [0] * 6 + [1] * 3


def test_what_stands_still_is_one_frame_a_condition():
    shown, stimulus = gratings(spatial_frequency=0.04)
    assert stimulus.n_frames == 2
    assert moments(shown, "g", stimulus, step_s=1.0)["frame"].tolist() == [1, 1, 0, 0, 1, 1]


def test_a_step_too_small_is_refused():
    shown, stimulus = gratings(temporal_frequency=2.0)
    with pytest.raises(NeurratorError, match="make it longer"):
        moments(shown, "g", stimulus, step_s=1e-9)
