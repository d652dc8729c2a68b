"""The backend in processes of its own: the same answers, and none of them left behind."""

import sys

import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.backend.process import ProcessBackend

from .servers import Listener, alive, brief, gone, run, shared_memory, wait_for


@pytest.fixture(scope="module")
def backend():
    made = ProcessBackend()
    yield made
    made.close()


def words_of(events):
    return [(e.kind, getattr(e, "moment", None), getattr(e, "text", None)) for e in events if e.kind != "progress"]


def test_it_says_what_the_process_itself_says(backend, request_of):
    here = InProcessBackend()
    try:
        own = words_of(run(here, request_of(2)))
    finally:
        here.close()
    assert words_of(run(backend, request_of(2))) == own
    assert "torch" in sys.modules  # of this test only, through the backend of this process


def test_stopping_reaches_the_worker_at_once_and_a_second_job_displaces_the_first(backend, request_of):
    first = request_of(3)
    listener = Listener("token", lambda: backend.cancel(first.job_id))
    backend.submit(first, listener)
    second = brief(request_of(1))
    events = listener.all()
    assert isinstance(events[-1], p.Cancelled)
    # within one token of each of the three sentences
    assert sum(isinstance(event, p.Token) for event in events) <= 2 * 3
    assert isinstance(run(backend, second)[-1], p.Done)
    assert listener.events.empty()


def test_status_tells_device_memory_and_queue(backend, request_of):
    run(backend, brief(request_of(1)))
    status = wait_for(
        lambda: (s := backend.status()) and s.workers[0].device and s.workers[0].state == "idle" and s, "the status"
    )
    assert status.workers[0].memory_bytes > 1 << 20
    assert (status.running, status.waiting) == (0, 0)


def test_a_listener_that_fails_does_not_end_the_backend(backend, request_of):
    backend.submit(brief(request_of(1)), lambda event: 1 / 0)
    assert isinstance(run(backend, brief(request_of(1)))[-1], p.Done)


def test_closing_leaves_no_process_and_cancels_what_waits(request_of):
    before = shared_memory()
    backend = ProcessBackend()
    listener = Listener()
    backend.submit(request_of(3), listener)
    worker = wait_for(lambda: (s := backend.status()) and s.workers[0].pid, "a worker")
    server = backend.pid
    assert alive(server)
    backend.close()
    assert isinstance(listener.all(10)[-1], p.Cancelled)
    gone([server, worker])
    assert shared_memory() <= before
    with pytest.raises(RuntimeError):
        backend.submit(request_of(1), listener)
