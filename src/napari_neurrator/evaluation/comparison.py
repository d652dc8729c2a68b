"""Compare groups of units on the same moments: what they say differently, where, and whether that is more than groups of as many random units would."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import NeurratorError
from .statistics import benjamini_hochberg, p_value
from .words import content_words

if TYPE_CHECKING:
    import pandas as pd

Decode = Callable[[list], torch.Tensor]


@dataclass(frozen=True, eq=False)
class GroupDifference:
    """How two groups differ in what is decoded from them.

    Attributes
    ----------
    first, second : str
        The groups.
    distance : float
        Mean distance of their decoded grids, over moments and patches.
    by_patch : numpy.ndarray
        The same by patch, (patch,): where on the frame they differ.
    null : numpy.ndarray
        The distance of groups of as many units each, drawn at random from those of both, (draw,).
    p : float
        Share of these, the groups themselves among them, whose distance is at least as large.
    p_adjusted : float
        The same for all pairs that were compared, by Benjamini and Hochberg's method.
    """

    first: str
    second: str
    distance: float
    by_patch: np.ndarray
    null: np.ndarray
    p: float
    p_adjusted: float


def compare_groups(
    groups: Mapping[str, Sequence],
    decode: Decode,
    draws: int = 199,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> list[GroupDifference]:
    """Compare every two groups of units on the same moments.

    Which group a unit belongs to is shuffled, and the sizes are kept: if the groups are of one kind, theirs is as good as any other division. Units that are in both
    groups stay in both.

    Parameters
    ----------
    groups : mapping
        From names to units, two or more.
    decode : callable
        From units to their decoded grids at these moments, float32 (moment, patch, width).
    draws : int
        Random divisions of each pair.
    seed : int
        Of the draws.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.

    Returns
    -------
    list of GroupDifference
        One a pair, in the order of the groups.

    Raises
    ------
    NeurratorError
        Fewer than two groups, an empty one, or two with the same units.
    """
    if len(groups) < 2:
        raise NeurratorError("There is nothing to compare: choose two groups or more.")
    own = {name: list(dict.fromkeys(units)) for name, units in groups.items()}
    empty = next((name for name, units in own.items() if not units), None)
    if empty is not None:
        raise NeurratorError(f"The group {empty!r} has no units.")
    grids = {name: decode(units) for name, units in own.items()}
    pairs = list(combinations(own, 2))
    found = []
    for number, (first, second) in enumerate(pairs):
        both = set(own[first]) & set(own[second])
        shared = [unit for unit in own[first] if unit in both]
        free = [unit for name in (first, second) for unit in own[name] if unit not in both]
        if not free:
            raise NeurratorError(f"The groups {first!r} and {second!r} hold the same units.")
        size = len(own[first]) - len(shared)
        by_patch = _distance(grids[first], grids[second])
        rng = np.random.default_rng([seed, 50, number])
        null = []
        for draw in range(draws):
            if on_progress:
                on_progress("comparing with random groups", number * draws + draw, len(pairs) * draws)
            order = rng.permutation(len(free))
            parts = [shared + [free[place] for place in np.sort(some)] for some in (order[:size], order[size:])]
            one, other = (decode(units) if units else None for units in parts)
            null.append(float(_distance(one, other).mean()))
        distance = float(by_patch.mean())
        found.append((first, second, distance, by_patch.numpy(), np.array(null), p_value(distance, np.array(null))))
    if on_progress:
        on_progress("comparing with random groups", len(pairs) * draws, len(pairs) * draws)
    adjusted = benjamini_hochberg(np.array([one[-1] for one in found]))
    return [GroupDifference(*one, float(p)) for one, p in zip(found, adjusted, strict=True)]


def _distance(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor:
    """Return the mean distance of grids by patch, (patch,)."""
    assert first is not None
    assert second is not None
    return (first - second).norm(dim=-1).mean(0)


def word_differences(first: Sequence[str], second: Sequence[str], least: int = 1) -> "pd.DataFrame":
    """Tell which words the sentences of two groups differ in; see `count_differences`. Of sentences in English only content words are counted, see `words.content_words`."""
    words = content_words([*first, *second])
    return count_differences(
        Counter(word for some in words[: len(first)] for word in some),
        Counter(word for some in words[len(first) :] for word in some),
        least,
    )


def concept_differences(
    first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], least: int = 1
) -> "pd.DataFrame":
    """Tell which concepts stand out more often with one group than with the other; each argument holds the names at each moment."""
    return count_differences(
        Counter(name for names in first for name in set(names)),
        Counter(name for names in second for name in set(names)),
        least,
    )


def count_differences(first: Mapping[str, int], second: Mapping[str, int], least: int = 1) -> "pd.DataFrame":
    """Hold counts against each other by log-odds that are smoothed by what both have in common.

    The prior is that of Monroe, Colaresi & Quinn 2008 (Political Analysis 16:372): each name as often as in both together, worth one count a name in all. A name that is rare gets a
    wide uncertainty, and so a small z, whatever its ratio.

    Parameters
    ----------
    first, second : mapping
        From names to counts.
    least : int
        Names that come up less often in both together are left out.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``name``, those of the first group first: ``first``, ``second`` (counts), ``log_odds`` (positive: more with the first) and ``z``. The z counts
        every word as a draw of its own; neighbouring moments are not, so it ranks names and is no test.
    """
    import pandas as pd

    names = sorted(name for name in {*first, *second} if first.get(name, 0) + second.get(name, 0) >= least)
    a = np.array([first.get(name, 0) for name in names], dtype=float)
    b = np.array([second.get(name, 0) for name in names], dtype=float)
    columns = {"first": a.astype(int), "second": b.astype(int)}
    if len(names):
        prior = (a + b) / (a + b).sum() * len(names)
        rest = prior.sum() - prior
        odds = [np.log(n + prior) - np.log(n.sum() - n + rest + 1e-12) for n in (a, b)]
        columns["log_odds"] = odds[0] - odds[1]
        columns["z"] = columns["log_odds"] / np.sqrt(1 / (a + prior) + 1 / (b + prior))
    else:
        columns["log_odds"] = columns["z"] = np.empty(0)
    table = pd.DataFrame(columns, index=pd.Index(names, name="name"))
    return table.sort_values("z", ascending=False, kind="stable")
