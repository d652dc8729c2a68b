"""NWB of any layout: HDF5 and Zarr, positions wherever they are said, frames and light inside the file."""

import h5py
import numpy as np
import pytest
from hdmf_zarr import NWBZarrIO
from PIL import Image
from pynwb import NWBHDF5IO, TimeSeries
from pynwb.base import Images
from pynwb.ecephys import ElectricalSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries, OpticalSeries
from spikeinterface.extractors import read_nwb_sorting

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import open_recording
from napari_neurrator.recording.open import is_session

from .nwb_files import TRAINS, allen_session, empty, write


def probe(nwb, n=4, name="shank0", **columns):
    group = nwb.create_electrode_group(name, "d", "l", nwb.create_device(f"device of {name}"))
    for column in columns:
        if column not in ("x", "y", "z", "location", "rel_x", "rel_y") and column not in (
            nwb.electrodes.colnames if nwb.electrodes else ()
        ):
            nwb.add_electrode_column(column, column)
    for i in range(n):
        nwb.add_electrode(**{"location": "CA1", "group": group, **{k: v[i] for k, v in columns.items()}})
    return group


def same(one, other):
    assert one.unit_ids == other.unit_ids
    for column in ("x_um", "y_um", "ccf_dv_um"):
        np.testing.assert_array_equal(one.units[column], other.units[column])
    assert one.units["region"].tolist() == other.units["region"].tolist()
    assert one.units["n_spikes"].tolist() == other.units["n_spikes"].tolist()
    for unit in one.unit_ids:
        np.testing.assert_array_equal(one.spikes.times(unit), other.spikes.times(unit))
    columns = ["stimulus", "start_time", "stop_time", "frame", "repeat"]
    assert one.presentations[columns].to_dict("list") == other.presentations[columns].to_dict("list")


@pytest.mark.parametrize("ending", [".nwb.zarr", ".zarr", ".nwb"])
def test_zarr_is_the_same_as_hdf5(tmp_path, ending, monkeypatch):
    from . import nwb_files

    hdf5 = open_recording(allen_session(tmp_path / "hdf5.nwb"))

    def to_zarr(path, nwb):
        with NWBZarrIO(str(path), "w") as io:
            io.write(nwb)
        return path

    monkeypatch.setattr(nwb_files, "write", to_zarr)
    path = allen_session(tmp_path / f"session{ending}")
    assert path.is_dir()
    assert is_session(path)
    zarr = open_recording(path)
    same(hdf5, zarr)
    assert zarr.name == "session"


