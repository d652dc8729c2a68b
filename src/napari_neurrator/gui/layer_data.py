"""Recording and stimulus turned into napari layer tuples; no viewer is needed, so it also serves readers and tests."""

from typing import Any

import numpy as np
import pandas as pd

from . import layer_styles as styles
from .compat import PIXELS_PER_POINT
from .frames import Frames
from .layout import Layout

LayerTuple = tuple[Any, dict[str, Any], str]

SHOWN_FEATURES = (
    "probe", "region", "layer", "cell_type", "waveform_class", "x_um", "y_um", "firing_rate_hz", "passes_qc", "session"
)  # fmt: skip


def movie(stimulus: Any, name: str, source: str = "", frames: str | None = None) -> LayerTuple:
    """Return the frames as a lazy rgb image with the frame number as the slider; its metadata say where they are."""
    return (
        Frames(stimulus),
        {"name": styles.MOVIE, "rgb": True, "metadata": {"stimulus": name, "source": source, "frames": frames}},
        "image",
    )


def units(table: pd.DataFrame, layout: Layout, colour_by: str = "region", dark: bool = True) -> LayerTuple:
    """Return the units as points; hovering one shows its row of the table in the status bar."""
    options = {
        "name": styles.UNITS,
        "features": features_of(table),
        "size": styles.unit_sizes(layout.diameter, None, len(table)),
        "face_color": styles.unit_colours(table, colour_by, None, dark=dark),
        "border_color": np.zeros((len(table), 4)),
        "border_width": 0.0,
        "border_width_is_relative": True,
        "symbol": "disc",
        "canvas_size_limits": styles.DOT_PX,
    }
    return (layout.positions, options, "points")


