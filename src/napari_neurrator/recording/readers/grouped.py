"""Spike trains from sources that hold all spikes in order of time, with the unit of each."""

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import NeurratorError
from ..spikes import SpikeTrains

# Spikes that are looked at together: their rows and times stay in the processor's caches or near.
_AT_ONCE = 2_000_000


def grouped(
    unit_ids: Sequence[int | str],
    n_spikes: int,
    rows: Callable[[int, int], np.ndarray],
    seconds: Callable[[int, int], np.ndarray],
    source: str,
) -> tuple[np.ndarray, Callable[[int, int, np.ndarray], None]]:
    """Count each unit's spikes, and make what picks them from the source when they are asked for; only the units' numbers are read now.

    Parameters
    ----------
    unit_ids : sequence
        Names of the units.
    n_spikes : int
        Spikes in all.
    rows : callable
        ``rows(first, last)`` returns which unit, by its place in `unit_ids`, each of some spikes is of; others mean none.
    seconds : callable
        ``seconds(first, last)`` returns the times of these spikes.
    source : str
        For messages.

    Returns
    -------
    counts : numpy.ndarray
        Spikes of each unit.
    read : callable
        As `SpikeTrains.lazy` takes it.
    """
    n = len(unit_ids)
    counts = np.zeros(n, dtype=np.int64)
    for first in range(0, n_spikes, _AT_ONCE):
        block = rows(first, min(first + _AT_ONCE, n_spikes))
        counts += np.bincount(block[(block >= 0) & (block < n)], minlength=n)[:n]
    ends = np.cumsum(counts)
    begins = ends - counts

    def read(first: int, last: int, out: np.ndarray) -> None:
        begin, end = int(np.searchsorted(ends, first, "right")), int(np.searchsorted(begins, last, "left"))
        if begin >= end:
            return
        base = int(begins[begin])
        whole = base == first and int(ends[end - 1]) == last
        target = out if whole else np.empty(int(ends[end - 1]) - base)
        cursor = begins[begin:end] - base
        for at in range(0, n_spikes, _AT_ONCE):
            until = min(at + _AT_ONCE, n_spikes)
            block = rows(at, until)
            wanted = np.flatnonzero((block >= begin) & (block < end))
            if not len(wanted):
                continue
            which = block[wanted] - begin
            order = np.argsort(which, kind="stable")
            which = which[order]
            found = np.bincount(which, minlength=end - begin)
            within = np.arange(len(which)) - np.repeat(np.cumsum(found) - found, found)
            places = cursor[which] + within
            if len(places) and places.max() >= len(target):
                raise NeurratorError(f"{source} has changed since it was opened: open it again.")
            target[places] = np.asarray(seconds(at, until), dtype=np.float64)[wanted][order]
            cursor = cursor + found
        if (cursor != ends[begin:end] - base).any():
            raise NeurratorError(f"{source} has changed since it was opened: open it again.")
        if not whole:
            out[:] = target[first - base : last - base]

    return counts, read


def grouped_trains(
    unit_ids: Sequence[int | str],
    n_spikes: int,
    rows: Callable[[int, int], np.ndarray],
    seconds: Callable[[int, int], np.ndarray],
    source: str,
) -> SpikeTrains:
    """Make trains of what `grouped` counts and picks."""
    return SpikeTrains.lazy(unit_ids, *grouped(unit_ids, n_spikes, rows, seconds, source))


def row_lookup(unit_ids: np.ndarray, largest: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what turns cluster numbers into places in `unit_ids`, −1 where they are not there.

    Parameters
    ----------
    unit_ids : numpy.ndarray
        Cluster numbers, int.
    largest : int
        The largest number that occurs.
    """
    if 0 <= largest < 50_000_000 and (len(unit_ids) == 0 or unit_ids.min() >= 0):
        table = np.full(max(largest, int(unit_ids.max(initial=0))) + 2, -1, dtype=np.int32)
        table[unit_ids] = np.arange(len(unit_ids))

        def by_table(clusters: np.ndarray) -> np.ndarray:
            numbers = np.asarray(clusters)
            outside = (numbers < 0) | (numbers >= len(table) - 1)
            return np.asarray(table[np.where(outside, len(table) - 1, numbers).astype(np.int64)], dtype=np.int64)

        return by_table
    order = np.argsort(unit_ids, kind="stable")
    ascending = unit_ids[order]

    def by_search(clusters: np.ndarray) -> np.ndarray:
        numbers = np.asarray(clusters)
        at = np.minimum(np.searchsorted(ascending, numbers), max(len(ascending) - 1, 0))
        return np.where(ascending[at] == numbers, order[at], -1) if len(ascending) else np.full(len(numbers), -1)

    return by_search
