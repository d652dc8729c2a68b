"""NWB files in Allen's layout and near it; damage is found when the file is opened."""

import h5py
import numpy as np
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import moments, open_recording, open_stimulus
from napari_neurrator.recording.inspect import account

from .nwb_files import TRAINS, allen_session, empty, write


@pytest.fixture
def session(tmp_path):
    return allen_session(tmp_path / "session.nwb")


def test_units_have_place_region_and_exact_spike_times(session):
    recording = open_recording(session)
    assert recording.unit_ids == list(TRAINS)
    assert all(type(unit) is int for unit in recording.unit_ids)
    assert recording.units["region"].tolist() == ["VISp", "unknown", "LGd"]
    assert recording.units["y_um"].tolist() == [20.0, 40.0, 60.0]
    assert recording.units["x_um"].tolist() == [11.0] * 3
    assert recording.units["probe"].tolist() == ["probeA"] * 3
    assert recording.units["ccf_dv_um"].tolist() == [3.0, 4.0, 5.0]
    for unit, train in TRAINS.items():
        assert recording.spikes.times(unit).tolist() == train, "seconds as stored, not rounded to samples"
    assert "waveform_mean" not in recording.units


def test_rates_are_filled_in_where_the_file_has_none(session):
    recording = open_recording(session)
    np.testing.assert_allclose(recording.units["firing_rate_hz"], np.array([3, 1, 0]) / recording.duration_s)


def test_presentations_are_numbered_by_frame_or_by_condition(session):
    recording = open_recording(session)
    scenes = recording.presentations_of("natural_scenes")
    assert scenes["frame"].tolist() == [3, -1, 3, 0]
    assert scenes["repeat"].tolist() == [0, 0, 1, 0]
    gratings = recording.presentations_of("drifting_gratings")
    assert gratings["frame"].tolist() == [0, 1, -1, 0]
    assert gratings["repeat"].tolist() == [0, 0, 0, 1]


def test_gratings_are_rendered_and_stepped_through(session):
    recording = open_recording(session)
    stimulus, name = open_stimulus(recording, "drifting_gratings")
    assert moments(recording, name, stimulus)["frame"].tolist() == [0, 60, 0]
    table = moments(recording, name, stimulus, step_s=0.5)
    assert table["frame"].tolist()[:5] == [0, 15, 30, 45, 60]
    assert table["time"].tolist()[:5] == [10.0, 10.5, 11.0, 11.5, 13.0]
    for step in (0, -1, float("nan")):
        with pytest.raises(NeurratorError, match="above 0"):
            moments(recording, name, stimulus, step_s=step)


def test_gabors_are_not_passed_off_as_full_field_gratings(session):
    with pytest.raises(NeurratorError, match="--frames"):
        open_stimulus(open_recording(session), "gabors")


@pytest.mark.parametrize(("description", "simulated"), [("A Simulated session", True), ("a session", False)])
def test_a_simulated_session_says_so(tmp_path, description, simulated):
    recording = open_recording(allen_session(tmp_path / "s.nwb", description))
    assert recording.simulated is simulated
    assert ("SIMULATED" in account(recording)) is simulated


def test_positions_through_an_electrodes_column(tmp_path):
    nwb = empty()
    group = nwb.create_electrode_group("shank0", "d", "l", nwb.create_device("probe"))
    for i in range(3):
        nwb.add_electrode(location="CA1", group=group, rel_x=float(i), rel_y=10.0 * i)
    for i in range(2):
        nwb.add_unit(spike_times=[0.1, 0.2], electrodes=[i + 1])
    recording = open_recording(write(tmp_path / "generic.nwb", nwb))
    assert recording.units["y_um"].tolist() == [10.0, 20.0]
    assert recording.units["region"].tolist() == ["CA1", "CA1"]
    assert recording.units["probe"].tolist() == ["shank0", "shank0"]


def test_units_without_electrodes_keep_their_own_columns_and_a_warning(tmp_path):
    nwb = empty()
    for column in ("location", "cell_type", "depth_um"):
        nwb.add_unit_column(column, column)
    nwb.add_unit(spike_times=[0.1], location="CA3", cell_type="PV", depth_um=50.0)
    recording = open_recording(write(tmp_path / "own.nwb", nwb))
    assert recording.units[["region", "cell_type", "y_um"]].iloc[0].tolist() == ["CA3", "PV", 50.0]
    assert any("no position" in warning for warning in recording.remarks)


def test_spike_times_that_are_no_numbers_are_warned_of_on_opening(tmp_path):
    nwb = empty()
    nwb.add_unit(spike_times=[3.0, np.nan, -1.0, 2.0])
    recording = open_recording(write(tmp_path / "nan.nwb", nwb))
    assert any("not numbers" in warning for warning in recording.remarks)
    assert recording.spikes.times(0).tolist() == [-1.0, 2.0, 3.0]


@pytest.mark.parametrize("gone", ["units/id", "units/spike_times_index", "units/peak_channel_id"])
def test_a_file_with_a_part_missing_is_one_sentence(session, gone):
    with h5py.File(session, "a") as file:
        del file[gone]
    with pytest.raises(NeurratorError, match=r"session\.nwb") as caught:
        open_recording(session)
    assert "\n" not in str(caught.value)
    assert "GroupBuilder" not in str(caught.value)


@pytest.mark.parametrize("index", [[3, 2, 4], [3, 4, 99], [1, 2, 3]])
def test_an_index_that_does_not_fit_the_spikes_is_damage(session, index):
    with h5py.File(session, "a") as file:
        file["units/spike_times_index"][:] = index
    with pytest.raises(NeurratorError, match="damaged"):
        open_recording(session)


def test_damage_anywhere_is_found_on_opening(session, tmp_path):
    data = session.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(12):
        broken = bytearray(data)
        at = int(rng.integers(0, len(data) - 512))
        if number % 2:
            broken = broken[:at]
        else:
            broken[at : at + 512] = rng.bytes(512)
        path = tmp_path / f"broken{number}.nwb"
        path.write_bytes(broken)
        try:
            recording = open_recording(path)
        except NeurratorError:
            continue
        assert number % 2 == 0, "a file that is cut short never opens"
        account(recording)
