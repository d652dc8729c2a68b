r"""The subset decoder: an encoding model of every unit, inverted in closed form for any subset of units.

Model. The square root of a unit's spike count in a block of the window (which has nearly constant variance) is Gaussian around a mean that
depends on the frame shown, with noise shared between units:

.. math:: x = \mu_s + L z + \epsilon, \quad z \sim N(0, I_r), \quad \epsilon_f \sim N(0, d_f)

:math:`s` is one of the distinct frames of the session (a *state*), :math:`f` runs over blocks × units. A subset of units is a subset of the
rows of :math:`\mu, L, d`, so the posterior over frames of any subset costs one r × r solve (Woodbury):

.. math:: \log p(s | x) = \tau \, (x^T \Sigma^{-1} \mu_s - \tfrac12 \mu_s^T \Sigma^{-1} \mu_s) + \mathrm{const}, \quad
          \Sigma = L L^T + D

The decoded grid is the posterior mean of the grids, which is the estimate of least squared error. Units that do not answer to the stimulus get
:math:`\mu_s` shrunk to their mean (empirical Bayes), so they add nothing, and the decoded grid falls back to the prior: the mean grid.
:math:`\tau`, a smooth function of the subset's size and information, is calibrated on showings that the model was not fitted on.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import nn


def block_features(counts: torch.Tensor, blocks: int) -> torch.Tensor:
    """Turn counts (batch, bin, unit) into variance-stabilised features (batch, block, unit); bins beyond a whole block join the last."""
    edges = torch.linspace(0, counts.shape[1], blocks + 1).round().long()
    sums = torch.stack([counts[:, a:b].sum(1) for a, b in itertools.pairwise(edges)], dim=1)
    # Anscombe's transform without its factor of 2: the variance of a Poisson count becomes about 1/4.
    return (sums.float() + 0.375).sqrt()


@dataclass
class EncodingModel:
    r"""How every unit answers to every state.

    Attributes
    ----------
    means : torch.Tensor
        :math:`\\mu`, less the grand mean: (state, block, unit).
    grand_mean : torch.Tensor
        (block, unit).
    loadings : torch.Tensor
        :math:`L`: (block, unit, rank).
    noise : torch.Tensor
        :math:`d`, the uncertainty of the means included: (block, unit).
    """

    means: torch.Tensor
    grand_mean: torch.Tensor
    loadings: torch.Tensor
    noise: torch.Tensor

    @classmethod
    def fit(cls, features: torch.Tensor, states: torch.Tensor, n_states: int, rank: int = 16) -> "EncodingModel":
        """Estimate the model.

        Parameters
        ----------
        features : torch.Tensor
            (moment, block, unit).
        states : torch.Tensor
            State shown at each moment, int64 (moment,).
        n_states : int
            Number of states; those never shown get the grand mean.
        rank : int
            Dimensions of the shared noise.
        """
        n, blocks, units = features.shape
        flat = features.reshape(n, -1).double()
        grand = flat.mean(0)
        shown = torch.zeros(n_states, dtype=torch.float64).index_add_(0, states, torch.ones(n, dtype=torch.float64))
        sums = torch.zeros(n_states, flat.shape[1], dtype=torch.float64).index_add_(0, states, flat - grand)
        raw = sums / shown.clamp(min=1)[:, None]
        residual = flat - grand - raw[states]
        freedom = max(n - int((shown > 0).sum()), 1)
        variance = residual.square().sum(0) / freedom + 1e-4
        # Empirical Bayes: the spread of the raw means is signal plus the noise of averaging; only the signal's share is kept.
        repeats = shown.clamp(min=1)
        seen = shown > 0
        spread = (raw[seen].square() - variance / repeats[seen][:, None]).mean(0).clamp(min=0)
        error = variance / repeats[:, None]
        means = raw * (spread / (spread + error)) * seen[:, None]
        uncertainty = (spread * error / (spread + error))[seen].mean(0) if seen.any() else torch.zeros_like(spread)
        scale = variance.sqrt()
        correlation = (residual / scale).T @ (residual / scale) / freedom
        loadings = _shared_part(correlation, rank, n) * scale[:, None]
        noise = (variance - loadings.square().sum(1)).clamp(min=0.05 * variance) + uncertainty

        def shaped(tensor: torch.Tensor, *tail: int) -> torch.Tensor:
            return tensor.float().reshape(*tensor.shape[: tensor.ndim - 1 - len(tail)], blocks, units, *tail)

        return cls(shaped(means), shaped(grand), loadings.float().reshape(blocks, units, -1), shaped(noise))


def _shared_part(correlation: torch.Tensor, rank: int, n: int) -> torch.Tensor:
    """Principal-axis factoring: loadings of what the features' noise has in common (feature, rank)."""
    size = correlation.shape[0]
    rank = min(rank, max(size - 1, 1))
    # Below this eigenvalue noise of independent features would reach by chance (Marchenko-Pastur edge).
    edge = (1 + (size / max(n, 1)) ** 0.5) ** 2
    communality = torch.full((size,), 0.2, dtype=correlation.dtype)
    loadings = torch.zeros(size, rank, dtype=correlation.dtype)
    reduced = correlation.clone()
    for _ in range(3):
        reduced.diagonal().copy_(communality)
        values, vectors = torch.linalg.eigh(reduced)
        values, vectors = values[-rank:], vectors[:, -rank:]
        kept = (values > edge - 1).to(values.dtype)
        loadings = vectors * (values.clamp(min=0) * kept).sqrt()
        communality = loadings.square().sum(1).clamp(max=0.9)
    return loadings


