"""Sessions open with what is in them; what cannot be opened is said in one sentence."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import Recording, moments, open_recording, open_stimulus
from napari_neurrator.recording.inspect import account


def real_data(name: str) -> Path:
    folder = Path(os.environ.get("NEURRATOR_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / name).exists():
        pytest.skip(f"the real recording {name} is not here (set NEURRATOR_REAL_DATA to its folder)")
    return folder / name


def test_the_sample_reads_back_as_it_was_simulated(small_sample):
    recording = open_recording(small_sample)
    truth = json.loads((small_sample.parent / "truth.json").read_text())
    assert recording.simulated
    assert "SIMULATED" in account(recording)
    assert len(recording.units) == 80
    assert list(recording.units["region"]) == [unit["region"] for unit in truth["units_in_file_order"]]
    assert list(recording.units["cell_type"]) == [unit["cell_type"] for unit in truth["units_in_file_order"]]
    assert recording.unit_ids != sorted(recording.unit_ids), "Allen's ids do not ascend"
    assert recording.units[["x_um", "y_um"]].notna().all().all()
    shown = recording.presentations_of("natural_movie_1")
    assert len(shown) == 225 * 5
    assert shown["repeat"].max() == 4
    assert np.all(np.diff(shown["start_time"]) > 0)


def test_query_typos_name_the_columns_and_empty_selections_the_values(small_sample):
    recording = open_recording(small_sample)
    assert 0 < len(recording.select_units('region == "VISp" and y_um > 2700')) < 80
    with pytest.raises(NeurratorError, match="did you mean 'region'"):
        recording.select_units('regoin == "VISp"')
    with pytest.raises(NeurratorError, match="VISp"):
        recording.select_units('region == "V1"')
    for bad in ("region ==", '@__import__("os")', "y_um", "().__class__"):
        with pytest.raises(NeurratorError):
            recording.select_units(bad)


def test_the_film_is_found_beside_the_recording_and_frames_are_exact(small_sample):
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    assert (stimulus.n_frames, stimulus.frame_shape, stimulus.frame_rate_hz) == (225, (288, 384, 3), 30.0)
    forward = stimulus.frames(range(60, 80))
    fresh, _ = open_stimulus(recording, str(small_sample.parent / "natural_movie_one.mp4"))
    for index in (79, 3, 61, 224, 0, 62):
        shown = fresh.frame(index)
        if 60 <= index < 80:
            np.testing.assert_array_equal(shown, forward[index - 60])
    table = moments(recording, name, stimulus)
    assert list(table.columns) == ["presentation", "frame", "time", "start_time", "stop_time", "repeat"]
    assert len(table) == 225 * 5
    assert stimulus.as_dask()[3].compute().shape == (288, 384, 3)


def test_a_stimulus_that_is_not_there_lists_those_that_are(small_sample):
    with pytest.raises(NeurratorError, match="natural_movie_one"):
        open_stimulus(open_recording(small_sample), "natural_movie_nine")


def test_a_movie_of_another_length_is_refused_with_both_numbers(small_sample, tmp_path):
    frames = tmp_path / "frames.npy"
    np.save(frames, np.zeros((7, 20, 30), dtype=np.uint8))
    with pytest.raises(NeurratorError, match=r"7.*224"):
        open_stimulus(open_recording(small_sample), "natural_movie_one", frames=frames)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_one_sentence(small_sample, tmp_path, damage):
    bad = tmp_path / "bad.nwb"
    data = small_sample.read_bytes()
    bad.write_bytes({"cut": data[: len(data) // 3], "text": b"not an hdf5 file" * 10, "empty": b""}[damage])
    with pytest.raises(NeurratorError, match=r"bad\.nwb"):
        open_recording(bad)


def test_missing_and_foreign_paths_say_what_is_supported(tmp_path):
    for source in (tmp_path / "nothing.nwb", tmp_path, "sampel"):
        with pytest.raises(NeurratorError, match="NWB"):
            open_recording(source)


def test_an_nwb_file_without_units_says_so(tmp_path):
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile

    path = tmp_path / "empty.nwb"
    with NWBHDF5IO(str(path), "w") as io:
        io.write(NWBFile("nothing", "id", datetime(2026, 1, 1, tzinfo=UTC)))
    with pytest.raises(NeurratorError, match="no sorted units"):
        open_recording(path)


def phy_folder(folder: Path, params: str = "sample_rate = 30000.\ndtype = 'int16'\n") -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    (folder / "params.py").write_text(params)
    clusters = rng.integers(0, 4, 500)
    np.save(folder / "spike_times.npy", np.sort(rng.integers(0, 60_000, 500)))
    np.save(folder / "spike_clusters.npy", clusters)
    np.save(folder / "spike_templates.npy", clusters)
    positions = np.stack([np.tile([0.0, 32.0], 8), np.repeat(np.arange(8) * 20.0, 2)], axis=1)
    templates = np.zeros((4, 30, 16), dtype=np.float32)
    for number in range(4):
        templates[number, 10, 4 * number] = -1
    np.save(folder / "templates.npy", templates)
    np.save(folder / "channel_positions.npy", positions)
    np.save(folder / "channel_map.npy", np.arange(16))
    pd.DataFrame({"cluster_id": range(4), "group": ["good"] * 4}).to_csv(
        folder / "cluster_group.tsv", sep="\t", index=False
    )
    return folder


def test_a_kilosort_folder_opens_with_positions(tmp_path):
    recording = open_recording(phy_folder(tmp_path / "ks"))
    assert recording.unit_ids == [0, 1, 2, 3]
    assert recording.units["y_um"].tolist() == [0.0, 40.0, 80.0, 120.0]
    assert recording.spikes.n_spikes == 500
    assert "nothing" in account(recording)


def test_params_with_code_are_refused_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    folder = phy_folder(tmp_path / "ks", f"sample_rate = 30000\nopen({str(mark)!r}, 'w')\n")
    with pytest.raises(NeurratorError, match="not run"):
        open_recording(folder)
    assert not mark.exists()


def test_units_without_positions_open_with_a_warning(tmp_path):
    folder = phy_folder(tmp_path / "ks")
    (folder / "templates.npy").unlink()
    recording = open_recording(folder)
    assert recording.units["x_um"].isna().all()
    assert any("no position" in warning for warning in recording.warnings)


def test_pickled_arrays_are_refused(tmp_path):
    folder = phy_folder(tmp_path / "ks")
    np.save(folder / "spike_times.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(NeurratorError, match=r"spike_times\.npy"):
        open_recording(folder)


@pytest.mark.parametrize("missing", ["params.py", "spike_times.npy"])
def test_half_a_kilosort_folder_says_what_it_lacks(tmp_path, missing):
    folder = phy_folder(tmp_path / "ks")
    (folder / missing).unlink()
    with pytest.raises(NeurratorError, match=missing):
        open_recording(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("spike_times.npy", np.arange(20)),
        ("spike_times.npy", np.full(500, np.nan)),
        ("spike_clusters.npy", np.arange(20)),
    ],
)
def test_kilosort_files_that_do_not_fit_together_are_damage(tmp_path, name, array):
    folder = phy_folder(tmp_path / "ks")
    np.save(folder / name, array)
    with pytest.raises(NeurratorError, match=r"spike_times|spike_clusters"):
        open_recording(folder)


@pytest.mark.parametrize(
    ("name", "array"), [("templates.npy", np.zeros((5, 6))), ("channel_positions.npy", np.zeros(5))]
)
def test_odd_templates_or_channels_only_cost_the_positions(tmp_path, name, array):
    folder = phy_folder(tmp_path / "ks")
    np.save(folder / name, array)
    recording = open_recording(folder)
    assert recording.units["x_um"].isna().all()
    assert any("shape" in warning for warning in recording.warnings)


@pytest.mark.parametrize("rate", ["1e999", "True", "0", "'30000'"])
def test_a_sample_rate_that_is_none_is_refused(tmp_path, rate):
    with pytest.raises(NeurratorError, match="sample rate"):
        open_recording(phy_folder(tmp_path / "ks", f"sample_rate = {rate}\n"))


def test_shanks_follow_the_nearest_channel(tmp_path):
    folder = phy_folder(tmp_path / "ks")
    np.save(folder / "channel_shanks.npy", np.repeat([0, 1], 8))
    assert open_recording(folder).units["shank"].tolist() == [0, 0, 1, 1]


def test_a_units_table_that_names_a_unit_twice_is_refused():
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict({"u": np.array([1])}, sampling_frequency=30_000)
    with pytest.raises(NeurratorError, match="more than once"):
        Recording.from_sorting(sorting, units=pd.DataFrame({"y_um": [1.0, 2.0]}, index=["u", "u"]))


def test_any_sorting_of_spikeinterface_becomes_a_recording():
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict({"u1": np.array([30, 60]), "u2": np.array([90])}, sampling_frequency=30_000)
    shown = pd.DataFrame(
        {"stimulus": "film", "start_time": [0.0, 1.0, 2.0], "stop_time": [1.0, 2.0, 3.0], "frame": [0, -1, 0]}
    )
    recording = Recording.from_sorting(
        sorting, presentations=shown, units=pd.DataFrame({"y_um": [5.0, 6.0]}, index=["u1", "u2"])
    )
    assert recording.presentations["repeat"].tolist() == [0, 0, 1]
    assert recording.stimuli().iloc[0].to_dict() | {"frames": 1, "repeats": 2} == recording.stimuli().iloc[0].to_dict()
    np.testing.assert_allclose(recording.spikes.times("u1"), [0.001, 0.002])


def test_presentations_that_run_backwards_are_refused():
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict({"u": np.array([1])}, sampling_frequency=30_000)
    shown = pd.DataFrame({"stimulus": "film", "start_time": [1.0], "stop_time": [0.5]})
    with pytest.raises(NeurratorError, match="stop before they start"):
        Recording.from_sorting(sorting, presentations=shown)


def test_the_real_grating_session():
    recording = open_recording(real_data("allen_visp_732592105_gratings.nwb"))
    assert len(recording.units) == 110
    assert recording.spikes.n_spikes == 1_029_728
    assert set(recording.units["region"]) == {"VISp"}
    assert recording.units["y_um"].between(2000, 3500).all()
    assert not recording.simulated
    stimulus, name = open_stimulus(recording, "drifting_gratings")
    table = moments(recording, name, stimulus)
    assert len(table) == 598
    for row in table.iloc[:20].itertuples():
        assert (
            stimulus.describe(row.frame)["orientation"] == recording.presentations.loc[row.presentation, "orientation"]
        )


def test_the_real_kilosort_folder():
    recording = open_recording(real_data("kilosort4_np3a_5s"))
    assert len(recording.units) == 86
    assert recording.units[["x_um", "y_um"]].notna().all().all()
    assert recording.spikes.n_spikes == 15_980


def test_a_session_without_presentations_gets_them_from_a_table(tmp_path, small_sample):
    (tmp_path / "shown.csv").write_text("stimulus,start_time,stop_time,frame\nscenes,1.0,1.25,4\nscenes,1.25,1.5,7\n")
    recording = open_recording(small_sample, presentations=tmp_path / "shown.csv")
    assert recording.presentations[["stimulus", "frame"]].to_numpy().tolist() == [["scenes", 4], ["scenes", 7]]


def test_rules_decide_which_units_pass_quality_control(small_sample):
    from napari_neurrator.recording.describe_units import UnitRules
    from napari_neurrator.recording.quality import QualityRule

    usual, strict = (
        open_recording(small_sample),
        open_recording(small_sample, rules=UnitRules(quality=QualityRule(max_amplitude_cutoff=0.0))),
    )
    assert usual.units["passes_qc"].any()
    assert not strict.units["passes_qc"].any()