def test_spikes_and_units_agree_with_spikeinterface(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    recording = open_recording(path)
    theirs = read_nwb_sorting(path, sampling_frequency=30_000.0, t_start=0.0)
    assert [int(unit) for unit in theirs.unit_ids] == recording.unit_ids == list(recording.sorting.unit_ids)
    for unit in recording.unit_ids:
        np.testing.assert_array_equal(theirs.get_unit_spike_train(unit), recording.sorting.get_unit_spike_train(unit))


def test_opening_reads_no_spike_times(tmp_path, monkeypatch):
    path = allen_session(tmp_path / "s.nwb")
    read = []
    real = h5py.Dataset.read_direct
    monkeypatch.setattr(
        h5py.Dataset, "read_direct", lambda self, *a, **k: (read.append(self.name), real(self, *a, **k))
    )
    monkeypatch.setattr("napari_neurrator.recording.spikes.SpikeTrains.span", lambda self: (0.0, 9.0))
    recording = open_recording(path)
    assert recording.units["n_spikes"].tolist() == [3, 1, 0]
    assert not read
    recording.spikes.load()
    assert set(read) == {"/units/spike_times"}


def test_the_largest_channel_of_the_mean_waveform_places_a_unit(tmp_path):
    nwb = empty()
    probe(nwb, 4, rel_x=[0.0, 16.0, 0.0, 16.0], rel_y=[0.0, 20.0, 40.0, 60.0])
    for largest in (2, 0):
        waves = np.zeros((5, 3))
        waves[2, largest] = -9.0
        nwb.add_unit(spike_times=[0.1], electrodes=[1, 2, 3], waveform_mean=waves)
    recording = open_recording(write(tmp_path / "w.nwb", nwb))
    assert recording.units["y_um"].tolist() == [60.0, 20.0]
    assert not recording.warnings


def test_without_waveforms_the_first_electrode_places_a_unit_and_says_so(tmp_path):
    nwb = empty()
    probe(nwb, 4, rel_x=[0.0] * 4, rel_y=[0.0, 20.0, 40.0, 60.0])
    nwb.add_unit(spike_times=[0.1], electrodes=[2, 3])
    recording = open_recording(write(tmp_path / "w.nwb", nwb))
    assert recording.units["y_um"].tolist() == [40.0]
    assert any("first one" in warning for warning in recording.warnings)


def test_the_units_own_position_goes_before_the_electrodes(tmp_path):
    nwb = empty()
    probe(nwb, 2, rel_x=[0.0, 0.0], rel_y=[0.0, 20.0])
    for column in ("estimated_x", "estimated_y"):
        nwb.add_unit_column(column, column)
    nwb.add_unit(spike_times=[0.1], electrodes=[1], estimated_x=7.0, estimated_y=11.0)
    nwb.add_unit(spike_times=[0.1], electrodes=[1], estimated_x=np.nan, estimated_y=np.nan)
    recording = open_recording(write(tmp_path / "w.nwb", nwb))
    assert recording.units[["x_um", "y_um"]].to_numpy().tolist() == [[7.0, 11.0], [0.0, 20.0]]


def test_places_in_the_brain_serve_where_the_probe_has_none(tmp_path):
    nwb = empty()
    probe(nwb, 3, x=[1.0, 1.0, 1.0], y=[5.0, 25.0, 45.0], z=[0.0, 1.0, 2.0])
    for row in range(3):
        nwb.add_unit(spike_times=[0.1], electrodes=[row])
    recording = open_recording(write(tmp_path / "w.nwb", nwb))
    assert recording.units["y_um"].tolist() == [5.0, 25.0, 45.0]
    assert any("rel_y" in warning for warning in recording.warnings)


def test_no_electrodes_at_all_and_text_names(tmp_path):
    nwb = empty()
    nwb.add_unit_column("unit_name", "n")
    nwb.add_unit(spike_times=[0.1, 0.2], unit_name="ü1", obs_intervals=[[0.0, 2.0], [3.0, 5.0]])
    nwb.add_unit(spike_times=[0.5], unit_name="u2", obs_intervals=[[0.0, 10.0]])
    recording = open_recording(write(tmp_path / "ünïts.nwb", nwb))
    assert recording.unit_ids == ["ü1", "u2"]
    assert recording.units["firing_rate_hz"].tolist() == [0.5, 0.1], "spikes per observed second"
    assert any("no position" in warning for warning in recording.warnings)


def test_electrical_series_do_not_move_spike_times(tmp_path):
    nwb = empty()
    probe(nwb, 2, rel_x=[0.0, 0.0], rel_y=[0.0, 20.0])
    region = nwb.create_electrode_table_region([0, 1], "all")
    nwb.add_acquisition(ElectricalSeries("raw", np.zeros((10, 2)), region, rate=30_000.0, starting_time=100.0))
    nwb.add_unit(spike_times=[100.5, 101.0], electrodes=[1])
    recording = open_recording(write(tmp_path / "e.nwb", nwb))
    assert recording.spikes.times(0).tolist() == [100.5, 101.0]


def test_units_in_a_processing_module_are_found(tmp_path):
    from pynwb.misc import Units

    nwb = empty()
    units = Units(name="sorted", description="d")
    units.add_unit(spike_times=[0.25], id=4)
    nwb.create_processing_module("ecephys", "d").add(units)
    assert open_recording(write(tmp_path / "p.nwb", nwb)).spikes.times(4).tolist() == [0.25]


def intervals(nwb, name, rows, where=None):
    table = TimeIntervals(name=name, description="d")
    for column in rows:
        if column not in ("start_time", "stop_time"):
            table.add_column(column, column)
    for row in zip(*rows.values(), strict=True):
        table.add_row(**dict(zip(rows, row, strict=True)))
    if where is None:
        nwb.add_time_intervals(table)
    else:
        where.add(table)


def test_tables_of_any_name_become_stimuli_if_they_name_stimuli_or_frames(tmp_path):
    nwb = empty()
    nwb.add_unit(spike_times=[0.1])
    times = {"start_time": [0.0, 1.0, 2.0], "stop_time": [1.0, 2.0, 3.0]}
    intervals(nwb, "trials_of_mine", times | {"stimulus_name": ["film", "", "scenes"], "frame": [3, 0, 1]})
    intervals(nwb, "movie", times | {"frame": [0, 1, 0]})
    intervals(
        nwb,
        "stimulus_presentations",
        times | {"stimulus_name": ["Natural_Images"] * 3, "image_name": ["im9", "omitted", "im2"]},
    )
    intervals(nwb, "licks", times | {"side": ["left", "right", "left"]})
    intervals(nwb, "invalid_times", times | {"stimulus_name": ["film"] * 3})
    recording = open_recording(write(tmp_path / "i.nwb", nwb))
    shown = recording.presentations
    assert set(shown["stimulus"]) == {"film", "scenes", "movie", "Natural_Images"}
    assert shown[shown["stimulus"] == "movie"]["frame"].tolist() == [0, 1, 0]
    assert shown[shown["stimulus"] == "Natural_Images"]["frame"].tolist() == [1, -1, 0]
    assert shown[shown["stimulus"] == "film"]["frame"].tolist() == [3]


def test_light_pulses_and_the_animal_are_read(tmp_path):
    nwb = empty()
    nwb.subject = Subject(subject_id="m1", genotype="Sst-IRES-Cre", species="Mus musculus")
    nwb.add_unit(spike_times=[0.1])
    rows = {
        "start_time": [5.0, 1.0],
        "stop_time": [5.01, 1.01],
        "condition": ["a", "b"],
        "level": [1.0, 2.0],
        "stimulus_name": ["pulse"] * 2,
    }
    intervals(nwb, "optogenetic_stimulation", rows, nwb.create_processing_module("optotagging", "d"))
    recording = open_recording(write(tmp_path / "o.nwb", nwb))
    assert recording.optogenetics["start_time"].tolist() == [1.0, 5.0]
    np.testing.assert_allclose(recording.optogenetics["duration"], 0.01)
    assert recording.optogenetics["level"].tolist() == [2.0, 1.0]
    assert recording.subject["genotype"] == "Sst-IRES-Cre"
    assert recording.presentations.empty


@pytest.mark.parametrize("zarr", [False, True])
def test_frames_inside_the_file_are_lazy_stimuli(tmp_path, zarr):
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 10), dtype=np.uint8)
    nwb = empty()
    nwb.add_unit(spike_times=[0.1])
    movie = ImageSeries(name="natural_movie_one_template", data=frames, unit="n/a", rate=30.0, format="raw")
    nwb.add_stimulus_template(movie)
    times = {"start_time": [0.0, 1.0], "stop_time": [1.0, 2.0]}
    intervals(nwb, "natural_movie_1_presentations", times | {"frame": [5, 0]})
    nwb.add_stimulus(
        OpticalSeries(
            name="film",
            data=frames / 255.0,
            unit="n/a",
            timestamps=np.arange(6) / 10 + 3,
            distance=1.0,
            field_of_view=[1.0, 1.0],
            orientation="u",
        )
    )
    path = tmp_path / ("f.nwb.zarr" if zarr else "f.nwb")
    with (NWBZarrIO if zarr else NWBHDF5IO)(str(path), "w") as io:
        io.write(nwb)
    recording = open_recording(path)
    assert set(recording.image_series) == {"natural_movie_1", "film"}
    stimulus = recording.image_series["natural_movie_1"]
    assert (stimulus.n_frames, stimulus.frame_shape, stimulus.frame_rate_hz) == (6, (8, 10, 3), 30.0)
    for index in (5, 0, 3):
        np.testing.assert_array_equal(stimulus.frame(index)[..., 1], frames[index])
        np.testing.assert_array_equal(recording.image_series["film"].frame(index)[..., 0], frames[index])
    film = recording.presentations_of("film")
    assert film["frame"].tolist() == list(range(6))
    np.testing.assert_allclose(film["start_time"], np.arange(6) / 10 + 3)
    np.testing.assert_allclose(film["stop_time"].iloc[:-1], film["start_time"].iloc[1:])
    assert stimulus.fingerprint() == open_recording(path).image_series["natural_movie_1"].fingerprint()
    assert stimulus.fingerprint() != recording.image_series["film"].fingerprint()
    assert stimulus.as_dask()[2].compute().shape == (8, 10, 3)
    with pytest.raises(IndexError):
        stimulus.frame(6)


