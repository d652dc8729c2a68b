"""What SpikeInterface writes opens with the units, places, metrics and spikes that SpikeInterface itself reads, and without unpickling."""

import pickle
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import open_recording
from napari_neurrator.recording.open import is_session

EXTENSIONS = {
    "random_spikes": {},
    "waveforms": {},
    "templates": {},
    "noise_levels": {},
    "unit_locations": {"method": "center_of_mass"},
    "template_metrics": {"metric_names": ["peak_to_trough_duration", "half_width"]},
    "quality_metrics": {"metric_names": ["firing_rate", "snr", "isi_violation"]},
}


class Mark:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture(scope="session")
def analyzer(tmp_path_factory):
    """Return an analyzer in memory: six units on two shanks, 4 s."""
    import spikeinterface.full as si
    from probeinterface import generate_multi_shank

    warnings.simplefilter("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    probe = generate_multi_shank(num_shank=2, num_columns=2, num_contact_per_column=4, shank_pitch=[250, 0])
    probe.set_device_channel_indices(np.random.default_rng(3).permutation(16))
    recording, sorting = si.generate_ground_truth_recording(
        durations=[4.0], num_units=6, probe=probe, num_channels=16, seed=1
    )
    sorting.delete_property("gt_unit_locations")
    recording.set_property("brain_area", np.array(["CA1", "VISp"] * 8))
    made = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=False)
    made.compute(EXTENSIONS)
    return made


@pytest.fixture(scope="session", params=["binary_folder", "zarr"])
def saved(request, analyzer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyzers") / ("änalyzer.zarr" if request.param == "zarr" else "änalyzer")
    analyzer.save_as(folder=folder, format=request.param)
    return folder


def same_spikes(recording, sorting):
    assert recording.unit_ids == [unit.item() for unit in np.asarray(sorting.unit_ids)]
    assert recording.units["n_spikes"].tolist() == [
        len(sorting.get_unit_spike_train(u, segment_index=0)) for u in sorting.unit_ids
    ]
    for unit in sorting.unit_ids:
        theirs = sorting.get_unit_spike_train(unit, segment_index=0)
        np.testing.assert_allclose(recording.spikes.times(unit.item()) * sorting.sampling_frequency, theirs, atol=1e-6)
        np.testing.assert_array_equal(recording.sorting.get_unit_spike_train(unit, segment_index=0), theirs)


def peak_contacts(analyzer):
    templates = analyzer.get_extension("templates").get_data()
    return np.ptp(templates, axis=1).argmax(axis=1)


def test_an_analyzer_opens_as_spikeinterface_has_it(analyzer, saved):
    assert is_session(saved)
    recording = open_recording(saved)
    assert recording.name == "änalyzer"
    same_spikes(recording, analyzer.sorting)
    places = analyzer.get_extension("unit_locations").get_data()
    np.testing.assert_allclose(recording.units[["x_um", "y_um"]], places[:, :2], rtol=1e-5)
    metrics = analyzer.get_extension("quality_metrics").get_data()
    np.testing.assert_allclose(recording.units["snr"], metrics["snr"].astype(float))
    np.testing.assert_allclose(recording.units["firing_rate_hz"], metrics["firing_rate"].astype(float))
    np.testing.assert_allclose(
        recording.units["peak_to_trough_duration"],
        analyzer.get_extension("template_metrics").get_data()["peak_to_trough_duration"].astype(float),
    )
    nearest = np.argmin(((analyzer.get_channel_locations()[None] - places[:, None, :2]) ** 2).sum(axis=2), axis=1)
    assert recording.units["region"].tolist() == np.array(["CA1", "VISp"] * 8)[nearest].tolist()
    shanks = analyzer.get_probe().shank_ids[np.argsort(analyzer.get_probe().device_channel_indices)][nearest]
    assert recording.units["shank"].astype(str).tolist() == [str(shank) for shank in shanks]
    assert not recording.warnings


def without(saved, folder, extension):
    copy = folder / saved.name
    shutil.copytree(saved, copy)
    shutil.rmtree(copy / "extensions" / extension)
    (copy / ".zmetadata").unlink(missing_ok=True)
    return copy


def test_without_unit_locations_templates_place_the_units(analyzer, saved, tmp_path):
    recording = open_recording(without(saved, tmp_path, "unit_locations"))
    channels = analyzer.get_channel_locations()[peak_contacts(analyzer)]
    assert np.isfinite(recording.units[["x_um", "y_um"]]).all().all()
    assert np.linalg.norm(recording.units[["x_um", "y_um"]].to_numpy() - channels, axis=1).max() < 60


def test_without_either_the_warning_says_what_to_compute(saved, tmp_path):
    copy = without(saved, tmp_path, "unit_locations")
    shutil.rmtree(copy / "extensions" / "templates")
    recording = open_recording(copy)
    assert recording.units["x_um"].isna().all()
    assert any("compute one of them" in warning for warning in recording.warnings)


def test_without_quality_metrics_rates_are_counted_and_it_is_said(saved, tmp_path):
    recording = open_recording(without(saved, tmp_path, "quality_metrics"))
    assert recording.units["firing_rate_hz"].gt(0).all()
    assert any("quality_metrics" in warning for warning in recording.warnings)


def test_the_raw_recording_is_neither_needed_nor_unpickled(saved, tmp_path):
    copy, mark = tmp_path / saved.name, tmp_path / "ran"
    shutil.copytree(saved, copy)
    if not (copy / ".zgroup").is_file():
        for file in copy.glob("recording.*"):
            file.unlink()
        (copy / "recording.pickle").write_bytes(pickle.dumps(Mark(mark)))
        np.save(
            copy / "sorting" / "properties" / "odd.npy", np.array([Mark(mark)] * 6, dtype=object), allow_pickle=True
        )
    recording = open_recording(copy)
    assert len(recording.units) == 6
    assert not mark.exists()


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"unit_ids": 3}'])
def test_damaged_json_is_one_sentence(analyzer, tmp_path, damage):
    folder = tmp_path / "a"
    analyzer.save_as(folder=folder, format="binary_folder")
    (folder / "recording_info" / "probegroup.json").write_text(damage)
    assert open_recording(folder).units["x_um"].notna().all()
    (folder / "sorting" / "numpysorting_info.json").write_text(damage)
    with pytest.raises(NeurratorError, match="damaged") as caught:
        open_recording(folder)
    assert "\n" not in str(caught.value)


