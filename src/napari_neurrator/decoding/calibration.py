"""Calibrate how sure the posterior is, on random subsets from one unit to all."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from .bayes import SubsetPosterior, features_of
from .states import by_picture

_BATCH = 64


def random_subset(rng: np.random.Generator, n_units: int) -> np.ndarray:
    """Draw a subset whose size is log-uniform from one unit to all; sorted positions."""
    size = int(np.round(np.exp(rng.uniform(0, np.log(n_units)))))
    return np.sort(rng.choice(n_units, size=min(max(size, 1), n_units), replace=False))


def positions_of_features(units: np.ndarray, blocks: int, n_units: int) -> torch.Tensor:
    """Return where the features of some units stand among those of all, block by block."""
    return torch.from_numpy((np.arange(blocks)[:, None] * n_units + np.asarray(units)).ravel())


def calibrate(
    posterior: SubsetPosterior,
    coefficients: torch.Tensor,
    picture: torch.Tensor,
    counts: np.ndarray,
    rows: np.ndarray,
    states: torch.Tensor,
    steps: int = 400,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Fit the posterior's sharpness to windows that its encoding model has not seen, in place.

    Parameters
    ----------
    posterior : SubsetPosterior
        Its `sharpness` is changed.
    coefficients : torch.Tensor
        Of the states' grids, (state, rank).
    picture : torch.Tensor
        Which states look the same, int64 (state,): no more than the picture is to be told.
    counts : numpy.ndarray
        Spike counts of all moments, (moment, block, unit).
    rows : numpy.ndarray
        The moments to calibrate on.
    states : torch.Tensor
        State shown at each of `rows`, int64.
    steps : int
        Random subsets.
    seed : int
        Of the subsets.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    """
    rng = np.random.default_rng(seed)
    spread = coefficients.var(0).sum().clamp(min=1e-12)
    blocks, n_units = counts.shape[1:]
    optimizer = torch.optim.Adam([posterior.sharpness], lr=0.03)
    for step in range(steps):
        places, units = rng.integers(len(rows), size=min(_BATCH, len(rows))), random_subset(rng, n_units)
        x = features_of(counts, rows[places], units)
        log_p = posterior(x, positions_of_features(units, blocks, n_units), len(units))
        shown = states[places]
        error = (log_p.exp() @ coefficients - coefficients[shown]).square().sum(1).mean() / spread
        # The log score is what makes probabilities honest; the squared error is what the grids are judged by.
        loss = error + 0.2 * F.nll_loss(by_picture(log_p, picture), picture[shown])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([posterior.sharpness], 1.0)
        optimizer.step()
        if on_progress:
            on_progress("calibrating on random subsets", step + 1, steps)
