"""Light pulses at the end of the sample session, as in Allen's optotagging, and how the simulated units answer.

The simulated animal expresses channelrhodopsin in SST cells: their rate goes up by 150 Hz, 2 to 4 ms after light comes on, for as long as it is on (by 60 Hz, in
the shape of the cosine, for the ramps). All other units go on at their mean rate; some of them show artefacts at on- and offset of single pulses that look like spikes.
"""

import numpy as np
import pandas as pd

from .neurons import STEP_S, draw_spikes

GENOTYPE = "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"
DRIVEN_TYPE = "SST"
# (stimulus_name, condition, seconds, how many, seconds to the next)
_KINDS = (
    ("pulse", "a single square pulse", 0.010, 240, 0.15),
    ("pulse", "a single square pulse", 0.005, 30, 0.15),
    ("fast_pulses", "2.5 ms pulses at 10 Hz", 1.0, 5, 1.5),
    ("raised_cosine", "half-period of a cosine wave", 1.0, 5, 1.5),
)
_LEVELS = (1.0, 1.15, 1.3)
_LEAD_S = 1.0
_REFRACTORY_S = 0.0015
_DRIVE_HZ, _RAMP_HZ = 150.0, 60.0
_WITHOUT_LABEL = 1 / 3
_WITH_ARTEFACT = 0.1


def light_pulses(start_s: float, seed: int) -> pd.DataFrame:
    """Return the light pulses that follow `start_s`, in the columns of Allen's tables; the order of kinds and levels is random."""
    rng = np.random.default_rng([seed, 20])
    kinds = rng.permutation(np.repeat(np.arange(len(_KINDS)), [kind[3] for kind in _KINDS]))
    steps = np.array([_KINDS[kind][4] for kind in kinds]) + rng.uniform(0, 0.05, len(kinds))
    onset = start_s + _LEAD_S + np.concatenate([[0.0], np.cumsum(steps[:-1])])
    duration = np.array([_KINDS[kind][2] for kind in kinds])
    return pd.DataFrame(
        {
            "start_time": onset,
            "stop_time": onset + duration,
            "condition": [_KINDS[kind][1] for kind in kinds],
            "level": rng.choice(_LEVELS, len(kinds)),
            "stimulus_name": [_KINDS[kind][0] for kind in kinds],
            "duration": duration,
        }
    )


def labels(units: pd.DataFrame, seed: int) -> pd.Series:
    """Return the cell types that the file states: those of the model, but a third of the light-driven units have none, for optotagging to find."""
    rng = np.random.default_rng([seed, 21])
    hidden = (units["cell_type"] == DRIVEN_TYPE) & (rng.uniform(size=len(units)) < _WITHOUT_LABEL)
    return units["cell_type"].where(~hidden, "")


def simulate_light(
    units: pd.DataFrame, rates_hz: np.ndarray, pulses: pd.DataFrame, start_s: float, seed: int
) -> list[np.ndarray]:
    """Simulate the spikes of all units while there are light pulses, from `start_s` to a second after the last.

    Parameters
    ----------
    units : pandas.DataFrame
        ``cell_type`` of each unit.
    rates_hz : numpy.ndarray
        Mean rate of each, Hz.
    pulses : pandas.DataFrame
        Of `light_pulses`.
    start_s : float
        Where the spikes begin, seconds.
    seed : int
        Decides everything random.
    """
    trains = []
    single = pulses[pulses["stimulus_name"] == "pulse"]
    edges = np.sort(np.concatenate([single["start_time"], single["stop_time"]]))
    for row, (kind, mean) in enumerate(zip(units["cell_type"], rates_hz, strict=True)):
        rng = np.random.default_rng([seed, 22, row])
        light = _light(pulses, start_s, rng.uniform(0.002, 0.004))
        times = start_s + _REFRACTORY_S + draw_spikes(mean + (light if kind == DRIVEN_TYPE else 0 * light), rng)
        if kind != DRIVEN_TYPE and rng.uniform() < _WITH_ARTEFACT:
            false = edges[rng.uniform(size=len(edges)) < 0.5] + rng.uniform(0, 0.0005)
            nearest = np.abs(times[:, None] - false[None]).min(axis=1, initial=np.inf)
            times = np.sort(np.concatenate([times[nearest > _REFRACTORY_S], false]))
        trains.append(np.round(times * 30_000) / 30_000)
    return trains


def _light(pulses: pd.DataFrame, start_s: float, latency_s: float) -> np.ndarray:
    """Return how much the rate of a light-driven unit goes up, Hz, in steps of 1 ms from `start_s`."""
    rate = np.zeros(round((pulses["stop_time"].max() + _LEAD_S - start_s) / STEP_S))
    for pulse in pulses.itertuples():
        first = round((pulse.start_time + latency_s - start_s) / STEP_S)
        n = round(pulse.duration / STEP_S)
        time = np.arange(n) * STEP_S
        if pulse.stimulus_name == "raised_cosine":
            rate[first : first + n] = _RAMP_HZ * np.sin(np.pi * time / pulse.duration)
        elif pulse.stimulus_name == "fast_pulses":
            rate[first : first + n] = _DRIVE_HZ * (time % 0.1 < 0.0025)
        else:
            rate[first : first + n] = _DRIVE_HZ
    return rate
