"""Batches of patches from tables of grids that are larger than memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

# Bytes of patches that are held and shuffled at once, and frames that are read in one piece.
_HELD = 256 << 20
_PIECE = 16


class PatchBatches(IterableDataset):
    """An endless stream of shuffled batches of patches, which can begin at any step.

    Pieces of neighbouring frames are drawn without repetition until all were seen; as many as fit in 256 MB are shuffled together. What
    a step holds depends on the seed and its number alone, so a training that goes on is one that never stopped.

    Parameters
    ----------
    grids : array_like
        (frame, patch, width), sliced by frames.
    rows : range
        Frames to take, without gaps.
    batch : int
        Patches a step.
    seed : int
        Of the order.
    start : int
        First step.
    """

    def __init__(self, grids: Any, rows: range, batch: int, seed: int, start: int = 0, held: int = _HELD):
        self.grids, self.rows, self.batch, self.seed, self.start = grids, rows, batch, seed, start
        piece = grids.shape[1] * grids.shape[2] * 2 * _PIECE
        self.pieces = [slice(first, min(first + _PIECE, rows.stop)) for first in range(rows.start, rows.stop, _PIECE)]
        self.together = max(1, held // piece)

    def __iter__(self) -> Iterator[torch.Tensor]:
        step = self.start
        while True:
            held, first, last = self._held_at(step)
            for number in range(step - first, last - first):
                yield held[number * self.batch : (number + 1) * self.batch].float()
            step = last

    def _held_at(self, step: int) -> tuple[torch.Tensor, int, int]:
        """Return the shuffled patches that a step belongs to, with its first step and the one after its last."""
        passes, first = 0, 0
        while True:
            order = np.random.default_rng([self.seed, passes]).permutation(len(self.pieces))
            groups = [order[i : i + self.together] for i in range(0, len(order), self.together)]
            counts = [max(1, self._patches(group) // self.batch) for group in groups]
            if first + sum(counts) <= step:
                # Passes differ in their steps only where pieces do; still they are few and counted quickly.
                passes, first = passes + 1, first + sum(counts)
                continue
            for number, (group, count) in enumerate(zip(groups, counts, strict=True)):
                if step < first + count:
                    return self._shuffled(group, passes, number), first, first + count
                first += count

    def _patches(self, group: np.ndarray) -> int:
        return sum(self.pieces[i].stop - self.pieces[i].start for i in group) * int(self.grids.shape[1])

    def _shuffled(self, group: np.ndarray, passes: int, number: int) -> torch.Tensor:
        read = [torch.from_numpy(np.asarray(self.grids[self.pieces[i]])).flatten(0, 1) for i in group]
        held = torch.cat(read)
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([self.seed, passes, number]).generate_state(1)[0])
        )
        return held[torch.randperm(len(held), generator=generator)]
