"""A backend in a thread of this process."""

import queue
import threading
from functools import partial

from ..config import RunningConfig
from .client import OnEvent
from .protocol import Cancelled, Request


class InProcessBackend:
    """Works through requests one after another, in a thread of its own. Torch is imported there, with the first request.

    Parameters
    ----------
    running : RunningConfig, optional
        Where and how the models run.
    language : str, optional
        Address of a vLLM server that speaks in place of the profile's own language model.
    """

    def __init__(self, running: RunningConfig | None = None, language: str | None = None) -> None:
        self._running, self._language = running, language
        self._jobs: queue.Queue[tuple[Request, OnEvent] | None] = queue.Queue()
        self._stopped: set[str] = set()
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="neurrator-backend", daemon=True)
        self._thread.start()

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Queue `request`; `on_event` is called from the backend's thread."""
        if self._closed:
            raise RuntimeError("the backend is closed")
        with self._lock:
            self._waiting.add(request.job_id)
        self._jobs.put((request, on_event))

    def cancel(self, job_id: str) -> None:
        """Stop a job, within one token."""
        with self._lock:
            if job_id in self._waiting:
                self._stopped.add(job_id)

    def close(self) -> None:
        """Cancel everything and wait for the thread to end."""
        self._closed = True
        with self._lock:
            self._stopped |= self._waiting
        self._jobs.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        engine = None
        while (job := self._jobs.get()) is not None:
            request, on_event = job
            try:
                if self._is_stopped(request.job_id):
                    on_event(Cancelled(job_id=request.job_id))
                    continue
                if engine is None:
                    from .engine import Engine

                    engine = Engine(self._running, self._language)
                engine.run(request, on_event, partial(self._is_stopped, request.job_id))
            except Exception as error:
                self._report_fault(request, on_event, error)
            finally:
                with self._lock:
                    self._waiting.discard(request.job_id)
                    self._stopped.discard(request.job_id)

    @staticmethod
    def _report_fault(request: Request, on_event: OnEvent, error: Exception) -> None:
        # The thread outlives whatever one job does, a listener that fails included.
        import contextlib
        import traceback

        from .protocol import Failed

        message = f"The backend met a fault of its own ({type(error).__name__}: {str(error)[:200]})."
        with contextlib.suppress(Exception):
            on_event(Failed(job_id=request.job_id, message=message, details=traceback.format_exc()))

    def _is_stopped(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._stopped
