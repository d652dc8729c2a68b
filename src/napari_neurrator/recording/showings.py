"""Blocks and repeats, found from what was on when; every function works on all stimuli at once, rows in order of time."""

import numpy as np
import pandas as pd

# A pause this many times longer than from one presentation to the next, and at least this long, parts two blocks.
_PAUSE, _PAUSE_S = 10.0, 0.5
# Of the changes of frame of a movie, at least this many are by the same step forward.
_FORWARD = 0.7


def intervals(codes: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the median time from one presentation of a stimulus to its next, seconds, by stimulus; NaN where there is only one.

    Parameters
    ----------
    codes : numpy.ndarray
        (presentation,) number of the stimulus, from 0.
    start : numpy.ndarray
        (presentation,) onset, seconds, ascending.
    """
    gaps = pd.Series(start).groupby(codes).diff()
    return gaps.groupby(codes).median().reindex(range(codes.max() + 1)).to_numpy(float)


def blocks(
    codes: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    frames: np.ndarray,
    counted: np.ndarray,
    typical: np.ndarray,
) -> np.ndarray:
    """Number the blocks of each stimulus from 0: another stimulus, or a pause much longer than from frame to frame, parts them.

    A pause that just so many frames of a movie are missing for is a gap in the table, not the end of a block.

    Parameters
    ----------
    codes, start, stop, frames : numpy.ndarray
        (presentation,) number of the stimulus, onset and end (seconds), frame; in order of `start`.
    counted : numpy.ndarray
        (stimulus,) whether its frames are numbered by the source, not by condition.
    typical : numpy.ndarray
        (stimulus,) as of `intervals`.
    """
    order = np.argsort(codes, kind="stable")
    c, f = codes[order], frames[order]
    same = c[1:] == c[:-1]
    usual = np.nan_to_num(typical)[c[1:]]
    pause = start[order][1:] - stop[order][:-1]
    interrupted = (np.diff(order) > 1) & (pause > usual / 2) & (pause > 0)
    long = pause > np.maximum(_PAUSE * usual, _PAUSE_S)
    missing = _goes_on(c, start[order], f, usual, movie_steps(codes, frames, counted)[c[1:]])
    parted = same & (interrupted | (long & ~missing))
    return _spread(order, _count_within(c, parted))


def repeats(
    codes: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    frames: np.ndarray,
    block: np.ndarray,
    counted: np.ndarray,
    typical: np.ndarray,
) -> np.ndarray:
    """Number the showings from 0: of a movie its runs, of images in any order each one's own showings.

    A run ends where the frame number falls back, or where a block ends and the next does not go on with the frame that is due.

    Parameters
    ----------
    codes, start, stop, frames, block : numpy.ndarray
        (presentation,) number of the stimulus, onset and end (seconds), frame (−1 is blank), block; in order of `start`.
    counted, typical : numpy.ndarray
        (stimulus,) as for `blocks`.
    """
    result = pd.Series(frames).groupby([codes, frames]).cumcount().to_numpy(np.int64, copy=True)
    step = movie_steps(codes, frames, counted)
    runs = np.flatnonzero((frames >= 0) & (step[codes] > 0))
    if not len(runs):
        return result
    order = runs[np.argsort(codes[runs], kind="stable")]
    c, f, b = codes[order], frames[order], block[order]
    same, usual, forward = c[1:] == c[:-1], np.nan_to_num(typical)[c[1:]], np.diff(f)
    new_block = b[1:] != b[:-1]
    pause = start[order][1:] - stop[order][:-1]
    due = (forward == step[c[1:]]) | _goes_on(c, start[order], f, usual, step[c[1:]])
    # The same frame twice running is one that stayed on.
    again = (forward == 0) & (new_block | (pause > np.maximum(usual, 1e-3)))
    result[order] = _count_within(c, same & ((forward < 0) | again | (new_block & (forward > 0) & ~due)))
    return result


def movie_steps(codes: np.ndarray, frames: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return by how much the frame number of each movie goes up from one presentation to the next; 0 for what is no movie.

    Parameters
    ----------
    codes, frames : numpy.ndarray
        (presentation,) number of the stimulus; frame, −1 for a blank.
    counted : numpy.ndarray
        (stimulus,) whether its frames are numbered by the source.
    """
    result = np.zeros(len(counted), dtype=np.int64)
    shown = np.flatnonzero((frames >= 0) & counted[codes])
    order = shown[np.argsort(codes[shown], kind="stable")]
    c, steps = codes[order][1:], np.diff(frames[order])
    changes = (np.diff(codes[order]) == 0) & (steps != 0)
    if not changes.any():
        return result
    often = pd.DataFrame({"code": c[changes], "step": steps[changes]}).value_counts(sort=False).reset_index(name="n")
    share = often["n"] / often.groupby("code")["n"].transform("sum")
    distinct = pd.Series(frames[shown]).groupby(codes[shown]).nunique()
    movie = often[(share >= _FORWARD) & (often["step"] > 0) & (often["code"].map(distinct) >= 3)]
    result[movie["code"]] = movie["step"]
    return result


def _goes_on(
    codes: np.ndarray, start: np.ndarray, frames: np.ndarray, usual: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Tell where the time to the next presentation is what the frames between would have taken."""
    forward = np.diff(frames)
    with np.errstate(over="ignore", invalid="ignore"):
        taken = forward / np.maximum(step, 1) * usual
        # Half a frame, or a thousandth of a long gap: clocks drift.
        near = np.abs(np.diff(start) - taken) <= np.maximum(usual / 2, taken / 1000)
    return (step > 0) & (forward > 0) & (codes[1:] == codes[:-1]) & near


def _count_within(codes: np.ndarray, starts_new: np.ndarray) -> np.ndarray:
    """Count, within each stimulus from 0, the places (between one row and the next) where something new starts."""
    total = np.concatenate([[0], np.cumsum(starts_new)])
    first = np.concatenate([[True], codes[1:] != codes[:-1]])
    base = np.maximum.accumulate(np.where(first, total, 0))
    return total - base


def _spread(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    result = np.empty_like(values)
    result[order] = values
    return result
