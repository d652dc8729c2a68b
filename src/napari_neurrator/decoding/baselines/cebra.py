"""CEBRA: a contrastive embedding of the spikes, and a regression from the embedding to patch grids."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from ...config import WindowConfig
from ...errors import NeurratorError
from ..interface import OnProgress, SubsetDecoder, TrainingData
from ..remembered import Remembered
from .counts import UnitScale, check_data, pooled, pooled_rows
from .least_squares import cross_validated_ridge, inner_folds
from .options import BaselineOptions, checked
from .paper import load_weights
from .targets import GridTargets

if TYPE_CHECKING:
    from torch import nn

# The receptive field of the model, samples: the window is pooled into as many.
_MODEL, _SAMPLES = "offset10-model", 10
_NEIGHBOURS = (1, 3, 5, 10, 20, 40, 80, 160, 320)
# How often the embedding is tried on the validation moments: CEBRA overfits a short recording.
_SNAPSHOTS = 10
_ALPHAS = [10.0**k for k in range(-3, 5)]


class CebraOptions(BaselineOptions):
    """Options of the decoder ``cebra``."""

    labels: Literal["grids", "frames"] = Field(
        default="grids", description="what makes two moments alike: close coefficients of the grids, or the same frame"
    )
    subsets: Literal["refit", "zero"] = Field(
        default="refit",
        description="a subset's training windows are embedded anew, the others' units at their mean, and regressed; or all units' regression is used",
    )
    regression: Literal["knn", "ridge"] = Field(default="knn", description="from the embedding to the grids")
    dimension: int = Field(default=32, ge=2, description="of the embedding")
    hidden: int = Field(default=64, ge=1, description="channels of the model")
    iterations: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=512, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    temperature: float = Field(default=1.0, gt=0, description="of the contrastive loss")
    rank: int = Field(default=256, ge=1, description="components of the grids that are regressed")
    label_rank: int = Field(default=32, ge=1, description="components that are labels where these are grids")
    delta: float = Field(
        default=0.2, gt=0, description="where labels are grids: how far alike ones are, as a share of their spread"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, …")


def _cebra() -> Any:
    try:
        import cebra
    except ImportError as error:
        raise NeurratorError(
            "The decoder 'cebra' needs the package cebra: install it with pip install 'napari-neurrator[baselines]'."
        ) from error
    return cebra


class CebraDecoder(SubsetDecoder):
    """CEBRA-Behavior on windows of spikes, then nearest neighbours or ridge regression in the embedding.

    The embedding is learnt once, of all units: for a subset the others are zeroed, put at their mean. The regression from the embedding is by
    default fitted anew to the training windows as the subset's embedding shows them. An embedding of the subset's own would take minutes a
    subset, and decode few units better.

    Attributes
    ----------
    options : CebraOptions
        It was fitted with.
    """

    kind: ClassVar[str] = "cebra"

    def __init__(
        self,
        model: "nn.Module",
        counts: torch.Tensor,
        n_train: int,
        part: np.ndarray,
        scale: UnitScale,
        targets: GridTargets,
        options: CebraOptions,
        unit_ids: list,
        window: WindowConfig,
    ):
        self.model, self.counts, self.n_train, self.part = model.eval(), counts, n_train, part
        self.scale, self.targets, self.options = scale, targets, options
        self.unit_ids, self.window = list(unit_ids), window
        self._known: Remembered[Callable[[torch.Tensor], torch.Tensor]] = Remembered()

    @classmethod
    def fit(
        cls, data: TrainingData, options: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> "CebraDecoder":
        """Embed the training moments, and choose the regression on the validation moments; see `CebraOptions` for the options."""
        settings = checked(CebraOptions, cls.kind, options)
        _cebra()
        check_data(data, cls.kind)
        if data.window.n_bins < _SAMPLES:
            raise NeurratorError(
                f"The decoder 'cebra' needs windows of at least {_SAMPLES} bins, and these have {data.window.n_bins}."
            )
        report = on_progress or (lambda stage, done, total: None)
        report("finding the components of the frames", 0, 1)
        rows = np.concatenate([data.train, data.validation])
        targets = GridTargets.fit(data, rows, settings.rank)
        report("finding the components of the frames", 1, 1)
        counts = pooled_rows(data.windows, rows, _SAMPLES)
        n = len(data.train)
        scale = UnitScale.fit(counts.numpy(), np.arange(n))
        part = inner_folds(data.groups[rows], 5)
        with torch.random.fork_rng():
            model = _embedding(counts, n, scale, targets, settings, data.seed, report)
        return cls(model, counts, n, part, scale, targets, settings, data.unit_ids, data.window)

    def _regression(self, units: tuple[int, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Fit what makes coefficients of embedded windows."""
        position, n = torch.tensor(units), self.n_train
        embedded = _embed(self.model, self.scale, self.counts, position, position)
        values = self.targets.values
        if self.options.regression == "knn":
            neighbours, _ = _best_neighbours(embedded, values, n)
            return lambda asked: _nearest(embedded, asked, values, (neighbours,))[0]
        weights, intercept, _ = cross_validated_ridge(
            embedded, self.targets.states, self.targets.basis.coefficients, self.part, _ALPHAS
        )
        return lambda asked: asked @ weights + intercept

    def _regression_of(self, units: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the regression for units at some positions; those of the last subsets are remembered."""
        key = tuple(range(len(self.unit_ids))) if self.options.subsets == "zero" else tuple(sorted(units))
        return self._known.of(key, lambda: self._regression(key))

    @torch.inference_mode()
    def predict(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the decoded patch grids, with the units that are not given at their mean; see `SubsetDecoder.predict`."""
        units = self.positions(unit_ids)
        self.check_windows(windows, unit_ids)
        counts = torch.from_numpy(pooled(windows, _SAMPLES).astype(np.int32))
        embedded = _embed(self.model, self.scale, counts, torch.arange(len(units)), torch.tensor(units))
        return self.targets.basis.grids(self._regression_of(units)(embedded))

    @property
    def prior_grid(self) -> torch.Tensor:
        """The mean training grid, float32 (patches, width)."""
        return self.targets.prior

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return model (float32), training counts, basis and options; the regressions follow from these."""
        tensors = {f"network.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {"counts": self.counts, "part": torch.from_numpy(self.part)}
        tensors |= {"unit_mean": self.scale.mean, "unit_std": self.scale.std} | self.targets.state()
        return tensors, {"options": self.options.model_dump(), "n_train": self.n_train}

    @classmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], settings: dict[str, Any], unit_ids: list, window: WindowConfig
    ) -> "CebraDecoder":
        """Make a decoder of what `state` returned; KeyError or ValueError where something is missing, NeurratorError without CEBRA."""
        options = CebraOptions(**settings["options"])
        with torch.random.fork_rng(devices=[]):
            model = _cebra().models.init(_MODEL, len(unit_ids), options.hidden, options.dimension)
        load_weights(model, tensors)
        counts, part = tensors["counts"], tensors["part"].numpy()
        if counts.shape[1:] != (_SAMPLES, len(unit_ids)):
            raise ValueError("counts and units do not belong together")
        scale = UnitScale(tensors["unit_mean"].float(), tensors["unit_std"].float())
        targets = GridTargets.from_state(tensors)
        return cls(model, counts, int(settings["n_train"]), part, scale, targets, options, unit_ids, window)


def _spikes(scale: UnitScale, counts: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Return the model's input, float32 (moment, unit of all, sample), from counts (moment, sample, unit) of some units."""
    spikes = torch.zeros(len(counts), len(scale.mean), counts.shape[1])
    spikes[:, units] = scale(counts, units).transpose(1, 2)
    return spikes


def _embedding(
    counts: torch.Tensor,
    n: int,
    scale: UnitScale,
    targets: GridTargets,
    options: CebraOptions,
    seed: int,
    report: OnProgress,
) -> "nn.Module":
    """Train CEBRA's model on the first `n` windows (moment, sample, unit), and return it as it decoded the other windows best."""
    cebra = _cebra()
    everything = torch.arange(counts.shape[2])

    class Windows(cebra.data.datasets.TensorDataset):  # type: ignore[name-defined]
        """A recording in which every sample comes with its own surroundings, so no window reaches into another moment."""

        def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
            return _spikes(scale, counts[index.cpu()], everything).to(device)

    device = _usable(options.device)
    state = np.random.get_state()  # noqa: NPY002 - CEBRA draws from numpy's global generator, which is given back as it was
    try:
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        label: dict[str, torch.Tensor] = (
            {"discrete": _numbered(targets.states[:n])}
            if options.labels == "frames"
            else {"continuous": _labels(targets.values[:n, : options.label_rank])}
        )
        delta = options.delta / min(options.label_rank, targets.basis.coefficients.shape[1]) ** 0.5
        dataset = Windows(torch.zeros(n, 1), **label)
        common: dict[str, Any] = {"num_steps": options.iterations, "batch_size": min(options.batch_size, n)}
        loader = (
            cebra.data.DiscreteDataLoader(dataset, **common)
            if options.labels == "frames"
            else cebra.data.ContinuousDataLoader(dataset, conditional="delta_normal", delta=delta, **common)
        )
        if options.labels == "grids":
            # CEBRA seeds these from the system, whatever it is told.
            for drawn in (loader.distribution, loader.distribution.prior):
                drawn.generator.manual_seed(seed)
        model = cebra.models.init(_MODEL, len(everything), options.hidden, options.dimension).to(device)
        criterion = cebra.models.criterions.FixedCosineInfoNCE(temperature=options.temperature)
        optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
        best, kept = float("inf"), {}
        for step, batch in enumerate(loader, 1):
            parts = torch.cat([batch.reference, batch.positive, batch.negative])
            loss, *_ = criterion(*model(parts).chunk(3))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report("training CEBRA's embedding", step, options.iterations)
            if step % max(options.iterations // _SNAPSHOTS, 1) == 0 or step == options.iterations:
                model.eval()
                _, error = _best_neighbours(
                    _embed(model, scale, counts, everything, everything, device), targets.values, n
                )
                model.train()
                if error < best:
                    best, kept = error, {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(kept)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return model.cpu().eval()


def _labels(coefficients: torch.Tensor) -> torch.Tensor:
    """Return labels of mean square 1, with a trace of noise: of equal labels CEBRA's search would take the first only."""
    labels = coefficients / coefficients.square().sum(1).mean().sqrt().clamp(min=1e-12)
    return labels + 1e-3 * torch.randn_like(labels)


def _usable(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise NeurratorError(
            f"The option device={device!r} of the decoder 'cebra' is not possible on this machine: choose auto or cpu."
        ) from error
    return device


def _numbered(states: torch.Tensor) -> torch.Tensor:
    """Return labels 0, 1, … without gaps, as CEBRA's sampling wants them."""
    return torch.unique(states, return_inverse=True)[1]


@torch.inference_mode()
def _embed(
    model: "nn.Module",
    scale: UnitScale,
    counts: torch.Tensor,
    columns: torch.Tensor,
    units: torch.Tensor,
    device: str = "cpu",
    chunk: int = 512,
) -> torch.Tensor:
    """Embed counts (moment, sample, unit), of which `columns` are those of `units`; float32 (moment, dimension)."""
    parts = []
    for start in range(0, len(counts), chunk):
        spikes = _spikes(scale, counts[start : start + chunk, :, columns], units)
        parts.append(model(spikes.to(device)).flatten(1).cpu())
    return torch.cat(parts).clone()


def _nearest(
    known: torch.Tensor, asked: torch.Tensor, values: torch.Tensor, sizes: tuple[int, ...], chunk: int = 128
) -> list[torch.Tensor]:
    """Return, for each number of neighbours, the mean value of each asked point's nearest known points, by cosine."""
    found: list[list[torch.Tensor]] = [[values[:0]] for _ in sizes]
    for start in range(0, len(asked), chunk):
        nearest = (asked[start : start + chunk] @ known.T).topk(max(sizes), dim=1).indices
        sums = values[nearest].cumsum(1)
        for parts, size in zip(found, sizes, strict=True):
            parts.append(sums[:, size - 1] / size)
    return [torch.cat(parts) for parts in found]


def _best_neighbours(embedded: torch.Tensor, values: torch.Tensor, n: int) -> tuple[int, float]:
    """Return how many of the first `n` moments decode the others with the least squared error, and that error."""
    sizes = tuple(size for size in _NEIGHBOURS if size <= n)
    decoded = _nearest(embedded[:n], embedded[n:], values[:n], sizes)
    errors = [float((coefficients - values[n:]).square().mean()) for coefficients in decoded]
    best = int(np.argmin(errors))
    return sizes[best], errors[best]
