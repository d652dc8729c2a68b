"""Two parts of a film as two films, in sessions that differ."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from napari_neurrator.evaluation.studies.config import MoviesStudy
from napari_neurrator.evaluation.studies.parts import fit_on_parts


@pytest.fixture
def sessions(monkeypatch):
    """Return two sessions that call their film differently, and have its frames in different files."""
    shown = pd.DataFrame({"frame": range(20), "start_time": 0.1, "stop_time": 0.2, "repeat": 0})

    def opened(source, presentations=None):
        name = {"a.nwb": "movie_a", "b.nwb": "movie_b"}[source]
        return SimpleNamespace(stimulus_name=lambda _: name, presentations_of=lambda _: shown, source=Path(source))

    monkeypatch.setattr("napari_neurrator.recording.open_recording", opened)
    return [
        {"recording": f"{name}.nwb", "fit": {"stimulus": f"movie_{name}", "frames": f"{name}.npy"}, "name": name}
        for name in "ab"
    ]


def test_every_session_keeps_its_own_film_and_frames(sessions, tmp_path):
    config = MoviesStudy(sessions=sessions, parts=[(0, 9), (10, 19)], sizes=[3])
    found = fit_on_parts(config, tmp_path)
    told = [study.evaluation(study.sessions[0], "d") for study in found]
    assert [one.stimulus for one in told] == ["movie_a_10_to_19", "movie_b_10_to_19"]
    assert [one.frames for one in told] == ["a.npy", "b.npy"]
    assert [study.sessions[0].fit.stimulus for study in found] == ["movie_a_0_to_9", "movie_b_0_to_9"]
    assert [Path(one.presentations).name for one in told] == ["parts_1.csv", "parts_2.csv"]
