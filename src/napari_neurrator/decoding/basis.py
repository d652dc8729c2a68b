"""An orthonormal basis of the patch grids of a session: few numbers a frame instead of hundreds of thousands."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class GridBasis:
    """Mean grid, components, and the coefficients of every distinct grid.

    A session shows few distinct frames, so its grids lie in a space of as many dimensions. The squared error of two grids is that of their
    coefficients, exactly, for whatever the components span.

    Attributes
    ----------
    mean : torch.Tensor
        float32 (patch × width).
    components : torch.Tensor
        Orthonormal rows, float32 (rank, patch × width).
    coefficients : torch.Tensor
        float32 (state, rank).
    shape : tuple of int
        (patches, width).
    """

    mean: torch.Tensor
    components: torch.Tensor
    coefficients: torch.Tensor
    shape: tuple[int, int]

    @property
    def n_states(self) -> int:
        """Distinct grids."""
        return self.coefficients.shape[0]

    def grids(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the grids of coefficients (batch, rank): float32 (batch, patches, width)."""
        return (self.mean + coefficients @ self.components).unflatten(-1, self.shape)

    @classmethod
    def fit(cls, grids: np.ndarray, rank: int = 256, chunk: int = 64) -> "GridBasis":
        """Find the principal components of a table of grids.

        Works on the Gram matrix in chunks of rows, so that the table (float16 (state, patches, width), memory-mapped) is never held as
        float32.

        Parameters
        ----------
        grids : numpy.ndarray
            (state, patches, width).
        rank : int
            Components to keep at most; those that carry less than 1e-6 of the variance are dropped.
        chunk : int
            Rows worked on at once.
        """
        n, shape = len(grids), (int(grids.shape[1]), int(grids.shape[2]))
        flat = grids.reshape(n, -1)
        starts = range(0, n, chunk)

        def rows(start: int) -> torch.Tensor:
            return torch.from_numpy(np.asarray(flat[start : start + chunk], dtype=np.float32))

        mean = sum((rows(s).sum(0) for s in starts), torch.zeros(flat.shape[1])) / n
        gram = torch.empty(n, n, dtype=torch.float64)
        for a in starts:
            left = rows(a) - mean
            for b in range(0, a + 1, chunk):
                block = (left @ (rows(b) - mean).T).double()
                gram[a : a + len(left), b : b + block.shape[1]] = block
                gram[b : b + block.shape[1], a : a + len(left)] = block.T
        values, vectors = torch.linalg.eigh(gram)
        keep = torch.argsort(values, descending=True)[:rank]
        keep = keep[values[keep] > 1e-6 * values.clamp(min=0).sum().clamp(min=1e-12)]
        scale = values[keep].sqrt()
        components = torch.zeros(len(keep), flat.shape[1])
        for start in starts:
            components += ((vectors[start : start + chunk, keep] / scale).T.float()) @ (rows(start) - mean)
        return cls(mean, components, (vectors[:, keep] * scale).float(), shape)
