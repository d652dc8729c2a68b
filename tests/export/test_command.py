"""``neurrator export`` as a user runs it."""

import shutil

import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.export.files import read_narrations
from napari_neurrator.export.movie import read_subtitles
from napari_neurrator.export.nwb import read_nwb_narrations
from napari_neurrator.export.saved import narrations_of_session
from napari_neurrator.session_file import SessionFile, read_session, write_session
from tests.commands import neurrator
from tests.saved_sessions import session_of


@pytest.fixture(scope="module")
def narrated(small_sample, small_decoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("narrated") / "n.jsonl"
    run = neurrator(
        "narrate", small_sample, "--decoder", small_decoder, "--held-out", "--frames", "90-92", "--out", out
    )
    assert run.returncode == 0, run.stderr
    return out


def test_everything_at_once(narrated, tmp_path):
    concept = read_narrations(narrated)[1].concepts[0]["name"]
    run = neurrator(
        "export", narrated, "--csv", tmp_path / "n.csv", "--nwb", tmp_path / "n.nwb", "--mp4", tmp_path / "n.mp4", "--figure", tmp_path / "n.svg",
        "--units-csv", tmp_path / "u.csv", "--line", 2, "--ask", f"concept:{concept}", "--heatmap", "match",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    lines = read_narrations(narrated)
    texts = [one.text for one in lines]
    assert pd.read_csv(tmp_path / "n.csv")["text"].tolist() == texts
    assert [row["text"] for row in read_nwb_narrations(tmp_path / "n.nwb")] == texts
    assert read_subtitles(tmp_path / "n.mp4")["text"].tolist() == texts
    assert texts[1].split()[1] in (tmp_path / "n.svg").read_text()
    units = pd.read_csv(tmp_path / "u.csv", index_col="unit_id")
    assert set(units.index) == set(lines[1].unit_ids)
    assert {"region", "x_um", "y_um", "contribution", "carried"} <= set(units.columns)
    assert units["carried"].abs().is_monotonic_decreasing
    assert f"explain 80 % of {concept}" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Say what to write"),
        (["--csv", "OUT/x.csv", "--line", "9"], "holds 3 narrations"),
        (["--units-csv", "OUT/x.csv", "--ask", "colour:red"], "cannot be read"),
        (["--units-csv", "OUT/x.csv", "--ask", "patches:999"], "no patch 999"),
        (["--mp4", "OUT/x.avi"], "has to end in .mp4"),
        (["--mp4", "OUT/x.mp4", "--repeat", "3"], "Nothing was narrated of showing 3"),
        (["--csv", "OUT/no/x.csv"], "does not exist"),
    ],
)
def test_bad_input_is_exit_2_and_one_sentence_and_nothing_is_written(narrated, tmp_path, arguments, says):
    run = neurrator("export", narrated, *[word.replace("OUT", str(tmp_path)) for word in arguments])
    assert run.returncode == 2, run.stderr
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


# -- a session file --------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def session(narrated, small_sample, small_decoder, tmp_path_factory):
    """Return a session file with the same sentences, and one more of other units; without concepts, which it does not keep."""
    lines = read_narrations(narrated)
    more = lines[0].model_copy(update={"unit_ids": lines[0].unit_ids[:7], "text": "a bee by day."})
    return write_session(
        tmp_path_factory.mktemp("s") / "s.toml", session_of([more, *lines], small_sample, small_decoder)
    )


def test_what_a_session_keeps_is_what_was_narrated(session, narrated):
    found = narrations_of_session(session)
    lines = read_narrations(narrated)
    assert found.lines[0].text == "a bee by day."
    assert found.others == []
    for now, was in zip(found.lines[1:], lines, strict=True):
        kept = {"config", "concepts"}
        assert now.model_dump(exclude=kept) == was.model_dump(exclude=kept)
        assert now.config.unit_ids == was.unit_ids
        assert now.config.concepts == 3
        assert (now.config.decoder, now.config.recording) == (was.config.decoder, was.config.recording)


def test_a_session_is_taken_home_without_saying_anything_again(session, narrated, tmp_path):
    run = neurrator(
        "export", session, "--csv", tmp_path / "n.csv", "--nwb", tmp_path / "n.nwb", "--mp4", tmp_path / "n.mp4", "--figure", tmp_path / "n.svg",
        "--line", 2, "--heatmap", "match",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    texts = [one.text for one in read_narrations(narrated)]
    assert pd.read_csv(tmp_path / "n.csv")["text"].tolist() == ["a bee by day.", *texts]
    assert sorted(row["text"] for row in read_nwb_narrations(tmp_path / "n.nwb")) == sorted(["a bee by day.", *texts])
    # The film is of one group of units: that of the line which was asked for.
    assert read_subtitles(tmp_path / "n.mp4")["text"].tolist() == texts
    assert texts[0].split()[1] in (tmp_path / "n.svg").read_text()
    shown = neurrator("export", session, "--mp4", tmp_path / "first.mp4")
    assert shown.returncode == 0, shown.stderr
    assert read_subtitles(tmp_path / "first.mp4")["text"].tolist() == ["a bee by day."]


def test_of_several_recordings_the_one_that_is_shown_is_taken(session, small_sample, tmp_path):
    one = read_session(session).recordings[0]
    other = one.model_copy(update={"sentences": one.sentences[:1]})
    both = SessionFile(recordings=[one, other], current=1)
    found = narrations_of_session(write_session(tmp_path / "both.toml", both))
    assert len(found.lines) == 1
    assert found.others == [str(small_sample)]
    silent = SessionFile(recordings=[one, one.model_copy(update={"sentences": []})], current=1)
    assert len(narrations_of_session(write_session(tmp_path / "silent.toml", silent)).lines) == 4


def test_a_session_whose_recording_has_moved(session, small_sample, tmp_path):
    moved = tmp_path / small_sample.name
    shutil.copy(small_sample, moved)
    one = read_session(session).recordings[0].model_copy(update={"source": str(tmp_path / "gone.nwb")})
    file = write_session(tmp_path / "s.toml", SessionFile(recordings=[one]))
    with pytest.raises(NeurratorError, match="gone"):
        narrations_of_session(file)
    found = narrations_of_session(file, str(moved), str(small_sample.with_name("natural_movie_one.mp4")))
    assert {line.config.recording for line in found.lines} == {str(moved)}


def test_sessions_that_cannot_be_taken_home(session, tmp_path):
    one = read_session(session).recordings[0]
    empty = write_session(tmp_path / "empty.toml", SessionFile(recordings=[one.model_copy(update={"sentences": []})]))
    gone = one.sentences[0].model_copy(update={"decoder": str(tmp_path / "no-decoder")})
    strange = one.sentences[0].model_copy(update={"units": ["x"]})
    later = one.sentences[0].model_copy(update={"moment": 10**6})
    for number, (sentence, says) in enumerate(
        [(gone, "no decoder"), (strange, "none of the units"), (later, "is not moment")]
    ):
        file = write_session(
            tmp_path / f"{number}.toml", SessionFile(recordings=[one.model_copy(update={"sentences": [sentence]})])
        )
        with pytest.raises(NeurratorError, match=says):
            narrations_of_session(file)
    run = neurrator("export", empty, "--csv", tmp_path / "n.csv")
    assert run.returncode == 2
    assert "holds no sentences" in run.stderr
    assert not (tmp_path / "n.csv").exists()
