"""How layers look: palettes, sizes and the colour map of heatmaps. Numbers only, no napari objects but a colour map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MOVIE, HEATMAP, UNITS, PROBES, LABELS, CAPTION, LASSO, SENTENCE, CROP = (
    "movie", "heatmap", "units", "probes", "labels", "caption", "lasso", "sentence", "what CLIP sees"
)  # fmt: skip

CHOSEN_PATCHES, PATCH_GRID, DIFFERENCE = "chosen patches", "patch grid", "difference of groups"
OPENING = "opening the sample"
BRAIN_MIDLINE = "midline"
BRAIN_UNITS, BRAIN_PROBES, BRAIN_BOX, BRAIN_LABELS = (
    "units in the brain",
    "probes in the brain",
    "Allen CCF",
    "axes of the CCF",
)

# Okabe and Ito's colours and two of Paul Tol's, which people with colour-blindness can tell apart, brightened for a dark canvas
PALETTE = (
    "#56b4e9",
    "#e69f00",
    "#2fc99a",
    "#f0e442",
    "#e8793a",
    "#d48fc0",
    "#7f8cff",
    "#a5d65a",
    "#c58bff",
    "#ee99aa",
    "#8fe0e6",
    "#b58a5a",
)
PALETTE_ON_LIGHT = (
    "#0072b2",
    "#c77700",
    "#009068",
    "#4d4800",
    "#c23b22",
    "#a8478a",
    "#4a4fd0",
    "#4f7d10",
    "#8a3fd1",
    "#b8405a",
    "#0b7f8c",
    "#7a5428",
)
"""The same hues in the same order, dark enough for a light canvas."""
UNKNOWN = "#8a8f98"
NO_REGION = {"", "nan", "none", "unknown", "None"}

DIMMED = 0.33
SAID, SAID_BY_CHANCE = "#ffffff", "#9aa3ae"
SENTENCE_BOX = (0.03, 0.04, 0.06, 0.82)


@dataclass(frozen=True)
class Scene:
    """Colours of what lies on the bare canvas."""

    text: str
    quiet: str
    outline: str
    panel: str
    ring: str
    palette: tuple[str, ...]


ON_DARK = Scene("#e6e9ee", "#9aa3ae", "#4a525e", "#ffffff08", "#ffffff", PALETTE)
ON_LIGHT = Scene("#1d232b", "#59626e", "#b3bac4", "#00000008", "#10151b", PALETTE_ON_LIGHT)
TEXT, QUIET = ON_DARK.text, ON_DARK.quiet


def scene(dark: bool) -> Scene:
    """Return the colours for a dark or a light canvas."""
    return ON_DARK if dark else ON_LIGHT


def categories(values: pd.Series, dark: bool = True) -> dict[str, str]:
    """Give each category a colour, the most frequent ones first, so that a small rare one never takes the clearest colour.

    Beyond the palette's length colours come again, paler.

    Parameters
    ----------
    values : Series
        One label a unit.
    dark : bool
        Whether the colours are for a dark canvas.
    """
    names = [str(name) for name in values.astype(str).value_counts(sort=True).index]
    known = [name for name in names if name not in NO_REGION]
    palette = scene(dark).palette
    colours = {name: _paler(palette[i % len(palette)], i // len(palette), dark) for i, name in enumerate(known)}
    return {name: colours.get(name, UNKNOWN) for name in names}


def _paler(colour: str, times: int, dark: bool) -> str:
    if not times:
        return colour
    share = min(0.25 + 0.2 * times, 0.75)
    towards = 255 if dark else 90
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * (1 - share) + towards * share):02x}" for i in (1, 3, 5))


def rgba(colours: Sequence[str]) -> np.ndarray:
    """Turn ``#rrggbb`` strings into float rows."""
    flat = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=float).reshape(-1, 3) / 255
    return np.column_stack([flat, np.ones(len(flat))])


def hex_of(colour: np.ndarray) -> str:
    """Turn a float row into ``#rrggbb``."""
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in colour[:3])


def ramp(values: np.ndarray, limits: tuple[float, float] | None = None, dark: bool = True) -> np.ndarray:
    """Colour numbers along a perceptual map; what is not finite becomes grey.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        What to colour.
    limits : (float, float), optional
        Values of the two ends; by default the smallest and the largest.
    dark : bool
        Whether the colours are for a dark canvas: the end that would be lost on it is left out.
    """
    from vispy.color import get_colormap

    finite = np.isfinite(values)
    out = np.tile(rgba([UNKNOWN]), (len(values), 1))
    if finite.any():
        low, high = limits or limits_of(values)
        share = np.clip((values[finite] - low) / max(high - low, 1e-9), 0, 1)
        out[finite] = get_colormap("viridis").map(0.18 + 0.82 * share if dark else 0.86 * share)
    return out


