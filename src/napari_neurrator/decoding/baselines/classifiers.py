"""Which training image was shown: two classifiers for the retrieval decoder."""

from typing import Protocol

import numpy as np
import torch

from ..remembered import Remembered
from .counts import UnitScale, counts_tensor, pooled
from .options import NetworkOptions
from .paper_network import ImageNetwork


class ImageClassifier(Protocol):
    """Tells apart the training images."""

    def logits(self, windows: np.ndarray, units: list[int]) -> torch.Tensor:
        """Return scores (moment, image) from counts (moment, bin, unit) of the units at some positions."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Return the tensors to save."""
        ...


class NetworkClassifier:
    """The paper's: the body of its network, attention pooling, a linear classifier. Units that are not given are zeroed."""

    def __init__(self, network: ImageNetwork, scale: UnitScale):
        self.network, self.scale = network.eval(), scale

    def logits(self, windows: np.ndarray, units: list[int]) -> torch.Tensor:
        """Return scores (moment, image)."""
        position = torch.tensor(units)
        return torch.cat(
            [
                self.network(self.scale(counts_tensor(windows[start : start + 64]), position), position)
                for start in range(0, len(windows), 64)
            ]
        )

    def state(self) -> dict[str, torch.Tensor]:
        """Return weights (float32) and statistics."""
        weights = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return weights | {"unit_mean": self.scale.mean, "unit_std": self.scale.std}

    @classmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], options: NetworkOptions, n_units: int, n_images: int
    ) -> "NetworkClassifier":
        """Make it of what `state` returned."""
        from .paper import load_weights

        with torch.random.fork_rng(devices=[]):
            network = ImageNetwork(n_units, n_images, options)
        load_weights(network, tensors)
        return cls(network, UnitScale(tensors["unit_mean"].float(), tensors["unit_std"].float()))


class LogisticClassifier:
    """Multinomial logistic regression on the square roots of pooled counts, fitted anew for every subset of units.

    Parameters
    ----------
    counts : torch.Tensor
        Pooled counts of the training moments, (moment, block, unit).
    images : torch.Tensor
        Which image was shown, int32 (moment,).
    strength : float
        scikit-learn's C: the inverse of the penalty.
    weights : tuple of torch.Tensor, optional
        Of all units, where they are known.
    """

    def __init__(
        self,
        counts: torch.Tensor,
        images: torch.Tensor,
        strength: float,
        weights: tuple[torch.Tensor, torch.Tensor] | None = None,
    ):
        self.counts, self.images, self.strength = counts, images, strength
        root = counts.float().sqrt()
        self._mean, deviation = root.mean(0), root.std(0)
        self._std = torch.where(deviation < 1e-6, torch.ones_like(deviation), deviation)
        self._known: Remembered[tuple[torch.Tensor, torch.Tensor]] = Remembered()
        self._all = weights or self._regression(list(range(counts.shape[2])))

    def _features(self, counts: torch.Tensor, units: list[int]) -> torch.Tensor:
        return ((counts.float().sqrt() - self._mean[:, units]) / self._std[:, units]).flatten(1)

    def _regression(self, units: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.strength, max_iter=200)
        model.fit(self._features(self.counts[:, :, units], units).numpy(), self.images.numpy())
        weights, intercept = model.coef_, model.intercept_
        if len(weights) == 1:
            # Of two images scikit-learn keeps the second one's weights only.
            weights, intercept = np.concatenate([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2
        return torch.from_numpy(weights.T.astype(np.float32)), torch.from_numpy(intercept.astype(np.float32))

    def _weights(self, units: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if len(units) == self.counts.shape[2]:
            return self._all
        return self._known.of(tuple(units), lambda: self._regression(units))

    def logits(self, windows: np.ndarray, units: list[int]) -> torch.Tensor:
        """Return scores (moment, image); a subset that was not asked before is fitted first."""
        order = np.argsort(units)
        units = [units[i] for i in order]
        weights, intercept = self._weights(units)
        counts = pooled(windows[:, :, order], self.counts.shape[1]).astype(np.int32)
        return self._features(torch.from_numpy(counts), units) @ weights + intercept

    def state(self) -> dict[str, torch.Tensor]:
        """Return counts, images and weights."""
        return {"counts": self.counts, "images": self.images, "weights": self._all[0], "intercept": self._all[1]}

    @classmethod
    def from_state(cls, tensors: dict[str, torch.Tensor], strength: float, n_units: int) -> "LogisticClassifier":
        """Make it of what `state` returned; ValueError where it does not fit."""
        if tensors["counts"].shape[2] != n_units:
            raise ValueError("counts and units do not belong together")
        weights = tensors["weights"].float(), tensors["intercept"].float()
        return cls(tensors["counts"], tensors["images"], strength, weights)
