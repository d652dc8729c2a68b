"""A server's end of a worker process: starts it, feeds it, notices when it dies or hangs."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from . import protocol as p
from .jobs import Job
from .limits import Limits
from .metrics import Metrics

_LINE = 256 << 20
_PIPE = 1 << 20


class WorkerLink:
    """One worker process, started again when it died.

    Parameters
    ----------
    limits : Limits
        How long it may be silent.
    metrics : Metrics
        Counts its deaths.
    language : str, optional
        Address of a vLLM server for it.
    environment : dict, optional
        Variables set for it, such as CUDA_VISIBLE_DEVICES.
    """

    def __init__(
        self,
        limits: Limits,
        metrics: Metrics,
        language: str | None = None,
        environment: dict[str, str] | None = None,
    ):
        self._limits, self._metrics, self._language = limits, metrics, language
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._jobs: dict[str, Job] = {}
        self._over: asyncio.Future[str] | None = None
        self._heard = self._moved = 0.0
        self._begun = False
        self._signs: dict[str, Any] = {}
        self._why = ""
        self._restarts = 0
        self._closed = False
        self._prepared: tuple[str | None] | None = None

    def start(self) -> None:
        """Begin to start the process."""
        if self._starting is None or (self._starting.done() and not self._alive):
            self._starting = asyncio.get_running_loop().create_task(self._start())

    @property
    def _alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _start(self) -> None:
        command = [sys.executable, "-m", "napari_neurrator.backend.worker"]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            *([self._language] if self._language else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
            env={**os.environ, **self._environment},
        )
        _widen(self._process.stdin)
        self._heard, self._signs = time.monotonic(), {}
        self._reader = asyncio.get_running_loop().create_task(self._listen(self._process))
        if self._prepared is not None:
            self._send({"op": "prepare", "decoder": self._prepared[0]})

    def prepare(self, decoder: str | None) -> None:
        """Load libraries, and a decoder's models; now and whenever the process is started anew."""
        self._prepared = (decoder,)
        if self._alive:
            self._send({"op": "prepare", "decoder": decoder})
        else:
            self.start()

    async def run(self, jobs: Sequence[Job]) -> str:
        """Run a group of jobs; see `Runner`."""
        self._why = ""
        self._jobs = {job.job_id: job for job in jobs}
        watch = asyncio.get_running_loop().create_task(self._watch())
        try:
            trouble = await self._try(jobs)
            if trouble and not self._begun and not self._why and not self._closed:
                # It died before it looked at them, so they are as good as new.
                trouble = await self._try(jobs)
            return trouble
        except OSError as error:
            return f"The models' process could not be started ({error.strerror or error})."
        finally:
            watch.cancel()
            self._jobs, self._over = {}, None

    async def _try(self, jobs: Sequence[Job]) -> str:
        over = self._over = asyncio.get_running_loop().create_future()
        self._moved, self._begun = time.monotonic(), False
        if not self._alive:
            self.start()
        assert self._starting is not None
        await self._starting
        command = {
            "op": "run",
            "jobs": [{"id": job.job_id, "length": len(job.body), "decoder": job.decoder} for job in jobs],
        }
        self._send(command, [job.body for job in jobs])
        return await over

    def cancel(self, job: Job) -> None:
        """Stop a job within one token."""
        if self._alive:
            self._send({"op": "cancel", "job_id": job.job_id})

    def status(self) -> p.WorkerStatus:
        """Say how the process is."""
        state = (
            "off" if not self._alive else "busy" if self._jobs else "idle" if self._signs.get("device") else "starting"
        )
        return p.WorkerStatus(
            state=state,  # type: ignore[arg-type]
            pid=self._process.pid if self._alive and self._process else None,
            device=self._signs.get("device"),
            memory_bytes=self._signs.get("memory_bytes"),
            restarts=self._restarts,
        )

    async def close(self) -> None:
        """End the process, in good order if it can."""
        self._closed = True
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                self._kill()
                await process.wait()
        if self._reader is not None:
            await self._reader

    def _finish(self, trouble: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(trouble)

    def _kill(self) -> None:
        if self._alive and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _send(self, command: dict[str, Any], bodies: Sequence[bytes] = ()) -> None:
        if self._process is None or self._process.stdin is None:
            return
        # A process that died just now has its jobs ended by its reader.
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.writelines([json.dumps(command).encode() + b"\n", *bodies])

    async def _watch(self) -> None:
        """Kill a process that hangs."""
        limits = self._limits
        while True:
            await asyncio.sleep(min(limits.quiet_s, limits.stall_s, 4.0) / 4)
            now = time.monotonic()
            if self._alive and now - self._heard > limits.quiet_s:
                self._why = f"The models' process hung for {limits.quiet_s:g} s and was restarted; run it again."
            elif self._alive and now - self._moved > limits.stall_s:
                self._why = f"Nothing was heard of the job for {limits.stall_s:g} s, so it was given up; ask for less at a time."
            else:
                continue
            self._kill()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._heard = time.monotonic()
            kind, _, rest = line.rstrip(b"\n").partition(b" ")
            if kind == b"event":
                job_id, last, event = rest.split(b" ", 2)
                job = self._jobs.get(job_id.decode())
                self._moved = self._heard
                if job is not None:
                    (job.end if last == b"1" else job.tell)(event)
            elif kind == b"begin":
                self._begun = True
            elif kind == b"beat":
                self._signs = json.loads(rest)
            elif kind == b"idle" and all(job.state == "ended" for job in self._jobs.values()):
                self._finish("")
        code = await process.wait()
        self._restarts += not self._closed
        if not self._closed:
            self._metrics.restarts.inc()
        ended = f"The models' process ended unexpectedly ({_ending(code)}); it starts again with the next request."
        self._finish(self._why or ended)
        if not self._closed and self._signs:
            # It had come up before, so it will again: better now than when the next job waits.
            self._signs = {}
            self.start()


def _widen(stream: asyncio.StreamWriter | None) -> None:
    """Let a request with its frames go through a pipe in one piece, where the system can (Linux)."""
    if stream is None or not sys.platform.startswith("linux"):
        return
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(stream.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, _PIPE)


def _ending(code: int) -> str:
    import signal

    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"code {code}"
