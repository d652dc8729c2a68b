"""One request that waits until the models are free, and stands back while the user narrates."""

import uuid
from collections.abc import Callable
from typing import Any

from ..backend import protocol as p
from .backend_link import BackendLink
from .state import Session


class WaitingJob:
    """Submits one request at a time; a newer one displaces it, and what narrates or fits goes first."""

    def __init__(self, session: Session, link: BackendLink) -> None:
        self.session, self.link = session, link
        self._request: Any = None
        self._on_event: Callable[[Any], None] | None = None
        self._job_id = ""
        session.events.job.connect(self._on_job)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        self.session.events.job.disconnect(self._on_job)
        self.stop()

    def start(self, request: Any, on_event: Callable[[Any], None]) -> None:
        """Submit `request` once the models are free; its events are handed to `on_event` in the window's thread."""
        self.stop()
        self._request, self._on_event = request, on_event
        self._on_job()

    def stop(self) -> None:
        """Drop the request, and whatever it still says."""
        self._request = self._on_event = None
        self._withdraw()

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits."""
        return self._request is not None

    def _withdraw(self) -> None:
        if self._job_id:
            self.link.cancel(self._job_id, silently=True)
            self._job_id = ""

    def _on_job(self, *_: Any) -> None:
        if self._request is None:
            return
        if self.session.job.busy:
            self._withdraw()
        elif not self._job_id:
            self._job_id = uuid.uuid4().hex
            self.link.submit(self._request.model_copy(update={"job_id": self._job_id}), self._hear)

    def _hear(self, event: Any) -> None:
        if event.job_id != self._job_id or self._on_event is None:
            return
        tell = self._on_event
        if isinstance(event, p.Done | p.Cancelled | p.Failed):
            self._request = self._on_event = None
            self._job_id = ""
        tell(event)
