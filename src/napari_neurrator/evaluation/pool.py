"""The true pictures that decoded grids are held against."""

from collections.abc import Iterator

import numpy as np
import torch

from ..decoding.rows import Rows

_COLUMNS = 64
# Numbers of true grids that are kept ready for comparison, both ways: 512 MB.
_KEPT = 1 << 26


class Pool:
    """Distinct frames with their true grids.

    Parameters
    ----------
    frames : numpy.ndarray
        Numbers of the frames, ascending, (frame,).
    grids : numpy.ndarray or Rows
        Their true patch grids, (frame, patches, width); read in parts.
    prior : torch.Tensor
        The mean grid of the decoder, (patches, width): deviations are taken from it.
    tolerance : float
        Squared distance below which two frames count as one picture, as a share of the mean squared distance from the mean.

    Attributes
    ----------
    picture : numpy.ndarray
        Which frames look alike: the number of the picture that each frame shows, int64 (frame,), in order of first appearance.
    """

    def __init__(self, frames: np.ndarray, grids: np.ndarray | Rows, prior: torch.Tensor, tolerance: float = 1e-3):
        self.frames, self.prior = np.asarray(frames), prior
        self._grids = grids
        self._ready: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.picture = alike(self._gram(), tolerance)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def n_pictures(self) -> int:
        """Number of different pictures: what one is found among."""
        return int(self.picture.max()) + 1

    def true(self, rows: np.ndarray | slice) -> torch.Tensor:
        """Return true grids of some frames by row, float32 (frame, patches, width)."""
        return torch.from_numpy(np.asarray(self._grids[rows], dtype=np.float32))

    @torch.inference_mode()
    def similarities(self, decoded: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Hold decoded grids against every frame.

        Parameters
        ----------
        decoded : torch.Tensor
            (moment, patches, width).

        Returns
        -------
        patch : numpy.ndarray
            Mean cosine of decoded and true patches, (moment, frame).
        centred : numpy.ndarray
            Cosine of the deviations of the whole grids from the mean grid, (moment, frame); 0 where nothing deviates. It does not change
            when a decoder shrinks towards the mean, so decoders that do are neither helped nor hurt.
        """
        n_patches = decoded.shape[1]
        unit = torch.nn.functional.normalize(decoded, dim=-1).flatten(1) / n_patches
        away = torch.nn.functional.normalize((decoded - self.prior).flatten(1), dim=-1, eps=1e-6)
        patch = np.empty((len(decoded), len(self)), dtype=np.float32)
        centred = np.empty_like(patch)
        for start, (true, there) in self._directions():
            part = slice(start, start + len(true))
            patch[:, part] = (unit @ true.T).numpy()
            centred[:, part] = (away @ there.T).numpy()
        return patch, centred

    def _directions(self) -> Iterator[tuple[int, tuple[torch.Tensor, torch.Tensor]]]:
        """Yield parts of the true grids with patches, and deviations, at length 1; kept for the next time where they are not too many."""
        keep = len(self) * self.prior.numel() <= _KEPT
        for start in range(0, len(self), _COLUMNS):
            found = self._ready.get(start)
            if found is None:
                true = self.true(np.arange(len(self))[start : start + _COLUMNS])
                patches = torch.nn.functional.normalize(true, dim=-1).flatten(1)
                away = torch.nn.functional.normalize((true - self.prior).flatten(1), dim=-1, eps=1e-6)
                found = patches, away
                if keep:
                    self._ready[start] = found
            yield start, found

    def _gram(self) -> np.ndarray:
        """Return the inner products of the frames' deviations from their mean, (frame, frame)."""
        n = len(self)
        mean = torch.zeros(self.prior.numel(), dtype=torch.float64)
        for start in range(0, n, _COLUMNS):
            mean += self.true(np.arange(n)[start : start + _COLUMNS]).flatten(1).double().sum(0) / n
        gram = np.empty((n, n))
        for start in range(0, n, _COLUMNS):
            rows = self.true(np.arange(n)[start : start + _COLUMNS]).flatten(1) - mean.float()
            for other in range(0, start + 1, _COLUMNS):
                columns = self.true(np.arange(n)[other : other + _COLUMNS]).flatten(1) - mean.float()
                block = (rows @ columns.T).double().numpy()
                gram[start : start + len(block), other : other + block.shape[1]] = block
                gram[other : other + block.shape[1], start : start + len(block)] = block.T
        return gram


def alike(gram: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """Number the different pictures among frames, from the inner products of their deviations: int64 (frame,)."""
    square = np.diag(gram)
    limit = tolerance * square.mean()
    leaders: list[int] = []
    picture = np.empty(len(gram), dtype=np.int64)
    for row in range(len(gram)):
        distance = square[row] + square[leaders] - 2 * gram[row, leaders]
        if len(distance) and distance.min() <= limit:
            picture[row] = int(distance.argmin())
        else:
            picture[row] = len(leaders)
            leaders.append(row)
    return picture
