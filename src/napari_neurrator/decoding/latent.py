r"""Grids of frames that were never shown: a regression from what units have in common to what the frames have in common.

The states' mean responses lie near few dimensions, :math:`\mu_s \approx V^T \phi_s`, with latents of unit variance. For a subset of units the posterior
mean of the latents of a new frame is linear in the spikes,

.. math:: \hat\phi = K x, \quad K = V (\Sigma + V^T V)^{-1},

one solve of the size of the latents (Woodbury). A frame with latents :math:`\phi` is seen by the subset at :math:`K V^T \phi`, scattered by the noise of
single trials, :math:`K \Sigma K^T`. From there a ridge regression to the coefficients of the grids is fitted, each coefficient with the penalty that
predicts stretches of frames best that were left out: what the subset cannot tell of frames it has not seen falls back to the mean. All that the
regression needs of the frames is their second moments, so its cost does not grow with the length of the film.
"""

from dataclasses import dataclass

import torch

from .bayes import EncodingModel

_PENALTIES = 10.0 ** torch.arange(-4.0, 2.1, 0.75)


@dataclass(eq=False)
class LatentModel:
    r"""What a subset's regression is made of.

    Attributes
    ----------
    loadings : torch.Tensor
        :math:`V`, (latent, feature).
    noise : torch.Tensor
        Variance of single trials that units do not share, and of mean responses that the latents leave out: (feature,).
    shared : torch.Tensor
        Loadings of the noise that units share, (feature, rank of the noise).
    mean : torch.Tensor
        Mean coefficients of the grids, (rank,).
    moments : torch.Tensor
        Of the latents in each stretch of frames, :math:`\sum_s w_s \phi_s \phi_s^T`: (stretch, latent, latent).
    targets : torch.Tensor
        :math:`\sum_s w_s \phi_s y_s^T` with the deviations :math:`y` of the coefficients from their mean: (stretch, latent, rank).
    weights : torch.Tensor
        Showings in each stretch, (stretch,).
    """

    loadings: torch.Tensor
    noise: torch.Tensor
    shared: torch.Tensor
    mean: torch.Tensor
    moments: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def fit(
        cls, model: EncodingModel, coefficients: torch.Tensor, parts: torch.Tensor, rank: int = 48
    ) -> "LatentModel":
        """Find the latents of an encoding model's mean responses, `rank` of them at most.

        Parameters
        ----------
        model : EncodingModel
            Of all units; states that were never shown are not used.
        coefficients : torch.Tensor
            Of the states' grids, (state, rank).
        parts : torch.Tensor
            The stretch of frames that each state belongs to, int64 (state,): what is left out together.
        rank : int
            Latents at most.
        """
        seen = model.shown > 0
        weight, parts = model.shown[seen], parts[seen]
        total = weight.sum()
        scale = model.noise.sqrt()
        weighted = (model.means[seen] / scale) * weight.sqrt()[:, None]
        left, values, vectors = torch.linalg.svd(weighted, full_matrices=False)
        n = min(rank, int((values > 1e-3 * values[0]).sum())) if values.numel() and values[0] > 0 else 0
        inside = (left[:, :n] * values[:n]) @ vectors[:n]
        rest = (weighted - inside).square().sum(0) / total * scale.square()
        latents = left[:, :n] * total.sqrt() / weight.sqrt()[:, None]
        latents = latents - (latents * weight[:, None]).sum(0) / total
        mean = (coefficients[seen] * weight[:, None]).sum(0) / total
        target = coefficients[seen] - mean
        stretches = [parts == part for part in parts.unique()]
        weighted_latents = latents * weight[:, None]
        return cls(
            loadings=values[:n, None] * vectors[:n] / total.sqrt() * scale,
            noise=model.noise + rest,
            shared=model.loadings,
            mean=mean,
            moments=torch.stack([weighted_latents[some].T @ latents[some] for some in stretches]),
            targets=torch.stack([weighted_latents[some].T @ target[some] for some in stretches]),
            weights=torch.stack([weight[some].sum() for some in stretches]),
        )

    def regression(self, features: torch.Tensor) -> "Regression":
        """Fit the regression of a subset, from the positions of its features among all, int64."""
        loadings, noise, shared = self.loadings[:, features], self.noise[features], self.shared[features]
        n = len(loadings)
        if not n:
            return Regression(loadings, torch.zeros(0, len(self.mean)), self.mean)
        common = torch.cat([shared.T, loadings])
        weighted = common / noise
        factor = torch.linalg.cholesky(torch.eye(len(common)) + weighted @ common.T)
        gain = weighted[-n:] - torch.cholesky_solve(weighted @ loadings.T, factor).T @ weighted
        seen_at = gain @ loadings.T
        across = gain @ shared
        scatter = (gain * noise) @ gain.T + across @ across.T
        total = self.weights.sum()
        moments = seen_at @ self.moments @ seen_at.T
        targets = seen_at @ self.targets
        every, towards = moments.sum(0), targets.sum(0)
        # Silent units tell nothing, and 0 is not to be divided by 0.
        penalties = _PENALTIES * ((every.trace() / total + scatter.trace()) / n).clamp(min=1e-9)
        kept = (total - self.weights)[:, None, None]
        # All stretches at once; where there is one only, nothing can be left out.
        values, vectors = torch.linalg.eigh((every - moments) / kept.clamp(min=1) + scatter)
        turned = vectors.mT
        solved = turned @ (towards - targets) / kept.clamp(min=1)
        within = turned @ (moments + self.weights[:, None, None] * scatter) @ vectors
        weights = solved / (values.clamp(min=0)[:, :, None] + penalties[:, None, None, None])
        # Relative to the error of saying the mean: (penalty, coefficient).
        errors = (((within @ weights).sub_(2 * (turned @ targets))).mul_(weights)).sum((1, 2))
        best = errors.min(0)
        values, vectors = torch.linalg.eigh(every / total + scatter)
        weights = vectors @ ((vectors.T @ towards / total) / (values.clamp(min=0)[:, None] + penalties[best.indices]))
        if len(self.weights) > 1:
            weights[:, best.values >= 0] = 0
        return Regression(gain, weights, self.mean)


@dataclass(frozen=True)
class Regression:
    """From a subset's features (less the grand mean) to the coefficients of a grid."""

    gain: torch.Tensor
    weights: torch.Tensor
    mean: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients, (batch, rank), of features less the grand mean, (batch, feature)."""
        return self.mean + (x @ self.gain.T) @ self.weights
