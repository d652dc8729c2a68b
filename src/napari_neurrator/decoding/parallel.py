"""Work done at once, by threads of which each counts on one processor only.

Small matrices are sooner multiplied by one thread than by the several that torch wakes for every product; two such threads, each with a share of
the whole that lasts a millisecond, have to be woken once.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Barrier
from typing import Any

import torch


def at_once(*works: Callable[[], Any], worth: bool = True) -> list[Any]:
    """Return what each of `works` gives, done at once where torch may use several threads.

    Parameters
    ----------
    *works : callable
        They gain from several threads only while they let go of the interpreter. One alone gains too, if it is made of many small products.
    worth : bool
        Whether there is work enough for threads to be woken; else it is done here and now.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not worth:
        return [work() for work in works]
    inference = torch.is_inference_mode_enabled()

    def done(work: Callable[[], Any]) -> Any:
        with torch.inference_mode(inference):
            return work()

    return list(_workers(threads).map(done, works))


def in_parts(work: Callable[[int, int], Any], n: int, worth: bool = True) -> list[Any]:
    """Return what ``work(first, last)`` gives for consecutive parts of range(n), one for each of torch's threads; `worth` as for `at_once`."""
    parts = max(min(torch.get_num_threads(), n), 1) if worth else 1
    edges = [n * part // parts for part in range(parts + 1)]
    return at_once(*(partial(work, *edge) for edge in itertools.pairwise(edges)))


@cache
def _workers(n: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(n, "decoding", _count_on_one)
    # All are started before the number is set back: it is also what every later thread begins with.
    waiting = Barrier(n + 1)
    for _ in range(n):
        pool.submit(waiting.wait)
    waiting.wait()
    torch.set_num_threads(n)
    return pool


def _count_on_one() -> None:
    # Asked first, because a thread that has not asked yet forgets what it was told.
    torch.get_num_threads()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a process that is forked off.
    os.register_at_fork(after_in_child=_workers.cache_clear)
