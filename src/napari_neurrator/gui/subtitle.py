"""The sentence on the frame, as a film shows it: white words on a dark bar along the bottom, wrapped, never cut; grey where it is not more than chance."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from . import layer_styles as styles
from .compat import PIXELS_PER_POINT, move_shape
from .findings import Result
from .layout import Box

CHARACTERS = 46
"""About how many characters stand on one line."""


def wrap(text: str, width: float, width_of: Callable[[str], float]) -> list[str]:
    """Break `text` between words so that no line is wider than `width`; a word that is too long is broken inside."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while width_of(word) > width and len(word) > 1:
            cut = next((n for n in range(len(word) - 1, 0, -1) if width_of(word[:n]) <= width), 1)
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:cut])
            word = word[cut:]
        grown = f"{line} {word}" if line else word
        if line and width_of(grown) > width:
            lines.append(line)
            line = word
        else:
            line = grown
    return [*lines, line] if line else lines


def _width(width_of: Callable[[str, float], float], points: float, part: str) -> float:
    return width_of(part, points)


def typeset(text: str, frame: Box, width_of: Callable[[str, float], float]) -> tuple[list[str], float, Box]:
    """Choose lines, size in points at zoom 1, and the bar that holds them.

    The size shrinks until the bar takes at most half of the frame, so that a long answer still fits.
    """
    points = frame.width / CHARACTERS / 0.54 / PIXELS_PER_POINT
    while True:
        lines = wrap(text, 0.92 * frame.width, partial(_width, width_of, points))
        line_height = points * PIXELS_PER_POINT * 1.3
        height = (len(lines) + 0.7) * line_height
        if height <= 0.5 * frame.height or points < 0.2 * frame.width / CHARACTERS:
            return lines, points, Box(frame.bottom - height, frame.left, frame.bottom, frame.right)
        points *= 0.92


def corners(box: Box) -> np.ndarray:
    """Return the corners of `box` as a polygon."""
    return np.array([[box.top, box.left], [box.top, box.right], [box.bottom, box.right], [box.bottom, box.left]])


def words_of(result: Result | None) -> tuple[str, str]:
    """Return what stands on the frame, and its colour: a sentence that is not more than chance says so before anything else."""
    if result is None or not result.text.strip():
        return "", styles.SAID
    if not result.greyed:
        return result.text, styles.SAID
    assert result.evidence is not None
    return f"{result.evidence.verdict}: {result.text}", styles.SAID_BY_CHANCE


def show(layer: Any, text: str, colour: str, frame: Box, width_of: Callable[[str, float], float]) -> None:
    """Write `text` into the shapes layer, or empty it."""
    if not text.strip():
        if layer.nshapes:
            layer.data = []
        return
    lines, points, box = typeset(text, frame, width_of)
    words = "\n".join(lines)
    polygon = corners(box)
    if layer.nshapes == 1 and (layer.metadata.get("colour"), layer.text.size) == (colour, points):
        # napari keeps corners with fewer digits
        moved = not np.allclose(layer.data[0], polygon, rtol=1e-5)
        if moved:
            move_shape(layer, polygon)
        if moved or [str(said) for said in layer.text.values] != [words]:
            layer.text.string = [words]
            layer.refresh_text()
        return
    layer.data = []
    layer.add(polygon, shape_type="polygon", face_color=[styles.SENTENCE_BOX], edge_color="transparent")
    layer.selected_data = set()
    layer.text = {"string": [words], "size": points, "scaling": True, "color": colour, "anchor": "center"}
    layer.metadata = {**layer.metadata, "colour": colour}
    if not layer.visible:
        layer.visible = True
