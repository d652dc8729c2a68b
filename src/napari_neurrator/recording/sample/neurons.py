r"""The encoding model that makes the sample's spikes. It is stated here in full; nothing of it is hidden from a reader.

For unit :math:`u`, frame :math:`f` and time :math:`t`:

1. Drive. Frames are brought to 64 × 48 in luminance and two colour-opponent channels (R−G, B−Y). The drive :math:`g_u(f)` is, by area:

   * LGd – a difference of Gaussians (centre against surround, ON or OFF), a fifth of them colour-opponent; rectified.
   * VISp – the energy of a quadrature pair of Gabors (Adelson & Bergen 1985, J Opt Soc Am A 2:284), a third of the units simple (one phase, rectified).
   * VISl, VISrl, VISal, VISpm, VISam – Gabor energies pooled over a larger field and two orientations, mixed with local colour, and (VISal, VISrl, VISam)
     with the energy of change between frames.
   * CA1 – none: it does not see the film.

2. Cell types (some units of the visual areas): PV pool all orientations and fire fast; SST have twice as large fields that small things hardly
   drive; VIP follow the brightness and colour of the whole scene.
3. Rate. :math:`\lambda_u(t) = b_u + a_u\,[z_u(t)]_+^{1.5}`, where :math:`z_u` is the drive, standardised over the film, delayed by the area's latency and smoothed
   with a time constant of 15 ms; :math:`a_u` sets the mean rate, log-normal around 7 Hz.
4. Variability. :math:`\lambda` is multiplied by a slow gain shared within the area, one private to the unit, and a drift over the session. CA1 instead
   follows a theta rhythm near 8 Hz whose phase wanders, and bursts of its own.
5. Spikes. An inhomogeneous Poisson process by time rescaling, with an absolute refractory period of 1.5 ms and a relative one of 3 ms.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

SMALL = (64, 48)
STEP_S = 0.001
_SMOOTHING_S = 0.015
_REFRACTORY_S = 0.0015
_RELATIVE_S = 0.003
_MOTION_AREAS = ("VISal", "VISrl", "VISam")
_VISUAL_AREAS = ("VISp", "VISl", "VISal", "VISrl", "VISam", "VISpm")


@dataclass(frozen=True)
class SpikeTable:
    """What was simulated.

    Attributes
    ----------
    units : pandas.DataFrame
        One row a unit: ``region``, ``peak_channel_id``, ``latency_s``, ``cell_type``, ``rf_x``, ``rf_y``, ``rf_radius`` (frame pixels; NaN for CA1).
    trains : list of numpy.ndarray
        Spike times, seconds.
    """

    units: pd.DataFrame
    trains: list[np.ndarray]


def small_channels(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Reduce frames to luminance, R−G and B−Y: float32 (frame, 3, 48, 64), about −1 to 1."""
    rows = []
    for frame in frames:
        rgb = np.asarray(Image.fromarray(frame).resize(SMALL, Image.Resampling.BOX), dtype=np.float32) / 255
        red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        rows.append(np.stack([rgb.mean(-1) * 2 - 1, red - green, blue - (red + green) / 2]))
    return np.stack(rows)


def _gaussian(x: float, y: float, sigma: float) -> np.ndarray:
    yy, xx = np.mgrid[0 : SMALL[1], 0 : SMALL[0]]
    bump = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    return bump / bump.sum()


def _gabor(x: float, y: float, sigma: float, angle: float, wavelength: float) -> np.ndarray:
    yy, xx = np.mgrid[0 : SMALL[1], 0 : SMALL[0]]
    window = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    along = (xx - x) * np.cos(angle) + (yy - y) * np.sin(angle)
    wave = window * np.exp(2j * np.pi * along / wavelength)
    # No response to plain light.
    wave -= window * (wave.sum() / window.sum())
    return wave / np.abs(wave).sum()


