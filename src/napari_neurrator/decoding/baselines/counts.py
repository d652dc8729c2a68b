"""Spike counts and grids in the forms that the baselines learn from."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import NeurratorError
from ...vision.grid_table import Grids
from ..interface import TrainingData
from ..rows import Rows


@dataclass(frozen=True, eq=False)
class UnitScale:
    """Mean and standard deviation of each unit's count in a bin, over the training windows; float32 (unit,)."""

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def fit(cls, windows: np.ndarray, rows: np.ndarray, chunk: int = 512) -> "UnitScale":
        """Work out the statistics of windows (moment, bin, unit) at `rows`; a unit that never varies gets a deviation of 1."""
        total = np.zeros(windows.shape[2])
        square = np.zeros(windows.shape[2])
        for start in range(0, len(rows), chunk):
            counts = windows[rows[start : start + chunk]].astype(np.float32).reshape(-1, windows.shape[2])
            total += counts.sum(0, dtype=np.float64)
            square += np.square(counts).sum(0, dtype=np.float64)
        n = max(len(rows) * windows.shape[1], 1)
        mean = total / n
        std = np.sqrt(np.maximum(square / n - mean**2, 0))
        std[std < 1e-6] = 1
        return cls(torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(std.astype(np.float32)))

    def __call__(self, counts: torch.Tensor, units: torch.Tensor | None = None) -> torch.Tensor:
        """Return z-scores of counts (…, unit), float32; `units` are the positions of the last axis, all by default."""
        mean, std = (self.mean, self.std) if units is None else (self.mean[units], self.std[units])
        return (counts.float() - mean.to(counts.device)) / std.to(counts.device)


def counts_tensor(windows: np.ndarray) -> torch.Tensor:
    """Return counts as a tensor that torch can compute with; uint8 stays, the rest becomes int32."""
    windows = np.ascontiguousarray(windows)
    return torch.from_numpy(windows if windows.dtype == np.uint8 else windows.astype(np.int32))


def pooled(windows: np.ndarray, blocks: int) -> np.ndarray:
    """Add up counts (moment, bin, unit) in `blocks` equal parts of the window: uint16 (moment, block, unit)."""
    edges = np.linspace(0, windows.shape[1], blocks + 1).round().astype(int)
    return np.stack([windows[:, a:b].sum(1, dtype=np.uint16) for a, b in itertools.pairwise(edges)], axis=1)


def pooled_rows(windows: np.ndarray, rows: np.ndarray, blocks: int, chunk: int = 512) -> torch.Tensor:
    """Return `pooled` counts of some moments, to keep: uint8 where they fit and int32 otherwise, for torch knows little of uint16."""
    counts = np.empty((len(rows), blocks, windows.shape[2]), dtype=np.uint16)
    for start in range(0, len(rows), chunk):
        counts[start : start + chunk] = pooled(windows[rows[start : start + chunk]], blocks)
    return torch.from_numpy(counts.astype(np.uint8 if counts.max(initial=0) < 256 else np.int32))


def check_blocks(blocks: int, n_bins: int, kind: str) -> None:
    """Refuse more blocks than bins."""
    if blocks > n_bins:
        raise NeurratorError(
            f"The option blocks={blocks} of the decoder {kind!r} is not possible: a window has {n_bins} bins only."
        )


def check_data(data: TrainingData, kind: str) -> None:
    """Refuse to fit on nothing."""
    for name in ("train", "validation"):
        if not len(getattr(data, name)):
            raise NeurratorError(
                f"The decoder {kind!r} cannot be fitted, because the split leaves no moments for {'training' if name == 'train' else name}: "
                "choose another split or a stimulus with more repeats."
            )


def mean_grid(grids: Grids, frames: np.ndarray, chunk: int = 32) -> torch.Tensor:
    """Return the mean of the grids shown at moments, float32 (patches, width), without reading the table at once."""
    rows, shown = np.unique(frames, return_counts=True)
    total = np.zeros(grids.shape[1:], dtype=np.float64)
    for start in range(0, len(rows), chunk):
        part = Rows(grids)[rows[start : start + chunk]].astype(np.float32)
        total += np.tensordot(shown[start : start + chunk].astype(np.float32), part, 1)
    return torch.from_numpy((total / max(shown.sum(), 1)).astype(np.float32))
