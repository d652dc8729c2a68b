r"""Where on the frame each unit looks, found from how its answers change with what each patch shows.

A decoder that tells frames apart tells every patch of them, so which units *look at* a patch cannot be read off its output. It can be read off the units'
tuning: if a unit sees only what lies around a place :math:`c`, its mean answer :math:`\mu_u(s)` is a function of the patches there. For every place this is a
Gaussian process over frames, whose covariance is that of the patches' vectors :math:`g_p(s)`, weighed by their distance from the place,

.. math:: K_c(s, s') = \sum_p w_c(p)\, \langle g_p(s), g_p(s') \rangle + \eta\, \delta_{ss'}, \qquad w_c(p) \propto e^{-|p - c|^2 / 2\sigma^2},

and the evidence of the answers under each place, beside that of a unit that sees nothing, gives a probability to every place. Neighbouring frames of a film
are correlated, so the evidence counts no more frames than the answers are worth.

The evidence is that of Rasmussen & Williams 2006 (Gaussian Processes for Machine Learning, eq. 2.30), with the amplitude at its best.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..decoding.subset import SubsetBayes
from ..evaluation.statistics import effective_sample

# Frames that answers are compared on, and places a side, at most.
_FRAMES, _PLACES = 448, 12
# Width of a field as a share of the grid's side, and the share of the answers' variance that means over some showings leave to noise.
_WIDTH, _NOISE = 1 / 12, 0.1
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class UnitFields:
    """What is known of the units' fields.

    Attributes
    ----------
    unit_ids : list
        The units.
    rows, columns : int
        Of the patch grid.
    looks : torch.Tensor
        Probability that the unit looks there, (unit, place); what is missing to 1 is the probability that it sees nothing of the frames.
    weights : torch.Tensor
        By how much each patch belongs to a field at a place, 1 at its centre: (place, patch).
    """

    unit_ids: list
    rows: int
    columns: int
    looks: torch.Tensor
    weights: torch.Tensor

    def maps(self) -> torch.Tensor:
        """Return by how much each patch belongs to each unit's field, 0 to 1: (unit, patch)."""
        return self.looks @ self.weights

    def covers(self, patches: list[int] | np.ndarray | torch.Tensor, unit_ids: list | None = None) -> torch.Tensor:
        """Return by how much some patches together belong to each unit's field, 0 to 1: (unit,).

        Parameters
        ----------
        patches : sequence of int
            Numbers of the patches, row by row.
        unit_ids : list, optional
            Of these units only.
        """
        chosen = torch.as_tensor(np.asarray(patches, dtype=np.int64).reshape(-1))
        found = self.looks @ self.weights[:, chosen].amax(1)
        if unit_ids is None:
            return found
        place = {unit: row for row, unit in enumerate(self.unit_ids)}
        return found[[place[unit] for unit in unit_ids]]

    @classmethod
    def fit(
        cls,
        answers: torch.Tensor,
        grids: torch.Tensor,
        unit_ids: list,
        rows: int,
        columns: int,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "UnitFields":
        """Find the fields.

        Parameters
        ----------
        answers : torch.Tensor
            Mean answer of each unit to each frame, (frame, unit); in the order of the film, where it is one.
        grids : torch.Tensor
            Patch grids of the frames, (frame, patch, width).
        unit_ids : list
            The units.
        rows, columns : int
            Of the patch grid.
        on_progress : callable, optional
            Called with (done, total); may raise `Stopped`.
        """
        some = evenly(len(answers))
        y = answers[some].double()
        y = y - y.mean(0)
        silent = y.square().mean(0).sqrt() < _TINY
        worth = torch.tensor([effective_sample(one.numpy()) / max(len(y), 1) for one in y.T], dtype=torch.float64)
        y = y / y.square().mean(0).sqrt().clamp(min=_TINY)
        alike, at = _alike(grids[some], rows, columns)
        found = []
        for place, centre in enumerate(at):
            if on_progress:
                on_progress(place, len(at))
            near = _around(at, centre, rows, columns)
            kept = near > 1e-3
            found.append(_evidence(torch.tensordot(near[kept] / near.sum(), alike[kept], 1), y))
        # A unit that sees nothing answers at random: its evidence is that of noise alone. It is as likely beforehand as that it looks somewhere.
        nothing = -0.5 * len(y) * torch.ones(y.shape[1], dtype=torch.float64).log()
        evidence = torch.stack([*found, nothing], 1) * worth[:, None]
        prior = torch.full((len(at) + 1,), -float(np.log(len(at))), dtype=torch.float64)
        prior[-1] = 0.0
        p = torch.softmax(evidence + prior, 1)[:, :-1].float()
        p[silent] = 0.0
        y_, x_ = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        patches = torch.stack([y_, x_], -1).view(-1, 2).float()
        weights = torch.stack([_around(patches, centre, rows, columns) for centre in at])
        return cls(list(unit_ids), rows, columns, p, weights / weights.amax(1, keepdim=True))

    @classmethod
    def of(
        cls, decoder: SubsetBayes, rows: int, columns: int, on_progress: Callable[[int, int], None] | None = None
    ) -> "UnitFields":
        """Find the fields of a decoder's units from the tuning and the frames that it holds; parameters are those of `fit`."""
        n_units, basis = len(decoder.unit_ids), decoder.basis
        shown = torch.isfinite(decoder.posterior.log_prior).nonzero()[:, 0]
        some = shown[evenly(len(shown))]
        # Of several blocks of the window their sum tells where a unit looks.
        answers = decoder.posterior.means.view(decoder.blocks, n_units, -1).sum(0).T[some]
        grids = (basis.coefficients[some] @ basis.core.float().T).view(len(some), rows * columns, -1)
        return cls.fit(answers, grids, list(decoder.unit_ids), rows, columns, on_progress)


def evenly(n: int) -> torch.Tensor:
    """Return the places of some of `n` frames, evenly chosen."""
    return torch.linspace(0, n - 1, min(n, _FRAMES)).round().long().unique()


def _alike(grids: torch.Tensor, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much frames resemble each other at each place, (place, frame, frame), and the places' row and column in patches, (place, 2).

    Patches of a fine grid are taken together, so that there are 12 × 12 places at most.
    """
    n = len(grids)
    picture = grids.float().view(n, rows, columns, -1).permute(0, 3, 1, 2)
    size = (min(rows, _PLACES), min(columns, _PLACES))
    pooled = torch.nn.functional.adaptive_avg_pool2d(picture, size).flatten(2).permute(2, 0, 1)
    pooled = pooled - pooled.mean(1, keepdim=True)
    alike = pooled @ pooled.transpose(1, 2)
    alike /= alike.diagonal(dim1=1, dim2=2).mean(1).clamp(min=_TINY)[:, None, None]
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    step = torch.tensor([rows / size[0], columns / size[1]])
    return alike, (torch.stack([y, x], -1).view(-1, 2) + 0.5) * step - 0.5


def _around(points: torch.Tensor, centre: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return how much a field at `centre` weighs points (point, 2), all in patches."""
    return torch.exp(-(points - centre).square().sum(1) / (2 * (_WIDTH * max(rows, columns)) ** 2))


def _evidence(alike: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the log evidence of answers (frame, unit) of mean square 1 under a covariance of frames, but for a constant: (unit,)."""
    n = len(y)
    covariance = alike.double() / alike.diagonal().mean().clamp(min=_TINY) + _NOISE * torch.eye(n, dtype=torch.float64)
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, y, upper=False)
    amplitude = whitened.square().mean(0).clamp(min=_TINY)
    return -factor.diagonal().log().sum() - 0.5 * n * amplitude.log()
