"""Sums over the features of a subset, compiled: rows are read where they lie, and no threads have to be woken for less than a millisecond of work."""

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True, nogil=True)
def add_sums(
    means: np.ndarray,
    features: np.ndarray,
    weighted: np.ndarray,
    precision: np.ndarray,
    first: int,
    last: int,
    shared: np.ndarray,
    energy: np.ndarray,
) -> None:
    """Add, over some features f, ``weighted[f] ⊗ means[f]`` to `shared` and ``precision[f] · means[f]²`` to `energy`.

    Parameters
    ----------
    means : numpy.ndarray
        float32 (feature, state).
    features : numpy.ndarray
        Rows of `means`, `weighted` and `precision`, int64.
    weighted : numpy.ndarray
        float32 (feature, rank).
    precision : numpy.ndarray
        float32 (feature,).
    first, last : int
        States that are asked.
    shared : numpy.ndarray
        float32 (rank, state), changed in place.
    energy : numpy.ndarray
        float32 (state,), changed in place.
    """
    rank, n = weighted.shape[1], len(features)
    # Four rows at a time: the sums are then read and written a quarter as often, which is what takes the time.
    for place in range(0, n - 3, 4):
        f0, f1, f2, f3 = features[place], features[place + 1], features[place + 2], features[place + 3]
        r0, r1, r2, r3 = means[f0], means[f1], means[f2], means[f3]
        for k in range(rank):
            w0, w1, w2, w3 = weighted[f0, k], weighted[f1, k], weighted[f2, k], weighted[f3, k]
            sums = shared[k]
            for s in range(first, last):
                sums[s] += w0 * r0[s] + w1 * r1[s] + w2 * r2[s] + w3 * r3[s]
        w0, w1, w2, w3 = precision[f0], precision[f1], precision[f2], precision[f3]
        for s in range(first, last):
            energy[s] += w0 * r0[s] * r0[s] + w1 * r1[s] * r1[s] + w2 * r2[s] * r2[s] + w3 * r3[s] * r3[s]
    for feature in features[n - n % 4 :]:
        row = means[feature]
        for k in range(rank):
            weight = weighted[feature, k]
            sums = shared[k]
            for s in range(first, last):
                sums[s] += weight * row[s]
        weight = precision[feature]
        for s in range(first, last):
            energy[s] += weight * row[s] * row[s]


@numba.njit(cache=True, fastmath=True, nogil=True)
def add_rows(
    means: np.ndarray, features: np.ndarray, weights: np.ndarray, first: int, last: int, sums: np.ndarray
) -> None:
    """Add ``weights[i] · means[features[i]]`` to `sums`, (state,), for the states from `first` up to `last`; `means` is float32 (feature, state)."""
    n = len(features)
    for place in range(0, n - 3, 4):
        r0, r1, r2, r3 = (
            means[features[place]],
            means[features[place + 1]],
            means[features[place + 2]],
            means[features[place + 3]],
        )
        w0, w1, w2, w3 = weights[place], weights[place + 1], weights[place + 2], weights[place + 3]
        for s in range(first, last):
            sums[s] += w0 * r0[s] + w1 * r1[s] + w2 * r2[s] + w3 * r3[s]
    for place in range(n - n % 4, n):
        row, weight = means[features[place]], weights[place]
        for s in range(first, last):
            sums[s] += weight * row[s]


@numba.njit(cache=True, fastmath=True, nogil=True)
def add_up_codes(
    codes: np.ndarray, steps: np.ndarray, weights: np.ndarray, first: int, last: int, sums: np.ndarray
) -> None:
    """Write ``steps[i] · Σ weights[k] · codes[i, k]`` into `sums` for the rows from `first` up to `last`.

    Parameters
    ----------
    codes : numpy.ndarray
        int8 (row, component), read once as it lies: what takes the time.
    steps : numpy.ndarray
        float32 (row,).
    weights : numpy.ndarray
        float32 (component,).
    first, last : int
        Rows that are asked.
    sums : numpy.ndarray
        float32 (row,), changed in place.
    """
    for row in range(first, last):
        total = np.float32(0)
        for k in range(codes.shape[1]):
            total += np.float32(codes[row, k]) * weights[k]
        sums[row] = steps[row] * total
