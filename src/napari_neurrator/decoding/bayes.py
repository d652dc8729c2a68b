r"""An encoding model of every unit, inverted in closed form for any subset of units.

Model. The square root of a unit's spike count in a block of the window (which has nearly constant variance) is Gaussian around a mean that
depends on the frame shown, with noise shared between units:

.. math:: x = \mu_s + L z + \epsilon, \quad z \sim N(0, I_r), \quad \epsilon_f \sim N(0, d_f)

:math:`s` is one of the distinct frames of the session (a *state*), :math:`f` runs over blocks × units. A subset of units is a subset of the
rows of :math:`\mu, L, d`, so the posterior over frames of any subset costs one r × r solve (Woodbury):

.. math:: \log p(s | x) = \tau \, (x^T \Sigma^{-1} \mu_s - \tfrac12 \mu_s^T \Sigma^{-1} \mu_s) + \mathrm{const}, \quad
          \Sigma = L L^T + D

The posterior mean of the grids is the estimate of least squared error among frames that are known. Units that do not answer to the stimulus get
:math:`\mu_s` shrunk to their mean (empirical Bayes), so they add nothing, and the decoded grid falls back to the prior: the mean grid.
:math:`\tau`, a smooth function of the subset's size and information, is calibrated on showings that the model was not fitted on.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .kernels import add_rows, add_sums
from .parallel import in_parts

# Moments that the noise correlations are estimated from: at least, and as many as numbers of all units' features.
_NOISE_MOMENTS, _NOISE_NUMBERS = 2048, 2**24
# Moments, and features, that are worked on at a time.
_CHUNK, _FEATURES = 1024, 1024
# Features of a subset that are gathered at a time for many moments; up to so many are few.
_ROWS, _FEW = 512, 4
# Products of means and weights from which on several threads sum them sooner than one.
_WORTH_THREADS = 2**23


def block_features(counts: torch.Tensor) -> torch.Tensor:
    """Turn counts in blocks of the window into features whose variance is nearly constant: that of a Poisson count becomes about 1/4."""
    # Anscombe's transform without its factor of 2.
    return (counts.float() + 0.375).sqrt()


def features_of(counts: np.ndarray, rows: np.ndarray, units: np.ndarray | None = None) -> torch.Tensor:
    """Return the features of some moments, all units' or some's, block by block: (row, feature), of counts (moment, block, unit)."""
    some = counts[rows] if units is None else counts[rows][:, :, units]
    return block_features(torch.from_numpy(some.astype(np.int32))).flatten(1)


@dataclass
class EncodingModel:
    r"""How every unit answers to every state.

    Attributes
    ----------
    means : torch.Tensor
        :math:`\mu`, less the grand mean: (state, feature), features being blocks × units.
    grand_mean : torch.Tensor
        (feature,).
    loadings : torch.Tensor
        :math:`L`, without factors that were dropped: (feature, rank).
    noise : torch.Tensor
        :math:`d`, the uncertainty of the means included: (feature,).
    shown : torch.Tensor
        How often each state was shown: (state,).
    """

    means: torch.Tensor
    grand_mean: torch.Tensor
    loadings: torch.Tensor
    noise: torch.Tensor
    shown: torch.Tensor

    @classmethod
    def fit(
        cls,
        counts: np.ndarray,
        rows: np.ndarray,
        states: torch.Tensor,
        n_states: int,
        picture: torch.Tensor | None = None,
        rank: int = 16,
    ) -> "EncodingModel":
        """Estimate the model.

        Parameters
        ----------
        counts : numpy.ndarray
            Spike counts (moment, block, unit); read some rows at a time.
        rows : numpy.ndarray
            The moments to learn from.
        states : torch.Tensor
            State shown at each of `rows`, int64.
        n_states : int
            Number of states; those never shown get their picture's mean, or the grand mean.
        picture : torch.Tensor, optional
            Which states look the same, int64 (state,), numbered from 0: they are shrunk towards their common mean. By default none do.
        rank : int
            Dimensions of the shared noise.
        """
        n, size = len(rows), counts.shape[1] * counts.shape[2]

        def features(places: np.ndarray | slice) -> torch.Tensor:
            return features_of(counts, rows[places])

        shown = torch.bincount(states, minlength=n_states).float()
        means, squares = torch.zeros(n_states, size), torch.zeros(size, dtype=torch.float64)
        for start in range(0, n, _CHUNK):
            part = features(slice(start, start + _CHUNK))
            means.index_add_(0, states[start : start + _CHUNK], part)
            squares += part.square_().sum(0)
        grand = means.sum(0, dtype=torch.float64).float() / max(n, 1)
        seen = shown > 0
        # From here on sums become means, in place: with thousands of units and frames they are large.
        means.div_(shown.clamp(min=1)[:, None]).sub_(grand).mul_(seen[:, None])
        freedom = max(n - int(seen.sum()), 1)
        between = torch.cat([shown @ some.square() for some in means.split(_FEATURES, dim=1)])
        within = squares - n * grand.double().square() - between
        variance = (within.clamp(min=0) / freedom + 1e-4).float()
        scale = variance.sqrt()
        many = max(min(n, _NOISE_NUMBERS // max(size, 1)), min(n, _NOISE_MOMENTS))
        some = np.unique(np.linspace(0, n - 1, many).round().astype(np.int64))
        residual = torch.empty(len(some), size)
        for start in range(0, len(some), _CHUNK):
            places = some[start : start + _CHUNK]
            expected = means[states[torch.from_numpy(places)]].add_(grand)
            residual[start : start + _CHUNK] = features(places).sub_(expected).div_(scale)
        loadings = _shared_part(residual.mul_((n / freedom) ** 0.5), rank) * scale[:, None]
        del residual
        uncertainty = torch.cat(
            [
                _shrink_by_picture(part, shown, own, picture)
                for part, own in zip(means.split(_FEATURES, dim=1), variance.split(_FEATURES), strict=True)
            ]
        )
        noise = torch.maximum(variance - loadings.square().sum(1), 0.05 * variance) + uncertainty
        return cls(means, grand, loadings[:, loadings.any(0)], noise, shown)


def _shrink_by_picture(
    means: torch.Tensor, shown: torch.Tensor, variance: torch.Tensor, picture: torch.Tensor | None
) -> torch.Tensor:
    """Shrink means (state, feature) in place: those of pictures towards 0, those of states towards their picture's. Return how uncertain they stay, (feature,)."""
    if picture is None or int(picture.max()) + 1 == len(means):
        return _shrink(means, shown, variance)
    together = torch.zeros(int(picture.max()) + 1).index_add_(0, picture, shown)
    common = torch.zeros(len(together), means.shape[1]).index_add_(0, picture, means * shown[:, None])
    common /= together.clamp(min=1)[:, None]
    means.sub_(common[picture]).mul_((shown > 0)[:, None])
    # A state's own mean is part of its picture's: their difference is less noisy than either.
    own = torch.where(shown > 0, 1 / (1 / shown.clamp(min=1) - 1 / together[picture].clamp(min=1)).clamp(min=1e-9), 0.0)
    uncertainty = _shrink(means, own, variance) + _shrink(common, together, variance)
    means.add_(common[picture])
    return uncertainty


