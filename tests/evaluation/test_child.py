"""The process that works for the window."""

import json
import subprocess
import sys

import pytest

from napari_neurrator.evaluation.child import ReportJob


def child():
    command = [sys.executable, "-m", "napari_neurrator.evaluation.child"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def job(kind, out, config):
    return ReportJob(kind=kind, config=config, out=str(out)).model_dump_json() + "\n"


def events(stream):
    return [json.loads(line) for line in stream]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("evaluation", {"recording": "nowhere.nwb", "decoder": "nowhere"}),
        ("study", {"kind": "groups", "sessions": [{"recording": "nowhere.nwb", "decoder": "nowhere"}]}),
        ("study", {"kind": "dance"}),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, kind, config):
    process = child()
    process.stdin.write(job(kind, tmp_path / "r", config))
    process.stdin.flush()
    last = events(process.stdout)[-1]
    assert last["event"] == "failed"
    assert last["message"]
    assert "\n" not in last["message"]
    assert process.wait(20) == 0


def test_it_stops_when_its_parent_goes_and_keeps_what_it_has(small_sample, small_decoder, tmp_path):
    process = child()
    config = {"recording": str(small_sample), "decoder": str(small_decoder), "sizes": [1, 10], "sentence_model": None}
    process.stdin.write(job("evaluation", tmp_path / "r", config))
    process.stdin.flush()
    for line in process.stdout:
        event = json.loads(line)
        assert event["event"] == "progress", event
        if event["stage"] == "decoding subsets of units" and event["done"] >= 1:
            break
    process.stdin.close()
    assert events(process.stdout)[-1]["event"] == "stopped"
    assert process.wait(30) == 0
    assert list((tmp_path / "r" / "cache").iterdir())
    assert not (tmp_path / "r" / "report.html").exists()
