"""Which moments a decoder learns from, is tuned on, and is tested on.

Every split has a name, which is written onto every result. No window of one part overlaps one of another part in time, and none runs out of the
showing that it lies in: what a decoder learns from never holds a spike that it is tested on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import SplitName, WindowConfig
from ..errors import NeurratorError

if TYPE_CHECKING:
    import pandas as pd

    from ..vision.grid_table import Grids

# One showing in five is held out, spread over the session, so that slow drift touches all parts alike.
_CYCLE, _TEST, _TUNE = 5, 4, 2
# Share of the frames that the splits by frame hold out, and parts that the others are divided into for tuning.
_SHARE, _PARTS, _TUNED = 0.2, 5, (2,)
# Besides the windows themselves: activity dies down slowly.
GAP_S = 0.1


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of a table of moments.

    Attributes
    ----------
    name : str
        The name that is written onto every result.
    train, validation, test : numpy.ndarray
        Disjoint row numbers; rows in none of them lie too near to another part.
    groups : numpy.ndarray
        For every row, the showing or the stretch of frames that it belongs to: what is left out together when something is tuned by
        cross-validation, and what is resampled for intervals.
    test_frames : numpy.ndarray
        The frames that are held out; empty where showings are.
    film : bool
        Whether windows of neighbouring frames overlap, so that frames are held out by the stretch and not one by one.
    """

    name: SplitName
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    groups: np.ndarray
    test_frames: np.ndarray
    film: bool


def is_held_out(name: SplitName, repeat: int, frame: int, test_frames: frozenset[int]) -> bool:
    """Tell whether a split keeps this showing (0 is the first) of this frame out of fitting."""
    return repeat % _CYCLE == _TEST if name == "held-out-repeats" else frame in test_frames


def split_moments(
    moments: "pd.DataFrame", name: SplitName, window: WindowConfig, seed: int = 0, pictures: np.ndarray | None = None
) -> Split:
    """Divide moments by a named split.

    Where frames are held out, so is all that looks the same: of images that are shown one by one whole pictures are held out, and of a film frames
    that look like one in a held-out stretch are not learnt from.

    Parameters
    ----------
    moments : pandas.DataFrame
        With ``frame``, ``repeat``, ``time``, ``start_time``, ``stop_time`` (seconds), as `recording.moments` gives it.
    name : str
        A key of `config.SPLITS`.
    window : WindowConfig
        Which spikes belong to a moment.
    seed : int
        Of the images that ``held-out-images`` draws.
    pictures : numpy.ndarray, optional
        Which picture each distinct frame shows, frames ascending: int64 (frame,), numbered in order of first appearance. By default all are different.

    Raises
    ------
    NeurratorError
        There are too few showings or frames for the split.
    """
    repeat, frame = moments["repeat"].to_numpy(), moments["frame"].to_numpy()
    whole = ~leaves_its_showing(moments, window)
    if not whole.any():
        raise NeurratorError(
            f"A window of {window.lag_s:g} to {window.lag_s + window.duration_s:g} s after a frame never lies within one showing of this stimulus: "
            "choose a shorter window."
        )
    time = moments["time"].to_numpy(dtype=float)
    span = max(window.lag_s + window.duration_s, 0.0) - min(window.lag_s, 0.0)
    step = float(np.median(np.diff(np.sort(time)))) if len(time) > 1 else np.inf
    # Windows of a film's neighbouring frames overlap: there, frames are held out by the stretch.
    film = step < span
    gap = GAP_S if film else 0.0
    stretch = int(np.ceil(4 * (span + gap) / step)) if film else 1
    test_frames, too_like = np.empty(0, dtype=np.int64), np.zeros(len(moments), dtype=bool)
    if name == "held-out-repeats":
        if repeat.max(initial=-1) < _TEST:
            raise NeurratorError(
                f"The split '{name}' needs frames that were shown at least {_CYCLE} times, and these were shown {repeat.max(initial=-1) + 1} "
                "times at most: record more repeats, choose a stimulus with more, or another split."
            )
        groups = repeat.astype(np.int64)
        test, tune = repeat % _CYCLE == _TEST, repeat % _CYCLE == _TUNE
    else:
        distinct, place = np.unique(frame, return_inverse=True)
        picture = np.arange(len(distinct)) if pictures is None else pictures
        n_units = len(distinct) if film else int(picture.max()) + 1
        if n_units < 2 * _PARTS:
            alike = f" ({len(distinct)} frames, of which many look the same)" if n_units < len(distinct) else ""
            raise NeurratorError(
                f"The split '{name}' needs at least {2 * _PARTS} different frames, and this stimulus has {n_units}{alike}: choose another split."
            )
        held, part = _by_frame(name, n_units, stretch, seed)
        if not film:
            held, part = held[picture], part[picture]
        too_like = (~held & np.isin(picture, picture[held]))[place]
        groups = part[place].astype(np.int64)
        test, tune = held[place], np.isin(groups, _TUNED) & ~held[place]
        test_frames = distinct[held]
    test &= whole
    # What touches a test window is not learnt from; of what is learnt from, nothing touches a tuning window.
    tune &= whole & ~too_like & ~_near(time, time[test], span + gap, own=test)
    train = (
        whole
        & ~test
        & ~tune
        & ~too_like
        & ~_near(time, time[test], span + gap, own=test)
        & ~_near(time, time[tune], span + gap, own=tune)
    )
    if name != "held-out-repeats":
        train &= ~np.isin(frame, test_frames)
    if not train.any() or not tune.any():
        raise NeurratorError(
            f"The split '{name}' leaves nothing to learn from: the windows of held-out frames touch all others, or all others look like them."
        )
    rows = np.arange(len(moments))
    return Split(name, rows[train], rows[tune], rows[test], groups, test_frames, film)