def _shrink(means: torch.Tensor, shown: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Shrink means (state, feature) towards 0 in place, by empirical Bayes; return how uncertain they stay, (feature,).

    The spread of the means is signal plus the noise of averaging; only the signal's share is kept.
    """
    seen = shown > 0
    if not seen.any():
        return torch.zeros_like(variance)
    error = variance / shown.clamp(min=1)[:, None]
    spread = (means[seen].square() - error[seen]).mean(0).clamp(min=0)
    kept = spread / (spread + error).clamp(min=1e-12)
    means.mul_(kept)
    return (kept * error)[seen].mean(0)


def _shared_part(residual: torch.Tensor, rank: int) -> torch.Tensor:
    """Principal-axis factoring by orthogonal iteration: loadings of what standardised noise (moment, feature) has in common (feature, rank)."""
    n, size = residual.shape
    rank = min(rank, max(size - 1, 1), max(n - 1, 1))
    # Below this eigenvalue noise of independent features would reach by chance (Marchenko-Pastur edge).
    edge = (1 + (size / max(n, 1)) ** 0.5) ** 2
    own = residual.square().mean(0)
    communality = torch.full((size,), 0.2)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.linalg.qr(torch.randn(size, rank, generator=generator))[0]
    loadings = torch.zeros(size, rank)
    for _ in range(3):
        for _ in range(8):
            # The diagonal holds the communalities in place of the variances, and so stays positive.
            product = residual.T @ (residual @ vectors) / n + (communality - own)[:, None] * vectors + vectors
            vectors = torch.linalg.qr(product)[0]
        small = vectors.T @ (residual.T @ (residual @ vectors) / n + (communality - own)[:, None] * vectors)
        values, turn = torch.linalg.eigh((small + small.T) / 2)
        vectors = vectors @ turn
        loadings = vectors * (values.clamp(min=0) * (values > edge - 1)).sqrt()
        communality = loadings.square().sum(1).clamp(max=0.9)
    return loadings


class SubsetPosterior(nn.Module):
    """The posterior over states given any subset of units.

    Parameters
    ----------
    means : torch.Tensor
        Of every state, less the grand mean; by feature, so that those of a subset lie side by side: (feature, state).
    grand_mean, loadings, noise : torch.Tensor
        As in `EncodingModel`.
    sharpness : torch.Tensor, optional
        log of the temperature: constant, slope over log subset size, slope over log information.
    log_prior : torch.Tensor, optional
        Of the states, (state,); by default all are as likely.
    """

    means: torch.Tensor
    grand_mean: torch.Tensor
    loadings: torch.Tensor
    noise: torch.Tensor
    log_prior: torch.Tensor
    precision: torch.Tensor
    weighted: torch.Tensor

    def __init__(
        self,
        means: torch.Tensor,
        grand_mean: torch.Tensor,
        loadings: torch.Tensor,
        noise: torch.Tensor,
        sharpness: torch.Tensor | None = None,
        log_prior: torch.Tensor | None = None,
    ):
        super().__init__()
        for name, tensor in (("means", means), ("grand_mean", grand_mean), ("loadings", loadings), ("noise", noise)):
            self.register_buffer(name, tensor)
        self.register_buffer("log_prior", torch.zeros(means.shape[1]) if log_prior is None else log_prior)
        self._all: tuple[torch.Tensor, torch.Tensor] | None = None
        self.register_buffer("precision", 1 / noise)
        self.register_buffer("weighted", loadings / noise[:, None])
        self.sharpness = nn.Parameter(torch.tensor([-0.3, 0.0, 0.0]) if sharpness is None else sharpness.clone())

    @classmethod
    def of_model(
        cls, model: EncodingModel, picture: torch.Tensor | None = None, sharpness: torch.Tensor | None = None
    ) -> "SubsetPosterior":
        """Make it of an encoding model of all units.

        All pictures that were shown are as likely, and so are all states of one `picture`, int64 (state,); what was not shown cannot be guessed.
        """
        seen = model.shown > 0
        of = torch.arange(len(seen)) if picture is None else picture
        alike = torch.zeros(len(seen)).index_add_(0, of, seen.float())
        log_prior = torch.where(seen, -alike[of].clamp(min=1).log(), -torch.inf)
        return cls(model.means.T.contiguous(), model.grand_mean, model.loadings, model.noise, sharpness, log_prior)

    def _of_all(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sums over all features that `SubsetLikelihood` takes over those of a subset."""
        # No cached_property: it works behind a lock (Python 3.11), where nothing may wait for other threads.
        if self._all is None:
            self._all = self._sums(torch.arange(len(self.means)))
        return self._all

    def _sums(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        energy = torch.zeros(self.means.shape[1])
        shared = torch.zeros(self.loadings.shape[1], self.means.shape[1])
        means, weighted, precision = self.means.numpy(), self.weighted.numpy(), self.precision.numpy()
        n_states = len(energy)

        def add(first: int, last: int) -> None:
            add_sums(means, features.numpy(), weighted, precision, first, last, shared.numpy(), energy.numpy())

        in_parts(add, n_states, len(features) * n_states * (len(shared) + 1) >= _WORTH_THREADS)
        return energy, shared

    def of(self, features: torch.Tensor) -> "SubsetLikelihood":
        """Return the likelihood of a subset, from the positions of its features among all, int64."""
        n = len(self.means)
        if 2 * len(features) <= n:
            energy, shared = self._sums(features)
        else:
            # Of a large subset, what it lacks is sooner summed.
            energy, shared = self._of_all()
            if len(features) < n:
                lacking = torch.ones(n, dtype=torch.bool)
                lacking[features] = False
                missing = self._sums(lacking.nonzero()[:, 0])
                energy, shared = energy - missing[0], shared - missing[1]
        scale = self.precision[features].sqrt_()
        loadings = self.loadings[features].mul_(scale[:, None])
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(torch.eye(loadings.shape[1]) + loadings.T @ loadings))
        energy = energy - (shared * (inverse @ shared)).sum(0)
        return SubsetLikelihood(self.means, features, scale, loadings, inverse, energy)

    def forward(self, x: torch.Tensor, features: torch.Tensor, n_units: int) -> torch.Tensor:
        """Return log p(state | x), normalised: (batch, state).

        Parameters
        ----------
        x : torch.Tensor
            Features of the subset, less nothing: (batch, feature of the subset).
        features : torch.Tensor
            Their positions among all, int64.
        n_units : int
            Units of the subset.
        """
        return self.log_posterior(x - self.grand_mean[features], self.of(features), n_units)

    def log_posterior(
        self, x: torch.Tensor, likelihood: "SubsetLikelihood", n_units: int, flattening: float = 1.0
    ) -> torch.Tensor:
        """Return log p(state | x) from what `of` gave; `x` is less the grand mean, and `flattening` a further factor of the log-likelihood."""
        temperature = self.temperature(n_units, likelihood.energy.mean()) * flattening
        return self.normalised(temperature * likelihood.scores(x))

    def normalised(self, scores: torch.Tensor) -> torch.Tensor:
        """Return log p(state | x) of log-likelihoods (batch, state)."""
        return torch.log_softmax(scores + self.log_prior, dim=1)

    def temperature(self, n_units: int, information: torch.Tensor) -> torch.Tensor:
        """Return by how much the log-likelihood is flattened: correlations that the model misses make it too sure."""
        if not torch.is_grad_enabled():
            # A few numbers are sooner reckoned by the interpreter.
            constant, by_size, by_information = self.sharpness.tolist()
            power = constant + by_size * math.log(n_units) + by_information * math.log1p(float(information))
            return torch.tensor(min(max(math.exp(power), 0.02), 2.0))
        design = torch.stack(
            [torch.ones(()), torch.log(torch.tensor(float(n_units))), torch.log1p(information.detach().cpu())]
        )
        return torch.exp((self.sharpness * design.to(self.sharpness.device)).sum()).clamp(0.02, 2.0)


@dataclass(frozen=True)
class SubsetLikelihood:
    r"""What is worked out once for a subset: the log-likelihood of every state is then linear in the features.

    Attributes
    ----------
    means : torch.Tensor
        :math:`\mu` of all units, (feature, state).
    features : torch.Tensor
        The subset's rows of it, int64 (feature of the subset,).
    scale : torch.Tensor
        :math:`d^{-1/2}`, (feature of the subset,).
    scaled : torch.Tensor
        :math:`D^{-1/2} L`, (feature of the subset, rank).
    inverse : torch.Tensor
        :math:`(I + L^T D^{-1} L)^{-1}`, (rank, rank).
    energy : torch.Tensor
        :math:`\mu_s^T \Sigma^{-1} \mu_s`, (state,).
    """

    means: torch.Tensor
    features: torch.Tensor
    scale: torch.Tensor
    scaled: torch.Tensor
    inverse: torch.Tensor
    energy: torch.Tensor

    def filtered(self, x: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`\Sigma^{-1} x` of features less the grand mean, (batch, feature)."""
        x = x * self.scale
        return (x - (x @ self.scaled @ self.inverse) @ self.scaled.T).mul_(self.scale)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-likelihood of each state but for a constant, (batch, state), of features less the grand mean, (batch, feature)."""
        filtered = self.filtered(x)
        scores = (-0.5 * self.energy).repeat(len(x), 1)
        if len(x) <= _FEW:
            if 2 * len(self.features) > len(self.means):
                # Most rows, in whatever order, are sooner read all and as they lie.
                every = filtered.new_zeros(len(x), len(self.means)).index_copy_(1, self.features, filtered)
                for weights, sums in zip(every, scores, strict=True):
                    sums.addmv_(self.means.T, weights)
                return scores
            means, features, n_states = self.means.numpy(), self.features.numpy(), scores.shape[1]

            def add(first: int, last: int) -> None:
                for weights, sums in zip(filtered.numpy(), scores.numpy(), strict=True):
                    add_rows(means, features, weights, first, last, sums)

            in_parts(add, n_states, len(x) * len(features) * n_states >= _WORTH_THREADS)
            return scores
        for start in range(0, len(self.features), _ROWS):
            part = slice(start, start + _ROWS)
            scores.addmm_(filtered[:, part], self.means[self.features[part]])
        return scores
