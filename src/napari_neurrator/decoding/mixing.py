"""How much to trust each of two estimates, by the number of units: least squares on moments that neither has seen."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

# A frame that was never shown resembles many: the posterior over known ones is flattened by the power of these that predicts it best.
FLATTENINGS = tuple(0.5**k for k in range(6))
# An estimate of less weight changes next to nothing, and asking it costs time.
_LEAST = 0.01


def sizes_up_to(n_units: int) -> list[int]:
    """Return population sizes from one unit to all, about evenly spaced in their logarithm."""
    sizes = np.unique(np.geomspace(1, n_units, num=max(2, int(3 * np.log10(max(n_units, 2))) + 1)).round().astype(int))
    return [int(size) for size in sizes]


@dataclass
class Mixing:
    """Weights of two estimates' deviations from the mean.

    Attributes
    ----------
    sizes : list of int
        Population sizes, ascending.
    weights : numpy.ndarray
        (size, 2): of the estimate among known frames, and of the regression.
    flattening : numpy.ndarray
        Factor of the log-likelihoods of known frames, (size,): 1 leaves the posterior as it is, 0 makes all frames as likely.
    """

    sizes: list[int]
    weights: np.ndarray
    flattening: np.ndarray

    def at(self, n_units: int) -> tuple[float, float, float]:
        """Return the two weights and the flattening for a number of units."""
        where, sizes = np.log(max(n_units, 1)), np.log(self.sizes)
        known, regressed = (float(np.interp(where, sizes, self.weights[:, column])) for column in (0, 1))
        return known, regressed, float(np.exp(np.interp(where, sizes, np.log(self.flattening))))


class MixingFit:
    """Collects what two estimates said, and gives the weights that would have been best.

    Parameters
    ----------
    sizes : list of int
        Population sizes that are tried.
    flattenings : sequence of float
        Those that are tried of the first estimate.
    """

    def __init__(self, sizes: list[int], flattenings: tuple[float, ...] = (1.0,)):
        self.sizes, self.flattenings = sizes, flattenings
        self._products = np.zeros((len(flattenings), len(sizes), 2, 2))
        self._targets = np.zeros((len(flattenings), len(sizes), 2))
        self._true = np.zeros(len(sizes))

    def add(self, size: int, known: list[torch.Tensor], regressed: torch.Tensor, true: torch.Tensor) -> None:
        """Take in estimates of some moments (the first for each flattening) and what was true, each as deviation from the mean, (moment, rank)."""
        row = self.sizes.index(size)
        right = true.flatten().double()
        for number, estimate in enumerate(known):
            both = torch.stack([estimate.flatten(), regressed.flatten()]).double()
            self._products[number, row] += (both @ both.T).numpy()
            self._targets[number, row] += (both @ right).numpy()
        self._true[row] += float(right @ right)

    def result(self) -> Mixing:
        """Return the weights, none below 0 or above 1; neighbouring sizes are weighed together, for few moments tell little."""
        n = len(self.sizes)
        weights, flattening = np.zeros((n, 2)), np.ones(n)
        for row in range(n):
            near = np.exp(-0.5 * (np.arange(n) - row) ** 2) / np.maximum(self._true, 1e-12)
            products = np.einsum("s,fsij->fij", near, self._products) + 1e-9 * np.eye(2)
            least = 0.0
            for product, target, factor in zip(
                products, np.einsum("s,fsi->fi", near, self._targets), self.flattenings, strict=True
            ):
                # min ‖w·both − true‖² in the form that nnls takes.
                root = np.linalg.cholesky(product)
                found = np.minimum(nnls(root.T, np.linalg.solve(root, target))[0], 1.0)
                found[found < _LEAST] = 0.0
                error = found @ product @ found - 2 * found @ target
                if error < least:
                    least, weights[row], flattening[row] = error, found, factor
        return Mixing(self.sizes, weights, flattening)
