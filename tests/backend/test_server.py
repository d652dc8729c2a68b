"""``neurrator serve`` in a process of its own: what it takes, what it refuses with which status, and that it says the same as this process."""

import contextlib
import json
import pickle
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.client import HttpBackend
from napari_neurrator.backend.decoder_files import decoder_hash
from tests.commands import neurrator

from .servers import MAIN, TOKEN, Served, brief, run, sentence, wait_for

MIB = 1 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served("--store", tmp_path_factory.mktemp("store"), "--max-body", 8, "--rate", 1000)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def remote(served, small_decoder):
    made = HttpBackend(served.address, TOKEN)
    made.check()
    made._upload(str(small_decoder))
    yield made
    made.close()


@pytest.fixture(scope="module")
def body_of(remote, request_of, small_decoder):
    name = decoder_hash(small_decoder)

    def make(**changes):
        request = request_of(1).model_copy(update={"decoder": name, "max_new_tokens": 4})
        return {**request.model_dump(mode="json"), **changes}

    return make


def packed(array):
    return p.PackedArray.pack(array).model_dump(mode="json")


def refused(answer, status, *says):
    assert answer.status_code == status, answer.text
    message = sentence(answer.json()["message"])
    assert all(word in message for word in says), message


def cli(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, **kwargs
    )  # fmt: skip


def test_the_command_line_says_line_for_line_what_it_says_without_a_server(
    served, small_sample, small_decoder, tmp_path
):
    common = ["narrate", small_sample, "--decoder", small_decoder, "--held-out", "--frames", "10,40,90,170"]
    here = neurrator(*common, "--out", tmp_path / "here.jsonl")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    there = cli(
        *common, "--out", tmp_path / "there.jsonl", "--backend", served.address, "--token", f"@{tmp_path / 'token'}"
    )
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert (tmp_path / "here.jsonl").read_bytes() == (tmp_path / "there.jsonl").read_bytes()
    assert there.stdout.replace("there", "here") == here.stdout
    wrong = neurrator(*common, "--out", tmp_path / "no.jsonl", "--backend", served.address, "--token", "wrong")
    assert wrong.returncode == 2
    assert "token is wrong" in wrong.stderr
    assert not list(tmp_path.glob("no*"))


def test_a_fit_is_refused_from_elsewhere(served, remote, body_of, tmp_path):
    body = {
        "kind": "fit", "job_id": "fit", "config": {"recording": "sample", "stimulus": "natural_movie_one"}, "out": str(tmp_path / "d")
    }  # fmt: skip
    refused(served.http.post("/v1/jobs", json=body), 403, "where the recording is")
    events = run(remote, p.FitRequest(**body))
    assert "on this computer" in events[-1].message
    assert not (tmp_path / "d").exists()


def test_no_token_and_wrong_tokens(served, body_of):
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
    ):
        for method, path in (
            ("GET", "/v1/status"),
            ("POST", "/v1/jobs"),
            ("GET", "/metrics"),
            ("PUT", "/v1/decoders/x"),
        ):
            request = served.http.build_request(method, path)
            request.headers.pop("authorization")
            request.headers.update(headers)
            answer = served.http.send(request)
            refused(answer, 401, "oken")
            assert answer.headers["www-authenticate"] == "Bearer"
    request = served.http.build_request("GET", "/health")
    request.headers.pop("authorization")
    assert p.Health.model_validate(served.http.send(request).json()).protocol == p.PROTOCOL_VERSION


def answer_to(served, length, chunks):
    """What the server answers to a body that is sent until the server hangs up."""
    host, port = served.address.removeprefix("http://").split(":")
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    answer = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(ConnectionError):
            for chunk in chunks:
                connection.sendall(chunk)
        # The answer can come in several pieces, and ends with its one sentence.
        with contextlib.suppress(ConnectionError):
            while b"}" not in answer and (piece := connection.recv(65536)):
                answer += piece
    return answer.decode()


def test_a_body_of_a_gigabyte_is_refused_without_being_read(served):
    answer = answer_to(served, f"Content-Length: {1 << 30}", [])
    assert answer.startswith("HTTP/1.1 413")
    assert "larger than 8 MiB" in answer


def test_a_body_without_a_length_is_refused_once_it_is_too_large(served):
    chunk = f"{MIB:x}\r\n".encode() + b" " * MIB + b"\r\n"
    answer = answer_to(served, "Transfer-Encoding: chunked", [chunk] * 9)
    assert answer.startswith("HTTP/1.1 413")
    assert "larger than 8 MiB" in answer


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"windows": "negative"}, 422, "negative"),
        ({"windows": "nan"}, 422, "not numbers"),
        ({"windows": "short"}, 422, "this decoder expects"),
        ({"windows": {"dtype": "uint8", "shape": [1, 20, 9], "data": "AAAA"}}, 422, "bytes"),
        ({"windows": {"dtype": "uint8", "shape": [1 << 30, 1 << 30, 1 << 30], "data": ""}}, 422, "bytes"),
        ({"windows": {"dtype": "object", "shape": [0], "data": ""}}, 422, "dtype"),
        ({"unit_ids": "unknown"}, 422, "not among the 80"),
        ({"unit_ids": []}, 422, "unit_ids"),
        ({"frames": None}, 422, "frames"),
        ({"frames": "two"}, 422, "frames"),
        ({"decoder": "sha256:" + "0" * 64}, 404, "upload it first"),
        ({"decoder": "/etc"}, 422, "paths are not taken"),
        ({"decoder": "sha256:../../etc"}, 404, "no decoder"),
        ({"protocol": 99}, 400, "update the older"),
        ({"protocol": 99, "wishes": "of the future"}, 400, "update the older"),
        ({"protocol": 1}, 400, "update the older"),
        ({"wishes": 1}, 422, "wishes"),
        ({"job_id": "../x"}, 422, "job_id"),
        ({"max_new_tokens": 10**9}, 413, "new tokens"),
        ({"n_concepts": 10**9}, 413, "concepts"),
        ({"prompt": "x" * 10_000}, 413, "prompt"),
        ({"kind": "dance"}, 422, "kind"),
    ],
)  # fmt: skip
def test_bad_requests(served, body_of, changes, status, says):
    good = body_of()
    units, bins = len(good["unit_ids"]), good["windows"]["shape"][1]
    made = {
        "negative": packed(np.full((1, bins, units), -1, np.int32)),
        "nan": packed(np.full((1, bins, units), np.nan, np.float32)),
        "short": packed(np.zeros((1, bins - 1, units), np.uint8)),
        "unknown": [-1 - n for n in range(units)],
        "two": packed(np.zeros((2, 8, 8, 3), np.uint8)),
    }
    changes = {key: made.get(value, value) if isinstance(value, str) else value for key, value in changes.items()}
    refused(served.http.post("/v1/jobs", json={**good, **changes}), status, says)


