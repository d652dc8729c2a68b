"""When each frame of a showing comes on, from what was recorded: the clock that the film is played by."""

from typing import Any

import numpy as np

LONGEST_GAP = 2.0
"""A frame followed by a pause longer than this many times its own duration is shown for its duration only."""
USUAL_RATE_HZ = 30.0


class FrameClock:
    """Seconds from the beginning of a showing to each of its frames.

    Parameters
    ----------
    frames : ndarray of int, shape (n,)
        Frames of the stimulus, ascending.
    onsets : ndarray of float, shape (n,)
        When each comes on, seconds from the first, ascending.
    length : float
        When the last one goes off, seconds.
    times : ndarray of float, shape (n,), optional
        When each came on in the recording, seconds; NaN where it was not shown.
    """

    def __init__(self, frames: np.ndarray, onsets: np.ndarray, length: float, times: np.ndarray | None = None) -> None:
        self.frames, self.onsets, self.length = np.asarray(frames, int), np.asarray(onsets, float), float(length)
        self.times = np.full(len(self.frames), np.nan) if times is None else np.asarray(times, float)

    @classmethod
    def of(cls, moments: Any, repeat: int, n_frames: int, rate_hz: float | None) -> "FrameClock":
        """Read the clock of a showing.

        A film that the display showed late or too long is played as it was shown. Pauses between blocks are left out. Where less than half of the frames
        have a moment of their own (gratings), all frames run at the rate of the stimulus.

        Parameters
        ----------
        moments : Moments or None
            What was shown when.
        repeat : int
            Which showing, from 0.
        n_frames : int
            Frames of the stimulus.
        rate_hz : float or None
            Rate of the stimulus.
        """
        frames, rows = (np.empty(0, int), np.empty(0, int)) if moments is None else moments.shown_in(repeat)
        rows, frames = rows[frames >= 0], frames[frames >= 0]
        if len(frames) < 2 or (rate_hz and len(frames) < n_frames / 2):
            rate = rate_hz or USUAL_RATE_HZ
            return cls(np.arange(n_frames), np.arange(n_frames) / rate, n_frames / rate)
        table = moments.table
        time = table["time"].to_numpy(float)[rows]
        own = (table["stop_time"].to_numpy(float) - table["start_time"].to_numpy(float))[rows]
        usual = float(np.median(own[own > 0])) if (own > 0).any() else 1 / (rate_hz or USUAL_RATE_HZ)
        own = np.where(own > 0, own, usual)
        step = np.append(np.diff(time), own[-1])
        lasts = np.where((step > 0) & (step <= LONGEST_GAP * own), step, own)
        ends = np.cumsum(lasts)
        return cls(frames, ends - lasts, float(ends[-1]), time)

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, seconds: float) -> int:
        """Return the frame that is on at `seconds`."""
        return int(self.frames[self._index(seconds)]) if len(self) else 0

    def onset(self, frame: int) -> float:
        """Return when `frame`, or the last one before it, comes on, seconds."""
        if not len(self):
            return 0.0
        return float(self.onsets[max(0, int(np.searchsorted(self.frames, frame, side="right")) - 1)])

    def next_onset(self, seconds: float) -> float:
        """Return when the frame after the one at `seconds` comes on; the length of the showing after the last."""
        i = self._index(seconds) + 1
        return float(self.onsets[i]) if i < len(self) else self.length

    def every(self, seconds: float) -> np.ndarray:
        """Return the frames that are on at 0, `seconds`, twice that …, each once."""
        if not len(self):
            return self.frames
        # a hair later, for times that differ by rounding only belong to the same frame
        at = np.arange(0, self.length, seconds) + 1e-6
        return np.unique(self.frames[np.clip(np.searchsorted(self.onsets, at, side="right") - 1, 0, len(self) - 1)])

    def _index(self, seconds: float) -> int:
        return int(np.clip(np.searchsorted(self.onsets, seconds + 1e-9, side="right") - 1, 0, max(0, len(self) - 1)))
