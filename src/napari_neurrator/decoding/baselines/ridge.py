"""Ridge regression from pooled spike counts to patch grids, fitted anew for every subset of units that is asked."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from ...config import WindowConfig
from ...errors import NeurratorError
from ..interface import OnProgress, SubsetDecoder, TrainingData
from ..remembered import Remembered
from .counts import check_blocks, check_data, pooled, pooled_rows
from .least_squares import cross_validated_ridge, inner_folds
from .options import BaselineOptions, checked
from .targets import GridTargets

_BLOCKS = (1, 2, 4)


@dataclass(frozen=True, eq=False)
class _Regression:
    """Of the grids' coefficients on counts in some blocks: weights (block × unit, target), intercept (target,)."""

    blocks: int
    weights: torch.Tensor
    intercept: torch.Tensor


class RidgeOptions(BaselineOptions):
    """Options of the decoder ``ridge``."""

    blocks: int | None = Field(
        default=None,
        ge=1,
        description="parts of the window in which spikes are counted; 1, 2 or 4, by cross-validation, if not given",
    )
    transform: Literal["none", "sqrt"] = Field(
        default="sqrt", description="of the counts; sqrt evens out their variance"
    )
    subsets: Literal["refit", "zero"] = Field(
        default="refit",
        description="a regression of its own for every subset, or the one of all units with the others at their mean",
    )
    rank: int = Field(default=256, ge=1, description="components of the grids that are regressed")
    alphas: list[float] = Field(
        default=[10.0**k for k in np.arange(0, 6.01, 0.5).tolist()],
        min_length=1,
        description="penalties to choose from",
    )
    folds: int = Field(default=5, ge=2, description="parts of whole groups on which the penalty is chosen")


