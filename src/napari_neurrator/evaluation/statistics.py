"""P-values, intervals and corrections that hold for correlated moments and few blocks."""

import numpy as np
from scipy import stats

# With fewer blocks the bootstrap is too narrow, and Student's t over their means takes its place.
FEW_BLOCKS = 8


def p_value(observed: float, null: np.ndarray) -> float:
    """Return the one-sided p-value of an observed score among draws of a null: (1 + number of draws as large) / (1 + number of draws).

    It is never 0, and 1 where there are no draws.
    """
    null = np.asarray(null, dtype=float)
    # Means of the same numbers in another order differ by rounding: they are ties.
    return float((1 + np.count_nonzero(null >= observed - 1e-9)) / (1 + len(null)))


def smallest_p(null_frames: np.ndarray, shown: np.ndarray) -> float:
    """Return the least p-value that a null of other frames leaves possible.

    Parameters
    ----------
    null_frames : numpy.ndarray
        The frame that each moment is held against, (draw, moment).
    shown : numpy.ndarray
        The frame that was on, (moment,). Draws that hold every moment against it tie whatever is decoded; where frames are few, many do.
    """
    if not len(null_frames):
        return 1.0
    return float((1 + np.count_nonzero((null_frames == shown).all(1))) / (1 + len(null_frames)))


def two_sided_p(observed: float, null: np.ndarray) -> float:
    """Return the two-sided p-value: twice the smaller of both tails, at most 1."""
    null = np.asarray(null, dtype=float)
    return min(1.0, 2 * min(p_value(observed, null), p_value(-observed, -null)))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values of several tests by Holm's method: the chance of even one false alarm is kept."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    result = np.empty_like(p)
    result[order] = np.minimum(stepped, 1.0)
    return result


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjust p-values by Benjamini and Hochberg's method: the share of false alarms among the findings is kept."""
    p = np.asarray(p, dtype=float)
    return stats.false_discovery_control(p, method="bh") if len(p) else p


def least_adjusted(p: np.ndarray, own: np.ndarray, floor: float) -> float:
    """Return the least that some of several p-values could come to by `benjamini_hochberg`, were they as small as can be and the others as they are.

    Parameters
    ----------
    p : numpy.ndarray
        P-values of all tests that are adjusted together.
    own : numpy.ndarray
        Which of them are asked about, bool.
    floor : float
        The least that one can be.
    """
    return float(benjamini_hochberg(np.where(own, floor, p))[own].min())


def interval(
    scores: np.ndarray,
    blocks: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.95,
    n: int = 2000,
    share: bool = False,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float] | None:
    """Return a confidence interval of a mean score by resampling whole blocks.

    Parameters
    ----------
    scores : numpy.ndarray
        (moment,), or (draw, moment) where several subsets of units were decoded: then draws are resampled too, for the interval is that of a
        subset's mean and not of these subsets'.
    blocks : numpy.ndarray
        The block that each moment belongs to, (moment,): repeats or stretches of film, within which scores are correlated.
    rng : numpy.random.Generator
        Resamples.
    level : float
        Coverage.
    n : int
        Resamples.
    share : bool
        Whether scores say right or wrong. Where all moments are one of them, resampling would find no spread: then the interval is the
        exact binomial one over blocks.
    limits : tuple of float
        What the score can be at least and at most.

    Returns
    -------
    tuple of float or None
        Lower and upper bound; of fewer than `FEW_BLOCKS` blocks by Student's t over the blocks' means; None with fewer than three.
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    names, of = np.unique(blocks, return_inverse=True)
    count = np.bincount(of, minlength=len(names)).astype(float)
    sums = np.stack([np.bincount(of, weights=row, minlength=len(names)) for row in scores])
    if len(names) < 3:
        return None
    if share and scores.min() == scores.max() and scores.flat[0] in (0.0, 1.0):
        found = stats.binomtest(len(names) * int(scores.flat[0]), len(names)).proportion_ci(level)
        return float(found.low), float(found.high)
    if len(names) < FEW_BLOCKS:
        means = sums.mean(0) / count
        middle, half = sums.sum() / (len(scores) * count.sum()), stats.t.ppf(0.5 + level / 2, len(names) - 1)
        half *= means.std(ddof=1) / np.sqrt(len(names))
        return max(float(middle - half), limits[0]), min(float(middle + half), limits[1])
    chosen = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)
    drawn = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), size=n) / len(scores)
    means = np.einsum("nd,db,nb->n", drawn, sums, chosen, optimize=True) / (chosen @ count)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def correlation_interval(
    x: np.ndarray, y: np.ndarray, blocks: np.ndarray, rng: np.random.Generator, level: float = 0.95, n: int = 2000
) -> tuple[float, float] | None:
    """Return a confidence interval of the correlation of two series (moment,), by resampling whole blocks; None with fewer than `FEW_BLOCKS`."""
    names, of = np.unique(blocks, return_inverse=True)
    if len(names) < FEW_BLOCKS:
        return None
    moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    sums = np.stack([np.bincount(of, weights=row, minlength=len(names)) for row in moments], axis=1)
    chosen = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)
    count, sx, sy, xx, yy, xy = (chosen @ sums).T
    spread = np.sqrt(np.maximum(xx - sx**2 / count, 0) * np.maximum(yy - sy**2 / count, 0))
    r = np.divide(xy - sx * sy / count, spread, out=np.zeros(n), where=spread > 1e-12)
    low, high = np.quantile(r, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def effective_sample(series: np.ndarray) -> float:
    """Return how many independent values a correlated series is worth: n / (1 + 2 Σ ρ), summed while ρ stays above 0."""
    series = np.asarray(series, dtype=float)
    n = len(series)
    away = series - series.mean() if n else series
    variance = float(away @ away)
    if n < 3 or variance <= 0:
        return float(n)
    total = 0.0
    for lag in range(1, n // 2):
        rho = float(away[:-lag] @ away[lag:]) / variance
        if rho <= 0:
            break
        total += rho
    return n / (1 + 2 * total)


def false_alarm_bounds(runs: int, alpha: float = 0.05, level: float = 0.95) -> tuple[int, int]:
    """Return how few and how many false alarms a valid test raises in so many runs, with probability `level`."""
    low, high = stats.binom.interval(level, runs, alpha)
    return int(low), int(high)
