"""The distinct pictures of a session: frames that look the same to the vision model."""

import torch


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
    leaders: list[int] = []
    picture = torch.empty(len(coefficients), dtype=torch.int64)
    for row, vector in enumerate(coefficients):
        near = (coefficients[leaders] - vector).square().sum(1) if leaders else torch.empty(0)
        if len(near) and near.min() <= limit:
            picture[row] = int(near.argmin())
        else:
            picture[row] = len(leaders)
            leaders.append(row)
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
