"""The spike times of all units, and how many fall where."""

from collections.abc import Sequence

import numpy as np

from ..errors import NeurratorError


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
        self._trains: list[np.ndarray] = []
        for train in trains:
            times = np.asarray(train, dtype=np.float64).ravel()
            finite = np.isfinite(times)
            if not finite.all():
                self.dropped += int((~finite).sum())
                times = times[finite]
            if times.size > 1 and np.any(times[1:] < times[:-1]):
                times = np.sort(times)
            self._trains.append(times)

    @property
    def n_spikes(self) -> int:
        """Spikes of all units."""
        return sum(len(train) for train in self._trains)

    def times(self, unit_id: int | str) -> np.ndarray:
        """Return the spike times of one unit, seconds, ascending."""
        return self._trains[self._rows([unit_id])[0]]

    def counts_by_unit(self) -> np.ndarray:
        """Return the number of spikes of each unit."""
        return np.array([len(train) for train in self._trains], dtype=np.int64)

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
        # Sorted queries walk through each train once, which the processor's cache likes.
        order = np.argsort(starts, kind="stable")
        edges = starts[order, None] + np.arange(n_bins + 1) * bin_s
        counts = np.zeros((len(starts), n_bins, len(rows)), dtype=np.uint8)
        for column, row in enumerate(rows):
            places = np.searchsorted(self._trains[row], edges)
            found = np.diff(places, axis=1)
            if found.max(initial=0) > np.iinfo(counts.dtype).max:
                counts = counts.astype(np.uint16)
                found = np.minimum(found, np.iinfo(np.uint16).max)
            counts[order, :, column] = found
        return counts

    def _rows(self, unit_ids: Sequence[int | str]) -> list[int]:
        try:
            return [self._row[unit] for unit in unit_ids]
        except KeyError as error:
            raise NeurratorError(
                f"There is no unit {error.args[0]!r} among the {len(self.unit_ids)} of this recording."
            ) from None
