r"""Grids of frames that were never shown: a regression from what units have in common to what the frames have in common.

The states' mean responses lie near few dimensions, :math:`\mu_s \approx V^T \phi_s`, with latents of unit variance. For a subset of units the posterior
mean of the latents of a new frame is linear in the spikes,

.. math:: \hat\phi = K x, \quad K = V (\Sigma + V^T V)^{-1},

one solve of the size of the latents (Woodbury). A frame with latents :math:`\phi` is seen by the subset at :math:`K V^T \phi`, scattered by the noise of
single trials, :math:`K \Sigma K^T`. From there two ridge regressions to the coefficients of the grids are fitted, one with the penalty for each coefficient
that predicts stretches of frames best that were left out, one with the best penalty for all of them, and their mean is taken: a film has few stretches, so
penalties that follow them one by one are too particular, and a common one leaves in what the subset cannot tell. All that the regression needs of the frames is
their second moments, so its cost does not grow with the length of the film.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .bayes import EncodingModel
from .kernels import add_errors, divided
from .memory import empty
from .parallel import in_parts

_PENALTIES = 10.0 ** torch.arange(-4.0, 2.1, 0.75)
# Eigenvalues that differ by less than this share, the smallest penalty added, count as equal: the error is half its square.
_NEAR = 3e-4


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

    @cached_property
    def _rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Loadings of shared noise and of latents, and the inverse, both over the standard deviation: (feature, rank + latent), (feature,)."""
        scale = self.noise.rsqrt()
        return torch.cat([self.shared, self.loadings.T], dim=1) * scale[:, None], scale

    @cached_property
    def _sides(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Right sides of the regressions: of each stretch, beside those of what is kept without it, (stretch, latent, 2 · rank); of all, (latent, rank)."""
        every, total = self.targets.sum(0), self.weights.sum()
        return torch.cat([self.targets, (every - self.targets) / self._kept], dim=2), every / total

    @property
    def _kept(self) -> torch.Tensor:
        return (self.weights.sum() - self.weights)[:, None, None].clamp(min=1)

    def posterior(self, features: torch.Tensor) -> "LatentPosterior":
        """Return what a subset tells of the latents, from the positions of its features among all, int64."""
        n = len(self.loadings)
        every_row, every_scale = self._rows
        rows, scale = empty(len(features), every_row.shape[1]), every_scale[features]
        torch.index_select(every_row, 0, features, out=rows)
        # All that the units add is one small matrix: everything below is of the size of the latents.
        inner = rows.T @ rows
        turn = torch.cholesky_inverse(torch.linalg.cholesky(torch.eye(len(inner)) + inner))[len(inner) - n :]
        return LatentPosterior(rows, scale, turn, turn @ inner)

    def regression(self, posterior: "LatentPosterior") -> "Regression":
        """Fit the regression of a subset, from what it tells of the latents."""
        n, turn, seen = len(self.loadings), posterior.turn, posterior.seen
        if not n:
            return Regression(torch.zeros(0, len(self.mean)), self.mean)
        seen_at, across = seen[:, -n:], seen[:, :-n]
        scatter = seen @ turn.T + across @ across.T
        total = self.weights.sum()
        moments = seen_at @ self.moments @ seen_at.T
        every = moments.sum(0)
        # Silent units tell nothing, and 0 is not to be divided by 0.
        penalties = _PENALTIES * ((every.trace() / total + scatter.trace()) / n).clamp(min=1e-9)
        # Where there is one stretch only, nothing can be left out. Last comes the whole.
        grams = torch.cat([(every - moments) / self._kept, (every / total)[None]]) + scatter
        # Units that next to nothing drives leave numbers so small that their eigenvectors are not found; a power of two changes nothing else.
        scale = torch.exp2(grams.abs().amax().clamp(min=1e-30).log2().ceil())
        sides, towards = self._sides
        moments = moments + self.weights[:, None, None] * scatter

        def without(first: int, last: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
            values, vectors = torch.linalg.eigh(grams[first:last] / scale)
            values = values.clamp_(min=0).mul_(scale)
            left = slice(first, min(last, len(moments)))
            turned = vectors[: left.stop - first].mT
            turned_sides = torch.bmm(turned @ seen_at, sides[left], out=empty(len(turned), *sides.shape[1:]))
            within = turned @ moments[left] @ turned.mT
            return values[-1], vectors[-1], left_out_errors(values[: len(turned)], within, turned_sides, penalties)

        *_, (values, vectors, _) = parts = in_parts(without, len(grams))
        errors = sum(part[2] for part in parts)
        # Each coefficient's own penalty follows the few stretches there are closely, a common one not at all: half of each.
        common = errors.sum(1)
        shrunk = 1 / (values[:, None] + penalties[torch.from_numpy(errors.argmin(0))])
        shrunk_alike = 1 / (values[:, None] + penalties[int(common.argmin())])
        if len(self.weights) > 1:
            shrunk *= torch.from_numpy(errors.min(0) < 0)
            shrunk_alike *= float(common.min() < 0)
        weights = vectors @ (((vectors.T @ seen_at) @ towards) * (shrunk + shrunk_alike).mul_(0.5))
        return Regression(weights, self.mean)


def left_out_errors(
    values: torch.Tensor, within: torch.Tensor, sides: torch.Tensor, penalties: torch.Tensor
) -> np.ndarray:
    r"""Return the squared errors of ridge regressions on what they were not fitted on, less those of saying the mean, float64 (penalty, coefficient).

    A stretch's weights are :math:`w_a = s_a g_a` with :math:`g_a = 1 / (\lambda_a + p)`, its error :math:`w^T M w - 2 w^T t`. Since
    :math:`g_a g_b = (g_a - g_b) / (\lambda_b - \lambda_a)`, the square is a sum over :math:`a` of :math:`g_a` times what does not depend on the penalty, so
    that a product of matrices is needed once and not for every penalty; in double precision, because differences may be small. Where two eigenvalues
    are too close for that, :math:`(g_a^2 + g_b^2) / 2` stands for the product, from which it differs by less than float32 can tell.

    Parameters
    ----------
    values : torch.Tensor
        :math:`\lambda`, eigenvalues of what each regression was fitted on: (stretch, latent).
    within : torch.Tensor
        :math:`M`, second moments of what was left out, in the eigenvectors' coordinates: (stretch, latent, latent).
    sides : torch.Tensor
        In these coordinates, :math:`t` and beside it :math:`s`, right sides of what was left out and of what was fitted on: (stretch, latent, 2 · coefficient).
    penalties : torch.Tensor
        Ascending and above 0, (penalty,).
    """
    n, size, n_coefficients = *values.shape, sides.shape[2] // 2
    apart, close = empty(n, size, size, dtype=torch.float64), empty(n, size, size)
    divided(values.numpy(), within.numpy(), float(penalties[0]), _NEAR, apart.numpy(), close.numpy())
    solved, exact = sides[:, :, n_coefficients:], empty(n, size, n_coefficients, dtype=torch.float64)
    once, twice = empty(*exact.shape, dtype=torch.float64), empty(n, size, n_coefficients)
    torch.bmm(apart, exact.copy_(solved), out=once)
    torch.bmm(close, solved, out=twice)
    errors = np.zeros((len(penalties), n_coefficients))
    add_errors(values.numpy(), penalties.numpy(), sides.numpy(), once.numpy(), twice.numpy(), errors)
    return errors


@dataclass(frozen=True, eq=False)
class LatentPosterior:
    """What a subset tells of the latents.

    Attributes
    ----------
    rows : torch.Tensor
        Loadings of shared noise and of latents over the features' standard deviation, (feature, rank + latent).
    scale : torch.Tensor
        The inverse of that, (feature,).
    turn : torch.Tensor
        From the features' sums along `rows` to the posterior mean of the latents, (latent, rank + latent).
    seen : torch.Tensor
        Where, on average over trials, that mean lies of noise and latents of variance 1: (latent, rank + latent).
    """

    rows: torch.Tensor
    scale: torch.Tensor
    turn: torch.Tensor
    seen: torch.Tensor

    @property
    def gain(self) -> torch.Tensor:
        """From features to the posterior mean of the latents, (latent, feature)."""
        return (self.turn @ self.rows.T) * self.scale

    @property
    def known(self) -> torch.Tensor:
        """How much of each latent the subset tells, from 0 to 1: (latent,)."""
        return self.seen[:, -len(self.seen) :].diagonal() if len(self.seen) else self.scale.new_zeros(0)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the posterior mean of the latents, (batch, latent), of features less the grand mean, (batch, feature)."""
        if len(x) == 1:
            # A single moment is sooner done as products of matrix and vector.
            return torch.mv(self.turn, torch.mv(self.rows.T, x[0] * self.scale))[None]
        return (x * self.scale) @ self.rows @ self.turn.T


@dataclass(frozen=True, eq=False)
class Regression:
    """From the posterior mean of a subset's latents to the coefficients of a grid.

    Attributes
    ----------
    weights : torch.Tensor
        (latent, coefficient).
    mean : torch.Tensor
        Mean coefficients, (coefficient,).
    """

    weights: torch.Tensor
    mean: torch.Tensor

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the coefficients, (batch, rank), of latents, (batch, latent)."""
        if len(latents) == 1:
            return torch.addmv(self.mean, self.weights.T, latents[0])[None]
        return self.mean + latents @ self.weights
