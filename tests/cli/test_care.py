"""What commands refuse, leave alone, and say when they are stopped."""

import json
import os

import pytest

from napari_neurrator.demo import demo_folder
from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.html import render
from napari_neurrator.evaluation.report import report_folder
from tests.commands import neurrator

STUDY = 'kind = "groups"\nsessions = [{recording = "nowhere.nwb", decoder = "nowhere"}]\n'


def said(run) -> str:
    """Return the one sentence of a command that was refused."""
    assert run.returncode == 2, run.stderr
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("neurrator: ")
    return lines[0].removeprefix("neurrator: ")


def fit(out, *more):
    return neurrator("fit", "nowhere.nwb", "--stimulus", "film", "--out", out, *more)


def evaluate(out, *more):
    return neurrator("evaluate", "nowhere.nwb", "--decoder", "nowhere", "--out", out, *more)


def study(out):
    file = out.parent / "study.toml"
    file.write_text(STUDY)
    return neurrator("study", file, "--out", out)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_lag_that_is_no_number_is_refused_and_the_decoder_there_stays(tmp_path, value):
    (tmp_path / "decoder.json").write_text("{}")
    assert said(fit(tmp_path, f"--lag={value}")).startswith(f"--lag {value} is not possible: ")
    assert (tmp_path / "decoder.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["evaluate", "r", "--decoder", "d", "--out", "o", "--permutations", 0], "--permutations 0 is not possible"),
        (["evaluate", "r", "--decoder", "d", "--out", "o", "--sizes", "3,abc"], "--sizes '3,abc' is not possible: write whole numbers of units"),
        (["evaluate", "r", "--decoder", "d", "--out", "o", "--sizes", "1.5"], "--sizes '1.5' is not possible: write whole numbers of units"),
        (["evaluate", "r", "--decoder", "d", "--out", "o", "--sizes", "0,3"], "from 1 on, separated by commas"),
        (["narrate", "r", "--decoder", "d", "--out", "o", "--temperature", "nan"], "--temperature nan is not possible"),
        (["narrate", "r", "--decoder", "d", "--out", "o", "--beams", "2", "--temperature", "1"], "This is not possible: beams and a temperature"),
        (["concepts", "train", "r", "--out", "o", "--lr", "nan"], "--lr nan is not possible"),
        (["concepts", "name", "tiny", "r", "--vocabulary", "v", "--least-score", "nan"], "--least-score nan is not possible"),
        (["serve", "--quiet", "inf"], "--quiet inf is not possible"),
        (["inspect", "r", "--optotag-pulse", "nan"], "--optotag-pulse cannot be used: input should be a finite number"),
        (["inspect", "r", "--narrow-below", "inf"], "--narrow-below cannot be used"),
        (["inspect", "r", "--optotag-evoked", "9", "1"], "What the --optotag options say cannot be used"),
    ],
    ids=lambda value: " ".join(map(str, value[:1] + value[-2:])) if isinstance(value, list) else "",
)  # fmt: skip
def test_options_are_named_as_they_were_typed(tmp_path, command, says):
    assert says in said(neurrator(*command, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [evaluate, study])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.html", "<html><body>My thesis</body></html>"), ("report.json", '{"title": "mine"}'), ("report.json", "[1]"), ("report.json", "no JSON"),
    ],
)  # fmt: skip
def test_a_report_of_somebody_else_is_left_alone(tmp_path, command, name, text):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(text)
    assert said(command(out)).startswith(f"{out / name} is there already and was not written by this program: ")
    assert {file.name: file.read_text() for file in out.iterdir()} == {name: text}


@pytest.mark.parametrize(
    "page",
    [
        render('{% extends "page" %}', title="Title"),
        "<!DOCTYPE html><html><footer><p>Made by napari-neurrator 0.1.0 in 3 s.</p></footer></html>",
    ],
    ids=["now", "before"],
)
def test_a_report_of_this_program_may_be_replaced(tmp_path, page):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    report = {"format": 1, "title": "t", "config": {}, "versions": {"napari-neurrator": "0.1.0"}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert report_folder(tmp_path) == tmp_path
    assert "There is no decoder in nowhere" in evaluate(tmp_path).stderr


@pytest.mark.parametrize("name", ["viewer.png", "narrations.jsonl", "summary.json", "demo.log"])
def test_the_demonstration_leaves_files_of_somebody_else_alone(tmp_path, name):
    (tmp_path / name).write_text("{}")
    sentence = said(neurrator("demo", "--out", tmp_path))
    assert sentence.startswith(f"{tmp_path / name} is there already and was not written by this program: ")
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "text"),
    [("summary.json", '{"package_version": "0", "n_units_selected": 3, "narrated_moments": 24}'), (".demo.json", "")],
    ids=["finished", "stopped"],
)
def test_a_demonstration_may_be_run_again(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "viewer.png").touch()
    assert demo_folder(tmp_path) == tmp_path


def refuse(path, *arguments, **options):
    raise PermissionError(1, "Operation not permitted", str(path))


def test_a_folder_that_cannot_be_written_to_is_named_as_it_was_given(tmp_path, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(os, "mkdir", refuse)
    assert said(fit(out)).startswith(f"Nothing can be written to {out} (Operation not permitted): ")
    assert said(evaluate(tmp_path / "there")).startswith(f"Nothing can be written to {tmp_path / 'there'} (")
    with pytest.raises(NeurratorError, match="Nothing can be written"):
        demo_folder(tmp_path / "there")


def interrupt(*arguments, **options):
    # What Ctrl-C comes to; where tests run in the background the signal itself may be ignored.
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "work", "says"),
    [
        (fit, "napari_neurrator.backend.fitting.fit_decoder", "Stopped: nothing was written to {out}."),
        (evaluate, "napari_neurrator.evaluation.run.evaluate", "Stopped: what was worked out is kept in {out}, and the same command goes on from there."),
        (study, "napari_neurrator.evaluation.studies.run.run_study", "Stopped: what was worked out is kept in {out}, and the same command goes on from there."),
        (lambda out: neurrator("inspect", "nowhere.nwb"), "napari_neurrator.recording.open_recording", "Stopped."),
    ],
    ids=["fit", "evaluate", "study", "inspect"],
)  # fmt: skip
def test_what_is_stopped_says_what_it_leaves(tmp_path, monkeypatch, command, work, says):
    monkeypatch.setattr(work, interrupt)
    run = command(tmp_path / "out")
    assert (run.returncode, run.stderr) == (130, f"neurrator: {says.format(out=tmp_path / 'out')}\n")
