"""The queue in front of the workers: who is next, who goes together, who was lost."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from . import protocol as p
from .jobs import Job
from .limits import Limits, Refused
from .metrics import Metrics


class Runner(Protocol):
    """Somebody who runs one group of jobs at a time: a process on this machine, a replica on a cluster."""

    def start(self) -> None:
        """Begin to start, without waiting."""

    def prepare(self, decoder: str | None) -> None:
        """Load libraries and models ahead of the first job, if idle."""

    async def run(self, jobs: Sequence[Job]) -> str:
        """Run jobs and feed their lines; returns a sentence on what went wrong with the runner itself, or nothing."""

    def cancel(self, job: Job) -> None:
        """Stop one of the jobs that run."""

    def status(self) -> p.WorkerStatus:
        """Say how it is."""

    async def close(self) -> None:
        """End it."""


class Service:
    """Takes jobs, groups those that can be narrated side by side, and hands them to runners as these become free.

    Parameters
    ----------
    runners : sequence of Runner
        Do the work.
    limits : Limits
        Of the queue and of a group.
    metrics : Metrics
        Counts.
    """

    def __init__(self, runners: Sequence[Runner], limits: Limits, metrics: Metrics):
        self.runners, self.limits, self.metrics = list(runners), limits, metrics
        self._free: deque[Runner] = deque(self.runners)
        self._waiting: deque[Job] = deque()
        self._running: dict[Job, Runner] = {}
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closing = False
        self.note = ""
        metrics.watch(self.status)

    def start(self) -> None:
        """Start the runners, without waiting for them."""
        for runner in self.runners:
            runner.start()

    def prepare(self, decoder: str | None = None) -> None:
        """Load models ahead of the first job."""
        for runner in self._free:
            runner.prepare(decoder)

    def submit(self, job: Job) -> None:
        """Queue a job.

        Raises
        ------
        Refused
            429 where the queue is full, 409 where the job's name is taken, 503 while shutting down.
        """
        if self.closing:
            raise Refused(503, "The server is shutting down: try again in a minute.", 10)
        if job.job_id in self._jobs:
            raise Refused(409, f"A job named {job.job_id} is under way already.")
        if len(self._waiting) >= self.limits.waiting:
            self.metrics.refused.labels("busy").inc()
            raise Refused(429, f"The server is busy ({len(self._waiting)} jobs wait): try again in a moment.", 1)
        self._jobs[job.job_id] = job
        self._waiting.append(job)
        self._dispatch()
        if job.state == "waiting":
            ahead = len(self._waiting) - 1 + len(self._running)
            words = f"{ahead} job{'s' if ahead != 1 else ''} ahead"
            job.lines.put_nowait(
                p.Progress(job_id=job.job_id, stage="waiting", done=0, total=0, detail=words).model_dump_json().encode()
                + b"\n"
            )

    def cancel(self, job_id: str) -> bool:
        """Stop a job; returns whether there was one."""
        job = self._jobs.get(job_id)
        if job is None:
            return False
        self._cancel(job)
        return True

    def _cancel(self, job: Job) -> None:
        if job.state == "ended":
            return
        if job in self._running:
            self._running[job].cancel(job)
        else:
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)
        job.end(p.Cancelled(job_id=job.job_id))
        if job not in self._running:
            self._jobs.pop(job.job_id, None)
            self.metrics.ended(job)

    def let_go(self, job: Job) -> None:
        """Stop a job that nobody listens to any more."""
        self._cancel(job)

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            runner = self._free.popleft()
            group = self._next_group()
            for job in group:
                job.state = "running"
                self._running[job] = runner
            task = asyncio.get_running_loop().create_task(self._run(runner, group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_group(self) -> list[Job]:
        """Take the job that waited longest, and others that can be narrated beside it."""
        first = self._waiting.popleft()
        group, moments = [first], first.moments
        if first.key is None or first.alone:
            return group
        for job in list(self._waiting):
            if job.key == first.key and not job.alone and moments + job.moments <= self.limits.batch:
                group.append(job)
                moments += job.moments
                self._waiting.remove(job)
        return group

    async def _run(self, runner: Runner, group: list[Job]) -> None:
        self.metrics.group.observe(sum(job.moments for job in group))
        trouble = ""
        try:
            trouble = await runner.run(group)
        except Exception as error:
            trouble = f"The backend met a fault of its own ({type(error).__name__}: {str(error)[:200]})."
        for job in group:
            del self._running[job]
        unheard = [job for job in group if job.state == "running" and not job.said and not job.alone]
        if trouble and len(group) > 1 and not self.closing:
            # One of them may have brought the runner down: those of which nothing was heard are tried alone.
            for job in unheard:
                job.state, job.alone = "waiting", True
                self._waiting.append(job)
        lost = [job for job in group if job.state == "running"]
        for job in lost:
            job.fail(trouble or "The backend ended the job without a word.")
        if trouble:
            what = ", ".join(sorted({job.asked for job in lost})) or "nothing"
            self.note = f"{trouble} Lost: {what}."
        for job in group:
            if job.state == "ended":
                self._jobs.pop(job.job_id, None)
                self.metrics.ended(job)
        self._free.append(runner)
        self._dispatch()

    def status(self) -> p.BackendStatus:
        """Say how busy it is."""
        return p.BackendStatus(
            workers=[runner.status() for runner in self.runners],
            running=len(self._running),
            waiting=len(self._waiting),
            note=self.note,
        )

    def begin_to_close(self) -> None:
        """Take no more jobs, and give up those that wait."""
        self.closing = True
        for job in list(self._waiting):
            job.fail("The server is shutting down: try again in a minute.")
            self._jobs.pop(job.job_id, None)
        self._waiting.clear()

    async def close(self) -> None:
        """Stop what runs and end the runners."""
        self.begin_to_close()
        for job in list(self._running):
            self._cancel(job)
        await asyncio.gather(*(runner.close() for runner in self.runners), return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
