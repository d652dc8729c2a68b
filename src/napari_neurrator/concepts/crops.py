"""Pictures of what lies around a patch."""

import numpy as np

from ..vision.geometry import PatchGeometry

# Side of a crop, as a share of the grid's, and the step in which crops are placed, as a share of their side.
_SIDE, _STEP = 1 / 3, 1 / 4


class Crops:
    """Windows on frames, a third of the grid wide, placed on a coarse lattice so that neighbouring patches share one.

    Parameters
    ----------
    geometry : PatchGeometry
        Where the grid lies on the frames.
    frame_shape : tuple of int
        (height, width, 3).
    """

    def __init__(self, geometry: PatchGeometry, frame_shape: tuple[int, ...]):
        self.geometry, self.frame_shape = geometry, frame_shape
        self.side = max(1, round(min(geometry.rows, geometry.columns) * _SIDE))
        self.step = max(1, round(self.side * _STEP))
        self.height = min(max(1, round(self.side * geometry.scale[0])), frame_shape[0])
        self.width = min(max(1, round(self.side * geometry.scale[1])), frame_shape[1])

    def place(self, patch: int) -> int:
        """Return the lattice place (a number) of the window around a patch."""
        row, column = divmod(patch, self.geometry.columns)
        return (row // self.step) * self.geometry.columns + column // self.step

    def cut(self, frame: np.ndarray, place: int) -> np.ndarray:
        """Return the window at a place of a frame: uint8 (height, width, 3); moved inwards where it would reach beyond the frame."""
        row, column = divmod(place, self.geometry.columns)
        top, left = self.geometry.crop[:2]
        y = top + (row + 0.5) * self.step * self.geometry.scale[0] - self.height / 2
        x = left + (column + 0.5) * self.step * self.geometry.scale[1] - self.width / 2
        y0 = int(np.clip(round(y), 0, self.frame_shape[0] - self.height))
        x0 = int(np.clip(round(x), 0, self.frame_shape[1] - self.width))
        return frame[y0 : y0 + self.height, x0 : x0 + self.width]
