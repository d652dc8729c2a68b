"""The window's end of a backend: made late and off the window's thread, its events brought back into the window's thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..backend.client import Backend
from ..backend.protocol import Event, Failed, Request
from .threads import MainThread


def child_process_backend() -> Backend:
    """Start the backend that works in a child process: torch in the window's own process would slow it down, and can crash beside OpenGL."""
    from ..backend.process import ProcessBackend

    backend = ProcessBackend()
    backend.prepare()
    return backend


class BackendLink:
    """Submits and cancels without ever waiting.

    Parameters
    ----------
    main : MainThread
        Where events are delivered.
    make : callable
        Makes the backend on first use, in a thread of this object.
    """

    def __init__(self, main: MainThread, make: Callable[[], Backend] = child_process_backend) -> None:
        self._main, self._make = main, make
        self._backend: Backend | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="neurrator-backend")
        self._dropped: set[str] = set()
        self._closed = False

    def warm_up(self) -> None:
        """Make the backend now, so that the first request does not wait for imports."""
        self._pool.submit(self._get)

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> None:
        """Queue `request`; `on_event` is called in the window's thread."""
        job_id = request.job_id

        def deliver(event: Event) -> None:
            self._main.post(lambda: None if job_id in self._dropped else on_event(event))

        def task() -> None:
            try:
                backend = self._get()
                if job_id not in self._dropped:
                    backend.submit(request, deliver)
            except Exception as error:
                deliver(Failed(job_id=job_id, message=f"The models could not be started: {error}"))

        if not self._closed:
            self._pool.submit(task)

    def cancel(self, job_id: str, silently: bool = False) -> None:
        """Stop a job; `silently` drops whatever it still says."""
        if silently:
            self._dropped.add(job_id)
        if not self._closed:
            self._pool.submit(lambda: self._backend.cancel(job_id) if self._backend is not None else None)

    def close(self) -> None:
        """Cancel what runs and wait for the workers to end."""
        if not self._closed:
            self._closed = True
            self._pool.shutdown(wait=True, cancel_futures=True)
            if self._backend is not None:
                self._backend.close()

    def _get(self) -> Backend:
        if self._backend is None:
            self._backend = self._make()
        return self._backend
