"""The decoder of arXiv 2606.18667: a network that is trained on all units; subsets are asked by zeroing the others."""

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from ...config import WindowConfig
from ..interface import OnProgress, SubsetDecoder, TrainingData
from .counts import UnitScale, check_data, counts_tensor, mean_grid
from .options import NetworkOptions, checked
from .paper_network import PatchNetwork


class PaperOptions(NetworkOptions):
    """Options of the decoder ``paper``; the defaults are the paper's."""

    info_nce: float = Field(default=0.0, ge=0, description="weight of the contrastive term, which is optional")
    info_nce_temperature: float = Field(default=0.07, gt=0)


def patch_loss(decoded: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return 0.5 · MSE + 0.5 · (1 − mean cosine by patch) of grids (batch, patches, width)."""
    return 0.5 * F.mse_loss(decoded, true) + 0.5 * (1 - F.cosine_similarity(decoded, true, dim=-1).mean())


def info_nce(decoded: torch.Tensor, true: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return how badly the patch means of decoded and true grids (batch, patches, width) find each other in the batch."""
    similarity = F.normalize(decoded.mean(1), dim=-1) @ F.normalize(true.mean(1), dim=-1).T / temperature
    own = torch.arange(len(similarity), device=similarity.device)
    return 0.5 * (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own))


class PaperDecoder(SubsetDecoder):
    """The paper's network.

    Attributes
    ----------
    options : PaperOptions
        It was fitted with.
    training : dict
        ``validation_patch_cosine`` and ``epochs``.
    """

    kind: ClassVar[str] = "paper"

    def __init__(
        self,
        network: PatchNetwork,
        scale: UnitScale,
        prior: torch.Tensor,
        options: PaperOptions,
        training: dict[str, float],
        unit_ids: list,
        window: WindowConfig,
    ):
        self.network, self.scale, self.options, self.training = network.eval(), scale, options, training
        self.unit_ids, self.window, self._prior = list(unit_ids), window, prior

    @classmethod
    def fit(
        cls, data: TrainingData, options: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> "PaperDecoder":
        """Train the network; see `training.train_network`, and `PaperOptions` for the options."""
        from .training import Task, train_network

        settings = checked(PaperOptions, cls.kind, options)
        check_data(data, cls.kind)

        def loss(output: torch.Tensor, _: torch.Tensor, grids: torch.Tensor | None) -> torch.Tensor:
            assert grids is not None
            total = patch_loss(output, grids)
            if settings.info_nce:
                total = total + settings.info_nce * info_nce(output, grids, settings.info_nce_temperature)
            return total

        scale = UnitScale.fit(data.windows, data.train)
        network, training = train_network(
            lambda: PatchNetwork(len(data.unit_ids), *data.grid_shape, settings),
            Task("training the paper's network", loss, lambda output: output, reads_grids=True),
            data,
            scale,
            settings,
            on_progress,
        )
        assert isinstance(network, PatchNetwork)
        prior = mean_grid(data.grids, data.frames[data.train])
        return cls(network, scale, prior, settings, training, data.unit_ids, data.window)

    @torch.inference_mode()
    def predict(self, windows: np.ndarray, unit_ids: list, chunk: int = 16) -> torch.Tensor:
        """Return the decoded patch grids, with the units that are not given at their mean; see `SubsetDecoder.predict`."""
        units = torch.tensor(self.positions(unit_ids))
        self.check_windows(windows, unit_ids)
        grids = torch.empty(len(windows), *self._prior.shape)
        for start in range(0, len(windows), chunk):
            counts = counts_tensor(windows[start : start + chunk])
            grids[start : start + len(counts)] = self.network(self.scale(counts, units), units)
        return grids

    @property
    def prior_grid(self) -> torch.Tensor:
        """The mean training grid, float32 (patches, width)."""
        return self._prior

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return weights (float32), statistics and options."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {"unit_mean": self.scale.mean, "unit_std": self.scale.std, "prior": self._prior}
        return tensors, {"options": self.options.model_dump(), "training": self.training}

    @classmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], settings: dict[str, Any], unit_ids: list, window: WindowConfig
    ) -> "PaperDecoder":
        """Make a decoder of what `state` returned; KeyError or ValueError where something is missing."""
        options = PaperOptions(**settings["options"])
        prior = tensors["prior"].float()
        with torch.random.fork_rng(devices=[]):
            network = PatchNetwork(len(unit_ids), prior.shape[0], prior.shape[1], options)
        load_weights(network, tensors)
        scale = UnitScale(tensors["unit_mean"].float(), tensors["unit_std"].float())
        return cls(network, scale, prior, options, dict(settings["training"]), unit_ids, window)


def load_weights(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Give a network the tensors whose names begin with ``network.``; ValueError where they do not fit."""
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError("the weights do not fit the network") from error
