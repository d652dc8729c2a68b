"""What is done to patch vectors before a dictionary reads them, and undone after it has rebuilt them."""

from dataclasses import dataclass
from typing import Literal

import torch

Kind = Literal["none", "constant_norm_rescale", "layer_norm"]
KINDS: tuple[Kind, ...] = ("none", "constant_norm_rescale", "layer_norm")
_EPSILON = 1e-5


@dataclass(frozen=True)
class Normaliser:
    """An affine step that is the same for all vectors, then one that each vector decides for itself.

    Attributes
    ----------
    kind : str
        ``constant_norm_rescale`` is x·√d/‖x‖; ``layer_norm`` is (x − mean)/(std + 1e-5) with the unbiased std; ``none`` leaves x as it is.
    centre : torch.Tensor, optional
        Subtracted before, (width,).
    scale : float
        Multiplied with after that.
    """

    kind: Kind = "none"
    centre: torch.Tensor | None = None
    scale: float = 1.0

    def apply(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
        """Normalise vectors (row, width); also returns factor and shift, (row, 1) each, that undo it, or None where there is nothing to undo."""
        if self.centre is not None:
            x = x - self.centre
        if self.scale != 1.0:
            x = x * self.scale
        if self.kind == "constant_norm_rescale":
            # A vector of zeros stays one, and its factor is 0: dividing by its length would make it NaN.
            norm = x.norm(dim=-1, keepdim=True)
            root = x.shape[-1] ** 0.5
            return x * torch.where(norm > 0, root / norm, 0.0), (norm / root, torch.zeros_like(norm))
        if self.kind == "layer_norm":
            mean = x.mean(-1, keepdim=True)
            std = x.std(-1, keepdim=True)
            return (x - mean) / (std + _EPSILON), (std, mean)
        return x, None

    def undo(self, x: torch.Tensor, how: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
        """Bring rebuilt vectors (row, width) back to where the originals were."""
        if how is not None:
            x = x * how[0] + how[1]
        if self.scale != 1.0:
            x = x / self.scale
        return x if self.centre is None else x + self.centre

    def to(self, device: torch.device | str) -> "Normaliser":
        """Return it with its tensors on a device."""
        return Normaliser(self.kind, None if self.centre is None else self.centre.to(device), self.scale)


# Vectors as they come.
PLAIN = Normaliser()
