"""Scores of what was decoded against *every* frame: tables (moment, frame), from which the truth and all nulls are read by indexing.

What was decoded at a moment does not change when it is held against another frame, so a null never decodes anything again.
"""

import numpy as np
from scipy.stats import rankdata


def truth(table: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return each moment's score against the frame that was shown, (moment,); `frame` holds columns of `table`."""
    return table[np.arange(len(table)), frame]


def retrieval(similarity: np.ndarray, picture: np.ndarray, top: int = 1) -> np.ndarray:
    """Score whether a frame is among the `top` pictures that are most similar to what was decoded.

    Parameters
    ----------
    similarity : numpy.ndarray
        (moment, frame), larger is nearer.
    picture : numpy.ndarray
        Which frames look alike, (frame,): they are one candidate.
    top : int
        How many candidates may be named.

    Returns
    -------
    numpy.ndarray
        (moment, frame): 1, 0, or the share that a fair draw among ties would get.
    """
    best, of = _by_picture(similarity, picture)
    above, tied = _ranks(best)
    return np.clip((top - above) / tied, 0.0, 1.0)[:, of]


def two_way(similarity: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Score two-way identification: the share of other pictures that are less similar to what was decoded; ties count half.

    Parameters and shape of the result are those of `retrieval`; NaN where there is one picture only. Chance is 0.5.
    """
    best, of = _by_picture(similarity, picture)
    n = best.shape[1]
    if n < 2:
        return np.full(similarity.shape, np.nan)
    above, tied = _ranks(best)
    return ((n - above - tied + 0.5 * (tied - 1)) / (n - 1))[:, of]


def _by_picture(similarity: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean similarity to the frames of each picture, rounded so that rounding makes no winners, and each frame's column in it."""
    names, of = np.unique(picture, return_inverse=True)
    member = np.eye(len(names))[of]
    return np.round(similarity.astype(float) @ member / member.sum(0), 6), of


def _ranks(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every entry how many in its row are larger, and how many equal it (itself included)."""
    last = rankdata(table, method="max", axis=1)
    return table.shape[1] - last, last - rankdata(table, method="min", axis=1) + 1
