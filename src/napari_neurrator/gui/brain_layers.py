"""Units, probes and the box of the Allen CCF as napari layer tuples, in µm: AP (0 is the front), DV (0 is the top), ML."""

from itertools import pairwise, product, takewhile

import numpy as np
import pandas as pd

from ..recording.natural_order import natural_key
from . import layer_styles as styles
from .layer_data import LayerTuple, features_of
from .state import CCF_COLUMNS

CCF_UM = np.array([13_200.0, 8_000.0, 11_400.0])
"""Extent of the Allen CCF (2017) along AP, DV and ML."""
MIDLINE_UM = CCF_UM[2] / 2
UNIT_UM = 190.0
"""Nominal size of a unit's dot."""


def places(units: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return where units lie in the CCF, µm (unit, 3), and which of them have a place; the others are put in the middle."""
    xyz = units[list(CCF_COLUMNS)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    placed = np.isfinite(xyz).all(axis=1)
    return np.where(placed[:, None], xyz, CCF_UM / 2), placed


def brain_units(units: pd.DataFrame, colour_by: str, dark: bool = True) -> LayerTuple:
    """Return the units as points in the brain."""
    xyz, placed = places(units)
    options = {
        "name": styles.BRAIN_UNITS,
        "features": features_of(units),
        "size": UNIT_UM,
        "face_color": styles.unit_colours(units, colour_by, None, dark=dark),
        "border_color": np.zeros((len(units), 4)),
        "border_width": 0.0,
        "border_width_is_relative": True,
        "shading": "spherical",
        "shown": placed,
    }
    return (xyz, options, "points")


def probe_lines(units: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return for each probe the straight line that fits its units best, from its highest to its deepest unit, µm (2, 3)."""
    xyz, placed = places(units)
    names = units["probe"].astype(str).to_numpy() if "probe" in units else np.full(len(units), "probe")
    lines = {}
    for name in sorted(set(names), key=natural_key):
        mine = xyz[placed & (names == name)]
        if len(mine) < 2 or not np.ptp(mine, axis=0).any():
            continue
        middle = mine.mean(axis=0)
        direction = np.linalg.svd(mine - middle, full_matrices=False)[2][0]
        along = (mine - middle) @ direction
        ends = middle + np.outer([along.min(), along.max()], direction)
        lines[name] = ends[np.argsort(ends[:, 1])]
    return lines


def brain_probes(units: pd.DataFrame, dark: bool = True) -> LayerTuple:
    """Return the probes as lines."""
    lines = list(probe_lines(units).values())
    data = np.array([[line[0], line[1] - line[0]] for line in lines]).reshape(-1, 2, 3)
    options = {
        "name": styles.BRAIN_PROBES,
        "edge_color": styles.scene(dark).quiet,
        "edge_width": 40.0,
        "vector_style": "line",
        "opacity": 0.8,
    }
    return (data, options, "vectors")


def brain_box() -> LayerTuple:
    """Return the edges of the CCF's box, and the outline and cross of its midline plane."""
    edges = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        for corner in product((0.0, 1.0), repeat=2):
            start = np.zeros(3)
            start[others] = np.array(corner) * CCF_UM[others]
            edges.append((start, np.eye(3)[axis] * CCF_UM[axis]))
    ap, dv = CCF_UM[:2]
    around = [np.array(corner) for corner in ((0, 0), (ap, 0), (ap, dv), (0, dv), (0, 0))]
    middle = [
        (np.array([*a, MIDLINE_UM]), np.array([*(b - a), 0.0])) for a, b in pairwise(np.asarray(around, dtype=float))
    ]
    options = {
        "name": styles.BRAIN_BOX,
        "edge_color": ["#6b7684"] * len(edges) + ["#56b4e9"] * len(middle),
        "edge_width": 40.0,
        "vector_style": "line",
        "opacity": 0.7,
    }
    return (np.array(edges + middle), options, "vectors")


def midline() -> LayerTuple:
    """Return the plane between the hemispheres."""
    ap, dv = CCF_UM[:2]
    corners = np.array([[x, y, MIDLINE_UM] for x, y in ((0.0, 0.0), (ap, 0.0), (ap, dv), (0.0, dv))])
    options = {
        "name": styles.BRAIN_MIDLINE,
        "vertex_colors": np.tile([[0.34, 0.71, 0.91, 1.0]], (4, 1)),
        "opacity": 0.08,
        "shading": "none",
        "blending": "translucent_no_depth",
    }
    return ((corners, np.array([[0, 1, 2], [0, 2, 3]])), options, "surface")


def side(units: pd.DataFrame) -> float:
    """Return on which side of the midline most units lie: 1 where ML is large, else −1."""
    xyz, placed = places(units)
    return 1.0 if np.median(xyz[placed, 2]) >= MIDLINE_UM else -1.0


def short_names(names: list[str]) -> list[str]:
    """Take off what all names begin with, so that they stay apart on the picture: probeA, probeB become A, B."""
    together = zip(*names, strict=False)
    common = sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, together)) if len(names) > 1 else 0
    # numbers are not cut in two
    while common and any(name[common - 1].isdigit() for name in names):
        common -= 1
    short = [name[common:].strip(" _-") for name in names]
    return short if all(short) and len(set(short)) == len(names) else names


def brain_labels(units: pd.DataFrame, dark: bool = True) -> LayerTuple:
    """Return the words of the brain view: ends of the axes with their extent along the near edges of the box, the midline, and the probes' names.

    Which end of ML is left and which is right is not said: sources do not agree on it.
    """
    scene = styles.scene(dark)
    ap, dv, ml = CCF_UM
    near = ml if side(units) > 0 else 0.0
    out = near + (900.0 if near else -900.0)
    rows: list[tuple[tuple[float, float, float], str, str]] = [
        ((0.0, dv + 300.0, out), "front", scene.quiet),
        ((ap / 2, dv + 300.0, out), f"AP {ap:,.0f} µm", scene.quiet),
        ((ap, dv + 300.0, out), "back", scene.quiet),
        ((ap + 1500.0, dv + 500.0, ml / 2), f"ML {ml:,.0f} µm", scene.quiet),
        ((-1700.0, dv / 2, near), f"DV {dv:,.0f} µm", scene.quiet),
        ((0.0, -450.0, MIDLINE_UM), "midline", scene.palette[0]),
    ]
    lines = probe_lines(units)
    for name, line in zip(short_names(list(lines)), lines.values(), strict=True):
        up = (line[0] - line[1]) / max(float(np.linalg.norm(line[0] - line[1])), 1e-9)
        rows.append((tuple(line[0] + 380.0 * up), name, scene.text))
    options = {
        "name": styles.BRAIN_LABELS,
        "size": 1e-3,
        "face_color": "transparent",
        "border_width": 0.0,
        "border_color": "transparent",
        "text": {
            "string": [row[1] for row in rows],
            "color": [row[2] for row in rows],
            "size": 9,
            "anchor": "center",
        },
    }
    return (np.array([row[0] for row in rows]), options, "points")
