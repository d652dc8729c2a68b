"""Calibrate how sure the posterior is, on random subsets from one unit to all."""

import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from .bayes import SubsetPosterior, block_features

_BATCH = 64


def random_subset(rng: np.random.Generator, n_units: int) -> np.ndarray:
    """Draw a subset whose size is log-uniform from one unit to all; sorted positions."""
    size = int(np.round(np.exp(rng.uniform(0, np.log(n_units)))))
    return np.sort(rng.choice(n_units, size=min(max(size, 1), n_units), replace=False))


def positions_of_features(units: np.ndarray, blocks: int, n_units: int) -> torch.Tensor:
    """Return where the features of some units stand among those of all, block by block."""
    return torch.from_numpy((np.arange(blocks)[:, None] * n_units + np.asarray(units)).ravel())


class _Subsets(torch.utils.data.Dataset):
    """Batches of calibration windows, each with its own random subset of units."""

    def __init__(self, counts: np.ndarray, rows: np.ndarray, states: torch.Tensor, steps: int, seed: int):
        rng = np.random.default_rng(seed)
        self.counts, self.rows, self.states = counts, rows, states
        self.draws = [
            (rng.integers(len(rows), size=min(_BATCH, len(rows))), random_subset(rng, counts.shape[2]))
            for _ in range(steps)
        ]

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        places, units = self.draws[step]
        x = block_features(torch.from_numpy(self.counts[self.rows[places]][:, :, units].astype(np.int32))).flatten(1)
        positions = positions_of_features(units, self.counts.shape[1], self.counts.shape[2])
        return x, self.states[places], positions, len(units)


def calibrate(
    posterior: SubsetPosterior,
    coefficients: torch.Tensor,
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
    import lightning as L

    spread = coefficients.var(0).sum().clamp(min=1e-12)

    class Calibration(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.posterior = posterior

        def training_step(self, batch: tuple, step: int) -> torch.Tensor:
            x, shown, features, n_units = batch
            log_p = self.posterior(x, features, n_units)
            error = (log_p.exp() @ coefficients - coefficients[shown]).square().sum(1).mean() / spread
            if on_progress:
                on_progress("calibrating on random subsets", step + 1, steps)
            # The log score is what makes probabilities honest; the squared error is what the grids are judged by.
            return error + 0.2 * F.nll_loss(log_p, shown)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.03)

    data = torch.utils.data.DataLoader(_Subsets(counts, rows, states, steps, seed), batch_size=None)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, gradient_clip_val=1.0,
        )  # fmt: skip
        trainer.fit(Calibration(), data)
