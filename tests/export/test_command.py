"""``neurrator export`` as a user runs it."""

import subprocess
import sys

import pandas as pd
import pytest

from napari_neurrator.export.files import read_narrations
from napari_neurrator.export.movie import read_subtitles
from napari_neurrator.export.nwb import read_nwb_narrations


def neurrator(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from napari_neurrator.cli import main; main()", *map(str, arguments)],
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


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
