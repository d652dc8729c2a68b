"""Train a network on a session with lightning: early stopping on validation patch cosine, resumable, stoppable."""

import hashlib
import json
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from ...checkpoints import open_checkpoint, restore_optimizer, write_checkpoint
from ...errors import NeurratorError
from ..interface import OnProgress, TrainingData
from ..rows import Rows
from .counts import UnitScale, counts_tensor
from .options import NetworkOptions

# Grids by which a training that goes on knows its own.
_GRIDS = 16
_PLACE = ("accelerator", "devices", "nodes", "workers", "checkpoint")


@dataclass(frozen=True, eq=False)
class Task:
    """What a network is trained for.

    Attributes
    ----------
    name : str
        Of the stage that is reported.
    loss : callable
        (output, frames, grids or None) → scalar.
    decoded : callable
        output → patch grids (batch, patches, width), which the validation compares with the true ones.
    reads_grids : bool
        Whether `loss` needs the grids.
    """

    name: str
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
    decoded: Callable[[torch.Tensor], torch.Tensor]
    reads_grids: bool


class _Moments(Dataset):
    """Windows, frames and grids of some moments, read from the tables a batch at a time."""

    def __init__(self, data: TrainingData, rows: np.ndarray, reads_grids: bool):
        self.data, self.rows, self.reads_grids = data, rows, reads_grids

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        rows = self.rows[indices]
        frames = np.asarray(self.data.frames[rows], dtype=np.int64)
        parts = [counts_tensor(self.data.windows[rows]), torch.from_numpy(frames)]
        if self.reads_grids:
            parts.append(torch.from_numpy(np.array(self.data.grids[frames])))
        return tuple(parts)


def _as_it_is(batch: Any) -> Any:
    return batch


class _Learner(L.LightningModule):
    def __init__(
        self,
        network: nn.Module,
        task: Task,
        data: TrainingData,
        scale: UnitScale,
        options: NetworkOptions,
        start: int,
        optimizer_state: dict[int, dict[str, torch.Tensor]],
    ):
        super().__init__()
        self.network, self.task, self.data, self.scale, self.options = network, task, data, scale, options
        self.start, self.optimizer_state = start, optimizer_state

    def train_dataloader(self) -> DataLoader:
        moments = _Moments(self.data, self.data.train, self.task.reads_grids)
        # Its order depends on seed and epoch alone, so a resumed training goes on as if it had never stopped.
        sampler: DistributedSampler = DistributedSampler(
            moments, self.trainer.world_size, self.trainer.global_rank, seed=self.data.seed
        )
        sampler.set_epoch(self.start)
        return DataLoader(
            moments, self.options.batch_size, sampler=sampler, num_workers=self.options.workers, collate_fn=_as_it_is,
            drop_last=len(sampler) >= self.options.batch_size, persistent_workers=self.options.workers > 0,
        )  # fmt: skip

    def val_dataloader(self) -> DataLoader:
        moments = _Moments(self.data, self.data.validation, reads_grids=True)
        sampler: DistributedSampler = DistributedSampler(
            moments, self.trainer.world_size, self.trainer.global_rank, shuffle=False
        )
        return DataLoader(
            moments, self.options.batch_size, sampler=sampler, num_workers=self.options.workers, collate_fn=_as_it_is,
            persistent_workers=self.options.workers > 0,
        )  # fmt: skip

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.sampler.set_epoch(self.start + self.current_epoch)  # type: ignore[union-attr]

    def on_train_batch_start(self, batch: Any, step: int) -> None:
        place = (self.data.seed, self.start + self.current_epoch, step, self.trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def training_step(self, batch: tuple, step: int) -> torch.Tensor:
        counts, frames, *grids = batch
        output = self.network(self.augmented(self.scale(counts))).float()
        return self.task.loss(output, frames, grids[0].float() if grids else None)

    def augmented(self, spikes: torch.Tensor) -> torch.Tensor:
        """Roll every window by some bins and silence some of its units."""
        n, bins, units = spikes.shape
        if self.options.jitter:
            shift = torch.randint(-self.options.jitter, self.options.jitter + 1, (n, 1), device=spikes.device)
            order = (torch.arange(bins, device=spikes.device) + shift) % bins
            spikes = spikes[torch.arange(n, device=spikes.device)[:, None], order]
        if self.options.unit_dropout:
            spikes = spikes * (torch.rand(n, 1, units, device=spikes.device) >= self.options.unit_dropout)
        return spikes

    def validation_step(self, batch: tuple, step: int) -> None:
        counts, _, grids = batch
        decoded = self.task.decoded(self.network(self.scale(counts)).float())
        cosine = F.cosine_similarity(decoded, grids.float(), dim=-1).mean()
        self.log("patch_cosine", cosine, on_epoch=True, batch_size=len(counts), sync_dist=True)

    def configure_optimizers(self) -> Any:
        options = self.options
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        # The rate of an epoch is a function of its number, so there is no state of a schedule to keep.
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * (self.start + epoch) / options.epochs))
        )
        restore_optimizer(optimizer, self.optimizer_state)
        return [optimizer], [schedule]


