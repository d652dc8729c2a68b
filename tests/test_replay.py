"""Replay: what was narrated is made again, byte for byte; what differs is said."""

import json

import pytest

from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.errors import NeurratorError
from napari_neurrator.export.files import read_narrations
from napari_neurrator.replay import replay
from napari_neurrator.session_file import SavedRecording, SessionFile, read_session, write_session

from .commands import neurrator
from .saved_sessions import session_of


@pytest.fixture(scope="module")
def backend():
    one = InProcessBackend()
    yield one
    one.close()


@pytest.fixture(scope="module")
def narrated(small_sample, small_decoder, tmp_path_factory):
    """Return narrations of two groups of units in one file."""
    folder = tmp_path_factory.mktemp("narrated")
    lines = []
    for units in ('region == "VISp"', 'region != "CA1"'):
        run = neurrator(
            "narrate", small_sample, "--decoder", small_decoder, "--held-out", "--frames", "10,90,170", "--units", units, "--out", folder / "n.jsonl"
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        lines += (folder / "n.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "n.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder / "n.jsonl"


def saved(narrated, small_sample, small_decoder):
    return session_of(read_narrations(narrated), small_sample, small_decoder)


def test_json_lines_are_made_again_byte_for_byte(narrated, tmp_path):
    run = neurrator("replay", narrated, "--out", tmp_path / "again.jsonl")
    assert run.returncode == 0, run.stderr
    assert "6 are as they were saved" in run.stdout
    assert (tmp_path / "again.jsonl").read_bytes() == narrated.read_bytes()


@pytest.mark.parametrize("ending", [".neurrator.toml", ".neurrator.json"])
def test_a_session_is_made_again_the_same_each_time(narrated, small_sample, small_decoder, tmp_path, backend, ending):
    path = write_session(tmp_path / f"s{ending}", saved(narrated, small_sample, small_decoder))
    first, second = (list(replay(path, backend)) for _ in range(2))
    assert [one.differences for one in first] == [[]] * 6
    assert [one.narration.model_dump_json() for one in first] == [one.narration.model_dump_json() for one in second]
    for one in first:
        assert one.narration.config.unit_ids == one.narration.unit_ids
        assert one.narration.config.frames == str(one.narration.frame)
        assert len(one.narration.concepts) <= 3


def test_both_spellings_hold_the_same(narrated, small_sample, small_decoder, tmp_path):
    made = saved(narrated, small_sample, small_decoder)
    toml, other = write_session(tmp_path / "s.toml", made), write_session(tmp_path / "s.json", made)
    assert (toml.name, other.name) == ("s.neurrator.toml", "s.neurrator.json")
    assert read_session(toml) == read_session(other) == made
    # Units of a set are written once.
    assert other.read_text().count(str(made.recordings[0].sentences[0].units[0])) == 2


def test_files_of_the_first_format_are_still_read(narrated, small_sample, small_decoder, tmp_path):
    made = saved(narrated, small_sample, small_decoder)
    old = made.model_dump(mode="json") | {"format": 1}
    for sentence in old["recordings"][0]["sentences"]:
        del sentence["settings"]
    (tmp_path / "old.neurrator.json").write_text(json.dumps(old))
    read = read_session(tmp_path / "old.neurrator.json")
    assert [one.text for one in read.recordings[0].sentences] == [one.text for one in made.recordings[0].sentences]
    assert [one.units for one in read.recordings[0].sentences] == [one.units for one in made.recordings[0].sentences]


def test_what_differs_is_said_and_the_exit_code_tells(narrated, tmp_path):
    changed = narrated.read_text().replace('"text":"', '"text":"not ', 1)
    (tmp_path / "n.jsonl").write_text(changed)
    run = neurrator("replay", tmp_path / "n.jsonl")
    assert run.returncode == 3
    assert "5 are as they were saved" in run.stdout
    assert "text was 'not " in run.stdout
    assert (tmp_path / "n.replayed.jsonl").read_bytes() == narrated.read_bytes()


def test_what_cannot_be_made_again_is_one_sentence(narrated, small_sample, small_decoder, tmp_path, backend):
    made = saved(narrated, small_sample, small_decoder)

    def broken(**change):
        sentence = made.recordings[0].sentences[0].model_copy(update=change)
        file = SessionFile(recordings=[made.recordings[0].model_copy(update={"sentences": [sentence]})])
        return write_session(tmp_path / "b.toml", file)

    for change, words in (
        ({"decoder": "/nowhere"}, "no decoder"),
        ({"moment": 10**6}, "other presentations"),
        ({"repeat": 1}, "other presentations"),
        ({"units": ["x"]}, "units|unit"),
        ({"settings": {"lasso": 1}}, "settings"),
    ):
        with pytest.raises(NeurratorError, match=words):
            list(replay(broken(**change), backend))
    empty = write_session(tmp_path / "e.toml", SessionFile(recordings=[SavedRecording(source="sample")]))
    with pytest.raises(NeurratorError, match="no sentences"):
        list(replay(empty, backend))


def test_a_set_of_units_that_is_not_there_is_refused(narrated, small_sample, small_decoder, tmp_path):
    path = write_session(tmp_path / "s.json", saved(narrated, small_sample, small_decoder))
    contents = json.loads(path.read_text())
    contents["recordings"][0]["sentences"][0]["units"] = 99
    path.write_text(json.dumps(contents))
    with pytest.raises(NeurratorError, match="set of units 99"):
        read_session(path)
