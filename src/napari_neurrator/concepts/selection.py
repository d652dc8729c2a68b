"""Which of the features stay active, decided a chunk of features at a time."""

from abc import ABC, abstractmethod

import torch

Selected = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Selection(ABC):
    """Takes chunks of activations (row, some features) and keeps what may stay active."""

    @abstractmethod
    def add(self, chunk: torch.Tensor, first: int) -> None:
        """Look at a chunk, whose features are numbered from `first` on; the chunk may be written to."""

    @abstractmethod
    def candidates(self) -> Selected:
        """Return row, feature and value of what was selected, in any order."""

    def finish(self, relu: bool, cap: float | None) -> Selected:
        """Return the number of active features of each row, and their numbers and values, row by row.

        Parameters
        ----------
        relu : bool
            Whether negative values become 0.
        cap : float, optional
            Values v become cap · tanh(v / cap).
        """
        rows, features, values = self.candidates()
        alive = values > 0 if relu else values != 0
        if not bool(alive.all()):
            rows, features, values = rows[alive], features[alive], values[alive]
        order = torch.argsort(rows, stable=True)
        values = values[order]
        if cap is not None:
            values = cap * torch.tanh(values / cap)
        return torch.bincount(rows, minlength=self.n_rows), features[order], values

    n_rows: int


class Threshold(Selection):
    """Those above a threshold of their own; 0 for all where there is none."""

    def __init__(self, threshold: torch.Tensor | None, rows: int, device: torch.device):
        self.threshold, self.n_rows, self.device = threshold, rows, device
        self.kept: list[Selected] = []

    def add(self, chunk: torch.Tensor, first: int) -> None:
        """Keep what is above the threshold."""
        threshold = 0 if self.threshold is None else self.threshold[first : first + chunk.shape[1]]
        active = chunk > threshold
        rows, columns = active.nonzero(as_tuple=True)
        self.kept.append((rows, columns + first, chunk[rows, columns]))

    def candidates(self) -> Selected:
        """Return all that was kept."""
        rows, features, values = (torch.cat(part) for part in zip(*self.kept, strict=True))
        return rows, features, values


class TopK(Selection):
    """The `k` largest of each row."""

    def __init__(self, k: int, rows: int, device: torch.device):
        self.k, self.n_rows = k, rows
        self.values = torch.empty(rows, 0, device=device)
        self.features = torch.empty(rows, 0, dtype=torch.int64, device=device)

    def add(self, chunk: torch.Tensor, first: int) -> None:
        """Let a chunk compete with the best so far."""
        top = chunk.topk(min(self.k, chunk.shape[1]), dim=1, sorted=False)
        values = torch.cat([self.values, top.values], 1)
        features = torch.cat([self.features, top.indices + first], 1)
        if values.shape[1] > self.k:
            best = values.topk(self.k, dim=1, sorted=False)
            values, features = best.values, features.gather(1, best.indices)
        self.values, self.features = values, features

    def candidates(self) -> Selected:
        """Return the best of each row."""
        rows = torch.arange(self.n_rows, device=self.values.device).repeat_interleave(self.values.shape[1])
        return rows, self.features.flatten(), self.values.flatten()


class BatchTopK(Selection):
    """The `k` × rows largest of all rows together."""

    def __init__(self, k: int, rows: int, device: torch.device):
        self.k, self.n_rows = k, rows
        self.rows, self.features = (torch.empty(0, dtype=torch.int64, device=device) for _ in range(2))
        self.values = torch.empty(0, device=device)

    def add(self, chunk: torch.Tensor, first: int) -> None:
        """Let a chunk compete with the best so far."""
        total = self.k * self.n_rows
        if len(self.values) >= total:
            competes = chunk > self.values.min()
        elif chunk.shape[1] > self.k:
            # The k largest of each row are as many as are kept, so what is kept cannot lie below the smallest of these.
            competes = chunk >= chunk.topk(self.k, dim=1, sorted=False).values.min()
        else:
            competes = torch.ones_like(chunk, dtype=torch.bool)
        rows, columns = competes.nonzero(as_tuple=True)
        values = torch.cat([self.values, chunk[rows, columns]])
        rows, features = torch.cat([self.rows, rows]), torch.cat([self.features, columns + first])
        if len(values) > total:
            best = values.topk(total, sorted=False)
            values, rows, features = best.values, rows[best.indices], features[best.indices]
        self.values, self.rows, self.features = values, rows, features

    def candidates(self) -> Selected:
        """Return the best of all."""
        return self.rows, self.features, self.values
