"""Grids as few numbers: what the regressions predict instead of hundreds of thousands."""

from dataclasses import dataclass

import numpy as np
import torch

from ..basis import GridBasis, kept_core
from ..interface import TrainingData
from ..rows import Rows
from .counts import mean_grid


@dataclass(frozen=True, eq=False)
class GridTargets:
    """Coefficients of the grids that some moments show, in an orthonormal basis of those grids.

    The squared error of grids is that of their coefficients (up to what the basis drops), so a regression of coefficients is the regression
    of all patches at once.

    Attributes
    ----------
    basis : GridBasis
        Of the grids.
    states : torch.Tensor
        Which row of ``basis.coefficients`` each moment shows, int64 (moment,).
    prior : torch.Tensor
        Mean grid over the training moments, float32 (patches, width).
    """

    basis: GridBasis
    states: torch.Tensor
    prior: torch.Tensor

    @classmethod
    def fit(cls, data: TrainingData, moments: np.ndarray, rank: int) -> "GridTargets":
        """Find the components of the frames that `moments` show; other frames are not looked at."""
        frames, states = np.unique(data.frames[moments], return_inverse=True)
        basis = GridBasis.fit(Rows(data.grids, frames), rank)
        return cls(basis, torch.from_numpy(states.astype(np.int64)), mean_grid(data.grids, data.frames[data.train]))

    @property
    def values(self) -> torch.Tensor:
        """Coefficients of every moment, float32 (moment, rank)."""
        return self.basis.coefficients[self.states]

    def state(self) -> dict[str, torch.Tensor]:
        """Return the tensors to save."""
        return {
            "grid_mean": self.basis.mean,
            "grid_codes": self.basis.codes,
            "grid_steps": self.basis.steps,
            "grid_channels": self.basis.channels,
            "grid_coefficients": self.basis.coefficients,
            "states": self.states.int(),
            "prior": self.prior,
        }

    @classmethod
    def from_state(cls, tensors: dict[str, torch.Tensor]) -> "GridTargets":
        """Make it of what `state` returned."""
        prior = tensors["prior"].float()
        basis = GridBasis(
            tensors["grid_mean"].float(),
            *kept_core(tensors),
            tensors["grid_channels"].float(),
            tensors["grid_coefficients"].float(),
            (prior.shape[0], prior.shape[1]),
        )
        return cls(basis, tensors["states"].long(), prior)
