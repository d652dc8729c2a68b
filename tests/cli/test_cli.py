"""The command line as a user runs it: exit codes, one sentence on stderr. Some run in processes of their own, most in this one, which is quicker and no other way."""

import json
import subprocess
import sys

import pytest

from tests.commands import neurrator


def process(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", "from napari_neurrator.cli import main; main()", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **kwargs,
    )  # fmt: skip


def one_sentence(run):
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1 or "Error" not in run.stderr
    return run.stderr


def test_inspect_prints_every_unit_and_json(small_sample):
    text = process("inspect", small_sample)
    assert text.returncode == 0
    assert "SIMULATED" in text.stdout
    assert "natural_movie_one" in text.stdout
    document = json.loads(neurrator("inspect", small_sample, "--json").stdout)
    assert document["n_units"] == 80
    assert all(str(unit["unit_id"]) in text.stdout for unit in document["units"])


@pytest.fixture(scope="module")
def narrated(small_sample, small_decoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "n.jsonl"
    run = process(
        "narrate",
        small_sample,
        "--decoder",
        small_decoder,
        "--held-out",
        "--frames",
        "10,40,90,120,170,200",
        "--out",
        out,
    )
    assert run.returncode == 0, run.stderr
    assert "of 6 sentences at showings that were held out (held-out-repeats) are more than chance" in run.stdout
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_line_holds_sentence_evidence_and_config(narrated, small_sample):
    assert [line["frame"] for line in narrated] == [10, 40, 90, 120, 170, 200]
    for line in narrated:
        assert line["text"]
        assert line["reference"]
        assert line["prior"]
        assert line["held_out"] is True
        assert line["repeat"] == 4
        assert line["simulated"] is True
        assert line["patch_cosine"] > line["prior_patch_cosine"]
        assert line["concepts"]
        assert {"name", "feature", "strength"} <= set(line["concepts"][0])
        assert isinstance(line["presentation"], int)
        assert line["start_time"] > 0
        assert len(line["unit_ids"]) == 80
        assert line["config"]["recording"] == str(small_sample)
        evidence = line["evidence"]
        assert evidence["held_out"] is True
        assert evidence["split"] == "held-out-repeats"
        assert 0 < evidence["least"] <= evidence["p"] <= 1
        assert evidence["better"] == (evidence["p"] <= 0.05)
        assert evidence["patch_cosine"] == pytest.approx(line["patch_cosine"], abs=1e-3)
        assert evidence["gain"] == pytest.approx(evidence["patch_cosine"] - evidence["prior_cosine"], abs=1e-4)
        assert evidence["usual"] < evidence["gain"]
        assert "than chance" in evidence["in_words"]
    assert sum(line["evidence"]["better"] for line in narrated) >= 4
    assert sum(line["text"] == line["reference"] for line in narrated) >= 4


def test_showings_seen_in_fitting_are_no_test(small_sample, small_decoder, tmp_path):
    out = tmp_path / "n.jsonl"
    run = neurrator(
        "narrate", small_sample, "--decoder", small_decoder, "--frames", "10,90", "--repeat", "0", "--out", out
    )
    assert run.returncode == 0, run.stderr
    assert "None of these showings was held out" in run.stdout
    for line in out.read_text().splitlines():
        evidence = json.loads(line)["evidence"]
        assert evidence["better"] is None
        assert evidence["in_words"].startswith("Not a test")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inspect", "nowhere.nwb"], "nothing at nowhere.nwb"),
        (["models", "info", "gpt"], "no profile"),
        (["fit", "SAMPLE", "--stimulus", "nope", "--out", "OUT"], "natural_movie_one"),
        (["fit", "SAMPLE", "--stimulus", "natural_movie_one", "--out", "OUT", "--profile", "gpt"], "no profile"),
        (["fit", "SAMPLE", "--stimulus", "natural_movie_one", "--out", "OUT", "--units", "regoin == 1"], "did you mean 'region'"),
        (["fit", "SAMPLE", "--stimulus", "natural_movie_one", "--out", "OUT", "--split", "best"], "--split"),
        (["narrate", "SAMPLE", "--decoder", "OUT", "--out", "n.jsonl"], "no decoder"),
        (["narrate", "SAMPLE", "--decoder", "DECODER", "--out", "n.jsonl", "--units", 'region == "V1"'], "finds none"),
        (["narrate", "SAMPLE", "--decoder", "DECODER", "--out", "n.jsonl", "--frames", "9999"], "No moment fits"),
        (["narrate", "SAMPLE", "--decoder", "DECODER", "--out", "missing/n.jsonl", "--frames", "1"], "does not exist"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_2_and_one_sentence_and_nothing_is_written(
    small_sample, small_decoder, tmp_path, arguments, says
):
    words = {"SAMPLE": str(small_sample), "OUT": str(tmp_path / "out"), "DECODER": str(small_decoder)}
    run = neurrator(*[words.get(a, a) for a in arguments], cwd=tmp_path)
    assert says in one_sentence(run)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_ends_a_process_with_2_and_one_sentence(tmp_path):
    run = process("inspect", "nowhere.nwb", cwd=tmp_path)
    assert one_sentence(run) == neurrator("inspect", "nowhere.nwb", cwd=tmp_path).stderr


def test_a_decoder_of_another_recording_is_refused(small_decoder, tmp_path):
    from napari_neurrator.recording.sample import SampleSpec, make_sample

    other = make_sample(SampleSpec(seed=1, n_units=20, n_frames=20, n_repeats=2))
    run = neurrator("narrate", other, "--decoder", small_decoder, "--out", tmp_path / "n.jsonl")
    assert "was fitted on the recording" in one_sentence(run)


def test_models_list_and_info():
    assert "tiny" in neurrator("models", "list").stdout
    info = neurrator("models", "info", "tiny").stdout
    assert "12 × 12 patches" in info
    assert "hf download" in neurrator("models", "info", "llava-1.5-7b").stdout


def test_importing_the_package_is_cheap_and_without_torch():
    code = (
        "import sys, time; t = time.perf_counter(); import napari_neurrator; print(time.perf_counter() - t);"
        "assert not {'torch', 'transformers', 'napari', 'qtpy', 'spikeinterface'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_recording_room_does_not_import_torch(small_sample):
    code = f"import sys; from napari_neurrator import open_recording; open_recording({str(small_sample)!r}).spikes; assert 'torch' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_pool_of_sessions_is_a_source(small_sample, tmp_path):
    out = tmp_path / "both.toml"
    made = neurrator("pool", small_sample, small_sample, "--out", out)
    assert made.returncode == 0, made.stderr
    assert "160 units" in made.stdout
    document = json.loads(neurrator("inspect", out, "--json").stdout)
    assert document["pseudo_population"]
    assert document["n_units"] == 160
    assert "two sessions" in one_sentence(neurrator("pool", small_sample, "--out", out))
    assert ".toml" in one_sentence(neurrator("pool", small_sample, small_sample, "--out", tmp_path / "x.txt"))


def test_presentations_may_come_from_a_table(small_sample, tmp_path):
    from napari_neurrator.recording import open_recording

    shown = open_recording(small_sample).presentations_of("natural_movie_one")
    shown[["start_time", "stop_time", "frame"]].assign(stimulus="film").to_csv(tmp_path / "shown.csv", index=False)
    movie = small_sample.with_name("natural_movie_one.mp4")
    fit = neurrator(
        "fit", small_sample, "--stimulus", "film", "--presentations", tmp_path / "shown.csv", "--frames", movie, "--out", tmp_path / "d"
    )  # fmt: skip
    assert fit.returncode == 0, fit.stderr
    assert "more than chance: " in fit.stdout
    lines = tmp_path / "n.jsonl"
    told = neurrator(
        "narrate", small_sample, "--decoder", tmp_path / "d", "--frames", "5", "--repeat", "4", "--out", lines
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(lines.read_text())["stimulus"] == "film"
