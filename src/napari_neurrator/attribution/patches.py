"""Look at a patch, or at a region of patches: how close decoded and true vectors are there, and what each of them says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import normalize

from ..concepts.dictionary import Dictionary
from ..decoding.interface import SubsetDecoder
from ..decoding.rows import Rows
from .targets import check_patches

# Frames of the movie that are compared at a time, and moments that are decoded at a time.
_AT_ONCE = 64


@dataclass(frozen=True)
class Likeness:
    """A patch of the movie that looks like what was decoded.

    Attributes
    ----------
    frame, patch : int
        Where it is: row of the table of grids, and number of the patch.
    cosine : float
        Of what both differ by from the movie's mean patch.
    """

    frame: int
    patch: int
    cosine: float


@dataclass(frozen=True, eq=False)
class PatchReport:
    """What is known of a region of patches at one moment.

    Attributes
    ----------
    patches : list of int
        The region.
    cosine, prior_cosine : float
        Mean cosine of decoded and true patches, and of the mean grid and the true patches.
    gain : float
        The first less the second.
    null : numpy.ndarray
        The gain of every other frame's true patches there: what frames score that have nothing to do with it, (frame,).
    p : float
        Share of the frames whose gain is at least as large, the true one among them.
    decoded_concepts, true_concepts : list of tuple
        (name, activation), summed over the region, strongest first.
    """

    patches: list[int]
    cosine: float
    prior_cosine: float
    gain: float
    null: np.ndarray
    p: float
    decoded_concepts: list[tuple[str, float]]
    true_concepts: list[tuple[str, float]]


@torch.inference_mode()
def inspect_patches(
    decoded: torch.Tensor,
    true: torch.Tensor,
    prior: torch.Tensor,
    patches: list[int] | np.ndarray,
    others: np.ndarray | Rows,
    weights: np.ndarray | None = None,
    dictionary: Dictionary | None = None,
    n_concepts: int = 5,
) -> PatchReport:
    """Say how close decoded and true vectors are in a region, with its null, and which concepts are active in each.

    Parameters
    ----------
    decoded, true, prior : torch.Tensor
        What was decoded, the grid of the frame shown, and the decoder's mean grid, (patch, width).
    patches : sequence of int
        The region.
    others : numpy.ndarray or Rows
        True grids of the frames that it is held against (a decoder keeps some: ``StoredDecoder.references``), (frame, patch, width). Those that look like the
        true one there count as it.
    weights : numpy.ndarray, optional
        How many moments each of these stands for, (frame,).
    dictionary : Dictionary, optional
        Names what is active.
    n_concepts : int
        Concepts that are listed at most.

    Raises
    ------
    NeurratorError
        The grid has no such patches.
    """
    chosen = check_patches(patches, len(decoded))
    away = normalize(decoded[chosen].float(), dim=-1) - normalize(prior[chosen].float(), dim=-1)
    shown = normalize(true[chosen].float(), dim=-1)
    gain = float((away * shown).sum(1).mean())
    prior_cosine = float((normalize(prior[chosen].float(), dim=-1) * shown).sum(1).mean())
    gains, same = [], []
    for start in range(0, len(others), _AT_ONCE):
        part = torch.from_numpy(np.asarray(others[start : start + _AT_ONCE][:, chosen], dtype=np.float32))
        part = normalize(part, dim=-1)
        gains.append((part * away).sum(-1).mean(1))
        same.append((part * shown).sum(-1).mean(1) > 1 - 1e-4)
    found, alike = torch.cat(gains).numpy(), torch.cat(same).numpy()
    weight = np.ones(len(found)) if weights is None else np.asarray(weights, dtype=float)
    itself = 0.0 if alike.any() else float(weight.mean())
    p = (float(weight[(found >= gain) | alike].sum()) + itself) / (float(weight.sum()) + itself)
    return PatchReport(
        chosen,
        prior_cosine + gain,
        prior_cosine,
        gain,
        found[~alike],
        p,
        _concepts(dictionary, decoded[chosen], n_concepts),
        _concepts(dictionary, true[chosen], n_concepts),
    )


def _concepts(dictionary: Dictionary | None, vectors: torch.Tensor, n: int) -> list[tuple[str, float]]:
    if dictionary is None:
        return []
    active = dictionary.encode(vectors.float()[None])
    sums = active.totals_of(dictionary.concept_of_feature, len(dictionary.concepts))[0].cpu()
    order = torch.argsort(sums, descending=True)[:n].tolist()
    return [(dictionary.concepts[number], float(sums[number])) for number in order if sums[number] > 0]


@torch.inference_mode()
def most_alike(
    vector: torch.Tensor,
    grids: np.ndarray | Rows,
    n: int = 12,
    apart: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Likeness]:
    """Find the patches of the whole movie that a decoded vector looks most like.

    Parameters
    ----------
    vector : torch.Tensor
        (width,); of a region, the mean of its vectors.
    grids : numpy.ndarray or Rows
        True grids of the movie's frames (`vision.cache.patch_grids`), (frame, patch, width); read some at a time, twice.
    n : int
        How many.
    apart : int
        Frames that lie at least between two of those that are returned, for neighbours look alike; with 0 all count.
    on_progress : callable, optional
        Called with (done, total); may raise `Stopped`.
    """
    # Cosines of the vectors themselves would be near 1 for all patches: what they have in common says nothing.
    mean = torch.zeros_like(vector, dtype=torch.float32)
    for _, part in _parts(grids):
        mean += part.sum((0, 1))
    mean /= grids.shape[0] * grids.shape[1]
    wanted = normalize(vector.float() - mean, dim=0)
    cosine = torch.empty(grids.shape[0], grids.shape[1])
    for start, part in _parts(grids):
        cosine[start : start + len(part)] = normalize(part - mean, dim=-1) @ wanted
        if on_progress:
            on_progress(start + len(part), grids.shape[0])
    found: list[Likeness] = []
    for place in torch.argsort(cosine.flatten(), descending=True).tolist():
        frame, patch = divmod(place, grids.shape[1])
        if not apart or all(abs(frame - other.frame) >= apart for other in found):
            found.append(Likeness(frame, patch, float(cosine[frame, patch])))
            if len(found) == n:
                break
    return found


def _parts(grids: np.ndarray | Rows):
    for start in range(0, grids.shape[0], _AT_ONCE):
        yield start, torch.from_numpy(np.asarray(grids[start : start + _AT_ONCE], dtype=np.float32))


@torch.inference_mode()
def patches_over_time(
    decoder: SubsetDecoder,
    windows: np.ndarray,
    unit_ids: list,
    true: np.ndarray | Rows,
    patches: list[int] | np.ndarray | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Hold decoded against true patches, moment by moment.

    Parameters
    ----------
    decoder : SubsetDecoder
        Decodes.
    windows : numpy.ndarray
        Counts (moment, bin, unit).
    unit_ids : list
        The units of the last axis.
    true : numpy.ndarray or Rows
        True grids at these moments, (moment, patch, width).
    patches : sequence of int, optional
        A region; all patches by default.
    on_progress : callable, optional
        Called with (done, total); may raise `Stopped`.

    Returns
    -------
    cosine : numpy.ndarray
        Of decoded and true, float32 (moment, patch of the region).
    prior : numpy.ndarray
        The same for the mean grid.
    """
    prior_grid = decoder.prior_grid.cpu()
    chosen = check_patches(np.arange(len(prior_grid)) if patches is None else patches, len(prior_grid))
    unit_prior = normalize(prior_grid[chosen], dim=-1)
    cosine, prior = np.empty((len(windows), len(chosen)), np.float32), np.empty((len(windows), len(chosen)), np.float32)
    for start in range(0, len(windows), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(windows)))
        shown = normalize(torch.from_numpy(np.asarray(true[part], dtype=np.float32))[:, chosen], dim=-1)
        grids = normalize(decoder.predict(windows[part], unit_ids).cpu()[:, chosen], dim=-1)
        cosine[part], prior[part] = (grids * shown).sum(-1).numpy(), (unit_prior * shown).sum(-1).numpy()
        if on_progress:
            on_progress(part.stop, len(windows))
    return cosine, prior


