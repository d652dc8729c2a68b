"""The models' processes are killed or hang, in every phase: the user is told in a sentence, and the next job works."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.process import ProcessBackend

from .servers import Listener, alive, brief, gone, run, sentence, shared_memory, wait_for

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


@pytest.fixture(scope="module")
def backend():
    before = shared_memory()
    made = ProcessBackend(quiet_s=12, limits={"quiet_s": 8})
    yield made
    made.close()
    assert shared_memory() <= before


def worker_of(backend):
    return wait_for(lambda: (s := backend.status()) and s.workers[0].pid, "a worker")


def kill(pid, how=signal.SIGKILL):
    os.kill(pid, how)


def lost(events):
    assert isinstance(events[-1], p.Failed), events[-1]
    assert events[-1].details is None
    return sentence(events[-1].message)


def works(backend, request_of):
    assert isinstance(run(backend, brief(request_of(1)))[-1], p.Done)


def test_the_worker_is_killed_while_it_imports_and_while_it_speaks(backend, request_of):
    # before it has looked at the job: nothing is lost at all
    first = Listener()
    backend.submit(brief(request_of(1)), first)
    wait_for(lambda: (s := backend.status()) and s.running, "the job to reach the worker")
    kill(worker_of(backend))
    assert isinstance(first.all()[-1], p.Done)
    # while it speaks: what waits behind the job is not lost with it
    speaking = request_of(3)
    waiting = Listener()
    behind = brief(request_of(1))
    listener = Listener("token", lambda: (backend.submit(behind, waiting), kill(worker_of(backend))))
    backend.submit(speaking, listener)
    assert "ended unexpectedly (SIGKILL); it starts again with the next request" in lost(listener.all())
    assert isinstance(waiting.all()[-1], p.Done)
    status = backend.status()
    assert status.workers[0].restarts == 2
    assert "Lost: a narration." in status.note


def test_the_worker_is_killed_while_idle_and_nobody_loses_anything(backend, request_of):
    works(backend, request_of)
    old = worker_of(backend)
    wait_for(lambda: backend.status().workers[0].state == "idle", "rest")
    kill(old)
    works(backend, request_of)
    assert worker_of(backend) != old


def test_a_worker_that_hangs_is_restarted(backend, request_of):
    works(backend, request_of)
    hung = worker_of(backend)
    listener = Listener("token", lambda: kill(hung, signal.SIGSTOP))
    backend.submit(request_of(3), listener)
    assert "hung for 8 s" in lost(listener.all())
    works(backend, request_of)
    gone([hung])


def test_the_server_is_killed_and_hangs(backend, request_of):
    works(backend, request_of)
    server, worker = backend.pid, worker_of(backend)
    listener = Listener("token", lambda: kill(server))
    backend.submit(request_of(3), listener)
    assert "ended unexpectedly (code -9)" in lost(listener.all())
    gone([server, worker])
    works(backend, request_of)
    # a server that hangs says nothing any more, not even that it is there
    server, worker = backend.pid, worker_of(backend)
    listener = Listener("token", lambda: kill(server, signal.SIGSTOP))
    backend.submit(request_of(3), listener)
    assert "has sent nothing for 12 s" in lost(listener.all())
    gone([server, worker])
    works(backend, request_of)


_WINDOW = """
import sys, time
from napari_neurrator.backend.process import ProcessBackend
backend = ProcessBackend()
backend.prepare()
while not (status := backend.status()) or not status.workers[0].pid:
    time.sleep(0.05)
print(backend.pid, status.workers[0].pid, flush=True)
assert "torch" not in sys.modules
time.sleep(600)
"""


def test_a_front_end_that_is_killed_leaves_no_process():
    window = subprocess.Popen([sys.executable, "-c", _WINDOW], stdout=subprocess.PIPE, text=True)
    try:
        pids = [int(pid) for pid in window.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(alive, pids))
    finally:
        window.kill()
        window.communicate()
    gone(pids)


def test_a_hung_front_end_is_killed_with_its_hung_worker():
    window = subprocess.Popen([sys.executable, "-c", _WINDOW], stdout=subprocess.PIPE, text=True)
    try:
        pids = [int(pid) for pid in window.stdout.readline().split()]
        kill(pids[1], signal.SIGSTOP)
    finally:
        window.kill()
        window.communicate()
    if sys.platform.startswith("linux"):
        gone(pids)
    else:
        kill(pids[1], signal.SIGCONT)
        gone(pids)


def test_closing_while_it_starts_leaves_nothing(request_of):
    backend = ProcessBackend()
    listener = Listener()
    starting = threading.Thread(target=backend.submit, args=(request_of(1), listener))
    starting.start()
    backend.close()
    starting.join(60)
    assert isinstance(listener.all(60)[-1], p.Cancelled | p.Failed)
    assert backend.pid is None
