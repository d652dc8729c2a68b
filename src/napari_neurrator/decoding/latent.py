r"""Grids of frames that were never shown: a regression from what units have in common to what the frames have in common.

The states' mean responses lie near few dimensions, :math:`\mu_s \approx V^T \phi_s`, with latents of unit variance. For a subset of units the posterior
mean of the latents of a new frame is linear in the spikes,

.. math:: \hat\phi = V (\Sigma + V^T V)^{-1} x,

one solve of the size of the latents (Woodbury). From the latents of the frames that were shown, as *these* units see them (trial noise added in closed
form), a ridge regression to the coefficients of the grids is fitted, each coefficient with the penalty that predicts stretches of frames best
that were left out: what the subset cannot tell of frames it has not seen falls back to the mean.
"""

from dataclasses import dataclass

import torch

from .bayes import EncodingModel

_PENALTIES = 10.0 ** torch.arange(-4, 2.1, 0.5)


@dataclass(eq=False)
class LatentModel:
    """What a subset's regression is made of.

    Attributes
    ----------
    loadings : torch.Tensor
        :math:`V`, (latent, feature).
    rest : torch.Tensor
        Variance of the mean responses that the latents leave out: (feature,).
    model : EncodingModel
        Of all units; states that were never shown are not used.
    coefficients : torch.Tensor
        Of the states' grids, (state, rank).
    parts : torch.Tensor
        The stretch of frames that each state belongs to, int64 (state,): what is left out together.
    """

    loadings: torch.Tensor
    rest: torch.Tensor
    model: EncodingModel
    coefficients: torch.Tensor
    parts: torch.Tensor

    @classmethod
    def fit(
        cls, model: EncodingModel, coefficients: torch.Tensor, parts: torch.Tensor, rank: int = 48
    ) -> "LatentModel":
        """Find the latents of an encoding model's mean responses, `rank` of them at most."""
        seen = model.shown > 0
        weight = model.shown[seen]
        scale = model.noise.sqrt()
        weighted = (model.means[seen] / scale) * weight.sqrt()[:, None]
        _, values, vectors = torch.linalg.svd(weighted, full_matrices=False)
        n = min(rank, int((values > 1e-3 * values[0]).sum())) if values.numel() and values[0] > 0 else 0
        loadings = values[:n, None] * vectors[:n] / weight.sum().sqrt() * scale
        inside = (weighted @ vectors[:n].T) @ vectors[:n]
        rest = (weighted - inside).square().sum(0) / weight.sum() * scale.square()
        return cls(loadings, rest, model, coefficients, parts)

    def __post_init__(self) -> None:
        seen = self.model.shown > 0
        self._weight, self._parts, self._target = self.model.shown[seen], self.parts[seen], self.coefficients[seen]
        # By feature, so that those of a subset lie side by side.
        self._raw = self.model.raw[seen].T.contiguous()

    def regression(self, features: torch.Tensor) -> "Regression":
        """Fit the regression of a subset, from the positions of its features among all, int64."""
        model = self.model
        loadings, noise = self.loadings[:, features], model.noise[features] + self.rest[features]
        shared = torch.cat([model.loadings[features].T, loadings])
        weighted = shared / noise
        factor = torch.linalg.cholesky(torch.eye(len(shared)) + weighted @ shared.T)
        gain = loadings / noise - torch.cholesky_solve((loadings @ weighted.T).T, factor).T @ weighted
        weight, parts, target = self._weight, self._parts, self._target
        total = weight.sum()
        mean = (target * weight[:, None]).sum(0) / total
        target = target - mean
        latents = self._raw[features].T @ gain.T
        centre = (latents * weight[:, None]).sum(0) / total
        latents = latents - centre
        across = gain @ model.loadings[features]
        # Scatter of single trials round the frame's mean, which the regression sees as well.
        trial = ((gain * noise) @ gain.T + across @ across.T) * (total - len(weight)).clamp(min=0) / total
        scale = (trial.trace() + (latents.square() * weight[:, None]).sum() / total) / max(len(trial), 1)
        # Silent units tell nothing, and 0 is not to be divided by 0.
        penalties = _PENALTIES * scale.clamp(min=1e-9)
        null = (target.square() * weight[:, None]).sum(0)
        errors = torch.zeros(len(penalties), target.shape[1])
        for part in parts.unique():
            kept, left = parts != part, parts == part
            if not kept.any():
                continue
            values, vectors, projected = self._solve(latents[kept], target[kept], weight[kept], trial)
            here, scatter = latents[left] @ vectors, ((vectors.T @ trial) * vectors.T).sum(1)
            for row, penalty in enumerate(penalties):
                weights = projected / (values + penalty)[:, None]
                error = ((here @ weights - target[left]).square() * weight[left, None]).sum(0)
                errors[row] += error + weight[left].sum() * (scatter @ weights.square())
        if len(parts.unique()) < 2:
            errors[:] = 0
        best = errors.argmin(0)
        values, vectors, projected = self._solve(latents, target, weight, trial)
        weights = vectors @ (projected / (values[:, None] + penalties[best]))
        weights[:, errors.min(0).values >= null] = 0
        return Regression(gain, centre, weights, mean)

    @staticmethod
    def _solve(
        latents: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, trial: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        total = weight.sum()
        values, vectors = torch.linalg.eigh((latents * weight[:, None]).T @ latents / total + trial)
        projected = vectors.T @ ((latents * weight[:, None]).T @ target) / total
        return values.clamp(min=0), vectors, projected


@dataclass(frozen=True)
class Regression:
    """From a subset's features (less the grand mean) to the coefficients of a grid."""

    gain: torch.Tensor
    centre: torch.Tensor
    weights: torch.Tensor
    mean: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients, (batch, rank), of features less the grand mean, (batch, feature)."""
        return self.mean + (x @ self.gain.T - self.centre) @ self.weights