def test_single_images_are_shown_by_their_index(tmp_path):
    pictures = np.random.default_rng(1).integers(0, 256, (3, 5, 7)).astype(np.uint8)
    nwb = empty()
    nwb.add_unit(spike_times=[0.1])
    images = Images(
        name="scenes", images=[GrayscaleImage(name=f"image{n}", data=pictures[n]) for n in range(3)], description="d"
    )
    nwb.add_stimulus_template(images)
    series = IndexSeries(
        name="scenes",
        data=np.array([2, 0, 2], dtype=np.uint32),
        indexed_images=images,
        unit="N/A",
        timestamps=[1.0, 1.25, 1.5],
    )
    nwb.add_stimulus(series)
    recording = open_recording(write(tmp_path / "i.nwb", nwb))
    np.testing.assert_array_equal(recording.image_series["scenes"].frame(2)[..., 2], pictures[2])
    shown = recording.presentations_of("scenes")
    assert shown["frame"].tolist() == [2, 0, 2]
    assert shown["repeat"].tolist() == [0, 0, 1]


@pytest.mark.parametrize("there", [True, False])
def test_frames_in_a_file_beside_the_nwb(tmp_path, there):
    nwb = empty()
    nwb.add_unit(spike_times=[0.1])
    nwb.add_stimulus(
        ImageSeries(
            name="pages",
            external_file=["pages.tif"],
            starting_frame=[0],
            rate=10.0,
            num_samples=4,
            format="external",
            unit="n/a",
        )
    )
    if there:
        pages = [Image.fromarray(np.full((6, 9), 50 * n, dtype=np.uint8)) for n in range(4)]
        pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    recording = open_recording(write(tmp_path / "x.nwb", nwb))
    if there:
        assert recording.image_series["pages"].n_frames == 4
        assert recording.presentations_of("pages")["frame"].tolist() == [0, 1, 2, 3]
    else:
        assert any("pages.tif" in warning for warning in recording.warnings)