def limits_of(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest finite value; 0 and 1 where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


MOST_SPIKES = 16
"""Spikes in one window beyond which a unit fires as brightly as can be drawn."""


def firing(counts: np.ndarray, dark: bool = True) -> np.ndarray:
    """Colour spike counts from dull to bright, by their square root, as noise grows."""
    share = (np.sqrt(np.clip(counts, 0, MOST_SPIKES)) / np.sqrt(MOST_SPIKES))[:, None]
    still, busy = ((0.25, 0.28, 0.33), (1.0, 0.86, 0.30)) if dark else ((0.80, 0.82, 0.85), (0.70, 0.16, 0.0))
    return np.column_stack([np.array(still) + share * (np.array(busy) - np.array(still)), np.ones(len(counts))])


def signed(values: np.ndarray, most: float | None = None, dark: bool = True) -> np.ndarray:
    """Colour signed numbers: blue below zero, neutral at zero, orange above, equally strong on both sides; what is not finite becomes grey.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        What to colour.
    most : float, optional
        Size of the number that has the full colour; by default that of the largest.
    dark : bool
        Whether the colours are for a dark canvas.
    """
    below, zero, above = (
        ((0.27, 0.66, 1.0), (0.27, 0.29, 0.33), (1.0, 0.63, 0.10))
        if dark
        else ((0.0, 0.33, 0.65), (0.85, 0.86, 0.88), (0.75, 0.30, 0.0))
    )
    finite = np.isfinite(values)
    out = np.tile(rgba([UNKNOWN]), (len(values), 1))
    share = np.clip(values[finite] / (most or largest(values)), -1, 1)[:, None]
    ends = np.where(share < 0, np.array(below), np.array(above))
    out[finite, :3] = np.array(zero) + np.abs(share) * (ends - np.array(zero))
    return out


def diverging(n: int = 65) -> np.ndarray:
    """Return colours from blue over nothing to orange, rgba (n, 4): where there is no difference, the frame is seen."""
    along = np.linspace(-1, 1, n)
    colours = np.where(along[:, None] < 0, np.array([0.10, 0.42, 1.0]), np.array([1.0, 0.55, 0.0]))
    return np.column_stack([colours, np.abs(along) ** 0.7])


def diverging_colormap() -> Any:
    """Return the same as a colour map of napari's."""
    from napari.utils import Colormap

    return Colormap(diverging(), name="neurrator difference")


def largest(values: np.ndarray) -> float:
    """Return the size of the largest finite number, never 0."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if len(finite) and finite.max() > 0 else 1.0


COLUMNS = {
    "cell type": "cell_type",
    "waveform": "waveform_class",
    "probe": "probe",
    "session": "session",
    "animal": "animal",
}
"""Columns of the units table behind what the user chooses to colour by."""


def unit_colours(
    units: pd.DataFrame,
    colour_by: str,
    counts: np.ndarray | None,
    *,
    contribution: np.ndarray | None = None,
    dark: bool = True,
) -> np.ndarray:
    """Return one RGBA row a unit for what the user chose to colour by."""
    if colour_by == "depth":
        return ramp(depths(units), dark=dark)
    if colour_by == "firing now":
        return firing(np.zeros(len(units)) if counts is None else counts, dark)
    if colour_by == "contribution":
        return signed(np.full(len(units), np.nan) if contribution is None else contribution, dark=dark)
    column = COLUMNS.get(colour_by, "region")
    if column not in units:
        return np.tile(rgba([UNKNOWN]), (len(units), 1))
    legend = categories(units[column], dark)
    return rgba([legend[name] for name in units[column].astype(str)])


def depths(units: pd.DataFrame) -> np.ndarray:
    """Return how far each unit is from the tip of its probe, µm; NaN where that is not known."""
    if "y_um" not in units:
        return np.full(len(units), np.nan)
    return pd.to_numeric(units["y_um"], errors="coerce").to_numpy(float)


DOT_PX = (3.5, 44.0)
"""A dot is never smaller or larger than this on the screen: thousands stay visible from afar, and a few do not become blots when zoomed in."""


def unit_sizes(diameter: float, counts: np.ndarray | None, n_units: int) -> np.ndarray:
    """Dots grow with the spikes that their unit fired in the window, slowly, so that they stay apart."""
    if counts is None:
        return np.full(n_units, 0.85 * diameter)
    return diameter * (0.70 + 0.16 * np.sqrt(np.minimum(counts, 16)))


def heat_colormap(name: str = "inferno"):
    """Return a perceptual map whose low end is clear, so that the picture shows where nothing is.

    Parameters
    ----------
    name : str
        One of `state.HEAT_COLOURS`.
    """
    from napari.utils.colormaps import Colormap, ensure_colormap

    at = np.linspace(0, 1, 64)
    colours = np.array(ensure_colormap("gray" if name == "grey" else name).map(0.25 + 0.75 * at))
    colours[:, 3] = np.clip(1.25 * at**0.8, 0, 0.92)
    return Colormap(colours, name=f"neurrator {name}", controls=at)
