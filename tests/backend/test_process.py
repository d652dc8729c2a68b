"""The backend in a child process: the same answers, no orphans, and a fresh start after a death."""

import os
import queue
import signal
import time

import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.process import ProcessBackend

from .test_local import request_of, run  # noqa: F401


@pytest.fixture
def backend():
    made = ProcessBackend()
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_says_what_the_process_itself_says(backend, request_of):  # noqa: F811
    from napari_neurrator.backend.local import InProcessBackend

    here = InProcessBackend()
    try:
        own = [(e.kind, getattr(e, "text", None)) for e in run(here, request_of(2))]
    finally:
        here.close()
    assert [(e.kind, getattr(e, "text", None)) for e in run(backend, request_of(2))] == own


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_child_is_told_and_the_next_job_works(backend, request_of):  # noqa: F811
    assert isinstance(run(backend, request_of(1))[-1], p.Done)
    events: queue.Queue = queue.Queue()
    backend.submit(request_of(3), events.put)
    os.kill(backend.pid, signal.SIGKILL)
    while not isinstance(event := events.get(timeout=60), p.Done | p.Failed | p.Cancelled):
        pass
    assert isinstance(event, p.Failed)
    assert "ended unexpectedly" in event.message
    assert isinstance(run(backend, request_of(1))[-1], p.Done)


def test_closing_leaves_no_process_and_cancels_what_waits(request_of):  # noqa: F811
    backend = ProcessBackend()
    events: queue.Queue = queue.Queue()
    backend.submit(request_of(3), events.put)
    pid = backend.pid
    backend.close()
    assert isinstance(events.get(timeout=10), p.Cancelled)
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_stopping_reaches_the_child(backend, request_of):  # noqa: F811
    request = request_of(3)
    events: queue.Queue = queue.Queue()
    backend.submit(request, events.put)
    while not isinstance(events.get(timeout=60), p.Token):
        pass
    backend.cancel(request.job_id)
    while not isinstance(event := events.get(timeout=60), p.Done | p.Failed | p.Cancelled):
        pass
    assert isinstance(event, p.Cancelled)
