"""Leave a group out: what is lost when these units are not known, or silent."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from ..decoding.interface import SubsetDecoder
from ..errors import NeurratorError
from ..evaluation.nulls import matched_units
from ..evaluation.statistics import p_value

How = Literal["unknown", "silent"]


@dataclass(frozen=True, eq=False)
class Loss:
    """What was lost by leaving out a group.

    Attributes
    ----------
    how : str
        ``unknown``: the rest is decoded as if the group had not been recorded. ``silent``: the group is recorded and does not fire, which says something too.
    whole, rest : numpy.ndarray
        Cosine of decoded and true patches with all units, and without the group, (moment, patch).
    alone : numpy.ndarray
        The same of the group alone, (moment, patch).
    lost : float
        Mean of `whole` less that of `rest`.
    random : numpy.ndarray
        The same for as many random units of those that were asked, (draw,).
    p : float
        Share of the random groups, itself among them, whose loss is at least as large.
    """

    how: How
    whole: np.ndarray
    rest: np.ndarray
    alone: np.ndarray
    lost: float
    random: np.ndarray
    p: float

    @property
    def by_patch(self) -> np.ndarray:
        """Where on the frame it is lost: difference of cosines, mean over moments, (patch,)."""
        return (self.whole - self.rest).mean(0)


def leave_out(
    decoder: SubsetDecoder,
    windows: np.ndarray,
    unit_ids: list,
    group: list,
    true: np.ndarray | torch.Tensor,
    patches: list[int] | None = None,
    how: How = "unknown",
    draws: int = 39,
    seed: int = 0,
) -> Loss:
    """Decode without a group of units.

    Parameters
    ----------
    decoder : SubsetDecoder
        Decodes.
    windows : numpy.ndarray
        Counts (moment, bin, unit).
    unit_ids : list
        The units of the last axis.
    group : list
        Those of them that are left out.
    true : numpy.ndarray or torch.Tensor
        True grids at these moments, (moment, patch, width).
    patches : list of int, optional
        What is measured: these patches only.
    how : {"unknown", "silent"}
        Whether the group counts as not recorded, or as recorded without a spike.
    draws : int
        Random groups of as many units to compare with.
    seed : int
        Of the draws.

    Raises
    ------
    NeurratorError
        The group is empty, holds all units, or some that were not asked.
    """
    place = {unit: row for row, unit in enumerate(unit_ids)}
    strange = [unit for unit in group if unit not in place]
    if strange or not group or len(set(group)) >= len(unit_ids):
        what = (
            f"{strange[0]!r} is not among the units that were decoded"
            if strange
            else "it has no units"
            if not group
            else "nobody would be left"
        )
        raise NeurratorError(f"The group cannot be left out: {what}.")
    target = torch.from_numpy(np.asarray(true, dtype=np.float32))
    chosen = slice(None) if patches is None else list(patches)

    def cosines(kept: list, counts: np.ndarray) -> np.ndarray:
        grids = decoder.predict(np.ascontiguousarray(counts), kept)
        return cosine_similarity(grids, target, dim=-1).numpy()

    def without(some: list) -> np.ndarray:
        gone = set(some)
        if how == "silent":
            counts = windows.copy()
            counts[:, :, [place[unit] for unit in some]] = 0
            return cosines(unit_ids, counts)
        kept = [unit for unit in unit_ids if unit not in gone]
        return cosines(kept, windows[:, :, [place[unit] for unit in kept]])

    group = list(dict.fromkeys(group))
    whole, rest = cosines(unit_ids, windows), without(group)
    alone = cosines(group, windows[:, :, [place[unit] for unit in group]])
    lost = float((whole - rest)[:, chosen].mean())
    sets = matched_units(unit_ids, len(group), draws, np.random.default_rng([seed, 41]))
    random = np.array([float((whole - without(some))[:, chosen].mean()) for some in sets])
    return Loss(how, whole, rest, alone, lost, random, p_value(lost, random))
