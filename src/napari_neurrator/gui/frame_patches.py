"""Patches of the frame under a point, a rectangle or a lasso, and their outlines."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .lasso import points_in_polygon


def centres(geometry: Any) -> np.ndarray:
    """Return the centre (y, x) of every patch on the frame, row by row: (patch, 2)."""
    (dy, dx), (y, x) = geometry.scale, geometry.translate
    rows, columns = np.mgrid[: geometry.rows, : geometry.columns]
    return np.column_stack([y + dy * rows.ravel(), x + dx * columns.ravel()])


def patches_within(geometry: Any, path: np.ndarray, free: bool) -> tuple[int, ...]:
    """Return the patches whose centres lie in what was drawn.

    Parameters
    ----------
    geometry : PatchGeometry
        Where patches lie.
    path : array, shape (n, 2)
        Points (y, x) of the frame.
    free : bool
        Whether the path is a lasso; else its first and last point are corners of a rectangle, which takes every patch that it touches.
    """
    at = centres(geometry)
    if free:
        inside = points_in_polygon(at, path)
    else:
        low, high = np.minimum(path[0], path[-1]), np.maximum(path[0], path[-1])
        half = np.asarray(geometry.scale) / 2
        inside = ((at + half > low) & (at - half < high)).all(1)
    return tuple(int(patch) for patch in np.flatnonzero(inside))


def boxes(geometry: Any, patches: Sequence[int]) -> list[np.ndarray]:
    """Return rectangles (corner, 2) that cover some patches: runs of neighbours in a row, and those of several rows that lie under each other as one."""
    (dy, dx), (y, x) = geometry.scale, geometry.translate
    runs: dict[tuple[int, int], list[list[int]]] = {}
    chosen = sorted(set(patches))
    start = 0
    for stop in range(1, len(chosen) + 1):
        if stop == len(chosen) or chosen[stop] != chosen[stop - 1] + 1 or chosen[stop] % geometry.columns == 0:
            row, first = divmod(chosen[start], geometry.columns)
            same = runs.setdefault((first, chosen[stop - 1] % geometry.columns), [])
            if same and same[-1][1] == row - 1:
                same[-1][1] = row
            else:
                same.append([row, row])
            start = stop
    found = []
    for (first, last), rows in runs.items():
        for begin, end in rows:
            top, bottom = y + dy * (begin - 0.5), y + dy * (end + 0.5)
            left, right = x + dx * (first - 0.5), x + dx * (last + 0.5)
            found.append(np.array([[top, left], [top, right], [bottom, right], [bottom, left]]))
    return found


def patch_words(geometry: Any, patches: Sequence[int]) -> str:
    """Say which patches are meant: a patch by its row and column, counted from 1, several by their number."""
    if len(patches) == 1 and geometry is not None:
        row, column = divmod(patches[0], geometry.columns)
        return f"the patch in row {row + 1}, column {column + 1}"
    return "the whole frame" if geometry is not None and len(patches) == geometry.rows * geometry.columns else f"{len(patches)} patches"  # fmt: skip