def _project(channel: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.tensordot(channel, kernel, axes=([1, 2], [0, 1]))


def _energy(luminance: np.ndarray, x: float, y: float, sigma: float, angle: float) -> np.ndarray:
    return np.abs(_project(luminance, _gabor(x, y, sigma, angle, 2.2 * sigma)))


def _drive(unit: pd.Series, channels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a unit's drive by frame, and the radius of its field in small pixels."""
    luminance, red_green, blue_yellow = channels[:, 0], channels[:, 1], channels[:, 2]
    x, y, region, kind = unit["x"], unit["y"], unit["region"], unit["cell_type"]
    angle = rng.uniform(0, np.pi)
    if kind == "VIP":
        field = _gaussian(x, y, 16)
        return _project(luminance, field) * rng.choice([-1, 1]) + 0.5 * _project(blue_yellow, field) * rng.choice(
            [-1, 1]
        ), 16.0
    if kind == "PV":
        sigma = rng.uniform(2.5, 4)
        return np.sum([_energy(luminance, x, y, sigma, a) for a in np.arange(4) * np.pi / 4], axis=0), sigma
    if kind == "SST":
        sigma = rng.uniform(6, 9)
        return _energy(luminance, x, y, sigma, angle) - 0.5 * _energy(luminance, x, y, sigma / 2.5, angle), sigma
    if region == "LGd":
        sigma = rng.uniform(1.0, 1.8)
        channel = rng.choice([red_green, blue_yellow]) if rng.uniform() < 0.2 else luminance
        response = _project(channel, _gaussian(x, y, sigma) - 0.8 * _gaussian(x, y, 3 * sigma))
        return np.maximum(response * rng.choice([-1, 1]), 0), 2 * sigma
    if region == "VISp":
        sigma = rng.uniform(1.8, 3.5)
        if rng.uniform() < 1 / 3:
            phase = rng.uniform(0, 2 * np.pi)
            return np.maximum(
                np.real(_project(luminance, _gabor(x, y, sigma, angle, 2.2 * sigma)) * np.exp(1j * phase)), 0
            ), sigma
        return _energy(luminance, x, y, sigma, angle), sigma
    sigma = rng.uniform(3, 6)
    offsets = rng.normal(0, sigma, size=(3, 2))
    texture = np.sum(
        [
            _energy(luminance, x + dx, y + dy, sigma * rng.uniform(0.5, 0.9), angle + a)
            for (dx, dy), a in zip(offsets, (0, 0, np.pi / 3), strict=True)
        ],
        axis=0,
    )
    colour = _project(rng.choice([red_green, blue_yellow]), _gaussian(x, y, sigma)) * rng.choice([-1, 1])
    drive = _standard(texture) + rng.uniform(0.3, 1.0) * _standard(colour)
    if region in _MOTION_AREAS:
        change = np.abs(np.diff(luminance, axis=0, prepend=luminance[:1]))
        drive = drive + 0.6 * _standard(np.minimum(_project(change, _gaussian(x, y, sigma)), 0.2))
    return drive, 1.5 * sigma


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() + 1e-9)


def _slow_gain(n: int, step: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Return a positive gain around 1 that wanders over about two seconds, one value a step of time."""
    knots = rng.normal(0, spread, n // step + 3)
    return np.exp(np.interp(np.arange(n), np.arange(len(knots)) * step, knots) - spread**2 / 2)


def draw_spikes(rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw spike times (seconds) from a rate (Hz) in steps of 1 ms."""
    total = np.concatenate([[0.0], np.cumsum(rate * STEP_S)])
    waits = rng.exponential(size=int(total[-1] + 6 * np.sqrt(total[-1]) + 20))
    marks = np.cumsum(waits)
    times = np.interp(marks[marks < total[-1]], total, np.arange(len(total)) * STEP_S)
    while True:
        gaps = np.diff(times, prepend=-np.inf)
        # A spike in the relative period survives with a chance that grows from 0 to 1.
        chance = np.clip((gaps - _REFRACTORY_S) / (_RELATIVE_S - _REFRACTORY_S), 0, 1)
        gone = rng.uniform(size=len(times)) > chance
        # Of neighbours in a burst every other one goes at a time: a gap opens where its spike is taken out.
        gone[1:] &= ~gone[:-1]
        if not gone.any() or not (gaps < _RELATIVE_S).any():
            break
        times = times[~gone]
        if not (np.diff(times) < _REFRACTORY_S).any():
            break
    return times


def simulate(
    placed: pd.DataFrame,
    channels: np.ndarray,
    frame_starts: np.ndarray,
    frame_numbers: np.ndarray,
    duration_s: float,
    frame_size: tuple[int, int],
    seed: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> SpikeTable:
    """Simulate the spikes of all units.

    Parameters
    ----------
    placed : pandas.DataFrame
        ``region``, ``peak_channel_id``, ``latency_s`` of each unit.
    channels : numpy.ndarray
        Of `small_channels`.
    frame_starts, frame_numbers : numpy.ndarray
        When each presentation began (seconds, ascending), and which frame it showed.
    duration_s : float
        Length of the session; outside presentations the screen is grey.
    frame_size : tuple of int
        (width, height) of the film, for receptive fields in its pixels.
    seed : int
        Decides everything random.
    on_progress : callable, optional
        Called with (stage, done, total).
    """
    units = placed.copy()
    rng = np.random.default_rng([seed, 1])
    n = len(units)
    units["x"], units["y"] = rng.uniform(0.15, 0.85, n) * SMALL[0], rng.uniform(0.1, 0.95, n) * SMALL[1]
    cell_type = rng.choice(["", "PV", "SST", "VIP"], size=n, p=[0.7, 0.12, 0.1, 0.08])
    units["cell_type"] = np.where(units["region"].isin(_VISUAL_AREAS), cell_type, "")

    steps = round(duration_s / STEP_S)
    # Which frame is on screen at each step; -1 is grey.
    shown = np.full(steps, -1)
    last_frame = round((frame_starts[-1] + np.median(np.diff(frame_starts))) / STEP_S)
    begin = np.searchsorted(frame_starts, np.arange(steps) * STEP_S + 1e-9, side="right") - 1
    on = (begin >= 0) & (np.arange(steps) < last_frame)
    shown[on] = frame_numbers[begin[on]]
    area_gain = {
        region: _slow_gain(steps, 2000, 0.12, np.random.default_rng([seed, 2, i]))
        for i, region in enumerate(sorted(set(units["region"])))
    }

    radii, trains = np.full(n, np.nan), []
    for row in range(n):
        unit = units.iloc[row]
        own = np.random.default_rng([seed, 3, row])
        mean_rate = float(np.clip(own.lognormal(np.log(7), 0.45), 2, 30)) * (2.0 if unit["cell_type"] == "PV" else 1.0)
        if unit["region"] == "CA1":
            rate = _hippocampal_rate(steps, 0.5 * mean_rate, own)
        else:
            drive, radii[row] = _drive(unit, channels, own)
            rate = _visual_rate(drive, shown, unit["latency_s"] + own.normal(0, 0.004), mean_rate)
            rate = rate * area_gain[unit["region"]] * _slow_gain(steps, 3000, 0.15, own)
            rate *= 1 + own.uniform(-0.15, 0.15) * np.linspace(-1, 1, steps)
        trains.append(np.round(draw_spikes(rate, own) * 30_000) / 30_000)
        if on_progress and (row % 10 == 9 or row == n - 1):
            on_progress("simulating neurons (simulated session)", row + 1, n)
    scale = frame_size[0] / SMALL[0]
    units["rf_x"] = np.where(units["region"] == "CA1", np.nan, (units["x"] + 0.5) * scale)
    units["rf_y"] = np.where(units["region"] == "CA1", np.nan, (units["y"] + 0.5) * scale)
    units["rf_radius"] = radii * scale
    return SpikeTable(units.drop(columns=["x", "y"]), trains)


def _visual_rate(drive: np.ndarray, shown: np.ndarray, latency_s: float, mean_rate: float) -> np.ndarray:
    from scipy.signal import lfilter

    z = np.maximum(_standard(drive), 0) ** 1.5
    level = np.concatenate([z, [0.3 * z.mean()]])[shown]
    delay = max(round(latency_s / STEP_S), 0)
    delayed = np.concatenate([np.full(delay, level[0]), level[: len(level) - delay]])
    decay = np.exp(-STEP_S / _SMOOTHING_S)
    smooth = lfilter([1 - decay], [1, -decay], delayed)
    return mean_rate * (0.15 + 0.85 * smooth / max(z.mean(), 1e-9))


def _hippocampal_rate(steps: int, mean_rate: float, rng: np.random.Generator) -> np.ndarray:
    knots = steps // 250 + 2
    frequency = np.interp(np.arange(steps), np.arange(knots) * 250, 8 + rng.normal(0, 0.8, knots))
    theta = 1 + 0.8 * np.cos(2 * np.pi * np.cumsum(frequency) * STEP_S + rng.uniform(0, 2 * np.pi))
    return mean_rate * theta * _slow_gain(steps, 1500, 0.5, rng)