class SubsetPosterior(nn.Module):
    """The posterior over states given any subset of units.

    Parameters
    ----------
    model : EncodingModel
        Of all units that the decoder knows.
    """

    means: torch.Tensor
    grand_mean: torch.Tensor
    loadings: torch.Tensor
    noise: torch.Tensor

    def __init__(self, model: EncodingModel):
        super().__init__()
        self.register_buffer("means", model.means)
        self.register_buffer("grand_mean", model.grand_mean)
        self.register_buffer("loadings", model.loadings)
        self.register_buffer("noise", model.noise)
        # log of the temperature: constant, slope over log subset size, slope over log information.
        self.sharpness = nn.Parameter(torch.tensor([-0.3, 0.0, 0.0]))

    @property
    def blocks(self) -> int:
        """Blocks that a window is divided into."""
        return self.noise.shape[0]

    def forward(self, features: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Return log p(state | features).

        Parameters
        ----------
        features : torch.Tensor
            (batch, block, unit of the subset).
        units : torch.Tensor
            Positions of the subset's units among all, int64 (unit of the subset,).

        Returns
        -------
        torch.Tensor
            (batch, state), normalised.
        """
        x = (features - self.grand_mean[:, units]).flatten(1)
        means = self.means[:, :, units].flatten(1)
        loadings = self.loadings[:, units].flatten(0, 1)
        precision = 1 / self.noise[:, units].flatten()
        weighted = loadings * precision[:, None]
        inner = torch.eye(loadings.shape[1], device=x.device) + loadings.T @ weighted
        # Σ⁻¹μ by Woodbury, for all states at once.
        filters = means * precision - torch.linalg.solve(inner, (means @ weighted).T).T @ weighted.T
        energy = (means * filters).sum(1)
        log_likelihood = x @ filters.T - 0.5 * energy
        temperature = self.temperature(len(units), energy.mean())
        return torch.log_softmax(temperature * log_likelihood, dim=1)

    def temperature(self, n_units: int, information: torch.Tensor) -> torch.Tensor:
        """Return by how much the log-likelihood is flattened: correlations that the model misses make it too sure."""
        design = torch.stack(
            [torch.ones(()), torch.log(torch.tensor(float(n_units))), torch.log1p(information.detach().cpu())]
        )
        return torch.exp((self.sharpness * design.to(self.sharpness.device)).sum()).clamp(0.02, 2.0)