@dataclass(frozen=True, eq=False)
class MatchOverTime:
    """How close decoded and true patches of a region are, moment by moment.

    Attributes
    ----------
    cosine : numpy.ndarray
        Of decoded and true, float32 (moment, patch of the region).
    prior : numpy.ndarray
        Mean over the region of what the mean grid scores, float32 (moment,).
    low, high : numpy.ndarray
        Between these lie nine tenths of what the region would score had another frame been on, float32 (moment,); NaN where there is none to compare with.
    """

    cosine: np.ndarray
    prior: np.ndarray
    low: np.ndarray
    high: np.ndarray


@torch.inference_mode()
def match_over_time(
    decoded: torch.Tensor,
    true: torch.Tensor,
    prior: torch.Tensor,
    patches: list[int] | np.ndarray | None,
    others: np.ndarray | Rows,
    weights: np.ndarray | None = None,
) -> MatchOverTime:
    """Hold decoded against true patches with the null of `inspect_patches`, for many moments.

    The gain of a frame is how much nearer to it the decoded patches lie than the mean grid does; the null puts every other frame in the place of the one that
    was on, and adds its gain to what the mean grid scores at the true one.

    Parameters
    ----------
    decoded, true : torch.Tensor
        What was decoded and the grids of the frames shown, (moment, patch, width).
    prior : torch.Tensor
        The decoder's mean grid, (patch, width).
    patches : sequence of int or None
        The region; None is all.
    others : numpy.ndarray or Rows
        True grids that it is held against, (frame, patch, width); those that look like the true one there are left out.
    weights : numpy.ndarray, optional
        How many moments each of these stands for, (frame,).

    Raises
    ------
    NeurratorError
        The grid has no such patches.
    """
    chosen = check_patches(np.arange(len(prior)) if patches is None else patches, len(prior))
    n, size = len(decoded), len(chosen)
    grids, shown = normalize(decoded[:, chosen].float(), dim=-1), normalize(true[:, chosen].float(), dim=-1)
    nothing = normalize(prior[chosen].float(), dim=-1)
    away, flat = (grids - nothing).reshape(n, -1), shown.reshape(n, -1)
    gains, same = [], []
    for start in range(0, len(others), _AT_ONCE):
        part = torch.from_numpy(np.asarray(others[start : start + _AT_ONCE][:, chosen], dtype=np.float32))
        part = normalize(part, dim=-1).reshape(len(part), -1)
        gains.append(away @ part.T / size)
        same.append(flat @ part.T / size > 1 - 1e-4)
    known = (nothing * shown).sum(-1).mean(1).numpy()
    low, high = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    if gains:
        gain, alike = torch.cat(gains, 1).numpy(), torch.cat(same, 1).numpy()
        weight = np.ones(gain.shape[1]) if weights is None else np.asarray(weights, dtype=float)
        for moment in range(n):
            rest = ~alike[moment]
            if weight[rest].sum() > 0:
                low[moment], high[moment] = known[moment] + np.quantile(
                    gain[moment, rest], (0.05, 0.95), weights=weight[rest], method="inverted_cdf"
                )
    return MatchOverTime((grids * shown).sum(-1).numpy(), known.astype(np.float32), low, high)
