"""Spike windows: which spikes belong to a moment of the stimulus."""

from typing import TYPE_CHECKING

import numpy as np

from ..config import WindowConfig

if TYPE_CHECKING:
    import pandas as pd

    from ..recording import Recording


def spike_windows(recording: "Recording", moments: "pd.DataFrame", window: WindowConfig, unit_ids: list) -> np.ndarray:
    """Count the spikes of units around moments.

    Parameters
    ----------
    recording : Recording
        Where the spikes come from.
    moments : pandas.DataFrame
        With a column ``time``, seconds: when the frame came on.
    window : WindowConfig
        Number and width of the bins, and the lag after `time`.
    unit_ids : list
        Units, in the order of the result's last axis.

    Returns
    -------
    numpy.ndarray
        uint8 or uint16 (moment, bin, unit).
    """
    starts = moments["time"].to_numpy(dtype=np.float64) + window.lag_s
    return recording.spikes.count(starts, window.n_bins, window.bin_s, unit_ids)
