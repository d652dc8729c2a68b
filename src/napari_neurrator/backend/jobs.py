"""A job on its way through a server."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

from . import protocol as p


@dataclass(eq=False)
class Job:
    """One request, and the lines that answer it.

    Attributes
    ----------
    job_id : str
        As the client named it.
    body : bytes
        The request as it came, JSON.
    kind : str
        Of the request.
    key : tuple or None
        Requests with the same key are run as one; None runs alone.
    moments : int
        How much there is to narrate.
    decoder : str or None
        Folder that stands for the decoder's hash in the request.
    state : str
        Where it is.
    said : bool
        Whether anything was heard of it.
    alone : bool
        Whether it must not be run beside others, because those it ran with were lost.
    how : str
        How it ended: ``done``, ``cancelled`` or ``failed``.
    born : float
        When it came, of `time.monotonic`.
    lines : asyncio.Queue
        Events that the client has not been sent yet.
    """

    job_id: str
    body: bytes
    kind: str = "narrate"
    key: tuple | None = None
    moments: int = 1
    decoder: str | None = None
    state: Literal["waiting", "running", "ended"] = "waiting"
    said: bool = False
    alone: bool = False
    how: str = ""
    born: float = field(default_factory=time.monotonic)
    lines: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)

    def tell(self, line: bytes) -> None:
        """Pass on an event, one line of JSON."""
        if self.state != "ended":
            self.said = True
            self.lines.put_nowait(line + b"\n")

    def end(self, event: p.Done | p.Cancelled | p.Failed | bytes) -> None:
        """Pass on the last event."""
        if self.state != "ended":
            line = event if isinstance(event, bytes) else event.model_dump_json().encode()
            self.how = next((how for how in ("done", "cancelled") if f'"kind":"{how}"'.encode() in line), "failed")
            self.lines.put_nowait(line + b"\n")
            self.state = "ended"
            self.body = b""

    def fail(self, message: str) -> None:
        """End with a sentence for the user."""
        self.end(p.Failed(job_id=self.job_id, message=message))

    @property
    def asked(self) -> str:
        """What it is, in words."""
        return {"narrate": "a narration", "fit": "a fit"}.get(self.kind, f"a job ({self.kind})")
