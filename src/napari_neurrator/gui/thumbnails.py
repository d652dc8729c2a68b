"""Small pictures of frames with a map on them, made without Qt so that any thread can."""

from typing import Any

import numpy as np
from PIL import Image

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "catrom": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def thumbnail(
    frame: np.ndarray,
    heat: np.ndarray,
    top: float,
    geometry: Any,
    colours: np.ndarray,
    width: int,
    interpolation: str = "linear",
    opacity: float = 1.0,
) -> np.ndarray:
    """Lay a map on a frame.

    Parameters
    ----------
    frame : numpy.ndarray
        uint8 (height, width, 3).
    heat : numpy.ndarray
        Values by patch, (rows, columns).
    top : float
        The value that gets the last colour; 0 gets the first.
    geometry : PatchGeometry
        Where the patches lie on the frame.
    colours : numpy.ndarray
        rgba from 0 to 1, (colour, 4).
    width : int
        Of the small picture, pixels.
    interpolation : str
        How values between the middles of patches are found: one of `state.INTERPOLATIONS`.
    opacity : float
        Of the whole map.

    Returns
    -------
    numpy.ndarray
        uint8 (height, width, 3) with the frame's proportions.
    """
    per_pixel = width / frame.shape[1]
    size = (width, max(1, round(frame.shape[0] * per_pixel)))
    picture = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BILINEAR)) / 255
    first_row, first_column, height, breadth = (float(part) * per_pixel for part in geometry.crop)
    inner = (max(1, round(breadth)), max(1, round(height)))
    how = _RESAMPLING.get(interpolation, Image.Resampling.BILINEAR)
    values = np.asarray(Image.fromarray(np.asarray(heat, np.float32)).resize(inner, how))
    place = np.clip(values / max(top, 1e-9), 0, 1) * (len(colours) - 1)
    over = np.asarray(colours)[np.rint(place).astype(int)]
    # the part of the map that lies on the picture, which rounding may make a pixel smaller than it
    row, column = round(first_row), round(first_column)
    rows = slice(max(row, 0), min(row + inner[1], size[1]))
    columns = slice(max(column, 0), min(column + inner[0], size[0]))
    over = over[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
    alpha = over[..., 3:] * opacity
    picture = picture.copy()
    picture[rows, columns] = picture[rows, columns] * (1 - alpha) + over[..., :3] * alpha
    return np.ascontiguousarray(np.rint(255 * picture).astype(np.uint8))


def patch_box(row: int, column: int, geometry: Any, frame_width: int, width: int) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a patch on a small picture, pixels."""
    per_pixel = width / frame_width
    top, left = geometry.crop[0] + row * geometry.scale[0], geometry.crop[1] + column * geometry.scale[1]
    return left * per_pixel, top * per_pixel, geometry.scale[1] * per_pixel, geometry.scale[0] * per_pixel
