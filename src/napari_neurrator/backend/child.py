"""The process in which the models run: reads commands from its standard input, writes events to its standard output, one JSON line each."""

import json
import os
import sys
import threading
from typing import BinaryIO

from pydantic import TypeAdapter

from .local import InProcessBackend
from .protocol import Event, Request


def main() -> None:
    """Serve until standard input ends, which it does when the parent dies however it dies."""
    # What libraries print must not come between the events.
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()
    backend = InProcessBackend()

    def tell(event: Event) -> None:
        with lock:
            events.write(event.model_dump_json().encode() + b"\n")
            events.flush()

    try:
        for command in _commands(sys.stdin.buffer):
            if command["op"] == "submit":
                backend.submit(TypeAdapter(Request).validate_python(command["request"]), tell)
            elif command["op"] == "cancel":
                backend.cancel(command["job_id"])
            elif command["op"] == "prepare":
                # Importing the models' libraries takes seconds: better before the first request than after.
                from . import engine  # noqa: F401
    except BrokenPipeError:
        pass
    finally:
        # A running job must not keep an orphan alive.
        os._exit(0)


def _commands(stream: BinaryIO):
    for line in stream:
        if line.strip():
            yield json.loads(line)


if __name__ == "__main__":
    main()
