"""Hold decoded grids against the frames that were shown: the evidence of single sentences, and what a decoder reaches by number of units."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import normalize

from ..decoding.interface import SubsetDecoder
from ..decoding.rows import Rows
from .evidence import Evidence, EvidenceTable
from .nulls import matched_units

# Numbers of true grids that are kept with a decoder, and frames at least and at most.
_HELD, _FEW, _MANY = 1 << 23, 64, 256
# Frames that are turned to float32 at a time, and numbers of decoded grids that are worked on at a time.
_AT_ONCE, _WORKED_ON = 16, 1 << 22
# Grids that differ by less than rounding to half precision are one picture.
_SAME = 1 - 1e-4


class ReferenceFrames:
    """The frames that a decoded grid is held against.

    Parameters
    ----------
    grids : torch.Tensor
        Their true grids, float16 or float32 (frame, patches, width).
    weights : torch.Tensor
        How many of the moments that are tested each of them stands for, (frame,).
    prior : torch.Tensor
        The decoder's mean grid, (patches, width).
    """

    def __init__(self, grids: torch.Tensor, weights: torch.Tensor, prior: torch.Tensor):
        self.weights = weights.double()
        self._prior = normalize(prior.float(), dim=-1)
        # In half precision, as grids are kept: reading them is what judging one sentence costs.
        self._units = torch.cat([normalize(part.float(), dim=-1).flatten(1).half() for part in grids.split(_AT_ONCE)])

    def __len__(self) -> int:
        return len(self._units)

    @torch.inference_mode()
    def judge(self, decoded: torch.Tensor, true: torch.Tensor) -> list[Evidence]:
        """Judge some moments.

        Parameters
        ----------
        decoded : torch.Tensor
            Decoded grids, (moment, patches, width).
        true : torch.Tensor
            True grids of the frames that were on, (moment, patches, width).

        Notes
        -----
        Neighbours of the frame in its film are among the frames it is held against. Left out, they would make p too small: what is decoded
        leans towards some stretch of the film, by luck the one where the frame lies, and within that stretch nothing would be left to beat it.
        """
        step = _moments_at_once(self._prior.numel())
        if len(decoded) > step:
            parts = zip(decoded.split(step), true.split(step), strict=True)
            return [one for part in parts for one in self.judge(*part)]
        n_patches = self._prior.shape[0]
        decoded, true = normalize(decoded.float(), dim=-1), normalize(true.float(), dim=-1)
        # Away from the prior first: differences of two cosines near 1 would lose what units that know little say.
        away = ((decoded - self._prior) / n_patches).flatten(1)
        unit = true.flatten(1)
        gain = (away * unit).sum(1)
        both = torch.cat([away, unit / n_patches])
        prior_cosine = (self._prior * true).sum(-1).mean(1)
        other, likeness = torch.cat([both @ part.float().T for part in self._units.split(_AT_ONCE)], 1).chunk(2)
        alike = likeness > _SAME
        as_large = (other >= gain[:, None]) | alike
        # A frame that is not among the references, because these are thinned, counts as one more.
        itself = torch.where(alike.any(1), 0.0, float(self.weights.mean())).double()
        whole = self.weights.sum() + itself
        p = (as_large.double() @ self.weights + itself) / whole
        least = (alike.double() @ self.weights + itself) / whole
        usual = other.masked_fill(alike, torch.nan).nanmedian(1).values.nan_to_num(0.0)
        return [
            Evidence(
                patch_cosine=float(prior_cosine[row] + gain[row]),
                prior_cosine=float(prior_cosine[row]),
                gain=float(gain[row]),
                usual=float(usual[row]),
                p=min(float(p[row]), 1.0),
                least=min(float(least[row]), 1.0),
            )
            for row in range(len(decoded))
        ]


def thin_frames(frames: np.ndarray, grid_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the frames that sentences are held against: all that were tested, or some, evenly, where their grids would take too much room.

    Parameters
    ----------
    frames : numpy.ndarray
        The frame on at each tested moment, (moment,).
    grid_size : int
        Numbers in one grid.

    Returns
    -------
    kept : numpy.ndarray
        Distinct frames, ascending.
    weights : numpy.ndarray
        Moments that each stands for: its own, and those of the frames that lie nearest to it.
    """
    distinct, times = np.unique(frames, return_counts=True)
    most = int(np.clip(_HELD // grid_size, _FEW, _MANY))
    places = np.unique(np.linspace(0, len(distinct) - 1, min(len(distinct), most)).round().astype(int))
    middles = (places[1:] + places[:-1]) / 2
    weights = np.bincount(np.searchsorted(middles, np.arange(len(distinct))), weights=times, minlength=len(places))
    return distinct[places], weights


def _moments_at_once(grid_size: int) -> int:
    return int(np.clip(_WORKED_ON // grid_size, 4, 64))


def measure_evidence(
    decoder: SubsetDecoder,
    windows: np.ndarray,
    true: np.ndarray | Rows,
    references: ReferenceFrames,
    sizes: list[int],
    draws: int = 4,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvidenceTable:
    """Tell, by number of units drawn at random, how many sentences at moments that were not fitted are more than chance.

    Parameters
    ----------
    decoder : SubsetDecoder
        Decodes.
    windows : numpy.ndarray
        Counts at held-out moments, (moment, bin, unit) of all units of the decoder.
    true : numpy.ndarray or Rows
        True grids at these moments, (moment, patches, width); read in parts.
    references : ReferenceFrames
        What they are held against.
    sizes : list of int
        Numbers of units, ascending.
    draws : int
        Random subsets of each size.
    seed : int
        Of the subsets.
    on_progress : callable, optional
        Called with (done, total); may raise `Stopped`.
    """
    columns = list(range(len(decoder.unit_ids)))
    chunk = _moments_at_once(int(np.prod(true.shape[1:])))
    found: dict[int, list[Evidence]] = {}
    for number, size in enumerate(sizes):
        rng = np.random.default_rng([seed, 20, size])
        found[size] = []
        for chosen in matched_units(columns, size, 1 if size == len(columns) else draws, rng):
            if on_progress:
                on_progress(number, len(sizes))
            units = [decoder.unit_ids[column] for column in chosen]
            for start in range(0, len(windows), chunk):
                part = slice(start, start + chunk)
                decoded = decoder.predict(np.ascontiguousarray(windows[part][:, :, chosen]), units).cpu()
                found[size] += references.judge(decoded, torch.from_numpy(np.asarray(true[part], dtype=np.float32)))
    return EvidenceTable.of(found, len(windows), len(references))
