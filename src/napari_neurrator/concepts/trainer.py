"""Sparse autoencoders that learn: top-k and Matryoshka batch top-k, on lightning."""

import itertools
from typing import Any

import lightning as L
import torch
from torch import nn
from torch.nn import functional as F

from .formats import Description, Space
from .sae import Activation, SparseAutoencoder

# How fast the threshold of batch top-k follows the smallest activation that was kept.
_FOLLOW = 0.01


class SparseLearner(L.LightningModule):
    """A dictionary in training, on patches less their mean in units of their usual distance from it.

    Features start tied (encoder = decoderᵀ) with unit rows in the decoder, which stay so. Features that were silent for `dead_after` steps
    learn to rebuild what the others leave over (auxiliary loss, Gao et al. 2024, arXiv 2406.04093). With `groups` the k × batch largest
    activations of a batch are kept (batch top-k, Bussmann et al. 2024, arXiv 2412.06410), and every nested group of features has to
    rebuild patches by itself (Matryoshka, Bussmann et al. 2025, arXiv 2503.17547).

    Parameters
    ----------
    width, n_features, k : int
        Shape.
    centre : torch.Tensor
        Mean of the patches, (width,).
    scale : float
        Their usual distance from it.
    steps : int
        Length of the training, over which the learning rate rises and falls.
    lr : float
        Highest learning rate.
    dead_after : int
        Steps of silence after which a feature counts as dead.
    groups : tuple of int
        Sizes of the nested groups; none for top-k.
    """

    def __init__(
        self, width: int, n_features: int, k: int, centre: torch.Tensor, scale: float, steps: int, lr: float = 1e-3,
        dead_after: int = 200, groups: tuple[int, ...] = (),
    ):  # fmt: skip
        super().__init__()
        decoder = F.normalize(torch.randn(n_features, width), dim=1)
        self.W_dec, self.W_enc = nn.Parameter(decoder), nn.Parameter(decoder.T.clone())
        self.b_enc, self.b_dec = nn.Parameter(torch.zeros(n_features)), nn.Parameter(centre / scale)
        self.k, self.scale, self.steps, self.lr, self.dead_after, self.groups = k, scale, steps, lr, dead_after, groups
        self.idle: torch.Tensor
        self.threshold: torch.Tensor
        self.register_buffer("idle", torch.zeros(n_features, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(()))
        self.done = 0

    def training_step(self, batch: torch.Tensor, step: int) -> torch.Tensor:
        """Return the loss of a batch of patches (patch, width)."""
        x = batch / self.scale
        hidden = (x - self.b_dec) @ self.W_enc + self.b_enc
        sparse = self._kept(hidden)
        if self.groups:
            error, loss = self._nested(x, sparse)
        else:
            error = x - (sparse @ self.W_dec + self.b_dec)
            loss = error.square().sum(1).mean()
        with torch.no_grad():
            self.idle += 1
            self.idle[(sparse > 0).any(0)] = 0
            dead = self.idle > self.dead_after
        if bool(dead.any()):
            revived = hidden.masked_fill(~dead, -torch.inf).topk(min(2 * self.k, int(dead.sum())), dim=-1)
            guess = torch.zeros_like(hidden).scatter(1, revived.indices, revived.values.relu()) @ self.W_dec
            loss = loss + (error.detach() - guess).square().sum(1).mean() / 32
        return loss

    def _kept(self, hidden: torch.Tensor) -> torch.Tensor:
        active = hidden.relu()
        if not self.groups:
            top = active.topk(min(self.k, active.shape[1]), dim=-1)
            return torch.zeros_like(active).scatter(1, top.indices, top.values)
        flat = active.flatten()
        top = flat.topk(min(self.k * len(active), len(flat)))
        with torch.no_grad():
            positive = top.values[top.values > 0]
            if len(positive):
                # The first batch sets it; afterwards it follows.
                follow = _FOLLOW if self.threshold > 0 else 1.0
                self.threshold += follow * (positive.min() - self.threshold)
        return torch.zeros_like(flat).scatter(0, top.indices, top.values).view_as(active)

    def _nested(self, x: torch.Tensor, sparse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rebuilt, losses, start = self.b_dec.expand_as(x), [], 0
        for size in self.groups:
            part = slice(start, start + size)
            rebuilt = rebuilt + sparse[:, part] @ self.W_dec[part]
            losses.append((x - rebuilt).square().sum(1).mean())
            start += size
        return x - rebuilt, torch.stack(losses).mean()

    def on_train_batch_start(self, batch: torch.Tensor, step: int) -> None:
        """Set the learning rate, a function of the step alone: up over 5 % of the training, down over its last 30 %."""
        share = self.done / self.steps
        factor = min(1.0, (self.done + 1) / max(0.05 * self.steps, 1), max((1 - share) / 0.3, 1e-3))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.lr * factor

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Take a step, keep the rows of the decoder at length 1, and count."""
        super().optimizer_step(*arguments, **named)
        with torch.no_grad():
            self.W_dec.copy_(F.normalize(self.W_dec, dim=1))
        self.done += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def described(self, space: Space, config: dict[str, object] | None = None) -> Description:
        """Return the dictionary as it is now: the scale of the patches goes into the biases, so that it reads patches as they come."""
        with torch.no_grad():
            encoder, decoder = (part.detach().cpu().float().clone() for part in (self.W_enc, self.W_dec))
            latent, output = ((part.detach().cpu().float() * self.scale) for part in (self.b_enc, self.b_dec))
            if self.groups:
                cut = self.threshold.cpu().float() * self.scale
                how = Activation("threshold", threshold=cut.expand(len(latent)).clone() if cut > 0 else None)
            else:
                how = Activation("topk", k=self.k)
        sae = SparseAutoencoder(encoder, decoder, latent, output, output, how)
        name = "matryoshka_batchtopk" if self.groups else "topk"
        return Description("napari-neurrator", name, sae, space, self.groups or None, dict(config or {}))


def nested(shares: list[float], n_features: int) -> tuple[int, ...]:
    """Return whole sizes of nested groups from shares; they add up to `n_features` and none is empty."""
    total = sum(shares)
    ends = [max(1, round(n_features * part / total)) for part in itertools.accumulate(shares)]
    ends[-1] = n_features
    sizes = tuple(b - a for a, b in itertools.pairwise([0, *ends]))
    return tuple(size for size in sizes if size > 0)
