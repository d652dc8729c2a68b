"""A network from what a subset tells of the latents to the coefficients of the grid, trained on random subsets of the units.

The posterior mean of the latents pools the units, each with its loadings and its precision, so the network is one over sets: it takes any subset, of any
size, and is told how well each latent is known. It follows what moves through the picture, where the regression, which is linear, blurs it; and it is only
asked for frames that lie among known ones.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .bayes import features_of
from .calibration import positions_of_features, random_subset
from .latent import LatentModel

_WIDTH, _DROPOUT = 384, 0.5
# Its share of what is decoded from enough units; the rest is that of posterior and regression. It is not fitted on stretches that are left out: learnt without
# them, the network is farther from their frames than it will be from those it is asked for, and would get no weight.
_SHARE, _ENOUGH = 0.5, 10
# Subsets a step, and moments of each.
_SUBSETS, _MOMENTS = 4, 64
_RATE, _DECAY = 1e-3, 1e-2
_STAGE = "training the network on random subsets"


class LatentNetwork(nn.Module):
    """Two hidden layers.

    Parameters
    ----------
    n_latents, n_coefficients : int
        Sizes of input and output.
    """

    scale: torch.Tensor

    def __init__(self, n_latents: int, n_coefficients: int):
        super().__init__()
        sizes = (2 * n_latents, _WIDTH, _WIDTH)
        hidden = [
            nn.Sequential(nn.Linear(one, next_), nn.GELU(), nn.LayerNorm(next_), nn.Dropout(_DROPOUT))
            for one, next_ in itertools.pairwise(sizes)
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(_WIDTH, n_coefficients))
        # Of the coefficients it learnt from.
        self.register_buffer("scale", torch.ones(()))

    def forward(self, latents: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return the coefficients' deviation from their mean, (batch, coefficient).

        Parameters
        ----------
        latents : torch.Tensor
            Posterior mean, (batch, latent).
        known : torch.Tensor
            How much the subset tells of each, (latent,) or (batch, latent).
        """
        return self.scale * self.layers(torch.cat([latents, known.expand_as(latents)], dim=1))


def network_share(n_units: int) -> float:
    """Return the network's share of what is decoded: none with one unit, half with ten and more, in between by the logarithm."""
    return _SHARE * min(math.log(max(n_units, 1)) / math.log(_ENOUGH), 1.0)


def train_network(
    latent: LatentModel,
    grand_mean: torch.Tensor,
    counts: np.ndarray,
    rows: np.ndarray,
    deviations: torch.Tensor,
    steps: int,
    seed: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> LatentNetwork:
    """Train a network.

    Parameters
    ----------
    latent : LatentModel
        Of these moments.
    grand_mean : torch.Tensor
        Of the features, (feature,).
    counts : numpy.ndarray
        Spike counts of all moments, (moment, block, unit).
    rows : numpy.ndarray
        The moments to learn from.
    deviations : torch.Tensor
        True coefficients less their mean at each of `rows`, (row, coefficient).
    steps : int
        Of AdamW, each on four subsets, whose sizes are log-uniform from one unit to all.
    seed : int
        Of weights and subsets.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    """
    rng = np.random.default_rng([seed, 4])
    blocks, n_units = counts.shape[1:]
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which sets GPUs' generators as well.
        torch.default_generator.manual_seed(seed)
        network = LatentNetwork(len(latent.loadings), deviations.shape[1])
        network.scale.fill_(float(deviations.square().mean().sqrt().clamp(min=1e-12)))
        optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=max(steps, 30), pct_start=0.1)
        for step in range(steps):
            latents, known, true = [], [], []
            for _ in range(_SUBSETS):
                units, places = random_subset(rng, n_units), rng.integers(len(rows), size=_MOMENTS)
                features = positions_of_features(units, blocks, n_units)
                x = features_of(counts, rows[places], units)
                posterior = latent.posterior(features)
                latents.append(posterior(x - grand_mean[features]))
                known.append(posterior.known.expand(_MOMENTS, -1))
                true.append(deviations[places])
            decoded = network(torch.cat(latents), torch.cat(known))
            loss = F.mse_loss(decoded / network.scale, torch.cat(true) / network.scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if on_progress:
                on_progress(_STAGE, step + 1, steps)
    return network.eval().requires_grad_(False)


def network_of(tensors: dict[str, torch.Tensor]) -> LatentNetwork | None:
    """Make the network of what `LatentNetwork.state_dict` gave, None of nothing; KeyError or ValueError where that does not fit."""
    if not tensors:
        return None
    last = max(int(name.split(".")[1]) for name in tensors if name.startswith("layers."))
    n_latents = tensors["layers.0.0.weight"].shape[1] // 2
    with torch.random.fork_rng(devices=[]):
        network = LatentNetwork(n_latents, len(tensors[f"layers.{last}.weight"]))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError("the network's weights do not fit") from error
    return network.eval().requires_grad_(False)
