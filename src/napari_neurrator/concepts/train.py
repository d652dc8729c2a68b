"""Train a dictionary on the cached patch grids of a stimulus."""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from pydantic import BaseModel
from torch.utils.data import DataLoader

from ..checkpoints import open_checkpoint, restore_optimizer, write_checkpoint
from ..errors import NeurratorError
from ..profiles import load_profile
from ..writing import check_writable
from .config import TrainConceptsConfig
from .formats import Description, Space
from .gallery import grids_key
from .patches import PatchBatches
from .sae import SparseAutoencoder
from .store import save_dictionary
from .trainer import SparseLearner, nested

OnProgress = Callable[[str, int, int], None]
_STAGE = "training the dictionary"
# Seconds between two checkpoints.
_EVERY_S = 60.0


class DictionaryScores(BaseModel):
    """What a dictionary does on patches that it was not trained on.

    Attributes
    ----------
    explained_variance : float
        1 − squared error / squared distance from the mean of these patches.
    l0 : float
        Mean number of active features a patch.
    dead : float
        Share of the features that were active nowhere.
    frames : int
        Frames that were measured.
    """

    explained_variance: float
    l0: float
    dead: float
    frames: int


def train_dictionary(
    config: TrainConceptsConfig, out: str | Path, on_progress: OnProgress | None = None
) -> DictionaryScores:
    """Train a dictionary and save it in SAELens' format.

    The grids are read from the cache piece by piece. The training is kept in a file beside `out` once a minute and when it is stopped, and
    goes on from there when the same is asked again.

    Parameters
    ----------
    config : TrainConceptsConfig
        On what, and how.
    out : path-like
        Folder to make.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.

    Returns
    -------
    DictionaryScores
        On the frames that were held out.

    Raises
    ------
    NeurratorError
        Anything that does not fit.
    """
    from ..vision.cache import patch_grids
    from ..vision.fingerprint import weights_fingerprint
    from .sources import open_source

    target = Path(out).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NeurratorError(f"{target} is there already: give another folder with --out, or remove it first.")
    if not target.resolve().parent.is_dir():
        raise NeurratorError(f"The folder {target.resolve().parent} of --out does not exist: make it first.")
    check_writable(target.resolve().parent, out)
    profile = load_profile(config.profile)
    stimulus, _ = open_source(config.source, config.stimulus, config.frames)
    if stimulus.n_frames < 2:
        raise NeurratorError(
            f"{stimulus.name!r} has one frame: a dictionary needs frames to learn from, and others to be measured on."
        )
    frames = np.arange(stimulus.n_frames)
    grids = patch_grids(stimulus, frames, profile, on_progress)
    held_out = min(max(1, round(config.held_out * len(frames))), len(frames) - 1)
    train, test = range(len(frames) - held_out), range(len(frames) - held_out, len(frames))
    key = grids_key(stimulus, frames, profile)
    space = _space(profile, weights_fingerprint(profile, profile.vision.model))
    described = fit_dictionary(
        config, grids, train, space, target.with_name(f"{target.name}.training.safetensors"), key, on_progress
    )
    scores = measure_dictionary(described.sae, grids, test, on_progress)
    about = {"training": config.model_dump(), "held_out": scores.model_dump()}
    save_dictionary(described, target, about=about)
    target.with_name(f"{target.name}.training.safetensors").unlink(missing_ok=True)
    return scores