class RidgeDecoder(SubsetDecoder):
    """Ridge regression of the grids' coefficients, the penalty of each chosen by cross-validation over groups.

    The counts that it was fitted on are kept, so that a subset of units gets the regression (and the penalties) that these units alone would
    have got: the strongest form of this baseline.

    Attributes
    ----------
    options : RidgeOptions
        It was fitted with.
    """

    kind: ClassVar[str] = "ridge"

    def __init__(
        self,
        counts: torch.Tensor,
        groups: torch.Tensor,
        targets: GridTargets,
        options: RidgeOptions,
        unit_ids: list,
        window: WindowConfig,
        regression: _Regression | None = None,
    ):
        self.counts, self.groups, self.targets, self.options = counts, groups, targets, options
        self.unit_ids, self.window = list(unit_ids), window
        finest = counts.shape[1]
        self._scales = {blocks: self._scale(blocks) for blocks in _BLOCKS if finest % blocks == 0} | {
            finest: self._scale(finest)
        }
        self._known: Remembered[_Regression] = Remembered()
        self._all = regression or self._regression(list(range(len(unit_ids))))

    @classmethod
    def fit(
        cls, data: TrainingData, options: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> "RidgeDecoder":
        """Regress on training and validation moments together, for nothing is stopped early; see `RidgeOptions` for the options."""
        settings = checked(RidgeOptions, cls.kind, options)
        if min(settings.alphas) <= 0:
            raise NeurratorError(
                "The option alphas of the decoder 'ridge' is not possible: every penalty has to be above 0."
            )
        check_data(data, cls.kind)
        finest = settings.blocks or max(blocks for blocks in _BLOCKS if blocks <= data.window.n_bins)
        check_blocks(finest, data.window.n_bins, cls.kind)
        report = on_progress or (lambda stage, done, total: None)
        rows = np.sort(np.concatenate([data.train, data.validation]))
        if len(np.unique(data.groups[rows])) < 2:
            raise NeurratorError(
                "The decoder 'ridge' needs moments of at least two showings or blocks: choose another stimulus or split."
            )
        report("finding the components of the frames", 0, 1)
        targets = GridTargets.fit(data, rows, settings.rank)
        report("finding the components of the frames", 1, 1)
        report("fitting the ridge regression", 0, 1)
        counts = pooled_rows(data.windows, rows, finest)
        groups = torch.from_numpy(np.unique(data.groups[rows], return_inverse=True)[1].astype(np.int32))
        decoder = cls(counts, groups, targets, settings, data.unit_ids, data.window)
        report("fitting the ridge regression", 1, 1)
        return decoder

    def _transformed(self, counts: torch.Tensor, blocks: int) -> torch.Tensor:
        """Return counts (moment, finest block, unit) in fewer blocks, transformed: float32 (moment, block, unit)."""
        counts = counts.float().unflatten(1, (blocks, -1)).sum(2)
        return (counts + 0.375).sqrt() if self.options.transform == "sqrt" else counts

    def _scale(self, blocks: int) -> tuple[torch.Tensor, torch.Tensor]:
        features = self._transformed(self.counts, blocks)
        deviation = features.std(0)
        return features.mean(0), torch.where(deviation < 1e-6, torch.ones_like(deviation), deviation)

    def _features(self, counts: torch.Tensor, units: list[int], blocks: int) -> torch.Tensor:
        mean, deviation = self._scales[blocks]
        return ((self._transformed(counts, blocks) - mean[:, units]) / deviation[:, units]).flatten(1)

    def _regression(self, units: list[int]) -> _Regression:
        part = inner_folds(self.groups.numpy(), self.options.folds)
        values = self.targets.basis.coefficients
        best, least = None, float("inf")
        for blocks in self._scales if self.options.blocks is None else [self.options.blocks]:
            features = self._features(self.counts[:, :, units], units, blocks)
            *fitted, error = cross_validated_ridge(features, self.targets.states, values, part, self.options.alphas)
            if best is None or error < least:
                best, least = _Regression(blocks, *fitted), error
        assert best is not None
        return best

    def _regression_of(self, units: list[int]) -> _Regression:
        """Return the regression on units at sorted positions; those of the last subsets are remembered."""
        if len(units) == len(self.unit_ids):
            return self._all
        if self.options.subsets == "zero":
            weights = self._all.weights.unflatten(0, (self._all.blocks, -1))[:, units].flatten(0, 1)
            return _Regression(self._all.blocks, weights, self._all.intercept)
        return self._known.of(tuple(units), lambda: self._regression(units))

    @torch.inference_mode()
    def predict(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the decoded patch grids; a subset of units that was not asked before is regressed first. See `SubsetDecoder.predict`."""
        positions = self.positions(unit_ids)
        self.check_windows(windows, unit_ids)
        order = np.argsort(positions)
        units = [positions[i] for i in order]
        regression = self._regression_of(units)
        counts = torch.from_numpy(pooled(windows[:, :, order], self.counts.shape[1]).astype(np.int32))
        features = self._features(counts, units, regression.blocks)
        return self.targets.basis.grids(features @ regression.weights + regression.intercept)

    @property
    def prior_grid(self) -> torch.Tensor:
        """The mean training grid, float32 (patches, width)."""
        return self.targets.prior

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return counts, basis, weights and options."""
        tensors = {"counts": self.counts, "groups": self.groups}
        tensors |= {"weights": self._all.weights, "intercept": self._all.intercept}
        return tensors | self.targets.state(), {"options": self.options.model_dump(), "blocks": self._all.blocks}

    @classmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], settings: dict[str, Any], unit_ids: list, window: WindowConfig
    ) -> "RidgeDecoder":
        """Make a decoder of what `state` returned; KeyError or ValueError where something is missing."""
        options, counts = RidgeOptions(**settings["options"]), tensors["counts"]
        regression = _Regression(int(settings["blocks"]), tensors["weights"].float(), tensors["intercept"].float())
        if counts.shape[2] != len(unit_ids) or len(regression.weights) != regression.blocks * len(unit_ids):
            raise ValueError("counts and units do not belong together")
        return cls(counts, tensors["groups"], GridTargets.from_state(tensors), options, unit_ids, window, regression)
