"""Gratings and flashes, rendered from what the presentations table says of them."""

import hashlib

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from .base import Stimulus, check_claim

FRAME_RATE_HZ = 30.0
# The screen of the Allen Visual Coding experiments, degrees, and its gratings where the table does not say otherwise.
SCREEN_DEG = (120.0, 95.0)
SPATIAL_FREQUENCY = 0.04
CONTRAST = 0.8
_SIZE = (190, 240)
_PROPERTIES = ("orientation", "temporal_frequency", "spatial_frequency", "contrast", "phase", "color")
_MOST_CONDITIONS = 100_000


class GratingStimulus(Stimulus):
    """Full-field sinusoidal gratings, which drift or stand still, and flashes of one grey level.

    Frame ``condition · frames_per_condition + k`` is what is on screen ``k / 30`` seconds after the onset of a condition. With x to the right, y up
    and position in degrees, its luminance is ``½ + ½ · contrast · cos(2π · sf · (x cos θ + y sin θ) − 2π · tf · t)``: it drifts towards ``orientation``
    (θ, degrees counter-clockwise from right), and the stripes lie across that. What does not drift is one frame a condition. A flash is ``½ + ½ · contrast ·
    color`` bright, ``color`` being −1 for black and 1 for white.

    Parameters
    ----------
    presentations : pandas.DataFrame
        Of one stimulus, with ``frame`` (number of the condition), ``orientation``, ``temporal_frequency`` (Hz) and maybe ``spatial_frequency``
        (cycles per degree), ``contrast``, ``phase`` (cycles); or, of flashes, ``color``.
    name : str
        What it is called.

    Raises
    ------
    NeurratorError
        The table describes neither gratings nor flashes.
    """

    def __init__(self, presentations: pd.DataFrame, name: str = "drifting_gratings"):
        if "orientation" not in presentations and "color" not in presentations:
            raise NeurratorError(
                f"The presentations of {name} have no orientation, so no gratings can be rendered: give the frames with --frames."
            )
        self.name, self.frame_rate_hz = name, FRAME_RATE_HZ
        shown = presentations[presentations["frame"] >= 0]
        if shown.empty:
            raise NeurratorError(f"All presentations of {name} are blank: there is nothing to render.")
        if shown["frame"].max() >= _MOST_CONDITIONS:
            raise NeurratorError(
                f"The presentations of {name} number {int(shown['frame'].max())} conditions: that is no set of gratings."
            )
        columns = [column for column in _PROPERTIES if column in shown]
        first = (
            shown.sort_values("frame")
            .drop_duplicates("frame")
            .set_index("frame")[columns]
            .apply(pd.to_numeric, errors="coerce")
        )
        self.conditions = first.reindex(range(int(first.index.max()) + 1))
        longest = float((shown["stop_time"] - shown["start_time"]).max())
        drifts = "temporal_frequency" in self.conditions and bool(
            (self.conditions["temporal_frequency"].fillna(0) != 0).any()
        )
        self.frames_per_condition = max(round(longest * FRAME_RATE_HZ), 1) if drifts else 1
        self.n_frames = len(self.conditions) * self.frames_per_condition
        check_claim(name, self.n_frames, *_SIZE)
        self.frame_shape = (*_SIZE, 3)
        rows, columns_px = _SIZE
        x = (np.arange(columns_px) - (columns_px - 1) / 2) / columns_px * SCREEN_DEG[0]
        y = -(np.arange(rows) - (rows - 1) / 2) / rows * SCREEN_DEG[1]
        self._x, self._y = np.meshgrid(x, y)

    def frame_at(self, condition: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Return the frame on screen `time_s` seconds after the onset of a condition."""
        step = np.clip(np.floor(np.asarray(time_s) * FRAME_RATE_HZ + 1e-6), 0, self.frames_per_condition - 1).astype(
            np.int64
        )
        return np.asarray(condition, dtype=np.int64) * self.frames_per_condition + step

    def describe(self, index: int) -> dict[str, float]:
        """Return orientation, frequencies and contrast of a frame's condition."""
        row = self.conditions.iloc[self.check(index) // self.frames_per_condition]
        return {str(key): float(value) for key, value in row.items() if np.isfinite(value)}

    def frame(self, index: int) -> np.ndarray:
        """Render one frame, uint8 (190, 240, 3)."""
        condition = self.describe(index)
        if "orientation" not in condition:
            flash = (
                127.5 * (1 + condition.get("contrast", CONTRAST) * condition["color"])
                if "color" in condition
                else 127.0
            )
            return np.full(self.frame_shape, np.clip(round(flash), 0, 255), dtype=np.uint8)
        time = (index % self.frames_per_condition) / FRAME_RATE_HZ
        angle = np.deg2rad(condition["orientation"])
        along = self._x * np.cos(angle) + self._y * np.sin(angle)
        cycles = (
            condition.get("spatial_frequency", SPATIAL_FREQUENCY) * along
            - condition.get("temporal_frequency", 0.0) * time
        )
        wave = np.cos(2 * np.pi * (cycles + condition.get("phase", 0.0)))
        level = 127.5 * (1 + condition.get("contrast", CONTRAST) * wave)
        return np.repeat(np.clip(level.round(), 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def fingerprint(self) -> str:
        """Return a hash of everything that the frames are rendered from."""
        parts = [
            self.conditions.to_csv(),
            self.frames_per_condition,
            FRAME_RATE_HZ,
            SCREEN_DEG,
            _SIZE,
            SPATIAL_FREQUENCY,
            CONTRAST,
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()
