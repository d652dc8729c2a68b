"""What is known of a dictionary once its file is read, whichever family it is of."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ...errors import NeurratorError
from ..normaliser import Normaliser
from ..sae import Activation, SparseAutoencoder

Where = Literal["after", "before", "elsewhere"]


@dataclass(frozen=True)
class Space:
    """The space that a dictionary was trained on, as far as its file tells.

    Attributes
    ----------
    model : str, optional
        Name of the vision model.
    block : int, optional
        Number of the transformer block; negative counts from the last.
    where : str
        ``after`` the block (the residual stream), ``before`` it, or ``elsewhere`` (inside: attention, MLP).
    hook : str, optional
        How the file names the place.
    fingerprint : str, optional
        Hash of the weights of the vision model, where this package trained the dictionary.
    """

    model: str | None = None
    block: int | None = None
    where: Where = "after"
    hook: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Description:
    """A dictionary as its file describes it.

    Attributes
    ----------
    family : str
        Which library's.
    architecture : str
        What that library calls it.
    sae : SparseAutoencoder
        Its arithmetic.
    space : Space
        What it was trained on.
    group_sizes : tuple of int, optional
        Features of each nested group of a Matryoshka dictionary.
    config : dict
        Whatever else the file says of it.
    warnings : tuple of str
        What a user should know: what the file leaves open and how it was read.
    """

    family: str
    architecture: str
    sae: SparseAutoencoder
    space: Space = Space()
    group_sizes: tuple[int, ...] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Weights:
    """The tensors of one file, taken by name, with one sentence for whatever is wrong with them.

    Parameters
    ----------
    tensors : dict
        As they were read.
    source : str
        Where from, for messages.
    """

    def __init__(self, tensors: dict[str, Any], source: str):
        self.tensors, self.source = tensors, source

    def __contains__(self, key: str) -> bool:
        return isinstance(self.tensors.get(key), torch.Tensor)

    def matrix(self, key: str, transposed: bool = False) -> torch.Tensor:
        """Return a matrix as float32, contiguous after transposing where asked for."""
        found = self._take(key)
        if found.ndim != 2 or not found.numel():
            raise NeurratorError(
                f"The dictionary {self.source} is damaged: {key} is of shape {tuple(found.shape)}, and a matrix is needed."
            )
        return (found.T if transposed else found).float().contiguous()

    def vector(self, key: str, length: int, default: float | None = None) -> torch.Tensor:
        """Return a vector of `length` as float32; a single number is repeated; without the key, `default` where there is one."""
        if default is not None and key not in self:
            return torch.full((length,), default)
        found = self._take(key)
        if found.numel() == 1 and found.ndim <= 1 and (found.ndim == 0 or length == 1):
            return found.float().reshape(1).repeat(length)
        if found.shape != (length,):
            raise NeurratorError(
                f"The dictionary {self.source} is damaged: {key} is of shape {tuple(found.shape)}, and ({length},) is needed."
            )
        return found.float().contiguous()

    def number(self, key: str) -> float:
        """Return a single number, from a tensor or plain."""
        value = self.tensors.get(key)
        if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex():
            return float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise NeurratorError(f"The dictionary {self.source} is damaged: {key} is not a number.")

    def _take(self, key: str) -> torch.Tensor:
        found = self.tensors.get(key)
        if not isinstance(found, torch.Tensor):
            raise NeurratorError(f"The dictionary {self.source} is damaged: its weights lack {key}.")
        if found.is_sparse or found.is_complex() or found.is_quantized:
            raise NeurratorError(f"The dictionary {self.source} is damaged: {key} does not hold plain numbers.")
        return found

    def k(self, value: object) -> int:
        """Check how many features are to stay."""
        if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex():
            value = value.item()
        if isinstance(value, float) and value == int(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise NeurratorError(
                f"The dictionary {self.source} says that k is {value!r}: the number of features that stay active must be 1 or more."
            )
        return value


def assembled(
    weights: Weights,
    encoder: torch.Tensor,
    decoder: torch.Tensor,
    latent_bias: torch.Tensor,
    input_bias: torch.Tensor | None,
    output_bias: torch.Tensor,
    activation: Activation,
    normaliser: Normaliser | None = None,
) -> SparseAutoencoder:
    """Put the parts together and refuse what cannot be.

    Raises
    ------
    NeurratorError
        Shapes do not fit, or weights are not numbers.
    """
    if decoder.shape != encoder.shape[::-1]:
        raise NeurratorError(
            f"The dictionary {weights.source} is damaged: its encoder is {' × '.join(map(str, encoder.shape))} (width × features) and its decoder "
            f"{' × '.join(map(str, decoder.shape))} (features × width)."
        )
    normaliser = normaliser or Normaliser()
    parts = {
        "encoder": encoder,
        "decoder": decoder,
        "encoder's bias": latent_bias,
        "bias": input_bias,
        "decoder's bias": output_bias,
        "thresholds": activation.threshold,
        "gate": activation.gate_scale,
        "gate's bias": activation.gate_bias,
        "mean": normaliser.centre,
    }
    for name, part in parts.items():
        # The sum is not finite if a number is not: one pass, and no table of flags.
        if part is not None and not bool(part.sum(dtype=torch.float64).isfinite()):
            raise NeurratorError(
                f"The dictionary {weights.source} is damaged: its {name} holds values that are not finite numbers."
            )
    return SparseAutoencoder(encoder, decoder, latent_bias, input_bias, output_bias, activation, normaliser)


def thresholds(weights: Weights, value: torch.Tensor) -> Activation:
    """Return the activation relu(h)·(h > threshold): a threshold below 0 is the same as 0."""
    value = value.clamp(min=0)
    return Activation("threshold", threshold=value if bool(value.any()) else None)
