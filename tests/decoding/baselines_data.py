"""A made-up session small enough for every baseline: units that each like some frames, grids of few components."""

from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_neurrator.config import WindowConfig
from napari_neurrator.decoding.interface import SubsetDecoder, TrainingData

FRAMES, REPEATS, UNITS, BINS = 8, 10, 12, 20
SMALL = {"width": 16, "heads": 2, "conv_channels": 8, "epochs": 3, "batch_size": 16, "accelerator": "cpu"}


def session(seed: int = 0, hidden_frame: int | None = None) -> tuple[TrainingData, np.ndarray]:
    """Return training data and the rows of tested moments; `hidden_frame` is shown in tested moments only, and its grid is NaN."""
    rng = np.random.default_rng(seed)
    frames = np.tile(np.arange(FRAMES), REPEATS)
    groups = np.repeat(np.arange(REPEATS), FRAMES)
    rates = rng.gamma(1.0, 0.4, size=(FRAMES, UNITS))
    windows = rng.poisson(rates[frames][:, None], size=(len(frames), BINS, UNITS)).astype(np.uint8)
    grids = rng.normal(size=(FRAMES, 6, 5)).astype(np.float16)
    rows = np.arange(len(frames))
    held_out = groups % 5 == 4
    if hidden_frame is not None:
        grids[hidden_frame] = np.nan
        held_out |= frames == hidden_frame
    validation = ~held_out & (groups % 5 == 2)
    data = TrainingData(
        windows, frames.astype(np.int64), grids, rows[~held_out & ~validation], rows[validation], groups,
        [f"u{i}" for i in range(UNITS)], WindowConfig(n_bins=BINS), seed,
    )  # fmt: skip
    return data, rows[held_out]


def subset_of(data: TrainingData, units: list[int]) -> TrainingData:
    """Return the same session with some of its units only."""
    return replace(data, windows=data.windows[:, :, units], unit_ids=[data.unit_ids[i] for i in units])


def asked(data: TrainingData, rows: np.ndarray, units: list[int]) -> tuple[np.ndarray, list]:
    """Return what `predict` wants."""
    return data.windows[rows][:, :, units], [data.unit_ids[i] for i in units]


def through_a_file(decoder: SubsetDecoder, folder) -> SubsetDecoder:
    """Return the decoder as it comes back from a safetensors file and JSON."""
    import json

    tensors, settings = decoder.state()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "decoder.safetensors")
    settings = json.loads(json.dumps(settings))
    loaded = load_file(folder / "decoder.safetensors")
    return type(decoder).from_state(loaded, settings, decoder.unit_ids, decoder.window)


def cosine(decoder: SubsetDecoder, data: TrainingData, rows: np.ndarray, units: list[int]) -> float:
    """Return the mean patch cosine of decoded and true grids."""
    return decoder.score(*asked(data, rows, units), data.grids[data.frames[rows]])


def prior_cosine(decoder: SubsetDecoder, data: TrainingData, rows: np.ndarray) -> float:
    """Return the mean patch cosine of the prior grid."""
    true = torch.from_numpy(data.grids[data.frames[rows]]).float()
    return float(torch.nn.functional.cosine_similarity(decoder.prior_grid[None], true, dim=-1).mean())
