"""How the benchmarks take the time of a call."""

import statistics
import time
from collections.abc import Callable


def median_of(work: Callable[[], object], runs: int = 7) -> float:
    """Return the median seconds of some runs, after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