def test_zarr_pieces_of_spikes_that_are_missing_are_said(analyzer, tmp_path):
    folder = tmp_path / "a.zarr"
    analyzer.save_as(folder=folder, format="zarr")
    (folder / "sorting" / "spikes" / "sample_index" / "0").unlink()
    with pytest.raises(NeurratorError, match="lacks 1 of its"):
        open_recording(folder)


@pytest.mark.parametrize("kind", ["numpy_folder", "npz_folder", "zarr", "npz"])
def test_saved_sortings_open(analyzer, tmp_path, kind):
    from spikeinterface.core import NpzSortingExtractor, NumpySorting

    sorting = NumpySorting.from_sorting(analyzer.sorting)
    sorting.set_property("brain_area", np.array(["VISp", "CA1"] * 3))
    sorting.set_property("estimated_x", np.arange(6.0))
    sorting.set_property("estimated_y", np.arange(6.0) * 20)
    path = tmp_path / {"npz": "sorting.npz", "zarr": "sorting.zarr"}.get(kind, "sorting")
    if kind == "npz":
        NpzSortingExtractor.write_sorting(sorting, path)
    else:
        sorting.save(folder=path, format=kind)
    assert is_session(path)
    recording = open_recording(path)
    same_spikes(recording, sorting)
    assert recording.name == "sorting"
    if kind != "npz":
        assert recording.units["region"].tolist() == ["VISp", "CA1"] * 3
        assert recording.units["y_um"].tolist() == (np.arange(6.0) * 20).tolist()


def test_several_segments_are_refused(tmp_path):
    from spikeinterface.core import generate_sorting

    generate_sorting(num_units=2, durations=[1.0, 1.0]).save(folder=tmp_path / "s", format="numpy_folder")
    with pytest.raises(NeurratorError, match="2 segments"):
        open_recording(tmp_path / "s")


@pytest.mark.parametrize("name", ["sorting.pkl", "sorting.pickle"])
def test_a_pickle_is_refused_and_not_loaded(tmp_path, name):
    mark = tmp_path / "ran"
    (tmp_path / name).write_bytes(pickle.dumps(Mark(mark)))
    with pytest.raises(NeurratorError, match="pickle"):
        open_recording(tmp_path / name)
    assert not mark.exists()
    assert not is_session(tmp_path / name)


