"""The one interface through which every front end asks for work."""

from collections.abc import Callable
from typing import Protocol

from .protocol import Event, Request

OnEvent = Callable[[Event], None]


class Backend(Protocol):
    """Somebody who does the model work: in this process, in another one, on another machine."""

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Queue `request`; `on_event` is called with each event, from a thread of the backend's own."""

    def cancel(self, job_id: str) -> None:
        """Stop a job, within one token; it ends with `Cancelled`. Unknown or ended jobs are ignored."""

    def close(self) -> None:
        """Cancel what runs and wait for the worker to end."""