def test_what_is_no_json_and_a_pickle_in_disguise(served):
    headers = {"content-type": "application/json"}
    for content in (b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 10_000):
        answer = served.http.post("/v1/jobs", content=content, headers=headers)
        refused(answer, 400 if answer.status_code == 400 else 422)
    trap = pickle.dumps({"decoder/typical_grids": [0.0]})
    refused(served.http.post("/v1/jobs", content=trap, headers=headers), 400)
    import hashlib

    name = f"sha256:{hashlib.sha256(trap).hexdigest()}"
    refused(served.http.put(f"/v1/decoders/{name}", content=trap), 422, "pickle")
    refused(served.http.get(f"/v1/decoders/{name}"), 404)
    refused(served.http.delete("/v1/jobs/nobody"), 404)
    refused(served.http.get("/nowhere"), 404)


def test_a_name_is_taken_while_its_job_runs_and_free_afterwards(served, body_of):
    body = body_of(job_id="same", max_new_tokens=60)
    with served.http.stream("POST", "/v1/jobs", json=body) as first:
        assert first.status_code == 200
        assert first.headers["content-type"] == "application/x-ndjson"
        refused(served.http.post("/v1/jobs", json=body), 409, "same")
        lines = [line for line in first.iter_lines() if line]
    assert json.loads(lines[-1])["kind"] == "done"
    wait_for(lambda: not served.status().running, "the end")
    assert served.http.post("/v1/jobs", json=body).status_code == 200


def test_hanging_up_cancels(served, body_of):
    with served.http.stream("POST", "/v1/jobs", json=body_of(job_id="gone", max_new_tokens=800)) as answer:
        next(answer.iter_lines())
    wait_for(lambda: not served.status().running, "the end of a job to which nobody listens", 20)
    text = served.http.get("/metrics").text
    assert 'neurrator_jobs_total{how="cancelled",kind="narrate"}' in text


def test_requests_of_many_clients_are_narrated_side_by_side(served, remote, request_of):
    requests = [brief(request_of(1), max_new_tokens=20) for _ in range(24)]
    with ThreadPoolExecutor(24) as pool:
        ends = list(pool.map(lambda request: run(remote, request)[-1], requests))
    assert all(isinstance(end, p.Done) for end in ends)
    figures = dict(line.rsplit(" ", 1) for line in served.http.get("/metrics").text.splitlines() if line[0] != "#")
    groups, moments = (float(figures[f"neurrator_batch_moments_{what}"]) for what in ("count", "sum"))
    assert groups < moments


def test_public_addresses_need_token_and_tls(tmp_path):
    bare = cli("serve", "--host", "0.0.0.0", "--port", "0")
    assert bare.returncode == 2
    assert "--token and --tls-cert and --tls-key are missing" in sentence(bare.stderr.strip())
    half = cli("serve", "--host", "0.0.0.0", "--port", "0", "--token", "x" * 30)
    assert "--tls-cert and --tls-key is missing" in half.stderr
    for options, says in (
        (["--host", "no.such.host.invalid"], "--host"),
        (["--tls-cert", str(tmp_path / "c.pem")], "--tls-key"),
        (["--tls-cert", "c.pem", "--tls-key", "k.pem"], "cannot be used"),
        (["--token-file", str(tmp_path / "none")], "token file"),
        (["--replicas", "many"], "--replicas"),
        (["--replicas", "1-3"], "--engine ray"),
        (["--token", "with space"], "token"),
    ):
        run = cli("serve", "--port", "0", *options)
        assert run.returncode == 2, options
        assert says in sentence(run.stderr.strip())


def test_a_port_that_is_taken(served):
    run = cli("serve", "--port", served.address.rsplit(":", 1)[1])
    assert run.returncode == 2
    assert "cannot be used" in sentence(run.stderr.strip())


def test_the_document_that_is_checked_in_is_that_of_the_server(served):
    from tools.openapi import FILE, text

    assert FILE.read_text(encoding="utf-8") == text(), "run 'python -m tools.openapi'"
    document = json.loads(FILE.read_text(encoding="utf-8"))
    assert served.http.get("/openapi.json").json() == document
    assert Path(FILE).name == "openapi.json"