def test_an_npz_of_objects_is_refused_and_not_loaded(tmp_path):
    mark = tmp_path / "ran"
    odd = np.array([Mark(mark)], dtype=object)
    np.savez(
        tmp_path / "s.npz",
        unit_ids=odd,
        num_segment=[1],
        sampling_frequency=[3e4],
        spike_indexes_seg0=[1],
        spike_labels_seg0=[0],
    )
    with pytest.raises(NeurratorError, match="no sorting"):
        open_recording(tmp_path / "s.npz")
    assert not mark.exists()


@pytest.fixture(scope="session")
def exported(analyzer, tmp_path_factory):
    from spikeinterface.exporters import export_to_phy

    folder = tmp_path_factory.mktemp("phy") / "phy"
    export_to_phy(
        analyzer, folder, compute_pc_features=False, compute_amplitudes=False, copy_binary=False, verbose=False
    )
    return folder


def test_phys_export_opens_as_spikeinterface_reads_it(analyzer, exported):
    from spikeinterface.extractors import read_phy

    assert is_session(exported)
    recording = open_recording(exported)
    theirs = read_phy(exported)
    same_spikes(recording, theirs)
    channels = analyzer.get_channel_locations()[peak_contacts(analyzer)]
    assert np.linalg.norm(recording.units[["x_um", "y_um"]].to_numpy() - channels, axis=1).max() < 60
    np.testing.assert_allclose(recording.units["snr"], theirs.get_property("snr"))


@pytest.mark.parametrize("inside", ["sorter_output", "output"])
def test_the_folder_that_a_sorter_makes_inside_is_found(exported, tmp_path, inside):
    shutil.copytree(exported, tmp_path / "run" / inside)
    assert is_session(tmp_path / "run")
    recording = open_recording(tmp_path / "run")
    assert len(recording.units) == 6
    assert recording.name == "run"


def test_cluster_info_alone_counts_where_there_is_one(exported, tmp_path):
    folder = tmp_path / "phy"
    shutil.copytree(exported, folder)
    for file in folder.glob("*.tsv"):
        file.unlink()
    info = pd.DataFrame({"cluster_id": range(6), "group": ["good", "mua"] * 3, "depth": [5.0] * 6, "ch": range(6)})
    info.to_csv(folder / "cluster_info.tsv", sep="\t", index=False)
    pd.DataFrame({"cluster_id": range(6), "group": ["noise"] * 6}).to_csv(
        folder / "cluster_group.tsv", sep="\t", index=False
    )
    recording = open_recording(folder)
    assert recording.units["quality"].tolist() == ["good", "mua"] * 3
    assert recording.units["y_um"].nunique() > 1, "a depth alone is no position: templates give both"


def test_fractional_rates_and_one_dimensional_columns(tmp_path):
    folder = tmp_path / "ks"
    folder.mkdir()
    (folder / "params.py").write_text("sample_rate = 29999.7541\nhp_filtered = False\n")
    np.save(folder / "spike_times.npy", np.array([[100], [50], [200]], dtype=np.uint64))
    np.save(folder / "spike_templates.npy", np.array([[7], [7], [2]], dtype=np.uint32))
    recording = open_recording(folder)
    assert recording.unit_ids == [2, 7]
    np.testing.assert_allclose(recording.spikes.times(7), np.array([50, 100]) / 29999.7541, rtol=1e-12)
    assert any("templates.npy" in warning for warning in recording.warnings)


def test_spikes_are_picked_by_unit_whatever_is_asked_for(tmp_path, monkeypatch):
    from napari_neurrator.recording.readers import grouped

    monkeypatch.setattr(grouped, "_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    units, times = rng.integers(-1, 5, 200), np.sort(rng.random(200))
    counts, read = grouped.grouped(list(range(5)), 200, lambda a, b: units[a:b], lambda a, b: times[a:b], "here")
    flat = np.concatenate([times[units == unit] for unit in range(5)])
    assert counts.tolist() == [int((units == unit).sum()) for unit in range(5)]
    for first, last in ((0, len(flat)), (3, 50), (int(counts[0]), int(counts[:3].sum())), (10, 10)):
        out = np.full(last - first, np.nan)
        read(first, last, out)
        np.testing.assert_array_equal(out, flat[first:last])
