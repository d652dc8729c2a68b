"""The two loops over spikes that have to be compiled: NumPy would need several passes and ten times the memory."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def is_tidy(times: np.ndarray) -> bool:
    """Tell whether times are finite and ascending."""
    tidy = len(times) == 0 or np.isfinite(times[0])
    for i in range(1, len(times)):
        tidy &= times[i] >= times[i - 1] and times[i] < np.inf
    return tidy


# Bytes of counts that are worked on at a time: what a processor's second-level cache holds.
_CACHED = 1 << 20
# Units that are counted before the next: more windows at a time then fit.
_TILE = 256
# Further from an edge than this share of a bin, rounding cannot matter.
_SURE = 1e-2


@numba.njit(nogil=True, cache=True)
def count_windows(
    times: np.ndarray,
    low: np.ndarray,
    ends: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    bin_s: float,
    counts: np.ndarray,
) -> bool:
    """Count spikes into `counts`.

    Parameters
    ----------
    times : numpy.ndarray
        Spike times of all units, seconds; those of one unit lie side by side and ascend.
    low, ends : numpy.ndarray
        Where in `times` the spikes of each wanted unit lie. `low` is moved on to the first spike from the last window's start on, so that windows
        after these can be counted by another call.
    starts : numpy.ndarray
        Start of each window, seconds, ascending.
    rows : numpy.ndarray
        Row of `counts` of each window.
    bin_s : float
        Width of a bin, seconds.
    counts : numpy.ndarray
        Is overwritten: (window, bin, unit), of an unsigned integer type.

    Returns
    -------
    bool
        False where a bin held more than its type can: the counts are not to be used then.
    """
    n_bins, n_units = counts.shape[1], counts.shape[2]
    flat = counts.reshape(-1)
    most = np.iinfo(counts.dtype).max
    duration = n_bins * bin_s
    per_second = 1 / bin_s
    together = max(_CACHED // (n_bins * min(n_units, _TILE) * counts.itemsize), 1)
    overflow = False
    first = 0
    while first < len(starts):
        # Windows that overlap or nearly do, as many as the cache holds: a spike is then read once for all windows that it lies in.
        last = first + 1
        while last < len(starts) and last - first < together and starts[last] - starts[last - 1] < 2 * duration:
            last += 1
        begin = starts[first]
        stop = starts[last - 1] + duration
        following = starts[last] if last < len(starts) else starts[last - 1]
        # Windows follow each other at a nearly constant rate, which tells where to look.
        rate = (last - 1 - first) / max(starts[last - 1] - begin, bin_s)
        for tile in range(0, n_units, _TILE):
            beyond = min(tile + _TILE, n_units)
            for window in range(first, last):
                counts[rows[window], :, tile:beyond] = 0
            for unit in range(tile, beyond):
                end = ends[unit]
                spike = low[unit]
                if spike < end and times[spike] < begin:
                    spike += np.searchsorted(times[spike:end], begin)
                done = spike
                while spike < end and times[spike] < stop:
                    time = times[spike]
                    done += time < following
                    window = min(first + int((time - begin) * rate), last - 1)
                    while starts[window] > time:
                        window -= 1
                    while window < last - 1 and starts[window + 1] <= time:
                        window += 1
                    while window >= first and time < starts[window] + duration:
                        start = starts[window]
                        position = (time - start) * per_second
                        number = int(position)
                        if not _SURE < position - number < 1 - _SURE:
                            # Rounding may have moved it over an edge; the edges start + k·bin decide.
                            number = min(number, n_bins - 1)
                            while number > 0 and time < start + number * bin_s:
                                number -= 1
                            while number < n_bins - 1 and time >= start + (number + 1) * bin_s:
                                number += 1
                        place = np.uint64((rows[window] * n_bins + number) * n_units + unit)
                        overflow |= flat[place] == most
                        flat[place] += 1
                        window -= 1
                    spike += 1
                low[unit] = done
        first = last
    return not overflow
