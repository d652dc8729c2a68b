"""The recorded run of the documentation on a small session: what it takes home is whole, and can be made again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_neurrator.export.files import read_narrations
from napari_neurrator.export.movie import read_subtitles
from napari_neurrator.export.nwb import read_nwb_narrations
from napari_neurrator.session_file import read_session

ROOT = Path(__file__).parents[2]


def python(*arguments):
    folders = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )  # fmt: skip


def neurrator(*arguments):
    return python("-c", "from napari_neurrator.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def run(small_sample, small_decoder, tmp_path_factory):
    """Return the folder of the pictures and that of what was taken home."""
    folder = tmp_path_factory.mktemp("run")
    out, keep = folder / "pictures", folder / "home"
    done = python(
        "-m", "tools.recorded_run", "--out", out, "--keep", keep, "--recording", small_sample, "--decoder", small_decoder, "--frame", 90
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return out, keep


def test_every_step_has_its_picture(run):
    from PIL import Image

    pictures = sorted(run[0].iterdir())
    assert len(pictures) == 10
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (1600, 1000)


def test_the_film_ran(run):
    played = json.loads((run[1] / "run.json").read_text())["played"]
    assert played["film_s"] > 2.5
    assert played["frames_drawn"] > 2


def test_groups_and_sentences_are_back(run):
    seen = json.loads((run[1] / "run.json").read_text())
    saved = read_session(run[1] / "session.neurrator.toml").recordings[0]
    assert seen["before"] == seen["after"]
    assert {"V1", "hippocampus"} < set(saved.groups)
    assert {name: list(map(str, units)) for name, units in saved.groups.items()} == seen["after"]["groups"]
    assert sorted([one.frame, one.repeat, len(one.units), one.text] for one in saved.sentences) == seen["after"]["sentences"]  # fmt: skip
    assert len(saved.sentences) > 4


def test_nothing_is_wrong_with_the_nwb_file(run):
    from nwbinspector import Importance, inspect_nwbfile

    path = run[1] / "narrations.nwb"
    severe = (Importance.CRITICAL, Importance.ERROR, Importance.PYNWB_VALIDATION)
    assert [one for one in inspect_nwbfile(nwbfile_path=str(path)) if one.importance in severe] == []
    lines = sorted(read_narrations(run[1] / "narrations.jsonl"), key=lambda one: (one.start_time, one.text))
    rows = sorted(read_nwb_narrations(path), key=lambda row: (row["start_time"], row["text"]))
    assert [(row["text"], row["frame"], row["unit_ids"]) for row in rows] == [(one.text, one.frame, one.unit_ids) for one in lines]  # fmt: skip


def test_subtitles_are_those_of_the_lines(run):
    lines = read_narrations(run[1] / "narrations.jsonl")
    spoke = read_session(run[1] / "session.neurrator.toml").recordings[0].groups["V1"]
    said = sorted((one for one in lines if one.unit_ids == spoke), key=lambda one: one.start_time)
    assert read_subtitles(run[1] / "captioned.mp4")["text"].tolist() == [one.text for one in said]


def test_replay_makes_the_same_lines(run, tmp_path):
    again = neurrator("replay", run[1] / "session.neurrator.toml", "--out", tmp_path / "again.jsonl")
    assert again.returncode == 0, again.stdout + again.stderr
    exported = (run[1] / "narrations.jsonl").read_bytes()
    assert exported == (tmp_path / "again.jsonl").read_bytes()
    assert len(exported.splitlines()) > 4
