"""Evaluations whose language model runs on a server: the same sentences, the same report, and bad requests refused."""

import json

import numpy as np
import pytest
import torch

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.client import HttpBackend
from napari_neurrator.backend.describing import language_of
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.config import EvaluateConfig
from napari_neurrator.evaluation.run import evaluate

from .servers import TOKEN, Served, sentence


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served("--store", tmp_path_factory.mktemp("store"), "--max-body", 64, "--rate", 1000)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def remote(served):
    made = HttpBackend(served.address, TOKEN)
    yield made
    made.close()


@pytest.fixture(scope="module")
def grids(small_decoder):
    return StoredDecoder.load(small_decoder).typical_grids[:5].float()


def test_it_says_what_the_model_says_here(remote, tiny, language, grids):
    elsewhere = language_of(remote)(tiny)
    assert elsewhere.narrate(grids) == language.narrate(grids)
    assert elsewhere.narrate(grids[:2], "Which objects are there?", 9) == language.narrate(
        grids[:2], "Which objects are there?", 9
    )
    assert elsewhere.narrate(grids[:0]) == []


def test_a_report_made_with_a_server_is_that_made_without(remote, small_sample, small_decoder, tmp_path):
    config = EvaluateConfig(
        recording=str(small_sample), decoder=str(small_decoder), sizes=[5, 80], draws=2, moments=60, narrated=8, n_permutations=19,
        sentence_model=None, examples=2,
    )  # fmt: skip
    reports = []
    for name, how in (("here", {}), ("there", {"make_language": language_of(remote)})):
        evaluate(config, tmp_path / name, **how)
        reports.append(json.loads((tmp_path / name / "report.json").read_text()))
    assert reports[0]["sizes"] == reports[1]["sizes"]
    assert reports[0]["examples"] == reports[1]["examples"]


@pytest.mark.parametrize(("changes", "status", "says"), [
    ({"profile": "/etc"}, 404, "no profile"),
    ({"profile": "llava-of-nobody"}, 404, "no profile"),
    ({"grids": np.zeros((1, 144), np.float32)}, 422, "float32"),
    ({"grids": np.zeros((1, 4, 5), np.float16)}, 422, "float32"),
    ({"grids": np.zeros((0, 4, 5), np.float32)}, 422, "float32"),
    ({"grids": np.full((1, 4, 5), np.nan, np.float32)}, 422, "no number"),
    ({"grids": np.zeros((1025, 1, 1), np.float32)}, 413, "1025 grids"),
    ({"max_new_tokens": 10**6}, 413, "new tokens"),
    ({"prompt": "x" * 5000}, 413, "characters"),
])  # fmt: skip
def test_what_cannot_be_described_is_refused(served, changes, status, says):
    fields = {"job_id": "bad", "profile": "tiny", "grids": np.zeros((1, 144, 160), np.float32), **changes}
    fields["grids"] = p.PackedArray.pack(fields["grids"])
    answer = served.http.post("/v1/jobs", json=p.DescribeRequest(**fields).model_dump(mode="json"))
    assert answer.status_code == status, answer.text
    assert says in sentence(answer.json()["message"])


def test_grids_of_another_size_fail_with_the_models_own_sentence(remote, tiny):
    with pytest.raises(NeurratorError, match="grids have shape"):
        language_of(remote)(tiny).narrate(torch.zeros(1, 4, 5))
