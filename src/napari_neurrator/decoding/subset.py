"""The decoder ``subset``: for any units, the posterior over frames that are known and a regression for frames that are not, mixed.

Which of the two is to be trusted depends on what the decoder is for, which the split says: where showings are held out, the frames are known and the
posterior wins; where frames are held out, the regression does. The weights are fitted, by population size, on moments left out in the same way.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import torch
from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch.nn import functional as F

from ..config import WindowConfig
from ..errors import NeurratorError
from .basis import GridBasis, kept_core
from .bayes import EncodingModel, SubsetLikelihood, SubsetPosterior, block_features
from .calibration import calibrate, positions_of_features
from .interface import OnProgress, SubsetDecoder, TrainingData
from .latent import LatentModel, Regression
from .mixing import FLATTENINGS, Mixing, MixingFit, sizes_up_to
from .parallel import alone, at_once
from .rows import Rows
from .states import by_picture, even_out, merge_alike

# Blocks of the window that are tried; the one that decodes best is kept.
_BLOCKS = (1, 2, 4)
# Moments that they are tried on.
_TRIED = 600
_REMEMBERED = 8


class SubsetOptions(BaseModel):
    """Options of the decoder ``subset``."""

    model_config = ConfigDict(extra="forbid")

    calibration_steps: int = Field(default=400, ge=1, description="random subsets on which certainty is calibrated")
    rank: int = Field(default=256, ge=1, description="components of the grids")
    latents: int = Field(default=48, ge=1, description="dimensions that units have in common")
    draws: int = Field(default=4, ge=1, description="random subsets of each size on which the weights are fitted")


@dataclass(frozen=True, eq=False)
class _Subset:
    """What is worked out once for a subset of units."""

    features: torch.Tensor
    likelihood: SubsetLikelihood
    regression: Regression | None
    weights: tuple[float, float]
    flattening: float


class SubsetBayes(SubsetDecoder):
    """The default decoder; see the module's text.

    Attributes
    ----------
    posterior : SubsetPosterior
        Over the known states.
    latent : LatentModel
        For what is not known.
    basis : GridBasis
        Of the grids; its coefficients are those of the states.
    mixing : Mixing
        Weights of the two, by population size.
    blocks : int
        Parts of the window in which spikes are counted.
    """

    kind: ClassVar[str] = "subset"
    pooled_bins: ClassVar[int | None] = max(_BLOCKS)

    def __init__(
        self,
        posterior: SubsetPosterior,
        latent: LatentModel,
        basis: GridBasis,
        mixing: Mixing,
        blocks: int,
        unit_ids: list,
        window: WindowConfig,
    ):
        self.posterior, self.latent, self.basis = posterior.eval(), latent, basis
        self.mixing, self.blocks, self.unit_ids, self.window = mixing, blocks, list(unit_ids), window
        self._mean = latent.mean
        self._known: LRUCache[bytes, _Subset] = LRUCache(_REMEMBERED)

    # -- fitting -----------------------------------------------------------------------------------------------------------------------
    @classmethod
    def fit(
        cls, data: TrainingData, options: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> "SubsetBayes":
        """Learn from `data`; see `SubsetOptions` for the options.

        Raises
        ------
        NeurratorError
            An option that is not possible, or a stimulus that shows one picture only.
        """
        settings = _options(options)
        report = on_progress or (lambda stage, done, total: None)
        both = np.sort(np.concatenate([data.train, data.validation]))
        report("finding the components of the frames", 0, 1)
        shown = np.unique(data.frames[both])
        basis = GridBasis.fit(Rows(data.grids, shown), settings.rank)
        picture = merge_alike(basis.coefficients)
        if int(picture.max()) == 0:
            raise NeurratorError(
                "The stimulus shows one picture only, so there is nothing to decode: choose another one."
            )
        basis.coefficients = even_out(basis.coefficients, picture)
        frame = np.full(int(data.frames.max()) + 1, -1)
        frame[shown] = np.arange(len(shown))
        states = torch.from_numpy(frame[data.frames])
        report("finding the components of the frames", 1, 1)

        known = bool(np.isin(data.frames[data.validation], data.frames[data.train]).all())
        if data.beyond:
            data = replace(data, groups=_thirds(data, shown))
        learn, tune = (data.train, data.validation) if known else _every_third_showing(data)
        counts, blocks = _best_blocks(data, learn, tune, states, picture, report)
        posterior = SubsetPosterior.of_model(
            EncodingModel.fit(counts, learn, states[learn], len(picture), picture), picture
        )
        if len(tune):
            calibrate(
                posterior,
                basis.coefficients,
                picture,
                counts,
                tune,
                states[tune],
                settings.calibration_steps,
                data.seed,
                report,
            )
        sharpness = posterior.sharpness.detach()
        parts = _parts_of_states(data, both, states, len(picture), known)
        mixing = _fit_mixing(data, counts, states, picture, basis, parts, both, known, sharpness, settings, report)
        # With sharpness and weights settled, everything is estimated again from all moments that are not tested.
        model = EncodingModel.fit(counts, both, states[both], len(picture), picture)
        latent = LatentModel.fit(model, basis.coefficients, parts, settings.latents)
        return cls(
            SubsetPosterior.of_model(model, picture, sharpness),
            latent,
            basis,
            mixing,
            blocks,
            data.unit_ids,
            data.window,
        )

    # -- decoding ----------------------------------------------------------------------------------------------------------------------
    def _subset(self, unit_ids: list) -> _Subset:
        positions = self._position_array(unit_ids)
        key = positions.tobytes()
        if key not in self._known:
            features = positions_of_features(positions, self.blocks, len(self.unit_ids))
            *weights, flattening = self.mixing.at(len(positions))
            works: list[Callable[[], Any]] = [partial(self.posterior.of, features)]
            if weights[1] > 0:
                # First, because it takes longer.
                works.insert(0, partial(self.latent.regression, features))
            *regression, likelihood = at_once(*works)
            self._known[key] = _Subset(
                features, likelihood, regression[0] if regression else None, (weights[0], weights[1]), flattening
            )
        return self._known[key]

    def _features(self, windows: np.ndarray, unit_ids: list, subset: _Subset) -> torch.Tensor:
        self.check_windows(windows, unit_ids)
        counts = torch.from_numpy(pooled(windows, self.blocks).astype(np.int32))
        return block_features(counts).flatten(1) - self.posterior.grand_mean[subset.features]

    @torch.inference_mode()
    def log_posterior(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return log p(frame | spikes) over the distinct frames of the fit: (moment, state). Parameters and errors are those of `predict`."""
        subset = self._subset(unit_ids)
        x = self._features(windows, unit_ids, subset)
        return self.posterior.log_posterior(x, subset.likelihood, len(unit_ids))

    @torch.inference_mode()
    def coefficients(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the decoded grids' coefficients in `basis`, (moment, rank). Parameters and errors are those of `predict`."""
        return alone(partial(self._coefficients, windows, unit_ids), worth=len(windows) == 1)

    def _coefficients(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        subset = self._subset(unit_ids)
        x = self._features(windows, unit_ids, subset)
        log_p = self.posterior.log_posterior(x, subset.likelihood, len(unit_ids), subset.flattening)
        known, regressed = subset.weights
        # A single moment is sooner done as a product of matrix and vector.
        states, p = self.basis.coefficients, log_p.exp()
        expected = torch.mv(states.T, p[0])[None] if len(p) == 1 else p @ states
        result = self._mean + known * (expected - self._mean)
        if subset.regression is not None:
            result = result + regressed * (subset.regression(x) - self._mean)
        return result

    @torch.inference_mode()
    def predict(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the decoded patch grids, float32 (moment, patches, width). See `SubsetDecoder.predict`."""
        # One moment is many small products, so it is not torch that shares them among threads.
        return alone(lambda: self.basis.grids(self._coefficients(windows, unit_ids)), worth=len(windows) == 1)

    @property
    def prior_grid(self) -> torch.Tensor:
        """The mean grid, float32 (patches, width)."""
        return self.basis.grids(self._mean[None])[0]

    # -- keeping -----------------------------------------------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return everything that `from_state` needs."""
        posterior, latent = self.posterior, self.latent
        tensors = {
            "means": posterior.means.half(),
            "grand_mean": posterior.grand_mean,
            "loadings": posterior.loadings,
            "noise": posterior.noise,
            "log_prior": posterior.log_prior,
            "sharpness": posterior.sharpness.detach(),
            "latent_loadings": latent.loadings,
            "latent_noise": latent.noise,
            "latent_moments": latent.moments,
            "latent_targets": latent.targets,
            "latent_weights": latent.weights,
            "mixing_sizes": torch.tensor(self.mixing.sizes),
            "mixing_weights": torch.from_numpy(self.mixing.weights),
            "mixing_flattening": torch.from_numpy(self.mixing.flattening),
            "grid_mean": self.basis.mean,
            "grid_codes": self.basis.codes,
            "grid_steps": self.basis.steps,
            "grid_channels": self.basis.channels,
            "grid_coefficients": self.basis.coefficients,
            "grid_expected": latent.mean,
        }
        return tensors, {"blocks": self.blocks}

    @classmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], settings: dict[str, Any], unit_ids: list, window: WindowConfig
    ) -> "SubsetBayes":
        """Make a decoder of what `state` returned; KeyError or ValueError where something is missing."""
        t = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        blocks = int(settings["blocks"])
        if t["noise"].shape[0] != blocks * len(unit_ids):
            raise ValueError("units and model do not belong together")
        posterior = SubsetPosterior(
            t["means"], t["grand_mean"], t["loadings"], t["noise"], t["sharpness"], t["log_prior"]
        )
        latent = LatentModel(
            t["latent_loadings"], t["latent_noise"], t["loadings"], t["grid_expected"], t["latent_moments"], t["latent_targets"],
            t["latent_weights"],
        )  # fmt: skip
        channels, mean = t["grid_channels"], t["grid_mean"]
        shape = (len(mean) // channels.shape[1], channels.shape[1])
        basis = GridBasis(mean, *kept_core(t), channels, t["grid_coefficients"], shape)
        sizes, weights = t["mixing_sizes"].tolist(), t["mixing_weights"].double().numpy()
        # Decoders of older versions flatten nothing.
        mixing = Mixing(sizes, weights, t.get("mixing_flattening", torch.ones(len(sizes))).double().numpy())
        return cls(posterior, latent, basis, mixing, blocks, unit_ids, window)


def pooled(windows: np.ndarray, blocks: int) -> np.ndarray:
    """Sum the bins of windows (moment, bin, unit) in blocks of about equal length: (moment, block, unit)."""
    n_bins = windows.shape[1]
    if n_bins == blocks:
        return windows
    edges = _edges(n_bins, blocks)
    longest = max(last - first for first, last in itertools.pairwise(edges))
    fits = windows.dtype == np.uint8 and (windows.size == 0 or int(windows.max()) * longest <= 255)
    wide = np.uint8 if fits else np.uint16 if windows.dtype == np.uint8 else np.uint32
    result = np.zeros((len(windows), blocks, windows.shape[2]), dtype=wide)
    for block in range(blocks):
        if len(windows) == 1:
            windows[:, edges[block] : edges[block + 1]].sum(axis=1, dtype=wide, out=result[:, block])
            continue
        for bin_ in range(edges[block], edges[block + 1]):
            result[:, block] += windows[:, bin_]
    return result


@cache
def _edges(n_bins: int, blocks: int) -> list[int]:
    return np.linspace(0, n_bins, blocks + 1).round().astype(int).tolist()


def _options(options: dict[str, Any] | None) -> SubsetOptions:
    try:
        return SubsetOptions.model_validate(options or {})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise NeurratorError(
            f"The option {name} of the decoder 'subset' is not possible: {first['msg'].lower()}."
        ) from error


def _every_third_showing(data: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    """Divide the training moments by showing: certainty is calibrated on frames that are known."""
    order = np.argsort(data.frames[data.train], kind="stable")
    frames = data.frames[data.train][order]
    first = np.searchsorted(frames, frames)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order)) - first
    tune = number % 3 == 2
    return data.train[~tune], data.train[tune]


def _best_blocks(
    data: TrainingData,
    learn: np.ndarray,
    tune: np.ndarray,
    states: torch.Tensor,
    picture: torch.Tensor,
    report: OnProgress,
) -> tuple[np.ndarray, int]:
    lost: dict[int, float] = {}
    some = tune[:: max(len(tune) // _TRIED, 1)]
    sizes = sizes_up_to(data.windows.shape[2])
    for number, blocks in enumerate(_BLOCKS):
        report("choosing the time resolution", number, len(_BLOCKS))
        if blocks > data.windows.shape[1] or not len(tune):
            continue
        counts = pooled(data.windows, blocks)
        n_units = counts.shape[2]
        posterior = SubsetPosterior.of_model(
            EncodingModel.fit(counts, learn, states[learn], len(picture), picture), picture
        )
        # The same subsets for every resolution.
        rng = np.random.default_rng([data.seed, 3])
        lost[blocks] = 0.0
        for size in sizes:
            for _ in range(1 if size == n_units else 2):
                units = np.sort(rng.choice(n_units, size, replace=False))
                features = positions_of_features(units, blocks, n_units)
                x = block_features(torch.from_numpy(counts[some][:, :, units].astype(np.int32))).flatten(1)
                with torch.inference_mode():
                    scores = posterior.of(features).scores(x - posterior.grand_mean[features])
                    # How sure it is gets calibrated later, so each is judged as sure as would suit it best.
                    lost[blocks] += min(
                        float(
                            F.nll_loss(
                                by_picture(posterior.normalised(scores * factor), picture), picture[states[some]]
                            )
                        )
                        for factor in FLATTENINGS
                    ) / (1 if size == n_units else 2)
    report("choosing the time resolution", len(_BLOCKS), len(_BLOCKS))
    best = min(lost, key=lambda blocks: lost[blocks]) if lost else 1
    return pooled(data.windows, best), best


def _parts_of_states(
    data: TrainingData, rows: np.ndarray, states: torch.Tensor, n_states: int, known: bool
) -> torch.Tensor:
    """Return the stretch of frames that each state belongs to: the split's own where it holds out frames, else fifths of the film."""
    if known:
        return torch.arange(n_states) * 5 // n_states
    parts = torch.zeros(n_states, dtype=torch.int64)
    parts[states[rows]] = torch.from_numpy(data.groups[rows])
    return parts


def _fit_mixing(
    data: TrainingData,
    counts: np.ndarray,
    states: torch.Tensor,
    picture: torch.Tensor,
    basis: GridBasis,
    parts: torch.Tensor,
    both: np.ndarray,
    known: bool,
    sharpness: torch.Tensor,
    settings: SubsetOptions,
    report: OnProgress,
) -> Mixing:
    n_units = counts.shape[2]
    rng = np.random.default_rng([data.seed, 2])
    flattenings = (1.0,) if known else FLATTENINGS
    fit = MixingFit(sizes_up_to(n_units), flattenings)
    if known:
        folds = [(data.train, data.validation)]
    else:
        of = data.groups[both]
        folds = [(both[of != part], both[of == part]) for part in np.unique(of)]
    if data.new_film:
        folds = [(learn, _inner_half(left, data.frames)) for learn, left in folds]
    for number, (learn, left) in enumerate(folds):
        report("weighing known against new frames", number, len(folds))
        model = EncodingModel.fit(counts, learn, states[learn], len(picture), picture)
        posterior = SubsetPosterior.of_model(model, picture, sharpness)
        latent = LatentModel.fit(model, basis.coefficients, parts, settings.latents)
        mean = (model.shown / model.shown.sum()) @ basis.coefficients
        some = left[:: max(len(left) // 400, 1)]
        true = basis.coefficients[states[some]] - mean
        for size in fit.sizes:
            for _ in range(1 if size == n_units else settings.draws):
                units = np.sort(rng.choice(n_units, size, replace=False))
                features = positions_of_features(units, counts.shape[1], n_units)
                x = block_features(torch.from_numpy(counts[some][:, :, units].astype(np.int32))).flatten(1)
                x = x - model.grand_mean[features]
                with torch.inference_mode():
                    regressed = latent.regression(features)(x) - mean
                    # What a film shows that shares no frame with this one is none of the known frames.
                    among = [torch.zeros_like(regressed)]
                    if not data.new_film:
                        likelihood = posterior.of(features)
                        log_p = (posterior.log_posterior(x, likelihood, size, factor) for factor in flattenings)
                        among = [one.exp() @ basis.coefficients - mean for one in log_p]
                    fit.add(size, among, regressed, true)
    report("weighing known against new frames", len(folds), len(folds))
    return fit.result()


def _thirds(data: TrainingData, shown: np.ndarray) -> np.ndarray:
    """Return the third of the film that each moment belongs to.

    Beyond its end a film is known on one side only: its frames are as far from what is known as those of a stretch among it that is twice as long.
    """
    return np.searchsorted(shown, data.frames) * 3 // len(shown)


def _inner_half(rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the moments of a stretch that lie farthest from its ends: they resemble the frames around it least."""
    low, high = np.quantile(np.unique(frames[rows]), [0.25, 0.75])
    return rows[(frames[rows] >= low) & (frames[rows] <= high)]