def features_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return what the status bar says of a unit under the mouse."""
    features = pd.DataFrame({"unit_id": table.index.to_numpy()})
    for column in SHOWN_FEATURES:
        if column in table:
            features[column] = table[column].to_numpy()
    return features


def probes(layout: Layout, colours: dict[str, str], dark: bool = True) -> LayerTuple:
    """Return the outlines of shanks, and beside each a bar for the stretch that lies in each region."""
    scene = styles.scene(dark)
    shapes, kinds, edge, face = [], [], [], []
    thin = 0.0035 * layout.panel.height
    bar = bar_width(layout)
    for probe in layout.probes:
        for shank in probe.shanks:
            box = shank.box
            shapes.append(
                np.array([[box.top, box.left], [box.top, box.right], [box.bottom, box.right], [box.bottom, box.left]])
            )
            kinds.append("polygon")
            edge.append(scene.outline)
            face.append(scene.panel)
            for band in shank.bands:
                left = band.x + 0.6 * bar
                top, bottom = band.top - layout.diameter / 2, band.bottom + layout.diameter / 2
                shapes.append(np.array([[top, left], [top, left + bar], [bottom, left + bar], [bottom, left]]))
                kinds.append("polygon")
                colour = colours.get(band.region, styles.UNKNOWN)
                edge.append("transparent")
                face.append(colour)
    for y, _ in layout.ticks:
        left = layout.probes[0].box.left
        shapes.append(np.array([[y, left - 2 * bar], [y, left]]))
        kinds.append("line")
        edge.append(scene.outline)
        face.append("transparent")
    options = {
        "name": styles.PROBES,
        "shape_type": kinds,
        "edge_color": edge,
        "face_color": face,
        "edge_width": 2 * thin,
        "opacity": 1.0,
    }
    return (shapes, options, "shapes")


def bar_width(layout: Layout) -> float:
    """Width of the bar that shows regions beside a shank."""
    return 0.010 * layout.panel.height


def fit(text: str, room: float, points: float, width_of: Any) -> str:
    """Shorten text in its middle until it fits, so that both the session and the end of a probe's name stay."""
    if width_of(text, points) <= room:
        return text
    for kept in range(len(text) - 1, 2, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if width_of(short, points) <= room:
            return short
    return f"{text[:1]}…"


def labels(
    layout: Layout, colours: dict[str, str], width_of: Any, firing: bool = True, dark: bool = True
) -> LayerTuple:
    """Return every word of the scene but the caption as the text of invisible points that grow with the picture.

    Parameters
    ----------
    layout : Layout
        Where things lie.
    colours : dict
        Colour of each region.
    width_of : callable
        ``(text, points) -> width`` of text at zoom 1.
    firing : bool
        Whether the size of a dot says how much it fires.
    dark : bool
        Whether the canvas is dark.
    """
    scene = styles.scene(dark)
    points = label_points(layout)
    unit = layout.panel.height
    half = 0.5 * points * PIXELS_PER_POINT
    rows: list[tuple[float, float, str, str]] = []
    note = "each dot is a neuron on its probe" + ("; the larger, the more it fires now" if firing else "")
    left = layout.probes[0].box.left if layout.probes else layout.panel.left
    rows.append((layout.panel.top - 4.6 * half, left + width_of(note, points) / 2, note, scene.quiet))
    for probe in layout.probes:
        right = probe.box.right + 2.4 * bar_width(layout)
        # a probe's name may run as far as the next probe begins
        name = fit(probe.name, 0.98 * (probe.room - probe.box.left), points, width_of)
        room = max(probe.box.width, width_of(name, points))
        rows.append((probe.box.top - 1.5 * half, probe.box.left + room / 2, name, scene.text))
        for region, y in probe.labels:
            words = region if region not in styles.NO_REGION else "no region"
            words = fit(words, probe.room - right, points, width_of)
            rows.append((y, right + width_of(words, points) / 2, words, colours.get(region, styles.UNKNOWN)))
    if layout.ticks:
        left = layout.probes[0].box.left - 0.028 * unit
        for y, name in layout.ticks:
            rows.append((y, left - width_of(name, points) / 2, name, scene.quiet))
        note = "µm from the tip"
        rows.append(
            (
                layout.panel.bottom + 1.6 * half,
                layout.probes[0].box.left + width_of(note, points) / 2 - 0.06 * unit,
                note,
                scene.quiet,
            )
        )
    return _words(styles.LABELS, rows, points)


def caption(layout: Layout, dark: bool = True) -> LayerTuple:
    """Return the line above the frame, empty. It has a layer of its own, for drawing it anew at every step then leaves the other words alone."""
    points = label_points(layout)
    y = layout.frame.top - 0.75 * points * PIXELS_PER_POINT
    return _words(styles.CAPTION, [(y, layout.frame.left, "", styles.scene(dark).text)], points)


def _words(name: str, rows: list[tuple[float, float, str, str]], points: float) -> LayerTuple:
    options = {
        "name": name,
        "size": 1e-3,
        "face_color": "transparent",
        "border_width": 0.0,
        "border_color": "transparent",
        "antialiasing": 0,
        "text": {
            "string": [row[2] for row in rows],
            "color": [row[3] for row in rows],
            "size": points,
            "scaling": True,
            "anchor": "center",
        },
    }
    return (np.array([row[:2] for row in rows]), options, "points")


def label_points(layout: Layout) -> float:
    """Size of labels, in points at zoom 1: smaller where many probes stand side by side."""
    crowd = np.clip(8 / max(1, len(layout.probes)), 0.6, 1.0)
    return float(crowd) * 0.042 * layout.panel.height / PIXELS_PER_POINT


def lasso(layout: Layout, dark: bool = True) -> LayerTuple:
    """Return an empty shapes layer to draw lassos in; its data units are fine, for napari simplifies a lasso by half a data unit."""
    scale = layout.panel.height / 4000
    options = {
        "name": styles.LASSO,
        "ndim": 2,
        "scale": (scale, scale),
        "edge_width": 0.008 * layout.panel.height / scale,
        "edge_color": styles.scene(dark).ring,
        "face_color": "#80808018",
        "opacity": 1.0,
    }
    return (None, options, "shapes")
