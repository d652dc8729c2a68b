"""Two replicas on Ray Serve say what one process says. Ray is an extra."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.client import HttpBackend

from .servers import TOKEN, Listener, Served, brief, run, sentence, shared_memory, wait_for

pytest.importorskip("ray", reason="Ray is not installed (pip install 'napari-neurrator[ray]')")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Ray Serve is tried on Linux only"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    before = shared_memory()
    environment = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": "/tmp", "RAY_DEDUP_LOGS": "1"}
    environment["RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE"] = "1"
    made = Served(
        "--engine", "ray", "--replicas", 2, "--store", tmp_path_factory.mktemp("store"), environment=environment
    )
    yield made
    made.stop()
    assert shared_memory() <= before


@pytest.fixture(scope="module")
def client(cluster):
    made = HttpBackend(cluster.address, TOKEN)
    yield made
    made.close()


def sentences(events):
    return [(e.moment, e.text, e.reference, e.prior) for e in events if isinstance(e, p.Sentence)]


def test_two_replicas_say_what_one_process_says(cluster, client, request_of):
    from napari_neurrator.backend.local import InProcessBackend

    here = InProcessBackend()
    try:
        expected = sentences(run(here, request_of(3)))
    finally:
        here.close()
    events = run(client, request_of(3), 300)
    assert isinstance(events[-1], p.Done), events[-1].message
    assert sentences(events) == expected
    # both at once: two groups that cannot go together
    requests = [request_of(2).model_copy(update={"prompt": None, "n_concepts": number % 2}) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        heard = list(pool.map(lambda request: run(client, request, 300), requests))
    assert {str(sentences(events)) for events in heard} == {str(sentences(heard[0]))}
    assert sentences(heard[0])[-1][1] == expected[-2][1]


def test_stopping_and_a_replica_that_is_killed(cluster, client, request_of):
    import psutil

    request = request_of(3).model_copy(update={"max_new_tokens": 500})
    listener = Listener("token", lambda: client.cancel(request.job_id))
    client.submit(request, listener)
    assert isinstance(listener.all()[-1], p.Cancelled)
    wait_for(lambda: not cluster.status().running, "the end of the job", 60)

    def kill_replicas():
        for process in psutil.Process(cluster.pid).children(recursive=True):
            if "Replica" in " ".join(process.cmdline()):
                os.kill(process.pid, signal.SIGKILL)

    listener = Listener("token", kill_replicas)
    client.submit(request_of(3), listener)
    last = listener.all(200)[-1]
    assert isinstance(last, p.Failed)
    assert "lost" in sentence(last.message)
    again = wait_for(lambda: isinstance(run(client, brief(request_of(1)), 200)[-1], p.Done), "a new replica", 200)
    assert again
