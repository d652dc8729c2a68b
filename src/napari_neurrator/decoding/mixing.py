"""How much to trust each of two estimates, by the number of units: least squares on moments that neither has seen."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls


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
    """

    sizes: list[int]
    weights: np.ndarray

    def at(self, n_units: int) -> tuple[float, float]:
        """Return the two weights for a number of units."""
        where = np.log(max(n_units, 1))
        known, regressed = (np.interp(where, np.log(self.sizes), self.weights[:, column]) for column in (0, 1))
        return float(known), float(regressed)


class MixingFit:
    """Collects what two estimates said, and gives the weights that would have been best.

    Parameters
    ----------
    sizes : list of int
        Population sizes that are tried.
    """

    def __init__(self, sizes: list[int]):
        self.sizes = sizes
        self._products = np.zeros((len(sizes), 2, 2))
        self._targets = np.zeros((len(sizes), 2))

    def add(self, size: int, known: torch.Tensor, regressed: torch.Tensor, true: torch.Tensor) -> None:
        """Take in estimates of some moments and what was true, each as deviation from the mean, (moment, rank)."""
        row = self.sizes.index(size)
        both = torch.stack([known.flatten(), regressed.flatten()]).double()
        self._products[row] += (both @ both.T).numpy()
        self._targets[row] += (both @ true.flatten().double()).numpy()

    def result(self) -> Mixing:
        """Return the weights, none below 0; neighbouring sizes are weighed together, for few moments tell little."""
        weights = np.zeros((len(self.sizes), 2))
        for row in range(len(self.sizes)):
            near = np.exp(-0.5 * (np.arange(len(self.sizes)) - row) ** 2)
            scale = np.array([max(np.trace(p), 1e-12) for p in self._products])
            product = np.einsum("s,sij->ij", near / scale, self._products) + 1e-6 * np.eye(2)
            target = np.einsum("s,si->i", near / scale, self._targets)
            # min ‖w·both − true‖² in the form that nnls takes.
            factor = np.linalg.cholesky(product)
            weights[row] = nnls(factor.T, np.linalg.solve(factor, target))[0]
            weights[row] /= max(weights[row].sum(), 1.0)
        return Mixing(self.sizes, weights)
