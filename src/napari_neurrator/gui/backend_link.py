"""The window's end of a backend: made late and off the window's thread, its events brought back into the window's thread."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..backend.client import Backend
from ..backend.protocol import BackendStatus, Event, Failed, Request
from .threads import MainThread

ADDRESS_VARIABLE = "NEURRATOR_BACKEND"


def child_process_backend() -> Backend:
    """Start the backend that works in processes of its own, or connect to the server that the environment names (NEURRATOR_BACKEND).

    Torch in the window's own process would slow it down, and can crash beside OpenGL.
    """
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        return server_backend(address)
    from ..backend.process import ProcessBackend

    backend = ProcessBackend()
    backend.prepare()
    return backend


def server_backend(address: str, token: str | None = None, ca: str | None = None) -> Backend:
    """Connect to a server; what needs the recording itself stays on this computer.

    Raises
    ------
    NeurratorError
        No server of our kind answers there.
    """
    from ..backend.client import HttpBackend
    from ..backend.connect import token_of
    from ..backend.elsewhere import ElsewhereBackend

    client = HttpBackend(address, token_of(token), ca=ca, patience_s=5.0)
    try:
        client.check()
        client.prepare()
    except Exception:
        client.close()
        raise
    return ElsewhereBackend(client)


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
        # A backend that hangs is slow to tell how it is, and nothing else may wait for that.
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="neurrator-status")
        self._asked = False
        self._dropped: set[str] = set()
        self._closed = False
        self.where = ""
        """Address of the server, or nothing where the models run on this computer."""
        if make is child_process_backend:
            self.where = os.environ.get(ADDRESS_VARIABLE, "")

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

    def use(
        self, where: str, make: Callable[[], Backend], then: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """Take another backend, at once if it can be made; the one before goes on if it cannot.

        Parameters
        ----------
        where : str
            Its address, or nothing for this computer.
        make : callable
            Makes it, in a thread of this object.
        then, failed : callable
            Called in the window's thread; `failed` with a sentence.
        """

        def task() -> None:
            try:
                made = make()
            except Exception as error:
                message = str(error)
                self._main.post(lambda: failed(message))
                return
            before, self._backend, self._make, self.where = self._backend, made, make, where
            if before is not None:
                before.close()
            self._main.post(then)

        if not self._closed:
            self._pool.submit(task)

    def ask_status(self, answer: Callable[[BackendStatus | None, str], None]) -> None:
        """Ask how the backend is; `answer` is called in the window's thread with what it says, or with why it says nothing.

        While an answer is awaited, nothing more is asked.
        """
        if self._closed or self._asked:
            return
        self._asked = True

        def task() -> None:
            status, problem = None, ""
            try:
                # A backend of another kind may have nothing to tell.
                ask = getattr(self._backend, "status", None)
                status = ask() if ask is not None else None
            except Exception as error:
                problem = str(error)
            self._asked = False
            self._main.post(lambda: answer(status, problem))

        self._asking.submit(task)

    def close(self) -> None:
        """Cancel what runs and wait for the workers to end."""
        if not self._closed:
            self._closed = True
            self._pool.shutdown(wait=True, cancel_futures=True)
            if self._backend is not None:
                self._backend.close()
            self._asking.shutdown(wait=True, cancel_futures=True)

    def _get(self) -> Backend:
        if self._backend is None:
            self._backend = self._make()
        return self._backend
