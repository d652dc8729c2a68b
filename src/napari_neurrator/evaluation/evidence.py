"""How far to trust one sentence: what moments that have nothing to do with the frame would score, by number of units. Free of torch."""

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

ALPHA = 0.05


class Evidence(BaseModel):
    """What stands beside a sentence.

    Attributes
    ----------
    gain : float
        Patch cosine of the decoded grid less that of the mean grid: how much nearer the truth the units lead.
    usual : float
        The median gain of unrelated frames, with as many units.
    p : float
        Share of unrelated frames whose gain is at least as large.
    better : bool
        Whether `p` is below 0.05: a sentence that is not better is shown greyed.
    """

    model_config = ConfigDict(extra="forbid")

    gain: float
    usual: float
    p: float
    better: bool

    def in_words(self) -> str:
        """Say it in a sentence."""
        if self.better:
            return f"More than chance (p = {self.p:.3f})."
        return f"Not more than chance (p = {self.p:.2f}): unrelated frames fit what was decoded as well."


class EvidenceTable(BaseModel):
    """Gains of unrelated frames, by number of units; stored with a decoder.

    Attributes
    ----------
    sizes : list of int
        Numbers of units, ascending.
    levels : list of float
        Levels of the quantiles, ascending from 0 to 1.
    quantiles : list of lists
        Gain at each level, for each size.
    n : list of int
        Pairs that each row rests on.
    """

    model_config = ConfigDict(extra="forbid")

    sizes: list[int]
    levels: list[float]
    quantiles: list[list[float]]
    n: list[int]

    @model_validator(mode="after")
    def _check(self) -> "EvidenceTable":
        if not self.sizes or self.sizes != sorted(set(self.sizes)) or self.sizes[0] < 1:
            raise ValueError("sizes have to ascend")
        if len(self.quantiles) != len(self.sizes) or len(self.n) != len(self.sizes):
            raise ValueError("every size needs its row")
        if any(len(row) != len(self.levels) for row in self.quantiles):
            raise ValueError("every level needs its quantile")
        return self

    @classmethod
    def of(cls, gains: dict[int, np.ndarray]) -> "EvidenceTable":
        """Summarise the gains of unrelated pairs, {number of units: (pair,)}."""
        levels = np.unique(np.concatenate([np.linspace(0, 1, 101), [0.995, 0.998, 0.999]]))
        sizes = sorted(gains)
        return cls(
            sizes=sizes,
            levels=[round(float(level), 4) for level in levels],
            quantiles=[[round(float(value), 5) for value in np.quantile(gains[size], levels)] for size in sizes],
            n=[len(gains[size]) for size in sizes],
        )

    def judge(self, patch_cosine: float, prior_cosine: float, n_units: int) -> Evidence:
        """Judge one sentence.

        Parameters
        ----------
        patch_cosine, prior_cosine : float
            Of the decoded grid and of the mean grid with the true one.
        n_units : int
            How many units spoke; between two sizes of the table the quantiles are interpolated in the logarithm.
        """
        gain = patch_cosine - prior_cosine
        row = self._row(n_units)
        n = min(self.n)
        share = 1.0 - float(np.interp(gain, row, self.levels, left=0.0, right=1.0))
        # Ties: where the quantiles stand still, a gain that equals them is as large as all of these.
        below = np.flatnonzero(row < gain - 1e-9)
        share = max(share, 1.0 - (self.levels[below[-1] + 1] if len(below) else 0.0)) if _tied(row, gain) else share
        p = (1 + share * n) / (1 + n)
        return Evidence(gain=gain, usual=float(np.interp(0.5, self.levels, row)), p=p, better=p < ALPHA)

    def _row(self, n_units: int) -> np.ndarray:
        where = math.log(max(n_units, 1))
        at = np.log(self.sizes)
        table = np.array(self.quantiles)
        return np.array([np.interp(where, at, table[:, column]) for column in range(table.shape[1])])


def _tied(row: np.ndarray, gain: float) -> bool:
    return bool(np.count_nonzero(np.abs(row - gain) <= 1e-9) > 1)
