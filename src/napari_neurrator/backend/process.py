"""A backend in processes of its own, so that torch never shares the window's interpreter, memory or libraries."""

import contextlib
import json
import subprocess
import sys
import threading
from typing import Any

from ..errors import NeurratorError
from .address import new_token
from .client import HttpBackend, OnEvent
from .protocol import BackendStatus, Cancelled, Failed, Request

_START_S = 60.0


class ProcessBackend:
    """Starts a server for this front end alone, on loopback and with a token of its own, and talks to it; starts it again when it died.

    The server is started with the first request, or earlier by `prepare`. It ends by itself when this process does: its standard input is then
    at its end.

    Parameters
    ----------
    language : str, optional
        Address of a vLLM server that speaks in place of the profile's own language model.
    quiet_s : float
        A server that sends nothing for so long is ended and started anew with the next request, seconds.
    limits : dict, optional
        Fields of `limits.Limits` for the server.
    """

    def __init__(self, language: str | None = None, quiet_s: float = 30.0, limits: dict[str, Any] | None = None):
        self._language, self._quiet_s, self._limits = language, quiet_s, limits or {}
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._client: HttpBackend | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the server, or None while there is none."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def prepare(self) -> None:
        """Start the server, which lets its worker import the models' libraries."""
        self._running()

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Queue `request`; `on_event` is called from a thread of this backend's."""
        if self._closed:
            raise RuntimeError("the backend is closed")
        try:
            client = self._running()
        except NeurratorError as error:
            on_event(Failed(job_id=request.job_id, message=str(error)))
            return
        if self._closed:
            on_event(Cancelled(job_id=request.job_id))
            return
        client.submit(request, on_event)

    def cancel(self, job_id: str) -> None:
        """Stop a job, within one token."""
        client = self._client
        if client is not None:
            client.cancel(job_id)

    def status(self) -> BackendStatus | None:
        """Ask how busy the server is; None while there is none."""
        client = self._client
        return client.status() if client is not None and self.pid is not None else None

    def close(self) -> None:
        """End the server; jobs that wait are cancelled."""
        self._closed = True
        with self._lock:
            self._end()

    def _running(self) -> HttpBackend:
        with self._lock:
            if self._closed:
                raise NeurratorError("The backend is closed.")
            if self._child is None or self._child.poll() is not None:
                self._end()
                self._start()
            assert self._client is not None
            return self._client

    def _start(self) -> None:
        token = new_token()
        command = [sys.executable, "-m", "napari_neurrator.backend.child"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        assert child.stdin is not None
        assert child.stdout is not None
        slow = threading.Timer(_START_S, child.kill)
        slow.daemon = True
        slow.start()
        try:
            asked = {"token": token, "language": self._language, "limits": self._limits}
            child.stdin.write(json.dumps(asked) + "\n")
            child.stdin.flush()
            address = json.loads(child.stdout.readline())["address"]
        except (OSError, ValueError, KeyError) as error:
            child.kill()
            child.wait()
            raise NeurratorError(
                f"The models' process could not be started (code {child.returncode}); try again."
            ) from error
        finally:
            slow.cancel()

        def explain(what: str) -> str:
            return self._explain(child, what)

        self._child = child
        self._client = HttpBackend(address, token, shares_disk=True, quiet_s=self._quiet_s, explain=explain)

    def _explain(self, child: "subprocess.Popen[str]", what: str) -> str:
        """Say what became of the server, and end one that does not answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # One that just died may not have been noticed by the system yet.
            code = child.wait(timeout=1)
            return f"The models' process ended unexpectedly (code {code}); it starts again with the next request."
        child.kill()
        child.wait()
        return f"The models' process {what} and was ended; it starts again with the next request."

    def _end(self) -> None:
        child, self._child = self._child, None
        client, self._client = self._client, None
        if client is not None:
            client.close()
        if child is None:
            return
        try:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(timeout=8)
        except (OSError, subprocess.TimeoutExpired):
            child.kill()
            child.wait()
        assert child.stdout is not None
        child.stdout.close()
