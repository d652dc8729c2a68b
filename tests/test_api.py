"""The same work from Python, and how it shows itself in a notebook."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import napari_neurrator as nn
from napari_neurrator.errors import NeurratorError
from napari_neurrator.export.files import read_narrations


@pytest.fixture(scope="module")
def recording(small_sample):
    return nn.open_recording(small_sample)


@pytest.fixture(scope="module")
def narrations(recording, small_decoder):
    return nn.narrate(recording, units='region != "CA1"', frames=[10, 90, 170], decoder=small_decoder)


def test_importing_the_functions_imports_no_models():
    code = "import sys; from napari_neurrator import narrate, fit, evaluate; assert not {'torch', 'transformers', 'napari', 'qtpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_narrations_are_those_of_the_command_line(narrations, recording, small_decoder, tmp_path):
    assert [one.frame for one in narrations] == [10, 90, 170]
    assert len(narrations[:2]) == 2
    assert "more than chance" in narrations.summary
    again = read_narrations(narrations.to_jsonl(tmp_path / "n.jsonl"))
    assert again == narrations.lines
    named = nn.narrate(recording, units=np.array(narrations[0].unit_ids), frames=10, decoder=small_decoder)
    assert named[0].text == narrations[0].text
    assert named[0].config.unit_ids == narrations[0].unit_ids
    table = narrations.to_frame()
    assert isinstance(table, pd.DataFrame)
    assert table["text"].tolist() == [one.text for one in narrations]


def test_html_shows_frame_sentence_evidence_and_concepts_and_escapes(narrations):
    shown = narrations._repr_html_()
    assert shown.count("data:image/png;base64,") == 3
    for one in narrations:
        assert one.text in shown
        assert f"{one.patch_cosine:.3f}" in shown
        assert one.concepts[0]["name"] in shown
    assert (
        "<script>"
        not in nn.api.Narrations(
            [narrations[0].model_copy(update={"text": "<script>"})], narrations.recording, narrations.stimulus
        )._repr_html_()
    )


def test_what_is_not_there_is_one_sentence(recording, small_decoder):
    for given, words in (
        ({"units": ["x"]}, "not among"),
        ({"frames": "x"}, "cannot be read"),
        ({"frames": []}, "not numbers"),
        ({"decoder": "/nowhere"}, "no decoder"),
        ({"decoder": None}, "No decoder is kept"),
    ):
        with pytest.raises(NeurratorError, match=words):
            nn.narrate(recording, **{"decoder": small_decoder, **given})


def test_a_sorting_in_memory_is_fitted_and_narrated(recording, small_sample, tmp_path):
    """Any SpikeInterface sorting will do: its spikes here are those of the sample."""
    from spikeinterface.core import NumpySorting

    units = recording.select_units('region == "VISp"')
    trains = {str(unit): np.round(recording.spikes.times(unit) * 30_000).astype(np.int64) for unit in units}
    sorting = NumpySorting.from_unit_dict([trains], sampling_frequency=30_000)
    mine = nn.Recording.from_sorting(sorting, recording.presentations, name="mine")
    movie = small_sample.with_name("natural_movie_one.mp4")
    decoder = nn.fit(mine, "natural_movie_one", tmp_path / "d", frames=movie, options={"calibration_steps": 30})
    assert "mine" in decoder._repr_html_()
    said = nn.narrate(mine, frames=[90], decoder=decoder)
    assert said[0].text
    assert said[0].unit_ids == [str(unit) for unit in units]
    with pytest.raises(NeurratorError, match="was fitted on the recording 'mine'"):
        nn.narrate(recording, decoder=decoder)


def test_pynapple_gets_the_trains_and_the_units_table(recording):
    pynapple = pytest.importorskip("pynapple")
    units = recording.select_units('region == "VISp"')
    group = recording.to_pynapple(units)
    assert isinstance(group, pynapple.TsGroup)
    assert list(group.get_info("unit_id")) == units
    assert set(group.get_info("region")) == {"VISp"}
    for number, unit in enumerate(units[:3]):
        assert group[number].times() == pytest.approx(recording.spikes.times(unit))
    assert len(recording.to_pynapple()) == len(recording.unit_ids)
    with pytest.raises(NeurratorError, match="no unit 'x'"):
        recording.to_pynapple(["x"])
