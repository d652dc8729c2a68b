"""Presentations from the edges of a TTL or photodiode line and the list of frames that were sent to the screen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .showings import movie_steps

# An edge sooner than this part of a period after another is a bounce.
_BOUNCE = 0.5
# Intervals this near the expected one are regular.
_REGULAR = 0.25
# A gap of so many periods, and at least so long, is a pause between blocks and not lost edges.
_PAUSE, _PAUSE_S = 10.0, 0.5
# So many edges too many or too few at the end are put up with, and frames may be off by as many.
_TOLERATED = 2
_MOST_EDGES = 100_000_000


def presentations_from_ttl(
    edges_s: Sequence[float] | np.ndarray,
    frames: Sequence[int] | np.ndarray,
    *,
    stimulus: str | Sequence[str] | np.ndarray,
    expected_rate_hz: float | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Give each frame of a list the time of its edge.

    Every frame is expected to have made one edge. Edges sooner than half a period after another are bounces and left out. Then the number of edges
    decides what a gap of *k* periods means:

    * as many edges as frames: no edge is lost, so the frame before the gap stayed on for *k* periods (the display repeated it);
    * as many edges too few as the gaps have room for: edges were lost while the frames went on; they are interpolated, and marked so;
    * in between: lost edges are spread evenly over the gaps, with a warning of how many frames the numbers may be off by;
    * pauses (10 periods and half a second or more) lie between blocks and lose no frames, unless the count can be explained in no other way;
    * more edges than frames: whole runs of edges before or after, parted by a pause, are left out where that makes the count right; the last frame ends
      with a single edge too many.

    Up to two edges more or fewer than can be explained are put up with at the end, with a warning. Where a movie's list itself names a frame several times
    running (a list by screen refresh), that is one presentation, which lasts longer.

    Parameters
    ----------
    edges_s : array-like
        (edge,) times of the edges, seconds, ascending; or (edge, 2) time and state, of which the rising edges are taken.
    frames : array-like
        (frame,) whole numbers from 0 in the order in which they were sent to the screen; −1 is blank.
    stimulus : str or sequence of str
        Name of the stimulus, or one a frame.
    expected_rate_hz : float, optional
        Frames a second; by default what most edges keep to.

    Returns
    -------
    presentations : pandas.DataFrame
        ``stimulus``, ``start_time``, ``stop_time`` (seconds), ``frame``, ``interpolated`` (whether the edge at its start was lost).
    warnings : list of str
        How many edges were lost or bounced, and how many frames repeated.

    Raises
    ------
    NeurratorError
        Edges or frames are no numbers, not in order, or do not fit each other.
    """
    numbers = _frame_list(frames)
    edges = rising_edges(edges_s)
    if expected_rate_hz is not None and not 0 < expected_rate_hz < 1e6:
        raise NeurratorError(f"The expected rate is {expected_rate_hz} Hz: it has to be above 0 (frames a second).")
    names = np.array([stimulus] if isinstance(stimulus, str) else list(stimulus), dtype=object)
    if len(names) not in (1, len(numbers)):
        raise NeurratorError(
            f"There are {len(names)} stimulus names for {len(numbers)} frames: give one, or one a frame."
        )
    warnings: list[str] = []
    kept, period = _regular(edges, expected_rate_hz)
    if len(kept) < len(edges):
        warnings.append(
            f"{len(edges) - len(kept)} edges come within half a frame of another and were left out as bounces."
        )
    last_stop = np.nan
    if len(kept) > len(numbers):
        kept, last_stop = _without_extra(kept, period, len(numbers), warnings)
    gaps = np.diff(kept)
    periods = np.maximum(np.rint(gaps / period), 1).astype(np.int64)
    lost = _lost(periods, _is_pause(gaps, period), len(kept), len(numbers), warnings)
    # Each edge, and after it those that were lost.
    count = np.append(lost, 0) + 1
    edge = np.repeat(np.arange(len(kept)), count)
    within = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    start = kept[edge] + within * np.append(gaps / periods, period)[edge]
    used = min(len(start), len(numbers))
    start, numbers, names = start[:used], numbers[:used], np.broadcast_to(names, len(numbers))[:used]
    step = np.diff(start)
    pause = _is_pause(step, period)
    held = np.maximum(np.rint(step / period) - 1, 0)[~pause]
    if held.any():
        warnings.append(
            f"{int((held > 0).sum())} frames stayed on for more than one period ({int(held.sum())} repeated frames in all)."
        )
    if lost.any():
        warnings.append(f"{int(lost.sum())} edges are missing (dropped); the times of their frames are interpolated.")
    last = last_stop if np.isfinite(last_stop) else start[-1] + period
    stop = np.append(np.where(pause, start[:-1] + period, start[1:]), last)
    table = pd.DataFrame(
        {"stimulus": names, "start_time": start, "stop_time": stop, "frame": numbers, "interpolated": within[:used] > 0}
    )
    return _joined(table, np.append(pause, False), warnings), warnings


