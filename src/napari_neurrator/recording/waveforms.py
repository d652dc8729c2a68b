"""Narrow and broad spikes: how long from trough to peak."""

import numpy as np
import pandas as pd

NARROW_BELOW_MS = 0.4
# What sources call the duration, and how many milliseconds one of their units is.
_COLUMNS = {
    "trough_to_peak_ms": 1.0,
    "waveform_duration": 1.0,  # Allen, ms
    "peak_to_trough_duration": 1000.0,  # SpikeInterface from 0.104, s
    "peak_to_valley": 1000.0,  # SpikeInterface before, s
    "peakToTrough": 1.0,  # IBL, ms
    "peak_to_trough": 1.0,
    "peak_to_trough_duration_ms": 1.0,
    "spike_width_ms": 1.0,
    "troughToPeak": 1.0,  # CellExplorer, ms
    "trough_to_peak": 1.0,
}
_LONGEST_MS = 3.0
_FINER = 20


def durations_ms(units: pd.DataFrame) -> tuple[pd.Series, str]:
    """Return the trough-to-peak duration of each unit, ms, NaN where the source does not say, and the column that it comes from ("" for none).

    Parameters
    ----------
    units : pandas.DataFrame
        With one of the columns that Allen's files, SpikeInterface's template metrics, IBL's or CellExplorer's tables have.
    """
    for column, scale in _COLUMNS.items():
        if column not in units:
            continue
        values = pd.to_numeric(units[column], errors="coerce").astype(float)
        if not np.isfinite(values).any():
            continue
        # Some files give seconds where their kind gives milliseconds: no spike lasts 10 µs.
        if scale == 1.0 and values.abs().median() < 0.01:
            scale = 1000.0
        return values * scale, column
    return pd.Series(np.nan, index=units.index), ""


def waveform_class(duration_ms: pd.Series, narrow_below_ms: float = NARROW_BELOW_MS) -> pd.Series:
    """Call spikes narrow or broad by their duration from trough to peak.

    The usual border is 0.4 ms: narrow ones are mostly of fast-spiking (PV) cells, broad ones mostly of others, excitatory cells among them
    (Barthó et al. 2004, J Neurophysiol 92:600; Jia et al. 2019, J Neurophysiol 121:1831, for Neuropixels in mouse visual cortex).

    Parameters
    ----------
    duration_ms : pandas.Series
        Milliseconds; NaN where unknown. What is not above 0 or longer than 3 ms, such as inverted waveforms, has no class.
    narrow_below_ms : float
        The border.

    Returns
    -------
    pandas.Series
        "narrow", "broad" or "".
    """
    known = (duration_ms > 0) & (duration_ms <= _LONGEST_MS)
    return pd.Series(
        np.where(known, np.where(duration_ms < narrow_below_ms, "narrow", "broad"), ""),
        index=duration_ms.index,
        dtype=object,
    )


def trough_to_peak_ms(template: np.ndarray, rate_hz: float) -> float:
    """Return the time from a mean waveform's trough to the highest point after it, ms.

    Parameters
    ----------
    template : numpy.ndarray
        (sample,) or (sample, channel): then the channel with the largest swing counts. In volts of any scale, not whitened.
    rate_hz : float
        Samples a second.

    Returns
    -------
    float
        NaN where there is no such thing: an empty or flat waveform, an inverted one (its first large swing goes up), or one that ends before it turns.
    """
    wave = np.asarray(template, dtype=float)
    if wave.ndim == 2 and wave.size:
        wave = wave[:, np.argmax(np.nan_to_num(np.ptp(wave, axis=0)))]
    if wave.ndim != 1 or len(wave) < 4 or not np.isfinite(wave).all() or np.ptp(wave) == 0 or not rate_hz > 0:
        return float("nan")
    from scipy.interpolate import CubicSpline

    samples = np.arange(len(wave))
    fine = np.linspace(0, len(wave) - 1, (len(wave) - 1) * _FINER + 1)
    smooth = CubicSpline(samples, wave - np.median(wave))(fine)
    trough = int(smooth.argmin())
    if smooth[: trough + 1].max() > -smooth[trough] or trough == len(smooth) - 1:
        return float("nan")
    peak = trough + int(smooth[trough:].argmax())
    if peak in (trough, len(smooth) - 1):
        return float("nan")
    return float((fine[peak] - fine[trough]) / rate_hz * 1000)
