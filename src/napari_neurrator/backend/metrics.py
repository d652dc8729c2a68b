"""Figures for Prometheus."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from . import protocol as p
from .jobs import Job

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What a server counts; each server has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = Counter("neurrator_jobs", "Jobs that ended", ["kind", "how"], registry=self.registry)
        self.refused = Counter("neurrator_refused", "Requests refused", ["why"], registry=self.registry)
        self.restarts = Counter("neurrator_worker_restarts", "Workers that died or hung", registry=self.registry)
        self.seconds = Histogram(
            "neurrator_job_seconds", "From request to the last event", ["kind"], registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
        )  # fmt: skip
        self.group = Histogram(
            "neurrator_batch_moments", "Moments narrated side by side", registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 1024),
        )  # fmt: skip

    def watch(self, status: Callable[[], p.BackendStatus]) -> None:
        """Read the queue's length and the workers' memory where they are, each time that the figures are asked for."""
        self.registry.register(_Gauges(status))

    def ended(self, job: Job) -> None:
        """Count a job."""
        self.jobs.labels(job.kind, job.how).inc()
        self.seconds.labels(job.kind).observe(time.monotonic() - job.born)

    def text(self) -> bytes:
        """Return all figures in Prometheus' format."""
        return generate_latest(self.registry)


class _Gauges:
    def __init__(self, status: Callable[[], p.BackendStatus]):
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield GaugeMetricFamily("neurrator_waiting", "Jobs in the queue", value=status.waiting)
        yield GaugeMetricFamily("neurrator_running", "Jobs under way", value=status.running)
        memory = GaugeMetricFamily("neurrator_worker_memory_bytes", "Memory of each worker", labels=["worker"])
        for number, worker in enumerate(status.workers):
            memory.add_metric([str(number)], float(worker.memory_bytes or 0))
        yield memory

    def describe(self) -> Iterator[Metric]:
        yield from ()