def split_of(
    moments: "pd.DataFrame", name: SplitName, window: WindowConfig, seed: int, grids: "Callable[[], Grids]"
) -> Split:
    """Divide moments as `split_moments` does, where the frames' grids say which of them look the same.

    Parameters
    ----------
    moments, name, window, seed
        As of `split_moments`.
    grids : callable
        Returns the grids of the distinct frames, ascending; called only where it matters.
    """
    # Torch, which the description of a decoder, read beside this module, does without.
    from .states import pictures_of

    by_showing = name in ("held-out-repeats", "another-movie")
    return split_moments(moments, name, window, seed, None if by_showing else pictures_of(grids()))


def leaves_its_showing(moments: "pd.DataFrame", window: WindowConfig) -> np.ndarray:
    """Tell of each moment whether its window holds spikes from outside the showing that it lies in.

    A showing is a run of presentations of one repeat that follow each other without a pause, or a single presentation.
    """
    order = np.argsort(moments["start_time"].to_numpy(), kind="stable")
    start = moments["start_time"].to_numpy(dtype=float)[order]
    stop = moments["stop_time"].to_numpy(dtype=float)[order]
    repeat = moments["repeat"].to_numpy()[order]
    longest = np.maximum(stop - start, 1e-3)
    breaks = (repeat[1:] != repeat[:-1]) | (start[1:] - stop[:-1] > 0.5 * longest[:-1] + 0.02)
    run = np.concatenate([[0], np.cumsum(breaks)])
    first = np.minimum.reduceat(start, np.flatnonzero(np.concatenate([[True], breaks])))[run]
    last = np.maximum.reduceat(stop, np.flatnonzero(np.concatenate([[True], breaks])))[run]
    time = moments["time"].to_numpy(dtype=float)[order]
    # Times of frames jitter by less than a millisecond.
    leaves = (time + min(window.lag_s, 0.0) < first - 1e-3) | (
        time + window.lag_s + window.duration_s > np.maximum(last, stop) + 1e-3
    )
    result = np.empty(len(moments), dtype=bool)
    result[order] = leaves
    return result


def _by_frame(name: str, n: int, stretch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of n frames are tested, and the part that each frame belongs to: consecutive ones, or drawn by the stretch."""
    held = np.zeros(n, dtype=bool)
    number = max(round(_SHARE * n), 1)
    if name == "held-out-images":
        drawn = np.random.default_rng(seed).permutation(-(-n // stretch))[np.arange(n) // stretch]
        held = drawn < round(_SHARE * -(-n // stretch))
        return held, np.where(held, _PARTS, drawn % _PARTS)
    if name == "contiguous-middle":
        held[(n - number) // 2 : (n - number) // 2 + number] = True
    elif name == "front-only":
        held[:number] = True
    part = np.full(n, _PARTS)
    rest = np.flatnonzero(~held)
    part[rest] = np.arange(len(rest)) * _PARTS // len(rest)
    return held, part


def _near(time: np.ndarray, others: np.ndarray, reach_s: float, own: np.ndarray) -> np.ndarray:
    """Tell of each moment, but the `own` ones, whether any of `others` lies within `reach_s`."""
    if not len(others):
        return np.zeros(len(time), dtype=bool)
    others = np.sort(others)
    after = np.searchsorted(others, time)
    distance = np.minimum(
        np.abs(time - others[np.maximum(after - 1, 0)]), np.abs(time - others[np.minimum(after, len(others) - 1)])
    )
    return (distance < reach_s) & ~own
