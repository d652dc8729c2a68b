"""Spikes of a showing as a picture: one line a unit while there is room, a heat map where there is not. NumPy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

LEAST_ROW_PX = 2
"""Below this height a unit has no line of its own, and several share one."""
RATE_BIN_S = 0.1


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of some units in one showing.

    Attributes
    ----------
    units : ndarray of int, shape (n,)
        Rows of the units table, in the order in which they are drawn, from the top.
    seconds : ndarray of float, shape (spike,)
        Seconds from the beginning of the showing.
    line : ndarray of int, shape (spike,)
        Which of `units` fired.
    """

    units: np.ndarray
    seconds: np.ndarray
    line: np.ndarray


def order(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Sort rows of the units table by probe and depth, the shallowest first, so that units of one region stand together as on the probe."""
    rows = np.asarray(rows, int)
    part = table.iloc[rows]
    depth = pd.to_numeric(part["y_um"], errors="coerce").to_numpy(float) if "y_um" in part else np.zeros(len(part))
    region = part["region"].astype(str).to_numpy() if "region" in part else np.full(len(part), "")
    # regions by how deep they lie on average over probes, then units by depth
    frame = pd.DataFrame({"region": region, "depth": -np.nan_to_num(depth, nan=-np.inf)})
    middle = frame.groupby("region")["depth"].transform("median").to_numpy()
    return rows[np.lexsort((frame["depth"].to_numpy(), region, middle))]


def read(recording: Any, units: np.ndarray, clock: Any) -> Spikes:
    """Read the spikes of some units while a showing ran.

    Parameters
    ----------
    recording : Recording
        Has the spike times.
    units : ndarray of int, shape (n,)
        Rows of its units table, in order.
    clock : FrameClock
        Of the showing; times that it left out (pauses) are left out here too.
    """
    ids = recording.units.index
    known = np.isfinite(clock.times)
    times, onsets = clock.times[known], clock.onsets[known]
    if not len(times):
        return Spikes(units, np.empty(0), np.empty(0, int))
    ends = np.append(clock.onsets[1:], clock.length)[known] - onsets + times
    # stretches in which the display ran without a pause, so that few searches do
    breaks = np.flatnonzero((np.abs(times[1:] - ends[:-1]) > 1e-3) | (times[1:] < times[:-1])) + 1
    begin, end = times[np.append(0, breaks)], ends[np.append(breaks, len(times)) - 1]
    shift = onsets[np.append(0, breaks)] - begin
    seconds, lines = [], []
    for line, row in enumerate(units):
        train = recording.spikes.times(ids[row])
        firsts, lasts = np.searchsorted(train, begin), np.searchsorted(train, end)
        for first, last, by in zip(firsts, lasts, shift, strict=True):
            if last > first:
                seconds.append(train[first:last] + by)
                lines.append(np.full(last - first, line))
    if not seconds:
        return Spikes(units, np.empty(0), np.empty(0, int))
    return Spikes(units, np.concatenate(seconds), np.concatenate(lines))


def picture(spikes: Spikes, colours: np.ndarray, start_s: float, stop_s: float, width: int, height: int) -> np.ndarray:
    """Draw the raster.

    Parameters
    ----------
    spikes : Spikes
        What fired.
    colours : ndarray of float, shape (n, 3)
        Colour of each of ``spikes.units``, 0 to 1.
    start_s, stop_s : float
        What is seen, seconds of the showing.
    width, height : int
        Pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 4)
        Straight RGBA; clear where nothing fired.
    """
    n = len(spikes.units)
    out = np.zeros((max(1, height), max(1, width), 4), np.uint8)
    if not n or not len(spikes.seconds) or stop_s <= start_s:
        return out
    lines = n if height >= LEAST_ROW_PX * n else max(1, height)
    column = np.floor((spikes.seconds - start_s) / (stop_s - start_s) * width).astype(int)
    seen = (column >= 0) & (column < width)
    if not seen.any():
        return out
    line = spikes.line[seen] * lines // n
    at = line * width + column[seen]
    count = np.bincount(at, minlength=lines * width).reshape(lines, width).astype(float)
    paint = (
        np.stack(
            [np.bincount(at, colours[spikes.line[seen], k], lines * width).reshape(lines, width) for k in range(3)], -1
        )
        / np.maximum(count, 1)[..., None]
    )
    if lines == n:
        # one spike is seen well, several in a pixel a little better
        alpha = np.where(count > 0, np.clip(0.72 + 0.14 * (count - 1), 0, 1), 0)
    else:
        busy = count[count > 0]
        alpha = np.sqrt(np.clip(count / max(1.0, float(np.quantile(busy, 0.98))), 0, 1))
        alpha[count > 0] = np.maximum(alpha[count > 0], 0.22)
    drawn = (255 * np.concatenate([paint, alpha[..., None]], -1)).astype(np.uint8)
    edges = np.linspace(0, height, lines + 1).round().astype(int)
    tall = np.diff(edges)
    out = np.repeat(drawn, tall, axis=0)
    if lines == n and height >= 4 * n:
        # a gap between lines, so that the eye can follow one
        out[edges[1:] - 1] = 0
    return out


def rate(spikes: Spikes, length_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of bins (middles, seconds) and the mean rate of the units in each, spikes a second and unit."""
    n_bins = max(1, int(np.ceil(length_s / RATE_BIN_S)))
    at = np.clip((spikes.seconds / RATE_BIN_S).astype(int), 0, n_bins - 1)
    counts = np.bincount(at, minlength=n_bins)[:n_bins]
    widths = np.full(n_bins, RATE_BIN_S)
    widths[-1] = max(length_s - RATE_BIN_S * (n_bins - 1), 1e-3)
    return (np.arange(n_bins) + 0.5) * RATE_BIN_S, counts / widths / max(1, len(spikes.units))


def blocks(names: np.ndarray) -> list[tuple[str, int, int]]:
    """Return runs of equal names as (name, first, one after the last)."""
    if not len(names):
        return []
    edges = np.flatnonzero(np.asarray(names)[1:] != np.asarray(names)[:-1]) + 1
    firsts, lasts = np.append(0, edges), np.append(edges, len(names))
    return [(str(names[first]), int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]
