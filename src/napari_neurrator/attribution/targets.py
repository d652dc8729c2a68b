"""What is asked back: a number that grows with what a patch, a concept or a word says. All are linear in the decoded grid."""

from dataclasses import dataclass

import numpy as np
import torch

from ..concepts.dictionary import Dictionary
from ..errors import NeurratorError


@dataclass(frozen=True, eq=False)
class Target:
    """A direction in the space of patch grids.

    Attributes
    ----------
    name : str
        What it stands for, in words for users.
    weights : torch.Tensor
        The direction, float32 (patch, width).
    prior : torch.Tensor
        The grid at which it is 0: the decoder's mean grid, float32 (patch, width).
    unit : str
        What its numbers are.
    patches : list of int or None
        The patches that it is about; None where these are all.
    """

    name: str
    weights: torch.Tensor
    prior: torch.Tensor
    unit: str
    patches: list[int] | None = None

    def value(self, grids: torch.Tensor) -> torch.Tensor:
        """Return the number for grids (batch, patch, width): (batch,)."""
        return ((grids.float() - self.prior) * self.weights).sum((1, 2))


def check_patches(patches: list[int] | np.ndarray, n_patches: int) -> list[int]:
    """Return numbers of patches, each once.

    Raises
    ------
    NeurratorError
        There are none, or some that the grid does not have.
    """
    chosen = sorted({int(patch) for patch in np.asarray(patches).reshape(-1)})
    if not chosen:
        raise NeurratorError("No patch is chosen: click a patch of the frame or draw round some.")
    if chosen[0] < 0 or chosen[-1] >= n_patches:
        wrong = chosen[0] if chosen[0] < 0 else chosen[-1]
        raise NeurratorError(f"There is no patch {wrong}: the grid has {n_patches}, numbered from 0.")
    return chosen


def patch_target(grid: torch.Tensor, prior: torch.Tensor, patches: list[int] | np.ndarray) -> Target:
    """Ask for some patches: how far what is decoded leads away from the mean grid, towards `grid`.

    Parameters
    ----------
    grid : torch.Tensor
        What was decoded, to ask who said it; or the true grid, to ask who would have had to; (patch, width).
    prior : torch.Tensor
        The decoder's mean grid, (patch, width).
    patches : sequence of int
        Numbers of the patches, row by row.

    Raises
    ------
    NeurratorError
        No such patches, or the grid is the mean grid there.
    """
    chosen = check_patches(patches, len(grid))
    away = (grid.float() - prior.float())[chosen]
    lengths = away.norm(dim=1, keepdim=True)
    if float(lengths.max()) < 1e-6:
        raise NeurratorError(
            "Nothing but the mean grid was decoded there, so nobody said it: choose other patches or more units."
        )
    weights = torch.zeros_like(prior, dtype=torch.float32)
    weights[chosen] = away / lengths.clamp(min=1e-12) / len(chosen)
    name = f"patch {chosen[0]}" if len(chosen) == 1 else f"{len(chosen)} patches"
    return Target(name, weights, prior.float(), "distance from the mean grid", chosen)


def concept_target(dictionary: Dictionary, concept: str | int, grid: torch.Tensor, prior: torch.Tensor) -> Target:
    """Ask for a concept: its activation, where it is active on the frame (all over the frame, where it is not).

    Parameters
    ----------
    dictionary : Dictionary
        Holds it.
    concept : str or int
        A name, for all features of that name; or the number of a feature.
    grid : torch.Tensor
        What was decoded, (patch, width).
    prior : torch.Tensor
        The decoder's mean grid, (patch, width).

    Raises
    ------
    NeurratorError
        The dictionary has no such concept.
    """
    if isinstance(concept, str):
        features = [number for number, entry in enumerate(dictionary.names) if entry["name"] == concept]
        if not features:
            raise NeurratorError(f"The dictionary has no concept {concept!r}: choose one of those listed.")
        name = concept
    else:
        if not 0 <= concept < dictionary.n_features:
            raise NeurratorError(f"The dictionary has no feature {concept}: it has {dictionary.n_features}.")
        features, name = [int(concept)], dictionary.names[concept]["name"] or f"feature {concept}"
    found = dictionary.encode(grid.float()[None])
    weights = torch.zeros_like(prior, dtype=torch.float32)
    where: set[int] = set()
    for feature in features:
        active = sorted(set(found.rows[found.features == feature].tolist()))
        if active:
            weights[active] += _slope(dictionary, grid[active], [feature])
            where |= set(active)
    if not where:
        weights += _slope(dictionary, grid, features)
    return Target(name, weights, prior.float(), "activation", sorted(where) or None)


def _slope(dictionary: Dictionary, vectors: torch.Tensor, features: list[int]) -> torch.Tensor:
    """Return how some features rise with each number of patch vectors, (patch, width), before the activation function."""
    sae = dictionary.sae
    with torch.inference_mode(False), torch.enable_grad():
        # Copies: what was decoded in inference mode cannot be followed back.
        x = vectors.detach().clone().float().to(sae.encoder.device).requires_grad_()
        risen = sae.normaliser.apply(x)[0] @ sae.encoder[:, features].clone()
        (slope,) = torch.autograd.grad(risen.sum(), x)
    return slope.cpu()
