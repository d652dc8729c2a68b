"""The paper's retrieval variant: classify which training image was shown, and answer with that image's real grid."""

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from ...config import WindowConfig
from ...errors import NeurratorError
from ...vision.grid_table import Grids
from ..interface import OnProgress, SubsetDecoder, TrainingData
from .classifiers import ImageClassifier, LogisticClassifier, NetworkClassifier
from .counts import UnitScale, check_blocks, check_data, mean_grid, pooled_rows
from .options import NetworkOptions, checked
from .paper_network import ImageNetwork


class RetrievalOptions(NetworkOptions):
    """Options of the decoder ``retrieval``."""

    classifier: Literal["network", "logistic"] = Field(
        default="network",
        description="the paper's network, or multinomial logistic regression fitted anew for every subset",
    )
    blocks: int = Field(default=1, ge=1, description="logistic: parts of the window in which spikes are counted")
    strength: float = Field(default=0.01, gt=0, description="logistic: inverse of the penalty")


class RetrievalDecoder(SubsetDecoder):
    """The real grid of the training image that a classifier finds likeliest, so what is decoded is always a grid that the tower made.

    Attributes
    ----------
    options : RetrievalOptions
        It was fitted with.
    grids : torch.Tensor
        Of the training images, float16 (image, patches, width) as in the cache: memory-mapped after a fit.
    training : dict
        ``validation_patch_cosine`` and ``epochs`` of the network.
    """

    kind: ClassVar[str] = "retrieval"

    def __init__(
        self,
        classifier: ImageClassifier,
        grids: torch.Tensor,
        prior: torch.Tensor,
        options: RetrievalOptions,
        training: dict[str, float],
        unit_ids: list,
        window: WindowConfig,
    ):
        self.classifier, self.grids, self.options, self.training = classifier, grids, options, training
        self.unit_ids, self.window, self._prior = list(unit_ids), window, prior

    @classmethod
    def fit(
        cls, data: TrainingData, options: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> "RetrievalDecoder":
        """Train the classifier on the images of the training moments; see `RetrievalOptions` for the options."""
        settings = checked(RetrievalOptions, cls.kind, options)
        check_data(data, cls.kind)
        images = np.unique(data.frames[data.train])
        if len(images) < 2:
            raise NeurratorError(
                "The decoder 'retrieval' needs at least two images to tell apart: choose another stimulus."
            )
        training: dict[str, float] = {}
        classifier: ImageClassifier
        if settings.classifier == "logistic":
            classifier = _logistic(data, images, settings, on_progress)
        else:
            classifier, training = _network(data, images, settings, on_progress)
        prior = mean_grid(data.grids, data.frames[data.train])
        return cls(classifier, _real_grids(data.grids, images), prior, settings, training, data.unit_ids, data.window)

    @torch.inference_mode()
    def images(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the likeliest training images, as rows of `grids`: int64 (moment,). Parameters and errors are those of `predict`."""
        positions = self.positions(unit_ids)
        self.check_windows(windows, unit_ids)
        return self.classifier.logits(windows, positions).argmax(1)

    @torch.inference_mode()
    def predict(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the likeliest images' grids; see `SubsetDecoder.predict`."""
        return self.grids[self.images(windows, unit_ids)].float()

    @property
    def prior_grid(self) -> torch.Tensor:
        """The mean training grid, float32 (patches, width)."""
        return self._prior

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return classifier, real grids and options."""
        tensors = self.classifier.state() | {"grids": self.grids, "prior": self._prior}
        return tensors, {"options": self.options.model_dump(), "training": self.training}

    @classmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], settings: dict[str, Any], unit_ids: list, window: WindowConfig
    ) -> "RetrievalDecoder":
        """Make a decoder of what `state` returned; KeyError or ValueError where something is missing."""
        options = RetrievalOptions(**settings["options"])
        grids = tensors["grids"]
        classifier: ImageClassifier
        if options.classifier == "logistic":
            classifier = LogisticClassifier.from_state(tensors, options.strength, len(unit_ids))
        else:
            classifier = NetworkClassifier.from_state(tensors, options, len(unit_ids), len(grids))
        training = dict(settings["training"])
        return cls(classifier, grids, tensors["prior"].float(), options, training, unit_ids, window)


def _real_grids(grids: Grids, images: np.ndarray) -> torch.Tensor:
    """Return the rows of the table; the table itself, unread, where they are all of it."""
    import warnings

    with warnings.catch_warnings():
        # torch warns that the map is read-only: nothing writes to it.
        warnings.simplefilter("ignore")
        if isinstance(grids, np.ndarray) and len(images) == len(grids):
            return torch.from_numpy(grids)
        return torch.from_numpy(np.array(grids[images]))


def _logistic(
    data: TrainingData, images: np.ndarray, options: RetrievalOptions, on_progress: OnProgress | None
) -> LogisticClassifier:
    check_blocks(options.blocks, data.window.n_bins, "retrieval")
    report = on_progress or (lambda stage, done, total: None)
    report("fitting the logistic regression", 0, 1)
    # Nothing is stopped early, so the validation moments of these images are learnt from too.
    rows = np.sort(np.concatenate([data.train, data.validation]))
    rows = rows[np.isin(data.frames[rows], images)]
    counts = pooled_rows(data.windows, rows, options.blocks)
    shown = torch.from_numpy(np.searchsorted(images, data.frames[rows]).astype(np.int32))
    classifier = LogisticClassifier(counts, shown, options.strength)
    report("fitting the logistic regression", 1, 1)
    return classifier


def _network(
    data: TrainingData, images: np.ndarray, options: RetrievalOptions, on_progress: OnProgress | None
) -> tuple[NetworkClassifier, dict[str, float]]:
    from .training import Task, train_network

    number = torch.zeros(len(data.grids), dtype=torch.int64)
    number[images] = torch.arange(len(images))

    def loss(output: torch.Tensor, frames: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
        return F.cross_entropy(output, number.to(output.device)[frames])

    def decoded(output: torch.Tensor) -> torch.Tensor:
        winners = images[output.argmax(1).cpu().numpy()]
        return torch.from_numpy(np.array(data.grids[winners])).float().to(output.device)

    scale = UnitScale.fit(data.windows, data.train)
    network, training = train_network(
        lambda: ImageNetwork(len(data.unit_ids), len(images), options),
        Task("training the image classifier", loss, decoded, reads_grids=False),
        data,
        scale,
        options,
        on_progress,
    )
    assert isinstance(network, ImageNetwork)
    return NetworkClassifier(network, scale), training
