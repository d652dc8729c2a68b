"""The spike times of all units, and how many fall where."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..errors import NeurratorError

Read = Callable[[int, int, np.ndarray], None]
OnProgress = Callable[[str, int, int], None]
# Spikes that are read at once: progress is shown and a wish to stop is heard between.
_AT_ONCE = 4_000_000
# Pairs of a unit and a window below which a second thread costs more than it saves.
_WORTH_A_THREAD = 50_000
# Trains that are read to find out how long a session lasts.
_LONGEST = 8


class SpikeTrains:
    """Spike times in seconds, one ascending train a unit.

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
        Spike times, among those read so far, that were no finite number.
    reordered : int
        Units, among those read so far, whose spike times did not ascend: they were sorted.
    before_zero : int
        Spike times, among those read so far, below 0.
    """

    def __init__(self, unit_ids: Sequence[int | str], trains: Sequence[np.ndarray]):
        trains = [np.asarray(train, dtype=np.float64).ravel() for train in trains]
        self._set(unit_ids, np.array([len(train) for train in trains], dtype=np.int64))
        for row, train in enumerate(trains):
            self._times[self._begins[row] : self._ends[row]] = train
            self._tidy(row)

    @classmethod
    def lazy(
        cls,
        unit_ids: Sequence[int | str],
        counts: Sequence[int] | np.ndarray,
        read: Read,
        *,
        random_access: bool = False,
    ) -> "SpikeTrains":
        """Make trains that are read from their source when they are first asked for.

        Parameters
        ----------
        unit_ids : sequence
            Names of the units.
        counts : sequence of int
            Spikes of each unit, as the source says.
        read : callable
            ``read(first, last, out)`` fills `out`, float64, with spikes `first` to `last` (seconds) of all trains laid end to end in the
            order of `unit_ids`; a `NeurratorError` of it reaches whoever asked.
        random_access : bool
            Whether reading single spikes costs no more than these spikes.
        """
        trains = cls.__new__(cls)
        trains._set(unit_ids, np.asarray(counts, dtype=np.int64), read)
        trains._random_access = random_access
        return trains

    def _set(self, unit_ids: Sequence[int | str], counts: np.ndarray, read: Read | None = None) -> None:
        self.unit_ids = list(unit_ids)
        if len(counts) != len(self.unit_ids) or (counts < 0).any():
            raise NeurratorError(f"{len(self.unit_ids)} units have {len(counts)} spike counts: the source is damaged.")
        self._row = {unit: row for row, unit in enumerate(self.unit_ids)}
        ends = np.cumsum(counts, dtype=np.int64)
        self._begins, self._ends = ends - counts, ends
        # Memory is only taken page by page, as trains are read.
        self._times = np.empty(int(ends[-1]) if len(ends) else 0)
        self._ready = counts == 0
        self._read = read
        self._lock = threading.Lock()
        self._random_access = False
        self.dropped = self.reordered = self.before_zero = 0

    @property
    def n_spikes(self) -> int:
        """Spikes of all units; those found to be no number are not among them."""
        return int((self._ends - self._begins).sum())

    @property
    def loaded(self) -> bool:
        """Whether all trains have been read."""
        return bool(self._ready.all())

    def load(self, on_progress: OnProgress | None = None) -> None:
        """Read the trains that have not been read.

        Parameters
        ----------
        on_progress : callable, optional
            Called with (stage, spikes read, spikes in all); may raise `Stopped`.

        Raises
        ------
        NeurratorError
            The source cannot be read any more, or is damaged.
        """
        self._ensure(np.arange(len(self.unit_ids)), on_progress)

    def times(self, unit_id: int | str) -> np.ndarray:
        """Return the spike times of one unit, seconds, ascending; read-only."""
        rows = self._rows([unit_id])
        self._ensure(rows)
        train = self._times[self._begins[rows[0]] : self._ends[rows[0]]]
        train.flags.writeable = False
        return train

    def counts_by_unit(self) -> np.ndarray:
        """Return the number of spikes of each unit; reads nothing."""
        return self._ends - self._begins

    def span(self) -> tuple[float, float]:
        """Return the times of the first and the last spike, seconds; (0, 0) where there is none.

        Of trains that have not been read, some are: the longest, which begin and end with the session (of these only the ends where that is cheap).
        """
        if not self.loaded:
            longest = np.argsort(self.counts_by_unit())[-_LONGEST:]
            ends = self._ends_of(longest) if self._random_access else None
            if ends is not None:
                return ends
            self._ensure(longest)
        rows = np.flatnonzero(self._ready & (self._ends > self._begins))
        if not len(rows):
            return 0.0, 0.0
        return float(self._times[self._begins[rows]].min()), float(self._times[self._ends[rows] - 1].max())

    def _ends_of(self, rows: np.ndarray) -> tuple[float, float] | None:
        """Return the earliest first and the latest last spike time of some units, read alone; None where they cannot be right."""
        rows = rows[self._ends[rows] > self._begins[rows]]
        values = np.empty((len(rows), 2))
        for value, row in zip(values, rows, strict=True):
            for column, place in enumerate((self._begins[row], self._ends[row] - 1)):
                if self._read is not None:
                    self._read(int(place), int(place) + 1, value[column : column + 1])
        if not len(rows) or not np.isfinite(values).all() or (values[:, 0] > values[:, 1]).any():
            return None
        return float(values[:, 0].min()), float(values[:, 1].max())

    def count(
        self,
        starts_s: np.ndarray,
        n_bins: int,
        bin_s: float,
        unit_ids: Sequence[int | str] | None = None,
        out: np.ndarray | None = None,
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
        out : numpy.ndarray, optional
            uint8 array of the result's shape to write into, for those who count piece by piece; left unused where a bin overflows it.

        Returns
        -------
        numpy.ndarray
            uint8, or uint16 (uint32) where a bin holds more than 255 (65,535) spikes, (n, n_bins, unit).

        Raises
        ------
        NeurratorError
            A unit that is not there.
        """
        rows = self._rows(self.unit_ids if unit_ids is None else unit_ids)
        starts = np.asarray(starts_s, dtype=np.float64).ravel()
        shape = (len(starts), max(n_bins, 0), len(rows))
        if 0 in shape:
            return np.zeros(shape, dtype=np.uint8)
        from .spike_kernels import count_windows

        self._ensure(rows)
        order = np.argsort(starts, kind="stable")
        parts = min(os.cpu_count() or 1, max(len(starts) * len(rows) // _WORTH_A_THREAD, 1))
        begins, ends = self._begins[rows], self._ends[rows]
        for kind in (np.uint8, np.uint16, np.uint32):
            counts = (
                out if out is not None and out.dtype == kind and out.shape == shape else np.empty(shape, dtype=kind)
            )

            def work(part: np.ndarray, counts: np.ndarray = counts) -> bool:
                return count_windows(self._times, begins.copy(), ends, starts[part], part, bin_s, counts)

            if parts == 1:
                fits = work(order)
            else:
                with ThreadPoolExecutor(parts) as pool:
                    fits = all(pool.map(work, np.array_split(order, parts)))
            if fits:
                break
        return counts

    def count_in_pieces(
        self,
        starts_s: np.ndarray,
        n_bins: int,
        bin_s: float,
        unit_ids: Sequence[int | str] | None = None,
        piece: int = 128,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Count spikes in windows of equal bins, a few windows at a time: for those who sum them up, and have no room for all.

        Parameters
        ----------
        starts_s : numpy.ndarray
            Start of each window, seconds, ascending, (n,).
        n_bins, bin_s, unit_ids
            As for `count`.
        piece : int
            Windows at a time.

        Yields
        ------
        slice
            Which of the windows.
        numpy.ndarray
            Their counts, as `count` gives them; overwritten by the next piece.

        Raises
        ------
        NeurratorError
            A unit that is not there, or windows that do not ascend.
        """
        rows = self._rows(self.unit_ids if unit_ids is None else unit_ids)
        starts = np.asarray(starts_s, dtype=np.float64).ravel()
        if (starts[1:] < starts[:-1]).any():
            raise NeurratorError("The windows to count spikes in do not ascend: sort their starts.")
        from .spike_kernels import count_windows

        self._ensure(rows)
        low, ends = self._begins[rows], self._ends[rows]
        counts = np.empty((min(piece, len(starts)), n_bins, len(rows)), dtype=np.uint8)
        places = np.arange(len(counts))
        for first in range(0, len(starts), piece):
            part = slice(first, min(first + piece, len(starts)))
            n = part.stop - part.start
            if counts.size and count_windows(self._times, low, ends, starts[part], places[:n], bin_s, counts[:n]):
                yield part, counts[:n]
            else:
                yield part, self.count(starts[part], n_bins, bin_s, unit_ids)

    def _rows(self, unit_ids: Sequence[int | str]) -> np.ndarray:
        try:
            return np.array([self._row[unit] for unit in unit_ids], dtype=np.int64)
        except KeyError as error:
            raise NeurratorError(
                f"There is no unit {error.args[0]!r} among the {len(self.unit_ids)} of this recording."
            ) from None

    def _ensure(self, rows: np.ndarray, on_progress: OnProgress | None = None) -> None:
        """Read the trains of some units, neighbours together."""
        if self._ready[rows].all():
            return
        with self._lock:
            missing = np.unique(rows[~self._ready[rows]])
            total, done = int((self._ends - self._begins)[missing].sum()), 0
            while len(missing):
                # As many units as lie side by side, up to a handful of millions of spikes.
                sizes = np.cumsum((self._ends - self._begins)[missing])
                together = np.flatnonzero((np.diff(missing) != 1) | (sizes[1:] > _AT_ONCE))
                n = int(together[0]) + 1 if len(together) else len(missing)
                some, missing = missing[:n], missing[n:]
                first, last = int(self._begins[some[0]]), int(self._ends[some[-1]])
                if self._read is not None:
                    self._read(first, last, self._times[first:last])
                for row in some:
                    self._tidy(row)
                done += last - first
                if on_progress:
                    on_progress("reading spike times", done, total)

    def _tidy(self, row: int) -> None:
        from .spike_kernels import is_tidy

        times = self._times[self._begins[row] : self._ends[row]]
        if not is_tidy(times):
            good = times[np.isfinite(times)]
            self.dropped += len(times) - len(good)
            if not is_tidy(good):
                self.reordered += 1
                good = np.sort(good)
            times[: len(good)] = good
            self._ends[row] = self._begins[row] + len(good)
        self.before_zero += int(np.searchsorted(self._times[self._begins[row] : self._ends[row]], 0.0))
        self._ready[row] = True
