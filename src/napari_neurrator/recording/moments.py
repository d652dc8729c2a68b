"""The moments that can be narrated."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .stimulus.gratings import GratingStimulus

if TYPE_CHECKING:
    from .recording import Recording
    from .stimulus import Stimulus


_MOST_MOMENTS = 10_000_000


def moments(
    recording: "Recording", stimulus_name: str, stimulus: "Stimulus", step_s: float | None = None
) -> pd.DataFrame:
    """List the moments of a stimulus.

    Parameters
    ----------
    recording : Recording
        Holds the presentations.
    stimulus_name : str
        Which of its stimuli.
    stimulus : Stimulus
        The frames shown; for drifting gratings it tells which frame is on at which time.
    step_s : float, optional
        Seconds between the moments of a drifting grating; by default one moment a presentation, at its onset.

    Returns
    -------
    pandas.DataFrame
        Indexed ``0 … n-1`` in order of ``time``: ``presentation``, ``frame`` (of `stimulus`), ``time`` (seconds, when that frame came on),
        ``start_time``, ``stop_time``, ``repeat``. Blanks are left out, and so is the time between presentations.

    Raises
    ------
    NeurratorError
        There is no such stimulus, or `step_s` is not above 0.
    """
    if step_s is not None and not 0 < step_s < float("inf"):
        raise NeurratorError(f"The step between moments is {step_s} s: it has to be above 0.")
    shown = recording.presentations_of(stimulus_name)
    shown = shown[shown["frame"] >= 0]
    start = shown["start_time"].to_numpy(dtype=float)
    stop = shown["stop_time"].to_numpy(dtype=float)
    frame = shown["frame"].to_numpy(dtype=np.int64)
    step = np.zeros(len(shown))
    row = np.arange(len(shown))
    if isinstance(stimulus, GratingStimulus):
        if step_s is not None:
            wanted = np.maximum(np.ceil((stop - start) / step_s - 1e-9), 1)
            if wanted.sum() > _MOST_MOMENTS:
                raise NeurratorError(
                    f"A step of {step_s:g} s gives {wanted.sum():.3g} moments of {stimulus_name}: make it longer (at most {_MOST_MOMENTS:,} moments)."
                )
            steps = wanted.astype(int)
            row = np.repeat(row, steps)
            step = (np.arange(len(row)) - np.repeat(np.cumsum(steps) - steps, steps)) * step_s
        frame = stimulus.frame_at(frame[row], step)
    table = pd.DataFrame(
        {
            "presentation": shown.index.to_numpy()[row],
            "frame": frame if isinstance(stimulus, GratingStimulus) else frame[row],
            "time": start[row] + step,
            "start_time": start[row],
            "stop_time": stop[row],
            "repeat": shown["repeat"].to_numpy(dtype=np.int64)[row],
        }
    )
    return table.sort_values("time", kind="stable").reset_index(drop=True)
