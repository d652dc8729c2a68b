"""Work done at once, by threads of which each counts on one processor only.

Small matrices are sooner multiplied by one thread than by the several that torch wakes for every product; two such threads, each with a share of
the whole that lasts a millisecond, have to be woken once.
"""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import torch


def alone(work: Callable[[], Any], worth: bool = True) -> Any:
    """Return what `work` gives, done by a thread that counts on one processor, where torch may use several; `worth` as for `at_once`.

    What it does `at_once` or `in_parts` is still shared among threads. So whoever has several such steps to take wakes threads once, not at every step.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not worth:
        return work()
    return _workers(threads).submit(_as_here(work)).result()


def at_once(*works: Callable[[], Any], worth: bool = True) -> list[Any]:
    """Return what each of `works` gives, done at once where torch may use several threads.

    Parameters
    ----------
    *works : callable
        They gain from several threads only while they let go of the interpreter.
    worth : bool
        Whether there is work enough for threads to be woken; else it is done here and now.
    """
    pool = getattr(_here, "pool", None)
    if not worth or (pool is None and torch.get_num_threads() == 1):
        return [work() for work in works]
    if pool is None:
        return alone(partial(at_once, *works))
    first, *others = works
    begun = [pool.submit(_as_here(other)) for other in others]
    try:
        results = [first()]
        for other, future in zip(others, begun, strict=True):
            # What no thread was free for is done here, so that threads never wait for each other in a circle.
            results.append(other() if future.cancel() else future.result())
    finally:
        for future in begun:
            future.cancel()
    return results


def in_parts(work: Callable[[int, int], Any], n: int, worth: bool = True) -> list[Any]:
    """Return what ``work(first, last)`` gives for consecutive parts of range(n), one for each of torch's threads; `worth` as for `at_once`."""
    threads = getattr(_here, "threads", None) or torch.get_num_threads()
    parts = max(min(threads, n), 1) if worth else 1
    edges = [n * part // parts for part in range(parts + 1)]
    return at_once(*(partial(work, *edge) for edge in itertools.pairwise(edges)), worth=parts > 1)


# Of a thread of the pool: the pool, and how many it has.
_here = threading.local()


def _as_here(work: Callable[[], Any]) -> Callable[[], Any]:
    inference = torch.is_inference_mode_enabled()

    def done() -> Any:
        with torch.inference_mode(inference):
            return work()

    return done


@cache
def _workers(n: int) -> ThreadPoolExecutor:
    def begin() -> None:
        # Asked first, because a thread that has not asked yet forgets what it was told.
        torch.get_num_threads()
        torch.set_num_threads(1)
        _here.pool, _here.threads = pool, n

    pool = ThreadPoolExecutor(n, "decoding", begin)
    # All are started before the number is set back: it is also what every later thread begins with.
    waiting = threading.Barrier(n + 1)
    for _ in range(n):
        pool.submit(waiting.wait)
    waiting.wait()
    torch.set_num_threads(n)
    return pool


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a process that is forked off.
    os.register_at_fork(after_in_child=_workers.cache_clear)
