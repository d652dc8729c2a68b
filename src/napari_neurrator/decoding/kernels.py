"""Sums over the features of a subset, compiled: rows are read where they lie, and no threads have to be woken for less than a millisecond of work."""

import numba
import numpy as np

# States whose sums are worked out at a time: with those of sixteen factors they stay in the processor's first cache.
_STATES = 128


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
    some = np.empty((rank + 1, _STATES), dtype=np.float32)
    for start in range(first, last, _STATES):
        m = min(_STATES, last - start)
        some[:] = 0
        # Four rows at a time: the sums are then read and written a quarter as often, which is what takes the time.
        for place in range(0, n - 3, 4):
            f0, f1, f2, f3 = features[place], features[place + 1], features[place + 2], features[place + 3]
            r0, r1 = means[f0, start : start + m], means[f1, start : start + m]
            r2, r3 = means[f2, start : start + m], means[f3, start : start + m]
            for k in range(rank):
                w0, w1, w2, w3 = weighted[f0, k], weighted[f1, k], weighted[f2, k], weighted[f3, k]
                sums = some[k]
                for s in range(m):
                    sums[s] += w0 * r0[s] + w1 * r1[s] + w2 * r2[s] + w3 * r3[s]
            w0, w1, w2, w3 = precision[f0], precision[f1], precision[f2], precision[f3]
            sums = some[rank]
            for s in range(m):
                sums[s] += w0 * r0[s] * r0[s] + w1 * r1[s] * r1[s] + w2 * r2[s] * r2[s] + w3 * r3[s] * r3[s]
        for feature in features[n - n % 4 :]:
            row = means[feature, start : start + m]
            for k in range(rank):
                weight = weighted[feature, k]
                sums = some[k]
                for s in range(m):
                    sums[s] += weight * row[s]
            weight = precision[feature]
            sums = some[rank]
            for s in range(m):
                sums[s] += weight * row[s] * row[s]
        for k in range(rank):
            for s in range(m):
                shared[k, start + s] += some[k, s]
        for s in range(m):
            energy[start + s] += some[rank, s]


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
    codes: np.ndarray, steps: np.ndarray, weights: np.ndarray, unit: float, first: int, sums: np.ndarray
) -> None:
    """Write ``steps[i] · unit · Σ weights[k] · codes[i, k]`` into `sums`, from row i = `first` on.

    Parameters
    ----------
    codes : numpy.ndarray
        int8 (row, component), read once as it lies: what takes the time.
    steps : numpy.ndarray
        float32 (row,).
    weights : numpy.ndarray
        int16 (component,): whole numbers, because the processor multiplies and adds twice as many of them at once.
        127 times the sum of their magnitudes must stay below 2³¹.
    unit : float
        What they are multiples of.
    first : int
        First row that is asked.
    sums : numpy.ndarray
        float32 (row that is asked,), written.
    """
    scale = np.float32(unit)
    for place in range(len(sums)):
        row = first + place
        total = np.int32(0)
        for k in range(codes.shape[1]):
            total = np.int32(total + np.int32(np.int32(codes[row, k]) * np.int32(weights[k])))
        sums[place] = steps[row] * scale * np.float32(total)


def whole_weights(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Round weights to int16 as `add_up_codes` wants them; return them and the length of a step."""
    exact = weights.astype(np.float64)
    # Codes are 127 at most, and rounding may add half a step to each weight.
    unit = max(
        np.abs(exact).max(initial=0) / (2**15 - 1), np.abs(exact).sum() * 127 / (2**31 - 1 - 64 * len(exact)), 1e-30
    )
    return np.rint(exact / unit).astype(np.int16), float(unit)


@numba.njit(cache=True, fastmath=True, nogil=True)
def divided(
    values: np.ndarray, within: np.ndarray, smallest: float, near: float, apart: np.ndarray, close: np.ndarray
) -> None:
    """Divide symmetric matrices by the differences of eigenvalues, ``within[i, a, b] / (values[i, b] - values[i, a])``.

    Parameters
    ----------
    values : numpy.ndarray
        Not below 0, float32 (matrix, n).
    within : numpy.ndarray
        Symmetric but for rounding, float32 (matrix, n, n).
    smallest, near : float
        Two eigenvalues are too close to be divided by if they differ by no more than `near` times the lesser of them and `smallest` together.
    apart : numpy.ndarray
        float64 (matrix, n, n): the quotients are written here, 0 where eigenvalues are too close.
    close : numpy.ndarray
        float32 (matrix, n, n): the entries that were not divided, 0 elsewhere.
    """
    for i in range(values.shape[0]):
        for a in range(values.shape[1]):
            own = np.float64(values[i, a])
            for b in range(values.shape[1]):
                other = np.float64(values[i, b])
                entry = (np.float64(within[i, a, b]) + np.float64(within[i, b, a])) / 2
                if abs(other - own) <= near * (min(own, other) + smallest):
                    apart[i, a, b], close[i, a, b] = 0, entry
                else:
                    apart[i, a, b], close[i, a, b] = entry / (other - own), 0


@numba.njit(cache=True, fastmath=True, nogil=True)
def add_errors(
    values: np.ndarray,
    penalties: np.ndarray,
    sides: np.ndarray,
    apart: np.ndarray,
    close: np.ndarray,
    errors: np.ndarray,
) -> None:
    """Add, over matrices i and eigenvalues a, ``2 s (apart - t) g + s · close · g²`` to `errors`, with ``g = 1 / (values[i, a] + penalty)``.

    Parameters
    ----------
    values : numpy.ndarray
        float32 (matrix, n).
    penalties : numpy.ndarray
        float32 (penalty,).
    sides : numpy.ndarray
        t and, beside it, s: float32 (matrix, n, 2 · column).
    apart : numpy.ndarray
        float64 (matrix, n, column).
    close : numpy.ndarray
        float32 (matrix, n, column).
    errors : numpy.ndarray
        float64 (penalty, column), changed in place.
    """
    columns = errors.shape[1]
    once, twice = np.empty(columns), np.empty(columns)
    for i in range(values.shape[0]):
        for a in range(values.shape[1]):
            side, far, near = sides[i, a], apart[i, a], close[i, a]
            for k in range(columns):
                solved = np.float64(side[columns + k])
                once[k] = 2 * solved * (far[k] - side[k])
                twice[k] = solved * near[k]
            for p in range(len(penalties)):
                shrunk = 1 / (np.float64(values[i, a]) + np.float64(penalties[p]))
                square = shrunk * shrunk
                row = errors[p]
                for k in range(columns):
                    row[k] += shrunk * once[k] + square * twice[k]
