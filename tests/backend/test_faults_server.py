"""A server and its clients with real processes: killed, hung, stopped in good order, crowded, with a full disk, and two windows on one."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.client import HttpBackend
from napari_neurrator.backend.decoder_files import decoder_hash, packed

from .servers import MAIN, TOKEN, Listener, Served, alive, brief, gone, run, sentence, shared_memory, wait_for

resource = pytest.importorskip("resource", reason="this system has no limits for processes")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    before = shared_memory()
    made = Served("--store", tmp_path_factory.mktemp("store"), "--queue", 24, "--rate", 5000)
    yield made
    made.stop()
    assert shared_memory() <= before


@pytest.fixture
def client(served):
    made = HttpBackend(served.address, TOKEN)
    yield made
    made.close()


def test_two_windows_on_one_server_do_not_disturb_each_other(served, request_of):
    one, two = HttpBackend(served.address, TOKEN), HttpBackend(served.address, TOKEN)
    try:
        first, second = request_of(2), request_of(3)
        of_one = Listener("token", lambda: one.cancel(first.job_id))
        of_two = Listener()
        one.submit(first, of_one)
        two.submit(second, of_two)
        assert isinstance(of_one.all()[-1], p.Cancelled)
        events = of_two.all()
        assert isinstance(events[-1], p.Done)
        assert {e.moment for e in events if isinstance(e, p.Sentence)} == {0, 1, 2}
        one.close()
        assert isinstance(run(two, brief(request_of(1)))[-1], p.Done)
    finally:
        one.close()
        two.close()


_CLIENT = """
import json, sys, time
from napari_neurrator.backend.client import HttpBackend
from napari_neurrator.backend import protocol as p
request = p.NarrationRequest.model_validate_json(sys.stdin.readline())
HttpBackend(sys.argv[1], sys.argv[2]).submit(request, lambda event: print(event.kind, flush=True))
time.sleep(600)
"""


def test_a_client_that_is_killed_is_forgotten(served, client, request_of):
    run(client, brief(request_of(1)))  # uploads the decoder
    command = [sys.executable, "-c", _CLIENT, served.address, TOKEN]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    long = request_of(3).model_copy(update={"max_new_tokens": 800, "want": ["text"]})
    other.stdin.write(long.model_dump_json() + "\n")
    other.stdin.flush()
    assert other.stdout.readline().strip() in {"token", "progress"}
    other.kill()
    other.communicate()
    wait_for(lambda: not served.status().running, "the end of the job of a client that is gone", 30)
    assert isinstance(run(client, brief(request_of(1)))[-1], p.Done)


def test_a_worker_that_is_killed_costs_one_job_and_its_neighbours_nothing(served, client, request_of):
    worker = served.worker()
    listener = Listener("token", lambda: os.kill(worker, signal.SIGKILL))
    client.submit(request_of(3), listener)
    waiting = [Listener() for _ in range(4)]
    for one in waiting:
        client.submit(brief(request_of(1)), one)
    assert "ended unexpectedly (SIGKILL)" in sentence(listener.all()[-1].message)
    assert all(isinstance(one.all()[-1], p.Done) for one in waiting)
    gone([worker])


def test_two_hundred_clients_at_once(served, small_decoder, request_of):
    """All are served in the end, those beyond the queue after being told to come again; nothing is lost or said twice."""
    client = HttpBackend(served.address, TOKEN, patience_s=300)
    try:
        run(client, brief(request_of(1)))
        requests = [brief(request_of(1), job_id=f"load{number}", max_new_tokens=2) for number in range(200)]
        begun = threading.Barrier(200)

        def narrate(request):
            begun.wait(60)
            return run(client, request, 300)

        with ThreadPoolExecutor(200) as pool:
            heard = list(pool.map(narrate, requests))
        assert all(isinstance(events[-1], p.Done) for events in heard)
        assert all(sum(isinstance(e, p.Sentence) for e in events) == 1 for events in heard)
        assert len({events[-2].text for events in heard if isinstance(events[-2], p.Sentence)}) <= 1
        figures = served.http.get("/metrics").text
        assert 'neurrator_refused_total{why="busy"}' in figures
        assert alive(served.pid)
        assert served.status().waiting == 0
    finally:
        client.close()


def test_a_full_queue_says_so_in_a_sentence(served, client, small_decoder, request_of):
    run(client, brief(request_of(1)))
    body = brief(request_of(1), decoder=decoder_hash(small_decoder), max_new_tokens=200).model_dump(mode="json")
    answers = []

    def ask(number):
        # Different prompts, so that they are not narrated side by side.
        with served.http.stream(
            "POST", "/v1/jobs", json={**body, "job_id": f"q{number}", "prompt": f"{number}?"}
        ) as one:
            answers.append((one.status_code, one.headers.get("retry-after"), one.read()))

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(ask, range(40)))
    busy = [answer for answer in answers if answer[0] == 429]
    assert busy
    assert {status for status, *_ in answers} == {200, 429}
    for _, after, content in busy:
        assert int(after) >= 1
        assert "busy (24 jobs wait)" in sentence(p.Problem.model_validate_json(content).message)


def test_too_many_requests_of_one_client(tmp_path):
    slow = Served("--store", tmp_path, "--rate", 0.5)
    try:
        answers = [slow.http.get("/v1/status") for _ in range(14)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert "Too many requests" in sentence(answers[-1].json()["message"])
        assert slow.http.get("/health").status_code == 200
    finally:
        slow.stop()


def test_a_full_disk_is_said_and_leaves_nothing(small_decoder, request_of, tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    full = Served("--store", tmp_path, before=small_files)
    client = HttpBackend(full.address, TOKEN)
    try:
        answer = full.http.put(f"/v1/decoders/{decoder_hash(small_decoder)}", content=packed(small_decoder))
        assert answer.status_code == 507
        assert "disk is full" in sentence(answer.json()["message"])
        assert list(tmp_path.iterdir()) == []
        last = run(client, brief(request_of(1)))[-1]
        assert "disk is full" in sentence(last.message)
        assert full.http.get("/health").json()["ready"]
    finally:
        client.close()
        full.stop()


def test_a_server_that_is_stopped_ends_in_good_order(small_decoder, request_of, tmp_path):
    stopping = Served("--store", tmp_path, "--grace", 60)
    client = HttpBackend(stopping.address, TOKEN)
    family = []
    try:
        # The worker still imports its libraries, so that the first job runs for a while.
        running, waiting = Listener(), Listener()
        client.submit(request_of(1), running)
        wait_for(lambda: stopping.status().running, "the job")
        client.submit(brief(request_of(1), prompt="Another?"), waiting)
        wait_for(lambda: stopping.status().waiting, "the second job")
        family = stopping.family()
        stopping.process.send_signal(signal.SIGTERM)
        # what runs is done, what waits is told
        assert isinstance(running.all()[-1], p.Done)
        assert "shutting down" in sentence(waiting.all()[-1].message)
        assert stopping.process.wait(timeout=30) == 0
        gone(family)
        last = run(client, brief(request_of(1)))[-1]
        assert "cannot be reached" in sentence(last.message) or "ended the connection" in last.message
    finally:
        client.close()
        stopping.stop()


def test_a_server_that_is_killed_and_started_again(small_sample, small_decoder, request_of, tmp_path):
    """The command line keeps what was finished, and goes on with the server that took its place."""
    first = Served("--store", tmp_path / "store")
    port = first.address.rsplit(":", 1)[1]
    out = tmp_path / "n.jsonl"
    command = [
        sys.executable, "-c", MAIN, "narrate", str(small_sample), "--decoder", str(small_decoder), "--held-out", "--frames", "0-129", "--concepts", "1",
        "--out", str(out), "--backend", first.address, "--token", TOKEN,
    ]  # fmt: skip
    narrating = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    part = out.with_name("n.jsonl.part")
    family = []
    try:
        wait_for(lambda: part.exists() and part.stat().st_size > 0, "the first narrations", 120)
        family = first.family()
        os.kill(first.pid, signal.SIGKILL)
        _, said = narrating.communicate(timeout=60)
    finally:
        first.stop()
        narrating.kill()
    gone(family)
    if narrating.returncode == 0:
        pytest.fail("the server was killed too late")
    assert narrating.returncode == 2
    kept = len(part.read_bytes().splitlines())
    assert f"{kept} of 130 narrations are kept" in said
    assert kept >= 64
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 2
    assert "--resume" in again.stderr or "cannot be reached" in again.stderr
    second = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", port, "--store", str(tmp_path / "store")],
        env={**os.environ, "NEURRATOR_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "Serving" in second.stdout.readline()
        resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=200, check=False)
        assert resumed.returncode == 0, resumed.stderr
    finally:
        second.terminate()
        second.communicate(timeout=40)
    assert not part.exists()
    import json

    assert [json.loads(line)["frame"] for line in out.read_text().splitlines()] == list(range(130))


def test_health_answers_while_the_models_work(served, client, request_of):
    run(client, brief(request_of(1)))
    listener = Listener()
    client.submit(request_of(3).model_copy(update={"max_new_tokens": 300, "want": ["text"]}), listener)
    for _ in range(10):
        assert httpx.get(f"{served.address}/health", trust_env=False, timeout=10).status_code == 200
        time.sleep(0.01)
    client.cancel(listener.events.get(timeout=60).job_id)
    listener.all()
