"""ALF folders, written by ONE's own writer: one probe or several, any nesting, any spelling of the names."""

import sys
import types

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import open_recording
from napari_neurrator.recording.open import is_session

alfio = pytest.importorskip("one.alf.io", reason="ONE-api is not installed")

N_CLUSTERS, N_CHANNELS = 5, 8


def alf(folder, seed=0, namespace=None, parts=None, metrics=".csv", **leave):
    """Write a probe's folder; return its spikes and clusters."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    n = 300
    spikes = {
        "times": np.sort(rng.random(n) * 10),
        "clusters": rng.integers(0, N_CLUSTERS - 1, n).astype(np.uint16),  # the last one has none
        "samples": np.arange(n),
        "depths": rng.random(n),
    }
    clusters = {
        "channels": rng.integers(0, N_CHANNELS, N_CLUSTERS),
        "depths": rng.random(N_CLUSTERS),
        "peakToTrough": rng.random(N_CLUSTERS),
    }
    channels = {
        "localCoordinates": np.stack([np.arange(N_CHANNELS) % 2 * 32.0, np.arange(N_CHANNELS) * 20.0], axis=1),
        "mlapdv": np.stack(
            [np.arange(N_CHANNELS) * -10.0, np.full(N_CHANNELS, -2000.0), np.arange(N_CHANNELS) * -100.0], axis=1
        ),
        "brainLocationIds_ccf_2017": np.array([385, 997, 382, 0, 385, 382, 385, 382]),
    }
    for name, thing in {"spikes": spikes, "clusters": clusters, "channels": channels}.items():
        kept = {key: value for key, value in thing.items() if f"{name}_{key}" not in leave}
        if kept:
            alfio.save_object_npy(folder, kept, name, namespace=namespace, parts=parts)
    table = pd.DataFrame(
        {"cluster_id": range(N_CLUSTERS), "label": np.linspace(0, 1, N_CLUSTERS), "firing_rate": range(N_CLUSTERS)}
    )
    if metrics == ".csv":
        table.to_csv(folder / "clusters.metrics.csv", index=False)
    elif metrics:
        table.to_parquet(folder / "clusters.metrics.pqt")
    return spikes, clusters, channels


@pytest.fixture
def ontology(monkeypatch):
    """Stand in for iblatlas, which is heavy."""
    module = types.ModuleType("iblatlas.regions")

    class BrainRegions:
        def id2acronym(self, ids):
            return np.array([{385: "VISp", 382: "CA1"}.get(int(i), "root") for i in ids])

    module.BrainRegions = BrainRegions
    monkeypatch.setitem(sys.modules, "iblatlas", types.ModuleType("iblatlas"))
    monkeypatch.setitem(sys.modules, "iblatlas.regions", module)


@pytest.fixture
def no_ontology(monkeypatch):
    monkeypatch.setitem(sys.modules, "iblatlas", None)
    monkeypatch.setitem(sys.modules, "iblatlas.regions", None)


@pytest.mark.parametrize(("metrics", "seed"), [(".csv", 0), (".pqt", 1)])
def test_a_probe_opens_with_all_that_is_in_it(tmp_path, ontology, metrics, seed):
    folder = tmp_path / "alf" / "probe00" / "pykilosort"
    spikes, clusters, channels = alf(folder, seed, metrics=metrics)
    assert is_session(folder)
    recording = open_recording(folder)
    assert recording.unit_ids == list(range(N_CLUSTERS))
    assert recording.units["n_spikes"].tolist() == np.bincount(spikes["clusters"], minlength=N_CLUSTERS).tolist()
    for unit in recording.unit_ids:
        np.testing.assert_array_equal(recording.spikes.times(unit), spikes["times"][spikes["clusters"] == unit])
    peak = clusters["channels"]
    np.testing.assert_array_equal(recording.units[["x_um", "y_um"]], channels["localCoordinates"][peak])
    names = np.array(["VISp", "unknown", "CA1", "unknown", "VISp", "CA1", "VISp", "CA1"])
    assert recording.units["region"].tolist() == names[peak].tolist()
    np.testing.assert_allclose(recording.units["ccf_ap_um"], 5400 + 2000)
    np.testing.assert_allclose(recording.units["ccf_dv_um"], 332 + 100 * peak)
    np.testing.assert_allclose(recording.units["ccf_lr_um"], 5739 - 10 * peak)
    np.testing.assert_allclose(recording.units["label"], np.linspace(0, 1, N_CLUSTERS))
    assert recording.units["firing_rate_hz"].tolist() == list(range(N_CLUSTERS))
    assert recording.units["probe"].tolist() == ["probe00"] * N_CLUSTERS


def test_spikeinterfaces_reader_agrees(tmp_path, ontology):
    from spikeinterface.extractors import read_alf_sorting

    alf(tmp_path / "probe00", metrics=None)
    recording, theirs = open_recording(tmp_path / "probe00"), read_alf_sorting(tmp_path / "probe00")
    assert recording.unit_ids == theirs.unit_ids.tolist()
    assert recording.units["n_spikes"].tolist() == [len(theirs.get_unit_spike_train(unit)) for unit in theirs.unit_ids]


def test_without_the_ontology_regions_are_numbers_and_it_is_said(tmp_path, no_ontology):
    alf(tmp_path / "probe00")
    recording = open_recording(tmp_path / "probe00")
    assert set(recording.units["region"]) <= {"385", "382", "unknown"}
    assert any("iblatlas" in warning for warning in recording.warnings)


def test_acronyms_in_the_folder_need_no_ontology(tmp_path, no_ontology):
    _, clusters, _ = alf(tmp_path / "probe00", channels_brainLocationIds_ccf_2017=False)
    names = np.array([f"R{n}" for n in range(N_CHANNELS)])
    np.save(tmp_path / "probe00" / "channels.brainLocationAcronyms_ccf_2017.npy", names)
    recording = open_recording(tmp_path / "probe00")
    assert recording.units["region"].tolist() == names[clusters["channels"]].tolist()
    assert not any("iblatlas" in warning for warning in recording.warnings)


@pytest.mark.parametrize("below", ["alf", "."])
def test_all_probes_of_a_session_are_one_recording(tmp_path, ontology, below):
    session = tmp_path / "2026-01-01" / "001"
    one = alf(session / below / "probe00" / "pykilosort", 0)[0]
    two = alf(session / below / "probe01", 1)[0]
    recording = open_recording(session)
    assert len(recording.units) == 2 * N_CLUSTERS
    assert recording.unit_ids[0] == "probe00/0"
    assert set(recording.units["probe"]) == {"probe00", "probe01"}
    for name, spikes in (("probe00", one), ("probe01", two)):
        for unit in range(N_CLUSTERS):
            np.testing.assert_array_equal(
                recording.spikes.times(f"{name}/{unit}"), spikes["times"][spikes["clusters"] == unit]
            )


@pytest.mark.parametrize(("namespace", "parts"), [("ibl", None), (None, "1d2f4cd0-9d5c-4a3b-8a43-6e0f1c9a6a77")])
def test_namespaces_and_ids_in_the_names(tmp_path, ontology, namespace, parts):
    spikes, *_ = alf(tmp_path / "probe00", namespace=namespace, parts=parts)
    recording = open_recording(tmp_path / "probe00")
    assert recording.spikes.n_spikes == len(spikes["times"])
    assert recording.units["x_um"].notna().all()


def test_the_latest_revision_counts(tmp_path, ontology):
    alf(tmp_path / "probe00", 0)
    newer, *_ = alf(tmp_path / "probe00" / "#2026-01-02#", 5)
    recording = open_recording(tmp_path / "probe00")
    np.testing.assert_array_equal(recording.spikes.times(0), newer["times"][newer["clusters"] == 0])


def test_trials_are_presentations(tmp_path, ontology):
    alf(tmp_path / "alf" / "probe00")
    trials = {
        "stimOn_times": np.array([1.0, 2.0, 3.0]),
        "stimOff_times": np.array([1.5, 2.5, np.nan]),
        "contrastLeft": np.array([np.nan, 1.0, np.nan]),
        "contrastRight": np.array([0.5, np.nan, 0.5]),
    }
    alfio.save_object_npy(tmp_path / "alf", trials, "trials", namespace="ibl")
    shown = open_recording(tmp_path).presentations
    assert shown["start_time"].tolist() == [1.0, 2.0, 3.0]
    assert shown["contrast"].tolist() == [0.5, 1.0, 0.5]
    assert shown["frame"].iloc[0] == shown["frame"].iloc[2] != shown["frame"].iloc[1]


def test_without_channels_it_opens_and_says_so(tmp_path):
    alf(tmp_path / "probe00")
    for file in (tmp_path / "probe00").glob("channels.*"):
        file.unlink()
    recording = open_recording(tmp_path / "probe00")
    assert recording.units["x_um"].isna().all()
    assert any("no channels" in warning for warning in recording.warnings)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("spikes.times.npy", np.zeros(7), "299|300 |7"),
        ("clusters.depths.npy", np.zeros(3), "differ in length"),
        ("spikes.clusters.npy", np.full(300, 99), "cluster 99"),
        ("spikes.clusters.npy", np.full(300, -1), "negative"),
        ("spikes.clusters.npy", np.full(300, 0.5), "no cluster numbers"),
        ("spikes.times.npy", np.zeros((300, 2)), "no list of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(tmp_path, name, array, says):
    alf(tmp_path / "probe00")
    np.save(tmp_path / "probe00" / name, array)
    with pytest.raises(NeurratorError, match=says) as caught:
        open_recording(tmp_path / "probe00")
    assert "\n" not in str(caught.value)
