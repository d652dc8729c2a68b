"""Ridge regression with the penalty of each target chosen by cross-validation, from sums over the folds alone."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over moments that a least-squares fit, and its error on these moments, are functions of; float64."""

    n: int
    x: torch.Tensor
    y: torch.Tensor
    xx: torch.Tensor
    xy: torch.Tensor
    yy: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor, states: torch.Tensor, values: torch.Tensor) -> "_Sums":
        # There are far fewer states than moments, so the products with the targets are taken once a state.
        by_state = torch.zeros(len(values), x.shape[1]).index_add_(0, states, x).double()
        shown = torch.bincount(states, minlength=len(values)).double()
        return cls(
            len(x), by_state.sum(0), shown @ values, (x.T @ x).double(), by_state.T @ values, shown @ values.square()
        )

    def __sub__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.n - other.n, self.x - other.x, self.y - other.y, self.xx - other.xx, self.xy - other.xy, self.yy - other.yy
        )  # fmt: skip

    def about(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the products of features and targets less `x` and `y`: (feature, feature), (feature, target), (target,)."""
        cross = torch.outer(self.x, x)
        xx = self.xx - cross - cross.T + self.n * torch.outer(x, x)
        xy = self.xy - torch.outer(self.x, y) - torch.outer(x, self.y) + self.n * torch.outer(x, y)
        return xx, xy, self.yy - 2 * y * self.y + self.n * y.square()


def inner_folds(groups: np.ndarray, folds: int) -> np.ndarray:
    """Divide moments into at most `folds` parts of whole groups: the part of each moment, int64 (moment,)."""
    names, group = np.unique(groups, return_inverse=True)
    return group % max(min(folds, len(names)), 1)


def cross_validated_ridge(
    x: torch.Tensor, states: torch.Tensor, values: torch.Tensor, part: np.ndarray, alphas: list[float]
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Fit a ridge regression of what the shown states' values are.

    The result is that of ``himalaya.ridge.RidgeCV`` (squared error, a penalty of its own for each target). The errors of all penalties follow
    from sums over the folds, which costs a decomposition of (feature, feature) a fold and no pass over the moments.

    Parameters
    ----------
    x : torch.Tensor
        Features, float32 (moment, feature).
    states : torch.Tensor
        Which row of `values` is the target of each moment, int64 (moment,).
    values : torch.Tensor
        Targets, float32 (state, target).
    part : numpy.ndarray
        Part of each moment, of at least two: each is predicted from the others to choose the penalties.
    alphas : list of float
        Penalties to choose from, above 0.

    Returns
    -------
    weights : torch.Tensor
        float32 (feature, target).
    intercept : torch.Tensor
        float32 (target,).
    error : float
        Squared error of a left-out moment, summed over targets, with the penalties that were chosen; mean of the parts.
    """
    values = values.double()
    ordered = sorted(alphas)
    folds = []
    for number in range(int(part.max()) + 1):
        rows = torch.from_numpy(np.flatnonzero(part == number))
        folds.append(_Sums.of(x[rows], states[rows], values))
    total = _Sums.of(x, states, values)
    errors = torch.zeros(len(ordered), values.shape[1], dtype=torch.float64)
    for test in folds:
        train = total - test
        eigenvalues, vectors, cross = _decomposed(train)
        xx, xy, yy = test.about(train.x / train.n, train.y / train.n)
        xx, xy = vectors.T @ xx @ vectors, vectors.T @ xy
        for number, alpha in enumerate(ordered):
            weights = cross / (eigenvalues + alpha)[:, None]
            errors[number] += (yy - 2 * (weights * xy).sum(0) + (weights * (xx @ weights)).sum(0)) / (
                test.n * len(folds)
            )
    best = torch.tensor(ordered, dtype=torch.float64)[errors.argmin(0)]
    error = float(errors.min(0).values.sum())
    eigenvalues, vectors, cross = _decomposed(total)
    weights = vectors @ (cross / (eigenvalues[:, None] + best))
    return weights.float(), (total.y / total.n - (total.x / total.n) @ weights).float(), error


def _decomposed(sums: _Sums) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return eigenvalues and -vectors of the features' products, and the products with the targets in that frame."""
    xx, xy, _ = sums.about(sums.x / sums.n, sums.y / sums.n)
    eigenvalues, vectors = torch.linalg.eigh(xx)
    return eigenvalues.clamp(min=0), vectors, vectors.T @ xy