def rising_edges(edges_s: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return times of edges, checked: (edge,) seconds, of a (edge, 2) table of time and state those where the state goes above 0.

    Raises
    ------
    NeurratorError
        There are none, or they are no numbers or not in order.
    """
    try:
        edges = np.asarray(edges_s)
        edges = edges.astype(float) if edges.dtype.kind in "iufbO" else np.empty((0, 3))
    except (TypeError, ValueError) as error:
        raise NeurratorError("The TTL edges are not numbers: give their times in seconds.") from error
    if edges.ndim == 2 and edges.shape[1] == 1:
        edges = edges[:, 0]
    if edges.ndim not in (1, 2) or (edges.ndim == 2 and edges.shape[1] != 2):
        raise NeurratorError(
            "The TTL edges have to be one column of times in seconds, or two columns, time and state: give them so."
        )
    if not 0 < len(edges) <= _MOST_EDGES:
        raise NeurratorError(f"There are {len(edges)} TTL edges: give the line that marks the frames.")
    times = edges if edges.ndim == 1 else edges[:, 0]
    bad = np.flatnonzero(~np.isfinite(edges if edges.ndim == 1 else edges.sum(axis=1)))
    if len(bad):
        raise NeurratorError(f"TTL edge {bad[0] + 1} of {len(edges)} is not a number: mend the list of edges.")
    if np.abs(times).max() > 1e9:
        raise NeurratorError(f"The TTL edges reach {np.abs(times).max():g} s: give their times in seconds.")
    backwards = np.flatnonzero(times[1:] < times[:-1])
    if len(backwards):
        row = backwards[0]
        raise NeurratorError(
            f"TTL edge {row + 2} at {times[row + 1]:.6g} s comes before edge {row + 1} at {times[row]:.6g} s: sort the edges by time."
        )
    if edges.ndim == 2:
        high = edges[:, 1] > 0
        times = times[high & ~np.append(False, high[:-1])]
        if not len(times):
            raise NeurratorError("The state of the TTL line never goes above 0: there is no rising edge.")
    return times


def _frame_list(frames: Sequence[int] | np.ndarray) -> np.ndarray:
    try:
        numbers = np.asarray(frames).astype(float)
    except (TypeError, ValueError) as error:
        raise NeurratorError(
            "The frame list holds other things than numbers: give whole numbers from 0, −1 for a blank."
        ) from error
    if numbers.ndim != 1 or not len(numbers):
        raise NeurratorError(f"The frame list has shape {numbers.shape}: it has to be one column, one frame a row.")
    bad = np.flatnonzero(~((numbers >= -1) & (np.floor(numbers) == numbers) & (numbers < 1e9)))
    if len(bad):
        raise NeurratorError(
            f"Row {bad[0] + 1} of the frame list is {numbers[bad[0]]:g}: frames are whole numbers from 0, −1 for a blank."
        )
    return numbers.astype(np.int64)


def _regular(edges: np.ndarray, rate_hz: float | None) -> tuple[np.ndarray, float]:
    """Return the edges without bounces, and the period that they keep to, seconds."""
    gaps = np.diff(edges)
    if rate_hz is None and not (gaps > 0).any():
        raise NeurratorError("A single TTL edge does not tell how long a frame lasts: give the rate of the frames.")
    expected = 1 / rate_hz if rate_hz else float(np.median(gaps[gaps > 0]))
    if (gaps < _BOUNCE * expected).any():
        kept, latest = [], -np.inf
        for position, time in enumerate(edges.tolist()):
            if time - latest >= _BOUNCE * expected:
                kept.append(position)
                latest = time
        edges = edges[kept]
        gaps = np.diff(edges)
    regular = gaps[np.abs(gaps / expected - 1) <= _REGULAR]
    if len(gaps) > 3 and 2 * len(regular) < len(gaps):
        raise NeurratorError(
            f"Most TTL edges do not come at {1 / expected:.4g} Hz but every {float(np.median(gaps)):.4g} s ({1 / float(np.median(gaps)):.4g} Hz): "
            "give the rate at which the frames made edges."
        )
    return edges, float(np.median(regular)) if len(regular) else expected


def _is_pause(gaps: np.ndarray, period: float) -> np.ndarray:
    return gaps > max(_PAUSE * period, _PAUSE_S)


def _without_extra(edges: np.ndarray, period: float, n_frames: int, warnings: list[str]) -> tuple[np.ndarray, float]:
    """Leave out edges that belong to no frame; return also when the last frame ended, where an edge tells."""
    gaps = np.diff(edges)
    bounds = np.concatenate([[0], np.flatnonzero(_is_pause(gaps, period)) + 1, [len(edges)]])
    # With and without edges that were lost within the runs.
    slots = np.concatenate(
        [[0], np.cumsum(np.where(_is_pause(gaps, period), 1, np.maximum(np.rint(gaps / period), 1)))]
    )
    for size in (lambda first, after: after - first, lambda first, after: int(slots[after - 1] - slots[first]) + 1):
        fitting = []
        for position, first in enumerate(bounds[:-1]):
            after = next((after for after in bounds[position + 1 :] if size(first, after) >= n_frames), None)
            if after is not None and size(first, after) == n_frames and after - first < len(edges):
                fitting.append((first, after))
            if len(fitting) > 1:
                break
        if len(fitting) == 1:
            first, after = fitting[0]
            warnings.append(
                f"{first} edges before and {len(edges) - after} after the frames, parted by a pause, were left out."
            )
            return edges[first:after], np.nan
    extra = len(edges) - n_frames
    if extra > _TOLERATED:
        raise NeurratorError(
            f"There are {len(edges)} TTL edges for {n_frames} frames: {extra} edges belong to no frame and it is not clear which; "
            "cut the edges to those of the frames, or complete the list."
        )
    if extra > 1:
        warnings.append(
            f"{extra - 1} edges more than the list has frames were left out at the end; frames may be off by as many."
        )
    return edges[:n_frames], float(edges[n_frames])


def _lost(periods: np.ndarray, pause: np.ndarray, n_edges: int, n_frames: int, warnings: list[str]) -> np.ndarray:
    """Return how many edges were lost in each gap, (gap,)."""
    missing = n_frames - n_edges
    room = periods - 1
    inside = np.where(pause, 0, room)
    if missing > inside.sum():
        # A pause may be lost edges too: all of them, or the one that makes the count right.
        single = np.flatnonzero(pause & (inside.sum() + room == missing))
        if room.sum() == missing:
            return room
        if len(single) == 1:
            inside[single] = room[single]
            return inside
        unexplained = int(missing - inside.sum())
        if unexplained > _TOLERATED:
            raise NeurratorError(
                f"There are {n_edges} TTL edges for {n_frames} frames, and the gaps between them have room for {int(inside.sum())} of the {missing} missing: "
                "cut the list to the frames that were shown, or complete the edges."
            )
        warnings.append(
            f"{unexplained} frames at the end of the list have no edge and were left out; frames may be off by as many."
        )
        return inside
    if 0 < missing < inside.sum():
        off = int(min(missing, inside.sum() - missing))
        if off > max(_TOLERATED, n_frames // 100):
            raise NeurratorError(
                f"There are {n_edges} TTL edges for {n_frames} frames, and room for {int(inside.sum())} between them: it is not clear which edges are missing "
                "and which frames were repeated; give a list of what was on at each refresh of the screen."
            )
        warnings.append(
            f"{missing} edges are missing in gaps with room for {int(inside.sum())}: frames between the gaps may be off by up to {off}."
        )
        share = np.rint(np.cumsum(inside) * (missing / inside.sum())).astype(np.int64)
        return np.diff(share, prepend=0)
    return inside if missing else np.zeros_like(inside)


def _joined(table: pd.DataFrame, pause: np.ndarray, warnings: list[str]) -> pd.DataFrame:
    """Make one presentation of a frame that the list names several times running."""
    frames = table["frame"].to_numpy()
    same = (
        (np.diff(frames) == 0) & ~pause[:-1] & (table["stimulus"].to_numpy()[1:] == table["stimulus"].to_numpy()[:-1])
    )
    # In a list of images in any order the same one may come twice by chance.
    movie = movie_steps(np.zeros(len(frames), dtype=np.int64), frames, np.array([True]))[0] > 0
    if not same.any() or not (movie or 3 * same.sum() >= len(same)):
        return table
    warnings.append(
        f"{int(same.sum())} frames of the list repeat the one before: they count as one presentation that lasts longer."
    )
    first = np.append(True, ~same)
    stop = table["stop_time"].to_numpy()[np.append(first[1:], True)]
    return table[first].assign(stop_time=stop).reset_index(drop=True)
