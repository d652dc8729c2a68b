"""The distinct pictures of a session: frames that look the same to the vision model."""

import numpy as np
import torch

from ..vision.grid_table import Grids
from .rows import Rows

# Patches and channels are each mixed into so many at random, which keeps distances; and rows that are read at a time.
_MIXED, _CHUNK = 64, 32


def pictures_of(grids: Grids) -> np.ndarray:
    """Find frames that look the same, from a table of grids that is too large to be held.

    Grids are compared through random projections of patches and channels, so that no more than a few thousand numbers a frame are kept
    (Johnson & Lindenstrauss 1984): what is the same stays the same, and other distances are off by a quarter or less.

    Parameters
    ----------
    grids : numpy.ndarray or GridTable
        (frame, patches, width).

    Returns
    -------
    numpy.ndarray
        Picture of each frame, int64 (frame,), numbered in order of first appearance.
    """
    rows = Rows(grids)
    n, patches, width = rows.shape
    mixers = [_mixer(size, number) for number, size in enumerate((patches, width))]
    sketches = torch.empty(n, mixers[0].shape[1] * mixers[1].shape[1])
    for start in range(0, n, _CHUNK):
        part = torch.from_numpy(rows[slice(start, start + _CHUNK)]).float()
        sketches[start : start + len(part)] = (mixers[0].T @ (part @ mixers[1])).flatten(1)
    return merge_alike(sketches - sketches.mean(0)).numpy()


def _mixer(size: int, seed: int) -> torch.Tensor:
    if size <= _MIXED:
        return torch.eye(size)
    return torch.from_numpy(np.random.default_rng([seed, 7]).normal(size=(size, _MIXED)) / _MIXED**0.5).float()


def merge_alike(coefficients: torch.Tensor, tolerance: float = 1e-3) -> torch.Tensor:
    """Find frames that look the same to the tower, but for rounding.

    Opposite drifts of a grating begin with the same picture, a film may stand still: telling such frames apart is not asked of the spikes.

    Parameters
    ----------
    coefficients : torch.Tensor
        Of the frames' grids, (frame, rank).
    tolerance : float
        Squared distance that counts as none, as a share of the frames' mean squared distance from their mean.

    Returns
    -------
    torch.Tensor
        Picture of each frame, int64 (frame,), numbered in order of first appearance.
    """
    limit = tolerance * coefficients.square().sum(1).mean()
    leaders, n = torch.empty(len(coefficients), dtype=torch.int64), 0
    picture = torch.empty(len(coefficients), dtype=torch.int64)
    # In double precision, in which distances of large numbers may be small.
    exact = coefficients.double()
    lengths = exact.square().sum(1)
    for start in range(0, len(exact), _CHUNK):
        part = exact[start : start + _CHUNK]
        distances = lengths[start : start + len(part), None] + lengths - 2 * part @ exact.T
        for row, distance in enumerate(distances, start):
            near = distance[leaders[:n]]
            if n and near.min() <= limit:
                picture[row] = int(near.argmin())
            else:
                picture[row], leaders[n] = n, row
                n += 1
    return picture


def even_out(coefficients: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """Return coefficients (frame, rank) in which frames of one picture have their common mean."""
    count = torch.bincount(picture).unsqueeze(1)
    mean = torch.zeros(len(count), coefficients.shape[1]).index_add_(0, picture, coefficients) / count
    return mean[picture]


def by_picture(log_p: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """Sum probabilities of states that look the same: log p (batch, state) to log p (batch, picture)."""
    n = int(picture.max()) + 1
    if n == log_p.shape[1]:
        return log_p
    summed = torch.zeros(len(log_p), n).index_add(1, picture, log_p.exp())
    return summed.clamp(min=1e-30).log()
