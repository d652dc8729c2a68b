"""What unrelated frames, unrelated words and unrelated units would score.

Two kinds of null are kept apart. *Levels* say what something unrelated scores: frames are never matched with themselves, with frames that look alike, nor
with their neighbours in a film. *Reference distributions* give p-values, and such a test is valid only where what is compared belongs to the same family: a
decoder that is lucky on the true match is unlucky on all others by construction. With the true match (or, in a film, what lies near it) left out, p-values come out
too small: on short simulated sessions whose spikes were shifted at random, leaving out a second around the true lag called 11 to 24 of 100 more than chance at
0.05, and keeping all lags 4 to 6. So p-values rest on all permutations of the frames and on all circular lags.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import NeurratorError


@dataclass(frozen=True, eq=False)
class Course:
    """The order of the tested moments in time.

    Attributes
    ----------
    runs : list of numpy.ndarray
        Rows of moments, in order of time: one array a showing, or all presentations where each stands alone.
    frame : numpy.ndarray
        The frame shown at each moment, as a column of the score tables, (moment,).
    gap : int
        Steps along a run within which frames count as related.
    """

    runs: list[np.ndarray]
    frame: np.ndarray
    gap: int

    @property
    def lags(self) -> np.ndarray:
        """All circular lags but 0, in steps, the same for all runs."""
        return np.arange(1, max(min((len(run) for run in self.runs), default=0), 1))

    def unrelated(self, lags: np.ndarray) -> np.ndarray:
        """Tell which lags leave the gap on both sides."""
        return (lags >= self.gap) & (lags <= len(self.lags) + 1 - self.gap)


def circular_shifts(course: Course, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shift what was decoded against the film, within each showing and by as much in all of them.

    The spikes keep their autocorrelation and the frames keep theirs. One lag serves all showings: were each shifted by its own, the null would average
    over alignments that a real misalignment, the same in all showings, does not.

    Parameters
    ----------
    course : Course
        Order of the moments.
    n : int
        How many shifts at most; all there are where they are fewer.
    rng : numpy.random.Generator
        Chooses among them.

    Returns
    -------
    frames : numpy.ndarray
        For each shift, the frame that each moment is held against, int64 (shift, moment).
    unrelated : numpy.ndarray
        Which shifts leave the gap, bool (shift,): only these say what an unrelated film scores, but all of them belong to the test.
    """
    lags = course.lags
    if len(lags) > n:
        lags = np.sort(rng.choice(lags, size=n, replace=False))
    shifted = np.empty((len(lags), len(course.frame)), dtype=np.int64)
    for run in course.runs:
        shown = course.frame[run]
        for row, lag in enumerate(lags):
            shifted[row, run] = np.roll(shown, lag)
    return shifted, course.unrelated(lags)


def permuted_frames(frame: np.ndarray, n_frames: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rename the frames at random, the same in all showings: (permutation, moment). All permutations are as likely, the identity included."""
    return np.stack([rng.permutation(n_frames)[frame] for _ in range(n)]).astype(np.int64)


def unrelated_frames(
    picture: np.ndarray, n: int, rng: np.random.Generator, near: np.ndarray | None = None
) -> np.ndarray:
    """Match every frame with one that looks different.

    Parameters
    ----------
    picture : numpy.ndarray
        Which frames look alike, (frame,).
    n : int
        How many permutations.
    rng : numpy.random.Generator
        Draws them.
    near : numpy.ndarray, optional
        bool (frame, frame): pairs that are not to be matched either, such as neighbours in a film.

    Returns
    -------
    numpy.ndarray
        int64 (permutation, frame): no frame is matched with itself, with one that looks alike, or with one near it.

    Raises
    ------
    NeurratorError
        It cannot be done: most frames look alike.
    """
    forbidden = picture[:, None] == picture[None]
    if near is not None:
        forbidden |= near
    np.fill_diagonal(forbidden, True)
    size = len(picture)
    result = np.empty((n, size), dtype=np.int64)
    for row in range(n):
        for _ in range(20):
            match = rng.permutation(size)
            if _mend(match, forbidden, rng):
                break
        else:
            raise NeurratorError(
                f"The {size} frames cannot be matched with frames that look different, for too many of them look alike: choose another stimulus or more frames."
            )
        result[row] = match
    return result


def _mend(match: np.ndarray, forbidden: np.ndarray, rng: np.random.Generator) -> bool:
    """Swap forbidden matches away, in place; False where that does not come to an end."""
    rows = np.arange(len(match))
    for _ in range(20 * len(match) + 20):
        bad = np.flatnonzero(forbidden[rows, match])
        if not len(bad):
            return True
        one = rng.choice(bad)
        good = np.flatnonzero(~forbidden[one, match] & ~forbidden[rows, match[one]])
        other = rng.choice(good) if len(good) else rng.integers(len(match))
        match[[one, other]] = match[[other, one]]
    return False


def word_salad(sentences: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """Draw words at the frequency they have in `sentences`, as many at a time as a sentence has: the floor of scores of words."""
    words = [word for sentence in sentences for word in sentence.split()]
    lengths = [len(sentence.split()) for sentence in sentences if sentence.split()]
    if not words:
        return []
    return [" ".join(rng.choice(words, size=rng.choice(lengths))) for _ in range(n)]


def matched_units(pool: list, size: int, n: int, rng: np.random.Generator) -> list[list]:
    """Draw `n` sets of `size` units from a pool, each without replacement, in the pool's order.

    Raises
    ------
    NeurratorError
        The pool is smaller.
    """
    if size > len(pool):
        raise NeurratorError(f"{size} units cannot be drawn from {len(pool)}: choose smaller sets or a larger pool.")
    return [[pool[place] for place in np.sort(rng.choice(len(pool), size=size, replace=False))] for _ in range(n)]


def halves(items: list, n: int, rng: np.random.Generator) -> list[tuple[list, list]]:
    """Divide items into two halves at random, `n` times; of an odd number one is left out."""
    half = len(items) // 2
    orders = [rng.permutation(len(items)) for _ in range(n)]
    return [
        ([items[i] for i in np.sort(order[:half])], [items[i] for i in np.sort(order[half : 2 * half])])
        for order in orders
    ]
