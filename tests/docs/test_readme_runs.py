"""The commands of the README's block "Your own data", run in its order on a small simulated session that lies where the README says."""

import json
import shutil
import sys

import pytest

from .pages import ROOT, blocks, lines_of, words_of

# What makes a command quick, and changes nothing of the way.
QUICK = {
    "fit": ["--option", "calibration_steps=40"],
    "narrate": ["--frames", "10,110,210"],
    "evaluate": ["--moments", "60", "--narrated", "4", "--permutations", "50", "--draws", "1", "--sizes", "5", "--sentence-model", ""],
    "concepts": ["--steps", "10", "--features", "64", "--batch", "256"],
}  # fmt: skip
# These need a study's file, and a server that goes on for ever; tests of their own run them.
NOT_RUN = {"study", "serve"}


def documented() -> list[list[str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own data")[1]
    return [words_of(line) for line in lines_of(blocks(text)[0])]


@pytest.fixture
def folder(small_sample, tmp_path):
    """Return a folder with session.nwb and natural_movie_one.mp4."""
    shutil.copy(small_sample, tmp_path / "session.nwb")
    (film,) = small_sample.parent.glob("*.mp4")
    shutil.copy(film, tmp_path / "natural_movie_one.mp4")
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_readme_work(folder, monkeypatch, capsys):
    from napari_neurrator.cli import main

    monkeypatch.chdir(folder)
    done = []
    for words in documented():
        assert words[0] == "neurrator"
        if words[1] in NOT_RUN:
            continue
        monkeypatch.setattr(sys, "argv", [*words, *QUICK.get(words[1], [])])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert code == 0, (words, out, err)
        done.append(words[1])
        if words[1] == "replay":
            assert "3 sentences made again" in out
            assert "3 are as they were saved" in out
            assert (folder / "narrations.replayed.jsonl").read_bytes() == (folder / "narrations.jsonl").read_bytes()
    assert set(done) == {"inspect", "fit", "narrate", "evaluate", "export", "replay", "concepts", "models"}
    lines = [json.loads(line) for line in (folder / "narrations.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["frame"] for line in lines] == [10, 110, 210]
    assert all(line["held_out"] for line in lines)
    for made in ("report/report.html", "report/report.json", "out.nwb", "captioned.mp4", "my-dictionary/cfg.json"):
        assert (folder / made).stat().st_size > 0, made
