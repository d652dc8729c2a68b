"""A backend in a child process, so that torch never shares the window's interpreter, memory or libraries."""

import contextlib
import json
import subprocess
import sys
import threading

from pydantic import TypeAdapter

from .client import OnEvent
from .protocol import Cancelled, Done, Event, Failed, Request

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class ProcessBackend:
    """Talks to a child process through its pipes; starts it with the first request, or earlier by `prepare`, and again when it died.

    The child ends by itself when this process does: its standard input is then at its end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[OnEvent, subprocess.Popen[bytes]]] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None while there is none."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def prepare(self) -> None:
        """Start the child and let it import the models' libraries."""
        with self._lock:
            self._write(self._running(), {"op": "prepare"})

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Queue `request`; `on_event` is called from a thread of this backend's."""
        if self._closed:
            raise RuntimeError("the backend is closed")
        try:
            with self._lock:
                child = self._running()
                self._jobs[request.job_id] = (on_event, child)
                self._write(child, {"op": "submit", "request": request.model_dump(mode="json")})
        except OSError as error:
            message = f"The models' process could not be reached ({error}); try again."
            self._end(request.job_id, Failed(job_id=request.job_id, message=message))

    def cancel(self, job_id: str) -> None:
        """Stop a job, within one token."""
        with self._lock:
            if job_id in self._jobs:
                # A child that died just now has its jobs ended by its reader.
                with contextlib.suppress(OSError):
                    self._write(self._jobs[job_id][1], {"op": "cancel", "job_id": job_id})

    def close(self) -> None:
        """End the child; jobs that wait are cancelled."""
        self._closed = True
        with self._lock:
            child, self._child = self._child, None
            jobs, self._jobs = dict(self._jobs), {}
        if child is not None:
            assert child.stdin is not None
            try:
                child.stdin.close()
                child.wait(timeout=5)
            except (OSError, subprocess.TimeoutExpired):
                child.kill()
                child.wait()
        for job_id, (on_event, _) in jobs.items():
            on_event(Cancelled(job_id=job_id))

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            command = [sys.executable, "-m", "napari_neurrator.backend.child"]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            threading.Thread(target=self._listen, args=(self._child,), name="neurrator-events", daemon=True).start()
        return self._child

    @staticmethod
    def _write(child: "subprocess.Popen[bytes]", command: dict) -> None:
        assert child.stdin is not None
        child.stdin.write(json.dumps(command).encode() + b"\n")
        child.stdin.flush()

    def _listen(self, child: "subprocess.Popen[bytes]") -> None:
        assert child.stdout is not None
        for line in child.stdout:
            event = _EVENT.validate_json(line)
            if isinstance(event, Done | Cancelled | Failed):
                self._end(event.job_id, event)
                continue
            with self._lock:
                job = self._jobs.get(event.job_id)
            if job is not None:
                # A listener that fails must not silence the others.
                with contextlib.suppress(Exception):
                    job[0](event)
        code = child.wait()
        with self._lock:
            lost = [job_id for job_id, (_, owner) in self._jobs.items() if owner is child]
        for job_id in lost:
            message = f"The models' process ended unexpectedly (code {code}); it starts again with the next request."
            self._end(job_id, Failed(job_id=job_id, message=message))

    def _end(self, job_id: str, event: Event) -> None:
        with self._lock:
            job = self._jobs.pop(job_id, None)
        if job is not None:
            with contextlib.suppress(Exception):
                job[0](event)
