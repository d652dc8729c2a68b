"""An orthonormal basis of the patch grids of a session: few numbers a frame instead of hundreds of thousands."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch

from ..vision.grid_table import Grids
from .kernels import add_up_codes, whole_weights
from .memory import empty
from .parallel import in_parts
from .rows import Rows

# Frames that the components and the channels are found from: a film's neighbouring frames hold little more.
_FRAMES, _CHANNEL_FRAMES = 1024, 256
# Share of the variance that the channels kept may lose, and how many are kept at most.
_LOST, _CHANNELS = 1e-4, 192
_CHUNK = 8
# Columns of a batch of grids that are worked out at a time.
_COLUMNS = 8192
# Numbers of the core from which on several threads read it sooner than one.
_WORTH_THREADS = 2**22


@dataclass
class GridBasis:
    """Mean grid, components, and the coefficients of every distinct grid.

    A session shows few distinct frames, so its grids lie in a space of as many dimensions; and the vectors of all patches lie near a space of
    fewer dimensions than the vision model is wide. A grid is ``mean + (Σ coefficient · core) · channels``, and the squared error of two grids is
    that of their coefficients, for whatever the components span.

    Attributes
    ----------
    mean : torch.Tensor
        float32 (patches × width).
    codes : torch.Tensor
        The core's entries in steps of their row, int8 (patches × channels, rank): reading them is what one grid costs.
    steps : torch.Tensor
        float32 (patches × channels,). A row's largest entry is 127 steps, so a decoded deviation is off by a hundredth of its length or less, unless
        its rows are very uneven; by √(rank / 12) / 127 at the most to be expected.
    channels : torch.Tensor
        Orthonormal rows, float32 (channels, width).
    coefficients : torch.Tensor
        float32 (state, rank).
    shape : tuple of int
        (patches, width).
    """

    mean: torch.Tensor
    codes: torch.Tensor
    steps: torch.Tensor
    channels: torch.Tensor
    coefficients: torch.Tensor
    shape: tuple[int, int]

    @property
    def n_states(self) -> int:
        """Distinct grids."""
        return self.coefficients.shape[0]

    @property
    def core(self) -> torch.Tensor:
        """The components: orthonormal columns but for rounding, float32 (patches × channels, rank)."""
        return self.codes.float() * self.steps[:, None]

    @cached_property
    def _short_channels(self) -> torch.Tensor | None:
        """The channels in bfloat16, where the processor multiplies such numbers itself."""
        return self.channels.bfloat16() if _has_bfloat16() else None

    def grids(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the grids of coefficients (batch, rank): float32 (batch, patches, width)."""
        mean = self.mean.view(1, *self.shape)
        if len(coefficients) == 1:
            return self._grid(coefficients[0])[None]
        parts = [
            (coefficients @ codes.float().T).mul_(steps)
            for codes, steps in zip(self.codes.split(_COLUMNS), self.steps.split(_COLUMNS), strict=True)
        ]
        projected = torch.cat(parts, dim=1).view(len(coefficients) * self.shape[0], -1)
        return (projected @ self.channels).view(-1, *self.shape).add_(mean)

    def _grid(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the grid of one moment's coefficients, (patches, width)."""
        weights, unit = whole_weights(coefficients.detach().numpy())
        codes, steps, n_channels = self.codes.numpy(), self.steps.numpy(), len(self.channels)
        mean, short = self.mean.view(self.shape), self._short_channels
        result = empty(*self.shape)

        def decode(first: int, last: int) -> None:
            part, sums = slice(first, last), empty(last - first, n_channels)
            add_up_codes(codes, steps, weights, unit, first * n_channels, sums.view(-1).numpy())
            if short is None:
                torch.addmm(mean[part], sums, self.channels, out=result[part])
            else:
                product = torch.mm(sums.bfloat16(), short, out=empty(*result[part].shape, dtype=torch.bfloat16))
                torch.add(mean[part], product, out=result[part])

        in_parts(decode, self.shape[0], self.codes.numel() >= _WORTH_THREADS)
        return result

    @classmethod
    def fit(cls, grids: Grids | Rows, rank: int = 256) -> "GridBasis":
        """Find the principal components of a table of grids.

        Reads some rows at a time, so that the table (float16 (state, patches, width), memory-mapped) is never held whole.

        Parameters
        ----------
        grids : numpy.ndarray or GridTable
            (state, patches, width).
        rank : int
            Components to keep at most; those that carry less than 1e-6 of the variance are dropped.
        """
        grids = grids if isinstance(grids, Rows) else Rows(grids)
        n, patches, width = grids.shape
        some = _evenly(n, _FRAMES)
        mean = torch.zeros(patches, width)
        for _, part in _rows(grids, np.arange(n)):
            mean += part.sum(0)
        mean /= n
        channels = _channels(grids, _evenly(n, _CHANNEL_FRAMES), mean)
        # In half precision, as the grids themselves are: this is the largest table of a fit.
        projected = torch.empty(len(some), patches * len(channels), dtype=torch.float16)
        gram = torch.zeros(len(some), len(some), dtype=torch.float64)
        scale = 1.0
        for place, part in _rows(grids, some):
            deviations = ((part - mean) @ channels.T).flatten(1)
            if place.start == 0:
                scale = float(deviations.abs().amax().clamp(min=1e-6))
            projected[place] = (deviations / scale).half()
        for columns in projected.split(_COLUMNS, dim=1):
            wide = columns.float()
            gram += wide @ wide.T
        values, vectors = torch.linalg.eigh(gram)
        keep = torch.argsort(values, descending=True)[:rank]
        keep = keep[values[keep] > 1e-6 * values.clamp(min=0).sum().clamp(min=1e-12)]
        turn = (vectors[:, keep] / values[keep].sqrt()).T.float()
        codes = torch.empty(projected.shape[1], len(keep), dtype=torch.int8)
        steps = torch.empty(len(codes))
        for start in range(0, len(codes), _COLUMNS):
            some_columns = slice(start, start + _COLUMNS)
            codes[some_columns], steps[some_columns] = in_steps((turn @ projected[:, some_columns].float()).T)
        if len(some) == n:
            coefficients = (vectors[:, keep] * values[keep].sqrt()).float() * scale
        else:
            coefficients, core = torch.empty(n, len(keep)), codes.float() * steps[:, None]
            for place, part in _rows(grids, np.arange(n)):
                coefficients[place] = ((part - mean) @ channels.T).flatten(1) @ core
        return cls(mean.flatten(), codes, steps, channels, coefficients, (patches, width))


def in_steps(core: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round every row of (row, rank) to 127 steps either way: int8 (row, rank), and the length of a step, float32 (row,)."""
    core = core.float()
    steps = core.abs().amax(1).div_(127).clamp_(min=1e-30) if core.shape[1] else torch.ones(len(core))
    return (core / steps[:, None]).round_().to(torch.int8), steps


def kept_core(tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and steps of a decoder's file; decoders of older versions hold the core itself. KeyError where both are missing."""
    if "grid_codes" in tensors:
        return tensors["grid_codes"], tensors["grid_steps"].float()
    return in_steps(tensors["grid_core"])


@cache
def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers; where it does not, they are slower than float32."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def _evenly(n: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _channels(grids: Rows, rows: np.ndarray, mean: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis of the patches' vectors (channel, width): all of them where the model is narrow."""
    width = grids.shape[2]
    if width <= _CHANNELS:
        return torch.eye(width)
    scatter = torch.zeros(width, width)
    for _, part in _rows(grids, rows):
        flat = (part - mean).flatten(0, 1)
        scatter += flat.T @ flat
    values, vectors = torch.linalg.eigh(scatter.double())
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    lost = 1 - values.cumsum(0) / values.sum().clamp(min=1e-12)
    n = min(int((lost > _LOST).sum()) + 1, _CHANNELS)
    return vectors[:, :n].T.float().contiguous()


def _rows(grids: Rows, rows: np.ndarray) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (places among `rows`, float32 grids), some at a time."""
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        yield slice(start, start + len(part)), torch.from_numpy(grids[part]).float()
