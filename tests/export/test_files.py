"""Tables, NWB and movies of narrations that were made up: what is written is read back equal, and a wrong file is one sentence."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.backend.narrations import Narration, NarrationEvidence
from napari_neurrator.config import NarrateConfig
from napari_neurrator.errors import NeurratorError
from napari_neurrator.export.files import read_narrations, write_narrations, written
from napari_neurrator.export.movie import captions, read_subtitles, write_movie
from napari_neurrator.export.nwb import read_nwb_narrations, write_nwb
from napari_neurrator.export.table import write_csv
from napari_neurrator.recording import open_recording, open_stimulus


def evidence(better=True):
    return NarrationEvidence(
        patch_cosine=0.9, prior_cosine=0.6, gain=0.3, usual=0.01, p=0.004 if better else 0.4, least=0.004, better=better, split="held-out-repeats",
        held_out=True, in_words="More than chance (p = 0.004)." if better else "Not more than chance (p = 0.40).",
    )  # fmt: skip


def narration(recording, frame, repeat=4, text="a tiger – drôle, in the forest", **fields):
    shown = recording.presentations_of("natural_movie_one")
    row = shown[(shown["frame"] == frame) & (shown["repeat"] == repeat)].iloc[0]
    given = {
        "text": text, "unit_ids": recording.unit_ids[:5], "stimulus": "natural_movie_one", "frame": frame, "presentation": int(row.name), "repeat": repeat,
        "start_time": float(row["start_time"]), "held_out": True, "reference": "a tiger", "prior": "a house", "patch_cosine": 0.9, "prior_patch_cosine": 0.6,
        "concepts": [{"name": "tiger", "feature": 3, "strength": 2.5}, {"name": "night", "feature": 9, "strength": 1.25}], "evidence": evidence(), "simulated": True,
        "config": NarrateConfig(recording=recording.source, decoder="nowhere"),
    }  # fmt: skip
    return Narration(**{**given, **fields})


@pytest.fixture(scope="module")
def recording(small_sample):
    return open_recording(small_sample)


@pytest.fixture(scope="module")
def stimulus(recording):
    return open_stimulus(recording, "natural_movie_one")[0]


@pytest.fixture
def lines(recording):
    return [
        narration(recording, 30, text="a bee"),
        narration(recording, 12),
        narration(recording, 45, evidence=evidence(False), concepts=[], reference=None),
        narration(recording, 46, evidence=None, patch_cosine=None, condition={"orientation": 45.0, "name": "x"}),
    ]


def test_json_lines_are_read_back_equal(lines, tmp_path):
    path = write_narrations(tmp_path / "n.jsonl", lines)
    assert read_narrations(path) == lines
    assert [file.name for file in tmp_path.iterdir()] == ["n.jsonl"]


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=200) | st.text(alphabet='{}[]":,01e\n', max_size=80).map(str.encode))
def test_wild_lines_are_refused_in_a_sentence(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("wild") / "n.jsonl"
    path.write_bytes(contents)
    with pytest.raises(NeurratorError) as caught:
        read_narrations(path)
    assert str(caught.value).endswith(".")


def test_the_line_that_is_wrong_is_named(lines, tmp_path):
    path = write_narrations(tmp_path / "n.jsonl", lines)
    path.write_text(path.read_text() + json.dumps({"text": "x"}) + "\n")
    with pytest.raises(NeurratorError, match="line 5, unit_ids"):
        read_narrations(path)


def test_nothing_is_left_behind_where_writing_fails(tmp_path):
    (tmp_path / "kept.csv").write_text("old")

    def fail():
        with written(tmp_path / "kept.csv") as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "kept.csv").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.csv"]
    with pytest.raises(NeurratorError, match="does not exist"), written(tmp_path / "no" / "x.csv"):
        pass


def test_csv_holds_every_sentence(lines, tmp_path):
    read = pd.read_csv(write_csv(tmp_path / "n.csv", lines))
    assert read["text"].tolist() == [one.text for one in lines]
    assert [json.loads(units) for units in read["unit_ids"]] == [one.unit_ids for one in lines]
    assert read["concepts"][0] == "tiger (2.50); night (1.25)"
    assert read["better"].tolist()[:3] == [True, True, False]
    assert read["condition_orientation"][3] == 45.0
    assert NarrateConfig.model_validate_json(read["config"][0]) == lines[0].config


def _inspect(path):
    from nwbinspector import Importance, inspect_nwbfile

    found = list(inspect_nwbfile(nwbfile_path=str(path)))
    return [
        one for one in found if one.importance in (Importance.CRITICAL, Importance.ERROR, Importance.PYNWB_VALIDATION)
    ]


def _same(rows, lines):
    lines = sorted(lines, key=lambda one: one.start_time)
    assert len(rows) == len(lines)
    for row, one in zip(rows, lines, strict=True):
        assert row["text"] == one.text
        assert row["start_time"] == one.start_time
        assert row["stop_time"] == pytest.approx(one.start_time + 1 / 30, abs=1e-3)
        assert row["unit_ids"] == one.unit_ids
        assert (row["frame"], row["repeat"], row["presentation"]) == (one.frame, one.repeat, one.presentation)
        assert row["concepts"] == [c["name"] for c in one.concepts]
        assert row["concept_strengths"] == [c["strength"] for c in one.concepts]
        assert row["concept_features"] == [c["feature"] for c in one.concepts]
        assert row["reference"] == (one.reference or "")
        assert np.isnan(row["patch_cosine"]) if one.patch_cosine is None else row["patch_cosine"] == one.patch_cosine
        expected = {None: "untested", True: "yes", False: "no"}[one.evidence.better if one.evidence else None]
        assert row["better_than_chance"] == expected


def test_nwb_is_a_copy_with_the_narrations_and_nothing_critical(
    recording, lines, small_sample, small_decoder, tmp_path
):
    from pynwb import NWBHDF5IO, validate

    before = small_sample.read_bytes()
    made = [
        one.model_copy(update={"config": NarrateConfig(recording=str(small_sample), decoder=str(small_decoder))})
        for one in lines
    ]
    path = write_nwb(tmp_path / "out.nwb", made, recording)
    assert small_sample.read_bytes() == before
    _same(read_nwb_narrations(path), made)
    assert not validate(path=str(path))
    assert _inspect(path) == []
    # The session is all there, and a second pair of tables goes beside the first.
    again = open_recording(path)
    assert again.unit_ids == recording.unit_ids
    pd.testing.assert_frame_equal(again.presentations, recording.presentations)
    twice = write_nwb(tmp_path / "twice.nwb", made[:2], again)
    _same(read_nwb_narrations(twice), made)
    _same(read_nwb_narrations(twice, "narrations_2"), made[:2])
    with NWBHDF5IO(str(path), "r") as io:
        made_by = io.read().processing["neurrator"]["narration_provenance"].to_dataframe()
    row = made_by.iloc[0]
    assert NarrateConfig.model_validate_json(row["config"]) == made[0].config
    assert row["profile"] == "tiny"
    assert len(row["decoder_sha256"]) == 64
    assert row["package"].startswith("napari-neurrator ")


def test_a_recording_that_is_not_nwb_gets_a_file_of_its_own(recording, lines, tmp_path):
    from dataclasses import replace

    from pynwb import validate

    other = replace(recording, source="memory", subject={})
    named = [one.model_copy(update={"unit_ids": ["a", "b"]}) for one in lines]
    path = write_nwb(tmp_path / "fresh.nwb", named, other)
    _same(read_nwb_narrations(path), named)
    assert not validate(path=str(path))
    assert _inspect(path) == []


def test_the_recording_is_never_written_over(recording, lines, small_sample, tmp_path):
    own = tmp_path / "own.nwb"
    shutil.copyfile(small_sample, own)
    with pytest.raises(NeurratorError, match="never changed"):
        write_nwb(own, lines, open_recording(own))
    assert own.read_bytes() == small_sample.read_bytes()
    strange = [lines[0].model_copy(update={"start_time": 1.0})]
    with pytest.raises(NeurratorError, match="nothing was shown there"):
        write_nwb(tmp_path / "x.nwb", strange, recording)
    with pytest.raises(NeurratorError, match=r"end in \.nwb"):
        write_nwb(tmp_path / "x.h5", lines, recording)
    assert [file.name for file in tmp_path.iterdir()] == ["own.nwb"]


def test_subtitles_match_the_lines_and_the_movie_keeps_its_rate(recording, stimulus, tmp_path):
    import av

    lines = [narration(recording, frame, text=f"sentence {frame}: bär") for frame in (10, 25, 40)]
    path = write_movie(tmp_path / "m.mp4", [lines[2], lines[0], lines[1]], stimulus, height=144)
    read = read_subtitles(path)
    assert read["text"].tolist() == [one.text for one in lines]
    assert read["start_s"].tolist() == pytest.approx([0, 0.5, 1.0], abs=1e-3)
    assert read["stop_s"].tolist() == pytest.approx([0.5, 1.0, 3.0], abs=1e-3)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert float(video.average_rate) == pytest.approx(30)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 90
    # The sentence is in the picture, in a band below the frame, and the frame is that of the movie.
    height = stimulus.frame_shape[0]
    for number in (0, 20, 50):
        assert frames[number][height:].max() > 180
        assert np.abs(frames[number][:height].astype(float) - stimulus.frame(10 + number)).mean() < 6


def test_sentences_go_after_two_seconds(recording):
    shown, first, last = captions([narration(recording, 0), narration(recording, 200)], 30.0)
    assert [one.start_s for one in shown] == pytest.approx([0, 200 / 30])
    assert [one.stop_s for one in shown] == pytest.approx([2, 200 / 30 + 2])
    assert (first, last) == (0, 259)


def test_greyed_sentences_are_grey_and_heatmaps_lie_on_the_frame(recording, stimulus, tiny):
    from napari_neurrator.export.pictures import Overlay, blend, captioned
    from napari_neurrator.vision.geometry import PatchGeometry

    frame = stimulus.frame(3)
    height = frame.shape[0]
    bright, grey = (
        captioned(frame, narration(recording, 3, evidence=evidence(better)), None, 1)[height:].max()
        for better in (True, False)
    )
    assert bright > 240 > 170 > grey > 100
    geometry = PatchGeometry.of(tiny, *frame.shape[:2])
    values = np.zeros((geometry.rows, geometry.columns))
    values[0, 0] = 1
    changed = np.abs(blend(frame, Overlay(values, geometry, "x", 1.0)).astype(int) - frame).sum(-1) > 20
    y, x = np.nonzero(changed)
    assert y.max() < geometry.crop[0] + 3 * geometry.scale[0]
    assert geometry.crop[1] - 1 <= x.min() <= x.max() < geometry.crop[1] + 3 * geometry.scale[1]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_figure_holds_the_sentence(recording, stimulus, tmp_path, ending):
    from napari_neurrator.export.figure import write_figure

    one = narration(recording, 12)
    shown = None if ending == "png" else dict.fromkeys(one.unit_ids, 0.5)
    path = write_figure(tmp_path / f"f.{ending}", one, recording, stimulus, contribution=shown, dpi=100)
    if ending == "svg":
        text = path.read_text()
        assert "tiger – drôle" in text
        assert "More than chance" in text
        again = write_figure(tmp_path / "again.svg", one, recording, stimulus, contribution=shown, dpi=100)
        assert again.read_text() == text
    elif ending == "png":
        from PIL import Image

        with Image.open(path) as picture:
            assert picture.size == pytest.approx((709, 378), abs=2)
    with pytest.raises(NeurratorError, match=r"\.png, \.svg or \.pdf"):
        write_figure(tmp_path / "f.bmp", one, recording, stimulus)
    with pytest.raises(NeurratorError, match="'zz' of the narration is not in"):
        write_figure(tmp_path / "f.png", one.model_copy(update={"unit_ids": ["zz"]}), recording, stimulus)
