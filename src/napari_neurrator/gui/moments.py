"""Which moment of the recording a frame of a showing is."""

import numpy as np
import pandas as pd


class Moments:
    """The table of moments with a quick way from (frame, repeat) to a row.

    Parameters
    ----------
    table : DataFrame
        As `recording.moments` gives it: ``frame``, ``time``, ``start_time``, ``stop_time``, ``repeat``.
    frame_rate_hz : float, optional
        Rate of the stimulus; a frame without a moment of its own borrows the one at most a second earlier.
    """

    def __init__(self, table: pd.DataFrame, frame_rate_hz: float | None) -> None:
        self.table = table.reset_index(drop=True)
        self.reach = max(1, round(frame_rate_hz or 1))
        self.n_repeats = int(self.table["repeat"].max()) + 1 if len(self.table) else 0
        self._by_repeat: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for repeat, rows in self.table.groupby("repeat", sort=True):
            frames, first = np.unique(rows["frame"].to_numpy(), return_index=True)
            self._by_repeat[int(str(repeat))] = (frames, rows.index.to_numpy()[first])

    def row(self, frame: int, repeat: int) -> int | None:
        """Return the row of `frame` in showing `repeat`, or None if it was not shown then."""
        frames, rows = self.shown_in(repeat)
        at = int(np.searchsorted(frames, frame, side="right")) - 1
        if at < 0 or frames[at] < 0 or frame - frames[at] > self.reach:
            return None
        return int(rows[at])

    def shown_in(self, repeat: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames that were shown in showing `repeat`, ascending, and their rows."""
        return self._by_repeat.get(repeat, (np.empty(0, int), np.empty(0, int)))

    def rows(self, repeat: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the same without the blank screen."""
        frames, rows = self.shown_in(repeat)
        return frames[frames >= 0], rows[frames >= 0]

    def time(self, row: int) -> float:
        """Return when the frame of `row` came on, seconds."""
        return float(self.table["time"].to_numpy()[row])

    def frame(self, row: int) -> int:
        """Return the stimulus frame of `row`."""
        return int(self.table["frame"].to_numpy()[row])
