"""Commands of the pages, run on a small simulated session that lies where the pages say: the README's, then those that go on from what it made."""

import contextlib
import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from .pages import DOCS, ROOT, blocks, lines_of, words_of

pytestmark = pytest.mark.slow
# What makes a command quick, and changes nothing of the way.
QUICK = {
    "fit": ["--option", "calibration_steps=40"],
    "narrate": ["--frames", "10,110,210"],
    "evaluate": ["--moments", "60", "--narrated", "4", "--permutations", "50", "--draws", "1", "--sizes", "5", "--sentence-model", ""],
    "concepts train": ["--steps", "10", "--features", "64", "--batch", "256"],
}  # fmt: skip
# These need a study's file, and a server that goes on for ever; tests of their own run them.
NOT_RUN = {"study", "serve"}


def named(words: list[str]) -> str:
    """Return the name of a command."""
    return " ".join(words[1 : 3 if words[1] in ("concepts", "models") else 2])


def commands_of(page: Path, begins: str) -> list[list[str]]:
    """Return the commands of a page whose line begins so, in a block or in a sentence."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(text) for line in lines_of(block)] + re.findall(r"`([^`\n]+)`", text)
    found = [words_of(line) for line in lines if line.startswith(begins)]
    assert found, (page, begins)
    return found


def run(words: list[str], folder: Path) -> str:
    """Run a command in a folder; return what it prints."""
    from napari_neurrator.cli import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [*words, *QUICK.get(named(words), [])])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    assert code == 0, (words, out.getvalue(), err.getvalue())
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(small_sample, tmp_path_factory):
    """Return a folder with session.nwb, natural_movie_one.mp4, and what the README's block "Your own data" makes of them."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(small_sample, folder / "session.nwb")
    (film,) = small_sample.parent.glob("*.mp4")
    shutil.copy(film, folder / "natural_movie_one.mp4")
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own data")[1]
    said = {}
    for line in lines_of(blocks(text)[0]):
        words = words_of(line)
        assert words[0] == "neurrator"
        if words[1] not in NOT_RUN:
            said[named(words)] = run(words, folder)
    (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_readme(folder):
    said = json.loads((folder / "said.json").read_text(encoding="utf-8"))
    assert set(said) == {"inspect", "fit", "narrate", "evaluate", "export", "replay", "concepts train", "models list"}
    narrations = lines(folder / "narrations.jsonl")
    assert [one["frame"] for one in narrations] == [10, 110, 210]
    assert all(one["held_out"] for one in narrations)
    assert "3 sentences made again" in said["replay"]
    assert "3 are as they were saved" in said["replay"]
    assert (folder / "narrations.replayed.jsonl").read_bytes() == (folder / "narrations.jsonl").read_bytes()
    for made in ("report/report.html", "report/report.json", "out.nwb", "captioned.mp4", "my-dictionary/cfg.json"):
        assert (folder / made).stat().st_size > 0, made


def test_take_it_home(folder):
    third = lines(folder / "narrations.jsonl")[2]
    word = re.findall(r"[a-z]{3,}", third["text"])[0]
    for words in commands_of(DOCS / "export.md", "neurrator export narrations.jsonl"):
        # The page's concept and word are of another sentence.
        fitting = [
            third["concepts"][0]["name"] if one == "night" else one.replace("word:tiger", f"word:{word}")
            for one in words
        ]
        run(fitting, folder)
    for made in ("narrations.csv", "session_with_narrations.nwb", "captioned.mp4", "figure.png", "units.csv"):
        assert (folder / made).stat().st_size > 0, made
    (again,) = commands_of(DOCS / "export.md", "neurrator replay narrations.jsonl")
    run(again, folder)
    assert (folder / "again.jsonl").read_bytes() == (folder / "narrations.jsonl").read_bytes()


def test_dictionaries(folder):
    (folder / "words.txt").write_text("tiger\nbus\nbeach\nnight\n", encoding="utf-8")
    page, place = (
        DOCS / "concepts.md",
        {
            "DICTIONARY": "my-dictionary",
            "pictures/": "natural_movie_one.mp4",
            "llava-1.5-7b": "tiny",
            "DIR": "converted",
        },
    )
    said = {}
    for name in ("info", "convert", "name", "gallery", "label"):
        (words,) = commands_of(page, f"neurrator concepts {name} ")
        said[name] = run([place.get(word, word) for word in words], folder)
    assert "64" in said["info"]
    assert (folder / "converted" / "cfg.json").is_file()
    assert len(json.loads((folder / "my-dictionary" / "names.json").read_text(encoding="utf-8"))["features"]) == 64
    assert (folder / "sheet.html").stat().st_size > 0
    assert json.loads((folder / "my-dictionary" / "labels.json").read_text(encoding="utf-8"))["labels"] == {
        "17": "tiger stripes"
    }


def test_pools_and_examples_of_studies(folder):
    for name in ("a.nwb", "b.nwb"):
        shutil.copy(folder / "session.nwb", folder / name)
    (words,) = commands_of(DOCS / "opening.md", "neurrator pool ")
    run(words, folder)
    assert "160 units" in run(["neurrator", "inspect", "both.toml"], folder)
    listed, printed = commands_of(DOCS / "studies.md", "neurrator study --example")
    assert "regions" in run(listed, folder)
    assert "kind = " in run(printed, folder)