def test_a_peak_channel_that_no_electrode_has_is_said(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        file["units/peak_channel_id"][1] = 99_999
    recording = open_recording(path)
    assert np.isnan(recording.units["y_um"].iloc[1])
    assert np.isfinite(recording.units["y_um"].iloc[[0, 2]]).all()
    assert any("1 of 3 units name a peak channel" in warning for warning in recording.warnings)


def test_unit_ids_that_repeat_are_refused(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        file["units/id"][:] = [1, 1, 2]
    with pytest.raises(NeurratorError, match="more than once"):
        open_recording(path)


def test_a_file_that_changes_after_opening_is_said(tmp_path, monkeypatch):
    path = allen_session(tmp_path / "s.nwb")
    # So that nothing is read on opening.
    monkeypatch.setattr("napari_neurrator.recording.spikes.SpikeTrains.span", lambda self: (0.0, 9.0))
    recording = open_recording(path)
    with h5py.File(path, "a") as file:
        del file["units/spike_times"]
        file["units/spike_times"] = np.arange(9.0)
    with pytest.raises(NeurratorError, match="changed"):
        recording.spikes.load()


def test_damaged_spike_times_are_said_when_they_are_read(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        del file["units/spike_times"]
        file["units"].create_dataset("spike_times", data=np.arange(5000.0), compression="gzip", chunks=(100,))
        del file["units/spike_times_index"]
        file["units/spike_times_index"] = np.array([1000, 3000, 5000])
    with h5py.File(path, "r") as file:
        times = file["units/spike_times"]
        chunk = times.id.get_chunk_info(20)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(data)
    with pytest.raises(NeurratorError, match=r"s\.nwb.*damaged"):
        open_recording(path).spikes.load()


def test_spike_times_that_are_announced_but_not_stored_are_refused_on_opening(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        del file["units/spike_times"]
        file["units"].create_dataset("spike_times", shape=(10**12,), chunks=(1000,), dtype="f8")
        del file["units/spike_times_index"]
        file["units/spike_times_index"] = np.array([1, 2, 10**12])
    with pytest.raises(NeurratorError, match="damaged"):
        open_recording(path)


def test_a_zarr_folder_with_pieces_missing_is_refused(tmp_path):
    nwb = empty()
    nwb.add_unit(spike_times=np.arange(100.0))
    path = tmp_path / "z.nwb.zarr"
    with NWBZarrIO(str(path), "w") as io:
        io.write(nwb)
    assert open_recording(path).spikes.n_spikes == 100
    (path / "units" / "spike_times" / "0").unlink()
    with pytest.raises(NeurratorError, match="lacks 1 of its 1 pieces"):
        open_recording(path)


def test_read_only_folders_and_nothing_written(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    tmp_path.chmod(0o555)
    try:
        before = sorted(p.name for p in tmp_path.iterdir())
        open_recording(path).spikes.load()
        assert sorted(p.name for p in tmp_path.iterdir()) == before
    finally:
        tmp_path.chmod(0o755)


def test_trains_of_int_and_float32(tmp_path):
    path = allen_session(tmp_path / "s.nwb")
    for kind in ("f4", "i8"):
        with h5py.File(path, "a") as file:
            del file["units/spike_times"]
            file["units/spike_times"] = np.array([1, 2, 3, 4], dtype=kind)
        recording = open_recording(path)
        assert recording.spikes.times(next(iter(TRAINS))).tolist() == [1.0, 2.0, 3.0]


def test_a_file_without_spikes_is_no_session(tmp_path):
    nwb = empty()
    nwb.add_acquisition(TimeSeries(name="t", data=[1.0], unit="s", rate=1.0, starting_time=0.0))
    path = write(tmp_path / "raw.nwb", nwb)
    assert not is_session(path)
    with pytest.raises(NeurratorError, match="no sorted units"):
        open_recording(path)
