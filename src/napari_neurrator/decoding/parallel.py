"""Work in parts, one for each of torch's threads: for compiled loops, and for LAPACK's, which take one matrix after the other."""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

_Result = TypeVar("_Result")


def in_parts(work: Callable[[int, int], _Result], n: int, worth: bool = True) -> list[_Result]:
    """Return what ``work(first, last)`` gives for consecutive parts of range(n), done at once.

    Parameters
    ----------
    work : callable
        Gains from several threads only while it lets go of the interpreter.
    n : int
        Length of the whole.
    worth : bool
        Whether there is work enough for several threads to be woken; else it is done here and now, in one part.
    """
    threads = min(torch.get_num_threads(), n) if worth else 1
    if threads <= 1:
        return [work(0, n)]
    own, *others = itertools.pairwise([n * part // threads for part in range(threads + 1)])
    waiting = [_threads(threads).submit(work, *part) for part in others]
    return [work(*own), *(one.result() for one in waiting)]


@cache
def _threads(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, thread_name_prefix="decoding")


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a process that is forked off.
    os.register_at_fork(after_in_child=_threads.cache_clear)