class _Keeper(L.Callback):
    """Keeps the best weights, stops when they have not changed for long, reports, and writes the checkpoint."""

    def __init__(self, path: Path | None, fingerprint: str, patience: int, report: OnProgress, stage: str):
        self.path, self.fingerprint, self.patience, self.report, self.stage = path, fingerprint, patience, report, stage
        self.best: dict[str, torch.Tensor] = {}
        self.score, self.waited, self.epochs, self.total = -math.inf, 0, 0, 1

    def resume(self, network: nn.Module) -> dict[int, dict[str, torch.Tensor]]:
        """Read the checkpoint, if there is one, into the network and this; return the state of the optimizer."""
        if self.path is None or not self.path.is_file():
            return {}
        otherwise = f"{self.path.parent} keeps a training on other data or with other options: give another folder for the checkpoint, or empty it."
        with open_checkpoint(self.path, self.fingerprint, otherwise) as kept:
            network.load_state_dict(kept.within("network."))
            self.best = kept.within("best.")
            self.score = float(kept.progress["score"])
            self.waited, self.epochs = int(kept.progress["waited"]), int(kept.progress["epochs"])
            return kept.optimizer_state

    @property
    def done(self) -> bool:
        """Whether it has waited long enough."""
        return self.waited >= self.patience

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.total = int(trainer.num_training_batches) * (int(trainer.max_epochs or 1) + self.epochs)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        done = trainer.global_step + self._steps_before(trainer)
        self.report(self.stage, min(done, self.total), self.total)

    def _steps_before(self, trainer: L.Trainer) -> int:
        return int(trainer.num_training_batches) * (self.epochs - trainer.current_epoch)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        score = float(trainer.callback_metrics["patch_cosine"])
        network: nn.Module = module.network  # type: ignore[assignment]
        if not math.isfinite(score):
            raise NeurratorError(f"Training diverged in epoch {self.epochs + 1}: choose a smaller lr.")
        if score > self.score:
            self.score, self.waited = score, 0
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        else:
            self.waited += 1
        self.epochs += 1
        trainer.should_stop = trainer.should_stop or self.done
        if self.path is not None and trainer.is_global_zero:
            self._write(network, trainer.optimizers[0])

    def _write(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        assert self.path is not None
        tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        progress = {"score": self.score, "waited": self.waited, "epochs": self.epochs}
        write_checkpoint(self.path, tensors, optimizer, self.fingerprint, progress)


def _fingerprint(data: TrainingData, options: NetworkOptions, network: nn.Module) -> str:
    digest = hashlib.sha256(
        json.dumps(
            [
                type(network).__name__,
                options.model_dump(exclude=set(_PLACE)),
                data.seed,
                [str(unit) for unit in data.unit_ids],
                data.window.model_dump(),
                list(data.grids.shape),
            ]
        ).encode()
    )
    # A few grids tell other frames and other vision models apart; all of them are too much to read.
    shown = np.unique(data.frames[data.train])
    some = shown[np.linspace(0, len(shown) - 1, min(len(shown), _GRIDS)).astype(np.int64)]
    for array in (data.train, data.validation, data.frames, data.windows, Rows(data.grids, some)[:]):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def train_network(
    make: Callable[[], nn.Module],
    task: Task,
    data: TrainingData,
    scale: UnitScale,
    options: NetworkOptions,
    on_progress: OnProgress | None = None,
) -> tuple[nn.Module, dict[str, float]]:
    """Train a network and return it with its best weights.

    AdamW, the learning rate falling as a cosine over all epochs, gradients clipped; bfloat16 on NVIDIA GPUs, or where asked. Windows are rolled within
    themselves where the paper moves the window (there are no bins beyond its edges in the training data): the paper's windows show up to
    `jitter` other bins at one edge, these the bins of the other edge. The result depends on the seed, not on the global generator.

    Parameters
    ----------
    make : callable
        Makes the network, with parameters drawn from torch's generator.
    task : Task
        What for.
    data : TrainingData
        Learns from ``train``, stops early on ``validation``.
    scale : UnitScale
        How counts become input.
    options : NetworkOptions
        All else. With ``checkpoint``, the training is kept in that folder after every epoch and goes on from there, bit for bit on a CPU.
    on_progress : callable, optional
        Called with (stage, done, total) after every step; may raise `Stopped`.

    Returns
    -------
    network : torch.nn.Module
        On the CPU, in evaluation mode.
    training : dict
        ``validation_patch_cosine`` of the weights that were kept, and ``epochs`` that were run.

    Raises
    ------
    NeurratorError
        There is no such device, the checkpoint does not fit, or the training diverged.
    """
    if options.jitter >= data.window.n_bins:
        raise NeurratorError(
            f"The option jitter={options.jitter} is not possible: a window has {data.window.n_bins} bins only."
        )
    cuda = options.accelerator != "cpu" and torch.cuda.is_available()
    if options.accelerator == "gpu" and not (cuda or torch.backends.mps.is_available()):
        raise NeurratorError("There is no GPU that torch can use on this machine: choose accelerator=cpu.")
    if cuda and options.devices > torch.cuda.device_count():
        raise NeurratorError(
            f"The option devices={options.devices} is not possible: this machine has {torch.cuda.device_count()} GPUs."
        )
    with torch.random.fork_rng():
        torch.manual_seed(data.seed)
        network = make()
        path = Path(options.checkpoint).expanduser() / "training.safetensors" if options.checkpoint else None
        fingerprint = _fingerprint(data, options, network) if path else ""
        keeper = _Keeper(path, fingerprint, options.patience, on_progress or (lambda *_: None), task.name)
        state = keeper.resume(network)
        if keeper.epochs < options.epochs and not keeper.done:
            _run(_Learner(network, task, data, scale, options, keeper.epochs, state), keeper, options, cuda)
    network.cpu().load_state_dict(keeper.best)
    return network.eval(), {"validation_patch_cosine": keeper.score, "epochs": float(keeper.epochs)}


def _run(learner: _Learner, keeper: _Keeper, options: NetworkOptions, cuda: bool) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    halved = options.precision == "bfloat16" or (
        options.precision == "auto" and cuda and torch.cuda.is_bf16_supported()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator=options.accelerator, devices=options.devices, num_nodes=options.nodes,
            precision="bf16-mixed" if halved else "32-true",
            max_epochs=options.epochs - keeper.epochs, gradient_clip_val=options.clip, callbacks=[keeper],
            use_distributed_sampler=False, num_sanity_val_steps=0, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(learner)
