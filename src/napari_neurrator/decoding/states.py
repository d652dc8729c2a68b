"""The distinct pictures of a session: frames that look the same to the vision model are one state."""

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
        State of each frame, int64 (frame,), numbered in order of first appearance.
    """
    limit = tolerance * coefficients.square().sum(1).mean()
    leaders: list[int] = []
    state = torch.empty(len(coefficients), dtype=torch.int64)
    for row, vector in enumerate(coefficients):
        near = (coefficients[leaders] - vector).square().sum(1) if leaders else torch.empty(0)
        if len(near) and near.min() <= limit:
            state[row] = int(near.argmin())
        else:
            state[row] = len(leaders)
            leaders.append(row)
    return state


def means_by_state(coefficients: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Return the mean coefficients of the frames of each state, (state, rank)."""
    count = torch.bincount(state).unsqueeze(1)
    return torch.zeros(len(count), coefficients.shape[1]).index_add_(0, state, coefficients) / count
