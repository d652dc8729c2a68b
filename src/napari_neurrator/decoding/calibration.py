"""Calibrate how sure the decoder is, on random subsets from one unit to all."""

import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from .basis import GridBasis
from .bayes import SubsetPosterior


def grid_loss(decoded: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return 0.5 · MSE + 0.5 · (1 − mean cosine by patch), the loss of arXiv 2606.18667, of grids (batch, patches, width)."""
    return 0.5 * F.mse_loss(decoded, true) + 0.5 * (1 - F.cosine_similarity(decoded, true, dim=-1).mean())


def random_subset(rng: np.random.Generator, n_units: int) -> np.ndarray:
    """Draw a subset whose size is log-uniform from one unit to all; sorted positions."""
    size = int(np.round(np.exp(rng.uniform(0, np.log(n_units)))))
    return np.sort(rng.choice(n_units, size=min(max(size, 1), n_units), replace=False))


class _Subsets(torch.utils.data.Dataset):
    """Batches of calibration windows, each with its own random subset of units."""

    def __init__(self, features: torch.Tensor, states: torch.Tensor, steps: int, batch: int, seed: int):
        rng = np.random.default_rng(seed)
        self.features, self.states = features, states
        self.draws = [
            (
                rng.integers(len(features), size=min(batch, len(features))),
                random_subset(rng, features.shape[2]),
            )
            for _ in range(steps)
        ]

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, units = self.draws[step]
        return self.features[rows][:, :, units], self.states[rows], torch.from_numpy(units)


def calibrate(
    posterior: SubsetPosterior,
    basis: GridBasis,
    features: torch.Tensor,
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
    basis : GridBasis
        Where the decoded grids live.
    features, states : torch.Tensor
        Held-out windows (moment, block, unit) and what was shown.
    steps : int
        Random subsets.
    seed : int
        Of the subsets.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    """
    import lightning as L

    class Calibration(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.posterior = posterior

        def training_step(self, batch: tuple, step: int) -> torch.Tensor:
            windows, shown, units = batch
            log_p = self.posterior(windows, units)
            decoded = basis.grids(log_p.exp() @ basis.coefficients)
            true = basis.grids(basis.coefficients[shown])
            if on_progress:
                on_progress("calibrating on random subsets", step + 1, steps)
            # The log score is what makes probabilities honest; the grid loss is what the narration is judged by.
            return grid_loss(decoded, true) + 0.1 * F.nll_loss(log_p, shown)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.03)

    data = torch.utils.data.DataLoader(_Subsets(features, states, steps, 64, seed), batch_size=None)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, gradient_clip_val=1.0,
        )  # fmt: skip
        trainer.fit(Calibration(), data)
