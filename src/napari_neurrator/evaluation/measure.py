"""Measure, once for a decoder, what unrelated frames score: the table behind the evidence of single sentences."""

import numpy as np

from ..decoding.interface import SubsetDecoder
from .evidence import EvidenceTable
from .nulls import matched_units
from .pool import Pool


def measure_evidence(
    decoder: SubsetDecoder,
    windows: np.ndarray,
    frame: np.ndarray,
    pool: Pool,
    sizes: list[int],
    near: np.ndarray | None = None,
    draws: int = 4,
    seed: int = 0,
) -> EvidenceTable:
    """Hold what is decoded at moments that were not fitted against all frames that have nothing to do with them.

    Parameters
    ----------
    decoder : SubsetDecoder
        Decodes.
    windows : numpy.ndarray
        Counts at held-out moments, (moment, bin, unit) of all units of the decoder.
    frame : numpy.ndarray
        The frame on at each moment, as a row of `pool`.
    pool : Pool
        True pictures.
    sizes : list of int
        Numbers of units, ascending.
    near : numpy.ndarray, optional
        bool (frame, frame): neighbours in a film, which are related.
    draws : int
        Random subsets of each size.
    seed : int
        Of the subsets.
    """
    related = pool.picture[:, None] == pool.picture[None]
    if near is not None:
        related |= near
    unrelated = ~related[frame]
    prior = pool.similarities(decoder.prior_grid[None].float().cpu())[0]
    columns = list(range(len(decoder.unit_ids)))
    gains: dict[int, np.ndarray] = {}
    for size in sizes:
        some = []
        rng = np.random.default_rng([seed, 20, size])
        for chosen in matched_units(columns, size, 1 if size == len(columns) else draws, rng):
            units = [decoder.unit_ids[column] for column in chosen]
            for start in range(0, len(frame), 64):
                part = slice(start, start + 64)
                decoded = decoder.predict(np.ascontiguousarray(windows[part][:, :, chosen]), units).float().cpu()
                gain = pool.similarities(decoded)[0] - prior
                some.append(gain[unrelated[part]])
        gains[size] = np.concatenate(some)
    return EvidenceTable.of(gains)