def fit_dictionary(
    config: TrainConceptsConfig,
    grids: Any,
    rows: range,
    space: Space,
    checkpoint: Path | None = None,
    key: list[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Description:
    """Train on some rows of a table of grids.

    Parameters
    ----------
    config : TrainConceptsConfig
        How.
    grids : array_like
        (frame, patch, width), sliced by frames.
    rows : range
        Frames to learn from.
    space : Space
        What the dictionary is of.
    checkpoint : path, optional
        Where the training is kept.
    key : list of str, optional
        What tells these grids from others.
    on_progress : callable, optional
        Called with (stage, done, total) after every step; may raise `Stopped`.

    Raises
    ------
    NeurratorError
        The checkpoint is of another training, or the training diverged.
    """
    width = int(grids.shape[2])
    n_features = config.features or 8 * width
    if config.k > n_features:
        raise NeurratorError(f"--k {config.k} is not possible: the dictionary has {n_features} features.")
    said = json.dumps([config.model_dump(exclude={"source", "frames"}), key, list(grids.shape), rows.start, rows.stop])
    keeper = _Keeper(
        checkpoint, hashlib.sha256(said.encode()).hexdigest(), config.steps, on_progress or (lambda *_: None)
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        sample = next(iter(PatchBatches(grids, rows, 65_536, config.seed)))
        centre = sample.mean(0)
        scale = float((sample - centre).norm(dim=1).mean())
        if not np.isfinite(scale) or scale == 0:
            raise NeurratorError(
                "The patches of these frames are all the same (or not numbers): there is nothing to learn from them."
            )
        groups = nested(config.groups, n_features) if config.architecture == "matryoshka" else ()
        learner = SparseLearner(
            width, n_features, config.k, centre, scale, config.steps, config.lr, config.dead_after, groups
        )
        keeper.resume(learner)
        if learner.done < config.steps:
            _run(learner, keeper, PatchBatches(grids, rows, config.batch, config.seed, learner.done))
    return learner.cpu().described(space)


def _run(learner: SparseLearner, keeper: "_Keeper", batches: PatchBatches) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator="auto", devices=1, max_steps=learner.steps - learner.done, callbacks=[keeper], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        try:
            trainer.fit(learner, DataLoader(batches, batch_size=None))
        except SystemExit:
            # What lightning makes of Ctrl-C.
            raise KeyboardInterrupt from None


class _Keeper(L.Callback):
    """Reports every step, and writes the checkpoint once in a while and when the training is stopped."""

    def __init__(self, path: Path | None, fingerprint: str, steps: int, report: OnProgress):
        self.path, self.fingerprint, self.steps, self.report = path, fingerprint, steps, report
        self.written = time.monotonic()
        self.optimizer_state: dict[int, dict[str, torch.Tensor]] = {}

    def resume(self, learner: SparseLearner) -> None:
        """Read the checkpoint, if there is one, into the learner."""
        if self.path is None or not self.path.is_file():
            return
        otherwise = f"{self.path} keeps a training on other frames or with other options: remove it to train anew, or give another --out."
        with open_checkpoint(self.path, self.fingerprint, otherwise) as kept:
            learner.load_state_dict(kept.within("learner."))
            learner.done = int(kept.progress["steps"])
            self.optimizer_state = kept.optimizer_state

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Give the optimizer back what it knew."""
        restore_optimizer(trainer.optimizers[0], self.optimizer_state)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Report, and write the checkpoint if the last one is old."""
        assert isinstance(module, SparseLearner)
        if not bool(torch.isfinite(outputs["loss"])):
            raise NeurratorError(f"The training diverged at step {module.done}: choose a smaller --lr.")
        if time.monotonic() - self.written > _EVERY_S:
            self._write(trainer, module)
        self.report(_STAGE, module.done, self.steps)

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Keep what was learned, unless it went astray."""
        assert isinstance(module, SparseLearner)
        if not isinstance(exception, NeurratorError) and trainer.optimizers:
            self._write(trainer, module)

    def _write(self, trainer: L.Trainer, module: SparseLearner) -> None:
        self.written = time.monotonic()
        if self.path is None:
            return
        tensors = {f"learner.{name}": tensor for name, tensor in module.state_dict().items()}
        write_checkpoint(self.path, tensors, trainer.optimizers[0], self.fingerprint, {"steps": module.done})


def measure_dictionary(
    sae: SparseAutoencoder, grids: Any, rows: range, on_progress: OnProgress | None = None
) -> DictionaryScores:
    """Measure how well a dictionary rebuilds some rows of a table of grids, and how sparsely."""
    mean = np.zeros(grids.shape[2])
    step = 8
    for first in range(rows.start, rows.stop, step):
        mean += np.asarray(grids[first : min(first + step, rows.stop)], dtype=np.float64).sum((0, 1))
    centre = torch.from_numpy(mean / (len(rows) * grids.shape[1])).float()
    error = spread = 0.0
    active, seen = 0, torch.zeros(sae.n_features, dtype=torch.bool)
    for first in range(rows.start, rows.stop, step):
        last = min(first + step, rows.stop)
        x = torch.from_numpy(np.asarray(grids[first:last])).float()
        encoded = sae.encode(x)
        error += float((sae.decode(encoded) - x).square().sum(dtype=torch.float64))
        spread += float((x - centre).square().sum(dtype=torch.float64))
        active += len(encoded.features)
        seen[encoded.features] = True
        if on_progress:
            on_progress("measuring on held-out frames", last - rows.start, len(rows))
    return DictionaryScores(
        explained_variance=1 - error / spread if spread else 0.0,
        l0=active / (len(rows) * int(grids.shape[1])),
        dead=float((~seen).float().mean()),
        frames=len(rows),
    )


def _space(profile: Any, fingerprint: str) -> Space:
    """Return the place of a profile's patches in the terms of block numbers: hidden state s is what leaves block s − 1."""
    layer = profile.vision.layer
    if layer == 0:
        return Space(profile.vision.model, 0, "before", None, fingerprint)
    return Space(profile.vision.model, layer - 1 if layer > 0 else layer, "after", None, fingerprint)
