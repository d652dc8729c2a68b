"""How layers look: palettes, sizes and the colour map of heatmaps. Numbers only, no napari objects but a colour map."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

MOVIE, HEATMAP, UNITS, PROBES, LABELS, LASSO, SENTENCE, CROP = (
    "movie", "heatmap", "units", "probes", "labels", "lasso", "sentence", "what CLIP sees"
)  # fmt: skip

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
UNKNOWN = "#8a8f98"
NO_REGION = {"", "nan", "none", "unknown", "None"}

DIMMED = 0.33
TEXT = "#e6e9ee"
QUIET = "#9aa3ae"
OUTLINE = "#4a525e"
LASSO_EDGE = "#ffffff"
SAID, SAID_BY_CHANCE = "#ffffff", "#9aa3ae"
SENTENCE_BOX = (0.03, 0.04, 0.06, 0.82)


def categories(values: pd.Series) -> dict[str, str]:
    """Give each category a colour, the most frequent ones first, so that a small rare one never takes the clearest colour.

    Parameters
    ----------
    values : Series
        One label a unit.
    """
    names = [str(name) for name in values.astype(str).value_counts(sort=True).index]
    known = [name for name in names if name not in NO_REGION]
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(known)}
    return {name: colours.get(name, UNKNOWN) for name in names}


def rgba(colours: Sequence[str]) -> np.ndarray:
    """Turn ``#rrggbb`` strings into float rows."""
    flat = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=float).reshape(-1, 3) / 255
    return np.column_stack([flat, np.ones(len(flat))])


def ramp(values: np.ndarray, name: str = "viridis") -> np.ndarray:
    """Colour numbers along a perceptual map; what is not finite becomes grey."""
    from vispy.color import get_colormap

    finite = np.isfinite(values)
    out = np.tile(rgba([UNKNOWN]), (len(values), 1))
    if finite.any():
        low, high = float(values[finite].min()), float(values[finite].max())
        out[finite] = get_colormap(name).map((values[finite] - low) / max(high - low, 1e-9))
    return out


COLUMNS = {
    "cell type": "cell_type",
    "waveform": "waveform_class",
    "probe": "probe",
    "session": "session",
    "animal": "animal",
}
"""Columns of the units table behind what the user chooses to colour by."""


def unit_colours(units: pd.DataFrame, colour_by: str, counts: np.ndarray | None) -> np.ndarray:
    """Return one RGBA row a unit for what the user chose to colour by."""
    if colour_by == "depth":
        return (
            ramp(pd.to_numeric(units["y_um"], errors="coerce").to_numpy(float))
            if "y_um" in units
            else ramp(np.full(len(units), np.nan))
        )
    if colour_by == "firing now":
        fire = np.zeros(len(units)) if counts is None else np.sqrt(np.minimum(counts, 16)) / 4
        floor = np.array([[0.25, 0.28, 0.33, 1.0]])
        hot = np.array([[1.0, 0.86, 0.30, 1.0]])
        return floor + fire[:, None] * (hot - floor)
    column = COLUMNS.get(colour_by, "region")
    if column not in units:
        return np.tile(rgba([UNKNOWN]), (len(units), 1))
    legend = categories(units[column])
    return rgba([legend[name] for name in units[column].astype(str)])


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
