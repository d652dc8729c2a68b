"""The simulated session is what it says it is."""

import json

import numpy as np
import pytest

from napari_neurrator.recording import open_recording
from napari_neurrator.recording.sample import SampleSpec, make_sample
from napari_neurrator.recording.sample.captions import caption, named_objects, stripes_caption
from napari_neurrator.recording.sample.film import FRAME_SIZE, n_frames_of_film, script, truth
from napari_neurrator.recording.sample.objects import KINDS, sprite
from napari_neurrator.recording.sample.scenery import PLACES, Actor, Scenery


def test_the_same_seed_makes_the_same_session(tmp_path, monkeypatch):
    spec = SampleSpec(seed=3, n_units=20, n_frames=20, n_repeats=2)
    contents = []
    for name in ("a", "b"):
        monkeypatch.setenv("NEURRATOR_CACHE", str(tmp_path / name))
        file = make_sample(spec)
        recording = open_recording(file)
        contents.append(
            (
                recording.units,
                recording.spikes.times(recording.unit_ids[5]),
                (file.parent / "natural_movie_one.mp4").read_bytes(),
            )
        )
    assert contents[0][0].equals(contents[1][0])
    np.testing.assert_array_equal(contents[0][1], contents[1][1])
    assert contents[0][2] == contents[1][2]


def test_a_finished_sample_is_not_made_again(small_sample):
    before = small_sample.stat().st_mtime_ns
    assert make_sample(SampleSpec(n_units=80, n_frames=225, n_repeats=5)) == small_sample
    assert small_sample.stat().st_mtime_ns == before


def test_no_unit_fires_within_its_refractory_period(small_sample):
    recording = open_recording(small_sample)
    for unit in recording.unit_ids:
        assert np.diff(recording.spikes.times(unit)).min(initial=1) >= 0.0015 - 1 / 30_000


def test_visual_units_follow_the_film_and_ca1_does_not(small_sample):
    recording = open_recording(small_sample)
    shown = recording.presentations_of("natural_movie_one")
    reliability = {}
    for region in ("VISp", "CA1"):
        units = recording.select_units(f'region == "{region}"')
        starts = shown["start_time"].to_numpy().reshape(5, 225)[:, ::5].ravel() + 0.05
        counts = recording.spikes.count(starts, 1, 5 / 30, units)[:, 0].reshape(5, 45, -1).astype(float)
        odd, even = counts[::2].mean(0), counts[1::2].mean(0)
        pairs = [np.corrcoef(odd[:, u], even[:, u])[0, 1] for u in range(len(units))]
        reliability[region] = float(np.nanmean(pairs))
    assert reliability["VISp"] > 0.25
    assert abs(reliability["CA1"]) < 0.2


def test_the_film_shows_some_dozens_of_kinds_in_scenes_by_day_and_night():
    frames = [truth(number) for number in range(0, n_frames_of_film(), 5)]
    kinds = {thing["kind"] for frame in frames for thing in frame["objects"]}
    assert n_frames_of_film() == 900
    assert len(kinds) >= 24
    assert {frame["place"] for frame in frames} == set(PLACES)
    assert {frame["night"] for frame in frames} == {True, False}
    assert all(1 <= len(frame["objects"]) <= 2 for frame in frames)
    assert len({frame["shot"] for frame in frames}) == len(script())


def test_captions_name_what_is_there():
    actors = [Actor("owl", 0.8, 0.3, 0.4), Actor("bus", 0.2, 0.9, 0.3)]
    assert caption(actors, "city", True) == "a bus and an owl, in the city at night."
    assert caption(actors[:1], "beach", False) == "an owl on the right, on the beach by day."
    assert named_objects(caption(actors, "city", True)) == {"bus", "owl"}
    assert stripes_caption(0) == stripes_caption(180) == "vertical stripes."
    assert stripes_caption(90) == "horizontal stripes."
    assert stripes_caption(45) == stripes_caption(225) == "stripes leaning left."


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_can_be_drawn(kind):
    picture = np.asarray(sprite(kind, 64))
    assert picture.shape[0] == 64
    assert (picture[..., 3] > 128).mean() > 0.1


def test_night_is_darker_than_day():
    for place in PLACES:
        day, night = (Scenery(place, dark, 0, (160, 120)).render(0.5, []) for dark in (False, True))
        assert night.mean() < 0.7 * day.mean()


def test_the_truth_lies_beside_the_film(small_sample):
    document = json.loads((small_sample.parent / "truth.json").read_text())
    assert document["simulated"] is True
    assert len(document["frames"]) == 225
    width, height = FRAME_SIZE
    for frame in document["frames"]:
        for thing in frame["objects"]:
            assert -0.5 * thing["width"] < thing["x"] < width
            assert -0.5 * thing["height"] < thing["y"] < height


def test_the_file_is_in_allens_layout_and_valid(small_sample):
    import h5py
    from pynwb import NWBHDF5IO, validate

    with h5py.File(small_sample) as file:
        assert {"id", "spike_times", "spike_times_index", "peak_channel_id", "quality", "isi_violations", "amplitude_cutoff", "presence_ratio",
                "firing_rate", "snr", "waveform_duration"} <= set(file["units"])  # fmt: skip
        electrodes = file["general/extracellular_ephys/electrodes"]
        assert {
            "location",
            "probe_id",
            "probe_vertical_position",
            "probe_horizontal_position",
            "local_index",
            "valid_data",
            "x",
            "y",
            "z",
        } <= set(electrodes)
        assert {"start_time", "stop_time", "frame", "stimulus_block"} <= set(
            file["intervals/natural_movie_one_presentations"]
        )
    with NWBHDF5IO(str(small_sample), "r", load_namespaces=True) as io:
        assert validate(io=io) == []
