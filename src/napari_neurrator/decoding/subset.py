"""The decoder ``subset``: for any units, the posterior over frames that are known and a regression for frames that are not, mixed.

Which of the two is to be trusted depends on what the decoder is for, which the split says: where showings are held out, the frames are known and the
posterior wins; where frames are held out, the regression does. The weights are fitted, by population size, on moments left out in the same way. Where
the frames asked for lie among known ones, a network has its share as well.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch.nn import functional as F

from ..config import WindowConfig
from ..errors import NeurratorError
from .basis import GridBasis, kept_core
from .bayes import EncodingModel, SubsetLikelihood, SubsetPosterior, block_features, features_of
from .calibration import calibrate, positions_of_features
from .interface import OnProgress, SubsetDecoder, TrainingData
from .latent import LatentModel, LatentPosterior, Regression
from .mixing import FLATTENINGS, Mixing, sizes_up_to
from .network import LatentNetwork, network_of, network_share, train_network
from .parallel import alone, at_once
from .remembered import Remembered
from .rows import Rows
from .states import by_picture, even_out, merge_alike
from .weighing import fit_mixing, parts_of_states, thirds

# Blocks of the window that are tried; the one that decodes best is kept.
_BLOCKS = (1, 2, 4)
# Moments that they are tried on.
_TRIED = 600


class SubsetOptions(BaseModel):
    """Options of the decoder ``subset``."""

    model_config = ConfigDict(extra="forbid")

    calibration_steps: int = Field(default=400, ge=1, description="random subsets on which certainty is calibrated")
    rank: int = Field(default=256, ge=1, description="components of the grids")
    latents: int = Field(default=48, ge=1, description="dimensions that units have in common")
    draws: int = Field(default=4, ge=1, description="random subsets of each size on which the weights are fitted")
    network_steps: int = Field(
        default=600, ge=0, description="of the network's training, where it is used; 0 goes without"
    )


@dataclass(frozen=True, eq=False)
class _Subset:
    """What is worked out once for a subset of units."""

    features: torch.Tensor
    likelihood: SubsetLikelihood
    latents: LatentPosterior | None
    regression: Regression | None
    weights: tuple[float, float, float]
    flattening: float


class SubsetBayes(SubsetDecoder):
    """The default decoder; see the module's text.

    Attributes
    ----------
    posterior : SubsetPosterior
        Over the known states.
    latent : LatentModel
        For what is not known.
    network : LatentNetwork or None
        For what lies between what is known; None where it is not used.
    basis : GridBasis
        Of the grids; its coefficients are those of the states.
    mixing : Mixing
        Weights of the first two, by population size.
    blocks : int
        Parts of the window in which spikes are counted.
    """

    kind: ClassVar[str] = "subset"
    pooled_bins: ClassVar[int | None] = max(_BLOCKS)

    def __init__(
        self,
        posterior: SubsetPosterior,
        latent: LatentModel,
        network: LatentNetwork | None,
        basis: GridBasis,
        mixing: Mixing,
        blocks: int,
        unit_ids: list,
        window: WindowConfig,
    ):
        self.posterior, self.latent, self.network, self.basis = posterior.eval(), latent, network, basis
        self.mixing, self.blocks, self.unit_ids, self.window = mixing, blocks, list(unit_ids), window
        self._mean = latent.mean
        self._known: Remembered[_Subset] = Remembered()

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
            data = replace(data, groups=thirds(data, shown))
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
        parts = parts_of_states(data, both, states, len(picture), known)
        # Among frames that are known there is nothing for it to add; of another film it makes less than the regression does, and before a film's first frame and
        # of pictures that are shown one by one no more.
        steps = settings.network_steps if data.film and not (known or data.beyond) else 0
        mixing = fit_mixing(
            data, counts, states, picture, basis, parts, both, known, sharpness, settings.latents, settings.draws, report
        )  # fmt: skip
        # With sharpness and weights settled, everything is estimated again from all moments that are not tested.
        model = EncodingModel.fit(counts, both, states[both], len(picture), picture)
        latent = LatentModel.fit(model, basis.coefficients, parts, settings.latents)
        network = None
        # Of a single unit it would not be asked, and units that tell nothing have no latents.
        if steps and len(data.unit_ids) > 1 and len(latent.loadings):
            deviations = basis.coefficients[states[both]] - latent.mean
            network = train_network(latent, model.grand_mean, counts, both, deviations, steps, data.seed, report)
        return cls(
            SubsetPosterior.of_model(model, picture, sharpness),
            latent,
            network,
            basis,
            mixing,
            blocks,
            data.unit_ids,
            data.window,
        )

    # -- decoding ----------------------------------------------------------------------------------------------------------------------
    def _subset(self, unit_ids: list) -> _Subset:
        positions = self._position_array(unit_ids)
        return self._known.of(positions.tobytes(), lambda: self._worked_out(positions))

    def _worked_out(self, positions: np.ndarray) -> _Subset:
        features = positions_of_features(positions, self.blocks, len(self.unit_ids))
        known, regressed, flattening = self.mixing.at(len(positions))
        share = network_share(len(positions)) if self.network is not None else 0.0
        weights = ((1 - share) * known, (1 - share) * regressed, share)
        works: list[Callable[[], Any]] = [partial(self.posterior.of, features)]
        if any(weights[1:]):
            # First, because it takes longer.
            works.insert(0, partial(self._beyond_known, features, regressed > 0))
        *beyond, likelihood = at_once(*works)
        latents, regression = beyond[0] if beyond else (None, None)
        return _Subset(features, likelihood, latents, regression, weights, flattening)

    def _beyond_known(self, features: torch.Tensor, regressed: bool) -> tuple[LatentPosterior, Regression | None]:
        latents = self.latent.posterior(features)
        return latents, self.latent.regression(latents) if regressed else None

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
        known, regressed, share = subset.weights
        # A single moment is sooner done as a product of matrix and vector.
        states, p = self.basis.coefficients, log_p.exp()
        expected = torch.mv(states.T, p[0])[None] if len(p) == 1 else p @ states
        result = self._mean + known * (expected - self._mean)
        if subset.latents is not None:
            latents = subset.latents(x)
            if subset.regression is not None:
                result = result + regressed * (subset.regression(latents) - self._mean)
            if self.network is not None and share > 0:
                result = result + share * self.network(latents, subset.latents.known)
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
        if self.network is not None:
            tensors |= {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
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
        network = network_of({name.removeprefix("network."): t[name] for name in t if name.startswith("network.")})
        return cls(posterior, latent, network, basis, mixing, blocks, unit_ids, window)


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
                x = features_of(counts, some, units)
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
