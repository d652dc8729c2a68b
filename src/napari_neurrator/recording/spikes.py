"""The spike times of all units, and how many fall where."""

from collections.abc import Sequence

import numpy as np

from ..errors import NeurratorError

# Spikes that are binned at once: bounds the working memory (about 100 bytes a spike), however many windows there are.
_AT_ONCE = 1_000_000
# Pairs of a unit and a window whose bounds are looked up at once.
_PAIRS_AT_ONCE = 200_000


class SpikeTrains:
    """Spike times in seconds, one sorted train a unit.

    Parameters
    ----------
    unit_ids : sequence
        Names of the units.
    trains : sequence of numpy.ndarray
        Spike times of each unit, seconds; they are sorted here if they are not, and those that are no number are left out.

    Attributes
    ----------
    unit_ids : list
        Names of the units.
    dropped : int
        Spike times that were no finite number.
    """

    def __init__(self, unit_ids: Sequence[int | str], trains: Sequence[np.ndarray]):
        self.unit_ids = list(unit_ids)
        self._row = {unit: row for row, unit in enumerate(self.unit_ids)}
        self.dropped = 0
        sorted_trains = []
        for train in trains:
            times = np.asarray(train, dtype=np.float64).ravel()
            finite = np.isfinite(times)
            if not finite.all():
                self.dropped += int((~finite).sum())
                times = times[finite]
            if times.size > 1 and np.any(times[1:] < times[:-1]):
                times = np.sort(times)
            sorted_trains.append(times)
        # One array for all units, so that many short trains are binned in one go.
        self._times = np.concatenate(sorted_trains) if sorted_trains else np.empty(0)
        self._offsets = np.concatenate([[0], np.cumsum([len(train) for train in sorted_trains])]).astype(np.int64)
        self._times.flags.writeable = False
        self._trains = [self._times[a:b] for a, b in zip(self._offsets[:-1], self._offsets[1:], strict=True)]

    @property
    def n_spikes(self) -> int:
        """Spikes of all units."""
        return len(self._times)

    def times(self, unit_id: int | str) -> np.ndarray:
        """Return the spike times of one unit, seconds, ascending; read-only."""
        return self._trains[self._rows([unit_id])[0]]

    def counts_by_unit(self) -> np.ndarray:
        """Return the number of spikes of each unit."""
        return np.diff(self._offsets)

    def span(self) -> tuple[float, float]:
        """Return the times of the first and the last spike of all, seconds; (0, 0) where there is none."""
        trains = [train for train in self._trains if len(train)]
        return (min(t[0] for t in trains), max(t[-1] for t in trains)) if trains else (0.0, 0.0)

    def count(
        self, starts_s: np.ndarray, n_bins: int, bin_s: float, unit_ids: Sequence[int | str] | None = None
    ) -> np.ndarray:
        """Count spikes in windows of equal bins.

        Parameters
        ----------
        starts_s : numpy.ndarray
            Start of each window, seconds, (n,).
        n_bins : int
            Bins a window.
        bin_s : float
            Width of a bin, seconds. Bin k holds spikes with ``start + k·bin <= t < start + (k + 1)·bin``.
        unit_ids : sequence, optional
            Which units, in the order of the result's last axis; all by default.

        Returns
        -------
        numpy.ndarray
            uint8, or uint16 where a bin holds more than 255 spikes, (n, n_bins, unit).

        Raises
        ------
        NeurratorError
            A unit that is not there.
        """
        rows = self._rows(self.unit_ids if unit_ids is None else unit_ids)
        starts = np.asarray(starts_s, dtype=np.float64).ravel()
        counts = np.zeros((len(starts), n_bins, len(rows)), dtype=np.uint8)
        if not len(starts) or not rows or n_bins < 1:
            return counts
        # Sorted queries walk through each train once, which the processor's cache likes.
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        bounds = np.concatenate([starts, starts + n_bins * bin_s])
        step = max(_PAIRS_AT_ONCE // len(starts), 1)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            found = np.stack([self._trains[row].searchsorted(bounds) for row in some])
            low, high = found[:, : len(starts)], found[:, len(starts) :]
            lengths = np.maximum(high - low, 0).ravel()
            begins = (low + self._offsets[some, None]).ravel()
            total = np.cumsum(lengths)
            pair = 0
            while pair < len(lengths):
                done = total[pair - 1] if pair else 0
                last = max(int(np.searchsorted(total, done + _AT_ONCE, side="right")), pair + 1)
                counts = self._add(counts, first, pair, begins[pair:last], lengths[pair:last], starts, order, bin_s)
                pair = last
        return counts

    def _add(
        self,
        counts: np.ndarray,
        column: int,
        pair: int,
        begins: np.ndarray,
        lengths: np.ndarray,
        starts: np.ndarray,
        order: np.ndarray,
        bin_s: float,
    ) -> np.ndarray:
        """Count the spikes of some (unit, window) pairs; return `counts`, wider where a bin overflowed."""
        n_windows, n_bins, n_columns = counts.shape
        spikes = int(lengths.sum())
        if not spikes:
            return counts
        of = np.repeat(np.arange(len(lengths)), lengths)
        within = np.arange(spikes) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        times = self._times[begins[of] + within]
        unit, window = np.divmod(of + pair, n_windows)
        start = starts[window]
        bins = np.clip(((times - start) / bin_s).astype(np.int64), 0, n_bins - 1)
        # The quotient may round to a neighbour; the edges start + k·bin decide. A spike lies between the first and the last.
        while (early := times < start + bins * bin_s).any():
            bins -= early
        while (late := times >= start + (bins + 1) * bin_s).any():
            bins += late
        cells = of * n_bins + bins
        # Spikes of a train ascend, so those of a bin lie side by side.
        heads = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        many = np.diff(np.append(heads, spikes))
        if many.max() > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.uint16)
            many = np.minimum(many, np.iinfo(np.uint16).max)
        place = (order[window[heads]] * n_bins + bins[heads]) * n_columns + column + unit[heads]
        counts.reshape(-1)[place] = many
        return counts

    def _rows(self, unit_ids: Sequence[int | str]) -> list[int]:
        try:
            return [self._row[unit] for unit in unit_ids]
        except KeyError as error:
            raise NeurratorError(
                f"There is no unit {error.args[0]!r} among the {len(self.unit_ids)} of this recording."
            ) from None
