"""The process in which the models run: told what to do through standard input, says what happens through standard output.

A command is one JSON line, which the bodies of requests may follow. An answer is one line: ``begin`` when a run begins, ``event JOB LAST JSON``, ``idle`` when it is over,
or ``beat JSON`` every second, by which whoever started the worker knows that it has not hung.
"""

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from . import protocol as p
from .merging import run_together

BEAT_S = 1.0


class Worker:
    """Runs requests one group after another, in the thread that calls `serve`.

    Parameters
    ----------
    commands, answers : binary streams
        To read from and write to.
    language : str, optional
        Address of a vLLM server that speaks in place of the profile's own language model.
    """

    def __init__(self, commands: BinaryIO, answers: BinaryIO, language: str | None = None):
        self._commands, self._answers, self._language = commands, answers, language
        self._lock = threading.Lock()
        self._todo: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stopped: set[str] = set()
        self._engine: Any = None

    def serve(self) -> None:
        """Work until standard input ends, which it does when the parent dies however it dies."""
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()
        while True:
            command = self._todo.get()
            try:
                if command["op"] == "run":
                    self._say("begin")
                    self._run(command)
                elif command["op"] == "prepare":
                    self._prepare(command.get("decoder"))
            finally:
                self._stopped.difference_update(job["id"] for job in command.get("jobs", []))
            self._say("idle")

    def _read(self) -> None:
        try:
            for line in self._commands:
                command = json.loads(line)
                if command["op"] == "cancel":
                    self._stopped.add(command["job_id"])
                    continue
                for job in command.get("jobs", []):
                    job["body"] = self._commands.read(job["length"])
                self._todo.put(command)
        finally:
            # A running job must not keep an orphan alive.
            os._exit(0)

    def _beat(self) -> None:
        alone = threading.Event()
        while not alone.wait(BEAT_S):
            self._say(f"beat {json.dumps(self.vital_signs())}")

    def vital_signs(self) -> dict[str, Any]:
        """Return the device and the memory held there, bytes; the device is None until the models' libraries are imported."""
        import psutil

        device = None if self._engine is None else str(self._engine.device)
        memory = psutil.Process().memory_info().rss
        if device is not None and device.startswith("cuda"):
            memory = sys.modules["torch"].cuda.memory_reserved()
        return {"device": device, "memory_bytes": memory}

    def _run(self, command: dict[str, Any]) -> None:
        requests, folders = [], {}
        for job in command["jobs"]:
            try:
                request = TypeAdapter(p.Request).validate_json(job["body"])
            except ValueError as error:
                self._tell(p.Failed(job_id=job["id"], message=f"The request could not be read ({str(error)[:200]})."))
                continue
            if job.get("decoder"):
                folders[job["decoder"]] = request.decoder  # type: ignore[union-attr]
                request = request.model_copy(update={"decoder": job["decoder"]})
            requests.append(request)

        def tell(event: p.Event) -> None:
            if isinstance(event, p.Failed):
                for folder, name in folders.items():
                    # Where a server keeps its decoders is nobody's business.
                    event = event.model_copy(update={"message": event.message.replace(folder, name[:14])})
            self._tell(event)

        try:
            run_together(self._models(), requests, tell, self._stopped.__contains__)
        except Exception as error:
            import traceback

            message = f"The backend met a fault of its own ({type(error).__name__}: {str(error)[:200]})."
            for request in requests:
                tell(p.Failed(job_id=request.job_id, message=message, details=traceback.format_exc()))

    def _prepare(self, decoder: str | None) -> None:
        # Importing the models' libraries takes seconds: better before the first request than after.
        engine = self._models()
        if decoder:
            from contextlib import suppress

            # A request with this decoder will say what is wrong with it.
            with suppress(Exception):
                engine.warm_up(decoder)

    def _models(self) -> Any:
        if self._engine is None:
            from .engine import Engine

            self._engine = Engine(language=self._language)
        return self._engine

    def _tell(self, event: p.Event) -> None:
        last = isinstance(event, p.Done | p.Cancelled | p.Failed)
        self._say(f"event {event.job_id} {last:d} {event.model_dump_json()}")

    def _say(self, line: str) -> None:
        try:
            with self._lock:
                self._answers.write(line.encode() + b"\n")
                self._answers.flush()
        except BrokenPipeError:
            os._exit(0)


def die_with_parent() -> None:
    """Ask Linux to end this process with its parent, also where it hangs and cannot see that standard input ended."""
    if sys.platform.startswith("linux"):
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def main() -> None:
    """Serve: ``python -m napari_neurrator.backend.worker [ADDRESS OF A VLLM SERVER]``."""
    die_with_parent()
    # Control-C in a shell reaches the whole group; whoever started this process ends it in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # What libraries print must not come between the answers.
    os.dup2(2, 1)
    Worker(sys.stdin.buffer, answers, sys.argv[1] if len(sys.argv) > 1 else None).serve()


if __name__ == "__main__":
    main()
