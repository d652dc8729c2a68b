"""MSAE (github.com/WolodjaZ/MSAE, MIT): ``{model, mean_center, scaling_factor, target_norm}``, with its settings in the name of the file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...errors import NeurratorError
from ..normaliser import Normaliser
from ..sae import Activation
from .description import Description, Space, Weights, assembled


@dataclass(frozen=True)
class _Settings:
    activation: str = "ReLU"
    k: int | None = None
    normalize: bool = False
    cap: float = 0.0
    told: bool = False


def recognised(saved: dict[str, Any]) -> bool:
    """Tell whether this is MSAE's, whole or its state dict alone."""
    state = saved["model"] if isinstance(saved.get("model"), dict) else saved
    return "pre_bias" in state and "latent_bias" in state


def describe(saved: dict[str, Any], path: Path, source: str) -> Description:
    """Read it: cap(act((x − pre_bias) encoder + latent_bias)), after the data's mean and scale.

    Raises
    ------
    NeurratorError
        Keys are missing or wrong, or it is of an activation that is not read.
    """
    whole = isinstance(saved.get("model"), dict)
    weights = Weights(saved["model"] if whole else saved, source)
    settings, notes = _settings(path.name, weights), []
    if not settings.told:
        notes.append(
            "MSAE writes the activation into the name of the file (as in 8192_768_TopKReLU_64_False_False_30.0_data.pth), and this name has none: "
            "ReLU is taken, without normalising and without a cap"
        )
    encoder = weights.matrix("encoder")
    width, n = encoder.shape
    # With tied weights there is no decoder in the file.
    decoder = weights.matrix("decoder") if "decoder" in weights else encoder.T.contiguous()
    bias = weights.vector("pre_bias", width)
    how = _activation(settings, weights, n)
    if settings.cap > 0:
        how = replace(how, cap=settings.cap)
    centre, scale = None, 1.0
    if whole:
        scale = weights_number(saved.get("scaling_factor", 1.0), source)
        mean = saved.get("mean_center", 0.0)
        if isinstance(mean, torch.Tensor) and mean.numel() > 1:
            centre = Weights({"mean_center": mean.flatten()}, source).vector("mean_center", width)
        elif (value := weights_number(mean, source)) != 0.0:
            centre = torch.full((width,), value)
    normaliser = Normaliser("layer_norm" if settings.normalize else "none", centre, scale)
    sae = assembled(weights, encoder, decoder, weights.vector("latent_bias", n), bias, bias, how, normaliser)
    return Description("MSAE", settings.activation, sae, Space(), config=vars(settings), warnings=tuple(notes))


def weights_number(value: object, source: str) -> float:
    """Return a finite number that is not 0 where it scales."""
    return Weights({"scaling_factor or mean_center": value}, source).number("scaling_factor or mean_center")


def _settings(name: str, weights: Weights) -> _Settings:
    """Read ``{features}_{width}_{activation}[_{k}][_UW|_RW]_{tied}_{normalize}_{cap}_{data}.pth``."""
    parts = name.split(".pt")[0].split("_")
    try:
        int(parts.pop(0)), int(parts.pop(0))
        activation, k = parts.pop(0), None
        if "TopK" in activation:
            k = int(parts.pop(0))
        elif activation == "ReLU" or activation.startswith("JumpReLU"):
            while parts and parts[0] not in ("True", "False"):
                parts.pop(0)
        if parts[0] in ("UW", "RW"):
            parts.pop(0)
        tied, normalize = parts.pop(0), parts.pop(0)
        if tied not in ("True", "False") or normalize not in ("True", "False"):
            raise ValueError
        return _Settings(activation, k, normalize == "True", float(parts.pop(0)), True)
    except (ValueError, IndexError):
        return _Settings("JumpReLU" if "activation.log_threshold" in weights else "ReLU")


def _activation(settings: _Settings, weights: Weights, n: int) -> Activation:
    kind = settings.activation
    if kind == "ReLU":
        return Activation("threshold")
    if kind.startswith("JumpReLU"):
        return Activation("threshold", threshold=weights.vector("activation.log_threshold", n).exp())
    plain = kind.removesuffix("ReLU").removesuffix("abs")
    if plain not in ("TopK", "BatchTopK"):
        raise NeurratorError(
            f"The dictionary {weights.source} has the activation {kind!r}: of MSAE's ReLU, JumpReLU, TopK and BatchTopK are read, with their abs and ReLU variants."
        )
    return Activation(
        "topk" if plain == "TopK" else "batch_topk",
        k=weights.k(settings.k),
        relu=kind.endswith("ReLU"),
        absolute="abs" in kind,
    )
