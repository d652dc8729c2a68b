"""An orthonormal basis of the patch grids of a session: few numbers a frame instead of hundreds of thousands."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..vision.grid_table import Grids
from .rows import Rows

# Frames that the components and the channels are found from: a film's neighbouring frames hold little more.
_FRAMES, _CHANNEL_FRAMES = 1024, 256
# Share of the variance that the channels kept may lose, and how many are kept at most.
_LOST, _CHANNELS = 1e-4, 192
_CHUNK = 8
# Columns of a batch of grids that are worked out at a time.
_COLUMNS = 8192


@dataclass
class GridBasis:
    """Mean grid, components, and the coefficients of every distinct grid.

    A session shows few distinct frames, so its grids lie in a space of as many dimensions; and the vectors of all patches lie near a space of
    fewer dimensions than the vision model is wide. A grid is ``mean + (Σ coefficient · core) · channels``, and the squared error of two grids is
    that of their coefficients, for whatever the components span.

    Attributes
    ----------
    mean : torch.Tensor
        float32 (patches × width).
    core : torch.Tensor
        Orthonormal columns, float16 (patches × channels, rank): reading it is what one grid costs.
    channels : torch.Tensor
        Orthonormal rows, float32 (channels, width).
    coefficients : torch.Tensor
        float32 (state, rank).
    shape : tuple of int
        (patches, width).
    """

    mean: torch.Tensor
    core: torch.Tensor
    channels: torch.Tensor
    coefficients: torch.Tensor
    shape: tuple[int, int]

    @property
    def n_states(self) -> int:
        """Distinct grids."""
        return self.coefficients.shape[0]

    def grids(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the grids of coefficients (batch, rank): float32 (batch, patches, width)."""
        # Half precision reaches to 65504.
        scale = float(coefficients.abs().amax().clamp(min=1e-6))
        mean = self.mean.view(1, *self.shape)
        if len(coefficients) == 1:
            projected = (self.core @ (coefficients[0] / scale).half()).float()
            return torch.addmm(mean[0], projected.view(self.shape[0], -1), self.channels, alpha=scale)[None]
        # Many processors multiply matrices of half precision one number at a time.
        parts = [(coefficients / scale) @ part.float().T for part in self.core.split(_COLUMNS)]
        projected = torch.cat(parts, dim=1).view(len(coefficients) * self.shape[0], -1)
        return (projected @ self.channels).view(-1, *self.shape).mul_(scale).add_(mean)

    @classmethod
    def fit(cls, grids: Grids | Rows, rank: int = 256) -> "GridBasis":
        """Find the principal components of a table of grids.

        Reads some rows at a time, so that the table (float16 (state, patches, width), memory-mapped) is never held whole.

        Parameters
        ----------
        grids : numpy.ndarray or GridTable
            (state, patches, width).
        rank : int
            Components to keep at most; those that carry less than 1e-6 of the variance are dropped.
        """
        grids = grids if isinstance(grids, Rows) else Rows(grids)
        n, patches, width = grids.shape
        some = _evenly(n, _FRAMES)
        mean = torch.zeros(patches, width)
        for _, part in _rows(grids, np.arange(n)):
            mean += part.sum(0)
        mean /= n
        channels = _channels(grids, _evenly(n, _CHANNEL_FRAMES), mean)
        # In half precision, as the grids themselves are: this is the largest table of a fit.
        projected = torch.empty(len(some), patches * len(channels), dtype=torch.float16)
        gram = torch.zeros(len(some), len(some), dtype=torch.float64)
        scale = 1.0
        for place, part in _rows(grids, some):
            deviations = ((part - mean) @ channels.T).flatten(1)
            if place.start == 0:
                scale = float(deviations.abs().amax().clamp(min=1e-6))
            projected[place] = (deviations / scale).half()
        for columns in projected.split(_COLUMNS, dim=1):
            wide = columns.float()
            gram += wide @ wide.T
        values, vectors = torch.linalg.eigh(gram)
        keep = torch.argsort(values, descending=True)[:rank]
        keep = keep[values[keep] > 1e-6 * values.clamp(min=0).sum().clamp(min=1e-12)]
        turn = (vectors[:, keep] / values[keep].sqrt()).T.float()
        core = torch.empty(projected.shape[1], len(keep), dtype=torch.float16)
        for start in range(0, len(core), _COLUMNS):
            columns = projected[:, start : start + _COLUMNS].float()
            core[start : start + _COLUMNS] = (turn @ columns).T.half()
        if len(some) == n:
            coefficients = (vectors[:, keep] * values[keep].sqrt()).float() * scale
        else:
            coefficients = torch.empty(n, len(keep))
            for place, part in _rows(grids, np.arange(n)):
                coefficients[place] = ((part - mean) @ channels.T).flatten(1) @ core.float()
        return cls(mean.flatten(), core, channels, coefficients, (patches, width))


def _evenly(n: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _channels(grids: Rows, rows: np.ndarray, mean: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis of the patches' vectors (channel, width): all of them where the model is narrow."""
    width = grids.shape[2]
    if width <= _CHANNELS:
        return torch.eye(width)
    scatter = torch.zeros(width, width)
    for _, part in _rows(grids, rows):
        flat = (part - mean).flatten(0, 1)
        scatter += flat.T @ flat
    values, vectors = torch.linalg.eigh(scatter.double())
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    lost = 1 - values.cumsum(0) / values.sum().clamp(min=1e-12)
    n = min(int((lost > _LOST).sum()) + 1, _CHANNELS)
    return vectors[:, :n].T.float().contiguous()


def _rows(grids: Rows, rows: np.ndarray) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (places among `rows`, float32 grids), some at a time."""
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        yield slice(start, start + len(part)), torch.from_numpy(grids[part]).float()
