"""Narrations on a server, and what needs the recording itself on this computer."""

from .client import HttpBackend, OnEvent
from .process import ProcessBackend
from .protocol import BackendStatus, DescribeRequest, NarrationRequest, Request


class ElsewhereBackend:
    """Asks a server for narrations, and processes of this computer's own, started when first needed, for everything else.

    Parameters
    ----------
    server : HttpBackend
        Of the narrations.
    """

    def __init__(self, server: HttpBackend):
        self._server = server
        self._here: ProcessBackend | None = None

    def prepare(self) -> None:
        """Let the server load its models; NeurratorError where it cannot be reached."""
        self._server.prepare()

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Queue `request` where it can be done."""
        if isinstance(request, NarrationRequest | DescribeRequest):
            self._server.submit(request, on_event)
            return
        if self._here is None:
            self._here = ProcessBackend()
        self._here.submit(request, on_event)

    def cancel(self, job_id: str) -> None:
        """Stop a job, within one token."""
        self._server.cancel(job_id)
        if self._here is not None:
            self._here.cancel(job_id)

    def status(self) -> BackendStatus:
        """Ask how busy the server is; NeurratorError where it cannot be reached."""
        return self._server.status()

    def close(self) -> None:
        """Cancel what runs."""
        self._server.close()
        if self._here is not None:
            self._here.close()
