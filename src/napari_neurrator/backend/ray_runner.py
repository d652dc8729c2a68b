"""Replicas on a Ray cluster in place of worker processes: the same queue, groups and checks in front of them.

Each runner hands one group of jobs at a time to the deployment; Ray Serve chooses the replica, starts more of them where groups wait, and restarts those that die.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import NeurratorError
from . import protocol as p
from .decoder_files import packed
from .jobs import Job
from .limits import Limits

NAME = "neurrator"


def check_ray() -> None:
    """Say what is missing where Ray is not installed (NeurratorError)."""
    try:
        import ray  # noqa: F401
        from ray import serve  # noqa: F401
    except ImportError as error:
        raise NeurratorError(
            "--engine ray needs Ray, which is not installed: run 'pip install \"napari-neurrator[ray]\"'."
        ) from error


class Replica:
    """What runs on the cluster: an engine, and decoders fetched from Ray's object store when they are first asked for.

    Parameters
    ----------
    language : str, optional
        Address of a vLLM server that speaks in place of the profile's own language model.
    """

    def __init__(self, language: str | None = None):
        import tempfile

        from .engine import Engine

        self._engine = Engine(language=language)
        self._folder = tempfile.TemporaryDirectory(prefix="neurrator-")
        # One group at a time: a second one would halve the speed of the first.
        self._one = threading.Lock()

    def vital_signs(self) -> dict[str, Any]:
        """Return process id, device and memory, bytes."""
        import os

        import psutil

        return {
            "pid": os.getpid(),
            "device": self._engine.device,
            "memory_bytes": psutil.Process().memory_info().rss,
        }

    def check_health(self) -> None:
        """Ray asks this now and then; it answers as long as the process does."""

    async def run(self, bodies: list[bytes], decoder: str | None, stored: list[Any]) -> AsyncIterator[bytes]:
        """Run a group of requests; yields lines ``JOB LAST JSON``.

        Parameters
        ----------
        bodies : list of bytes
            Requests, JSON.
        decoder : str or None
            Hash of their decoder.
        stored : list of ObjectRef
            The decoder's file, fetched only if this replica does not have it.
        """
        lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        stopped = threading.Event()
        work = threading.Thread(target=self._work, args=(bodies, decoder, stored, lines.put, stopped), daemon=True)
        work.start()
        try:
            while (line := await asyncio.to_thread(lines.get)) is not None:
                yield line
        finally:
            # The caller went away, or everything was said.
            stopped.set()

    def _work(
        self, bodies: list[bytes], decoder: str | None, stored: list[Any], say: Any, stopped: threading.Event
    ) -> None:
        from pydantic import TypeAdapter

        from .merging import run_together

        def tell(event: p.Event) -> None:
            last = isinstance(event, p.Done | p.Cancelled | p.Failed)
            say(f"{event.job_id} {last:d} {event.model_dump_json()}".encode())

        requests: list[Any] = []
        try:
            with self._one:
                requests = [TypeAdapter(p.Request).validate_json(body) for body in bodies]
                if decoder is not None:
                    folder = str(self._decoder(decoder, stored))
                    requests = [request.model_copy(update={"decoder": folder}) for request in requests]
                run_together(self._engine, requests, tell, lambda _: stopped.is_set())
        except Exception as error:
            for request in requests:
                message = f"The backend met a fault of its own ({type(error).__name__}: {str(error)[:200]})."
                tell(p.Failed(job_id=request.job_id, message=message))
        finally:
            say(None)

    def _decoder(self, name: str, stored: list[Any]) -> Path:
        """Return the folder of a decoder, written first if need be."""
        from ..profiles import list_profiles
        from .decoder_files import unpack

        folder = Path(self._folder.name) / name.removeprefix("sha256:")
        if not folder.is_dir():
            import ray

            file = folder.with_suffix(".safetensors")
            file.write_bytes(ray.get(stored[0]))
            try:
                unpack(file, folder, list_profiles())
            finally:
                file.unlink()
        return folder


class RayRunner:
    """One group of jobs at a time on the cluster.

    Parameters
    ----------
    cluster : Cluster
        The deployment, shared by all runners.
    limits : Limits
        How long a job may be silent.
    """

    def __init__(self, cluster: "Cluster", limits: Limits):
        self._cluster, self._limits = cluster, limits
        self._jobs: list[Job] = []
        self._response: Any = None

    def start(self) -> None:
        """Begin to deploy, if no other runner has."""
        self._cluster.start()

    def prepare(self, decoder: str | None) -> None:
        """Nothing: replicas load their libraries when they start."""

    async def run(self, jobs: Sequence[Job]) -> str:
        """Run a group; see `Runner`."""
        self._jobs = list(jobs)
        by_id = {job.job_id: job for job in jobs}
        try:
            handle = await self._cluster.handle()
        except Exception as error:
            what = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            return f"The replicas could not be started on Ray ({what[0][:160]}); see the server's log and try again."
        try:
            folder = jobs[0].decoder
            name = None if folder is None else f"sha256:{Path(folder).name}"
            stored = [] if folder is None else [await self._cluster.stored(folder)]
            self._response = handle.options(stream=True).run.remote([job.body for job in jobs], name, stored)
            lines = self._response.__aiter__()
            while True:
                try:
                    line = await asyncio.wait_for(anext(lines), self._limits.stall_s)
                except StopAsyncIteration:
                    return ""
                job_id, last, event = line.split(b" ", 2)
                job = by_id[job_id.decode()]
                (job.end if last == b"1" else job.tell)(event)
                if all(job.state == "ended" for job in jobs):
                    return ""
        except TimeoutError:
            self._stop()
            return f"Nothing was heard of the job for {self._limits.stall_s:g} s, so it was given up; ask for less at a time."
        except asyncio.CancelledError:
            self._stop()
            raise
        except Exception as error:
            if all(job.state == "ended" for job in jobs):
                return ""
            what = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            return f"A replica on the cluster was lost ({what[0][:160]}); Ray starts it again, so try again."
        finally:
            self._jobs, self._response = [], None

    def cancel(self, job: Job) -> None:
        """Stop a job; the replica is stopped once nobody of its group listens any more."""
        if all(other.state == "ended" or other is job for other in self._jobs):
            self._stop()

    def _stop(self) -> None:
        if self._response is not None:
            with contextlib.suppress(Exception):
                self._response.cancel()

    def status(self) -> p.WorkerStatus:
        """Say how the deployment is."""
        signs = self._cluster.signs
        state = "busy" if self._jobs else "idle" if signs else "starting"
        return p.WorkerStatus(state=state, device=signs.get("device"), memory_bytes=signs.get("memory_bytes"))  # type: ignore[arg-type]

    async def close(self) -> None:
        """Take the deployment down, if no other runner has."""
        await self._cluster.close()


class Cluster:
    """The deployment on Ray Serve, in a cluster that is there (RAY_ADDRESS) or one that is started on this machine.

    Parameters
    ----------
    least, most : int
        Replicas; Ray moves between the two as groups wait.
    gpus : float
        Of each replica.
    language : str, optional
        Address of a vLLM server for the replicas.
    """

    def __init__(self, least: int, most: int, gpus: float, language: str | None):
        self._least, self._most, self._gpus, self._language = least, most, gpus, language
        self._starting: asyncio.Task[Any] | None = None
        self._stored: dict[str, Any] = {}
        self._own = False
        self._closed = False
        self.signs: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to deploy."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._deploy())

    async def handle(self) -> Any:
        """Return what requests are handed to, once at least one replica is there."""
        self.start()
        assert self._starting is not None
        try:
            return await asyncio.shield(self._starting)
        except Exception:
            # The next job tries again.
            self._starting = None
            raise

    async def stored(self, folder: str) -> Any:
        """Put a decoder into the cluster's object store, once."""
        if folder not in self._stored:
            import ray

            data = await asyncio.to_thread(lambda: b"".join(packed(folder)))
            self._stored[folder] = await asyncio.to_thread(ray.put, data)
        return self._stored[folder]

    async def close(self) -> None:
        """Take it down, and the cluster with it if it is ours."""
        if self._closed:
            return
        self._closed = True
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
            await asyncio.to_thread(self._take_down)

    async def _deploy(self) -> Any:
        handle = await asyncio.to_thread(self._put_up)
        self.signs = await handle.vital_signs.remote()
        return handle

    def _put_up(self) -> Any:
        import logging

        import ray
        from ray import serve

        if not ray.is_initialized():
            import os

            address = os.environ.get("RAY_ADDRESS")
            self._own = address is None
            own: dict[str, Any] = (
                {} if address else {"include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, self._most + 2)}
            )
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
        scale: dict[str, Any] = {"num_replicas": self._least}
        if self._most > self._least:
            scale = {
                "autoscaling_config": {
                    "min_replicas": self._least,
                    "max_replicas": self._most,
                    "target_ongoing_requests": 1,
                }
            }
        deployment = serve.deployment(
            name=NAME,
            ray_actor_options={"num_cpus": 1, "num_gpus": self._gpus},
            # Groups are made in front of the replicas, so each takes one at a time.
            max_ongoing_requests=1,
            logging_config={"log_level": "ERROR"},
            **scale,
        )(Replica)
        return serve.run(deployment.bind(self._language), name=NAME, route_prefix=None, blocking=False)

    def _take_down(self) -> None:
        import ray
        from ray import serve

        if self._own:
            # All of it goes, so nothing needs to be taken down piece by piece, which can take minutes.
            ray.shutdown()
            return
        with contextlib.suppress(Exception):
            serve.delete(NAME)


def ray_runners(limits: Limits, least: int, most: int, gpus: float, language: str | None) -> list[RayRunner]:
    """Return as many runners as there may be replicas."""
    cluster = Cluster(least, most, gpus, language)
    return [RayRunner(cluster, limits) for _ in range(most)]
