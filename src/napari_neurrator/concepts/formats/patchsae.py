"""PatchSAE and Hugo Fry's (github.com/dynamical-inference/patchsae, github.com/HugoFry/mats_sae_training_for_ViTs, MIT): ``{cfg, state_dict}``."""

from typing import Any

from ...errors import NeurratorError
from ..sae import Activation
from .description import Description, Space, Weights, assembled
from .saelens import place_of


def recognised(saved: dict[str, Any]) -> bool:
    """Tell whether this is of theirs, its settings made a plain dict."""
    return isinstance(saved.get("state_dict"), dict) and "W_enc" in saved["state_dict"]


def describe(saved: dict[str, Any], source: str) -> Description:
    """Read it: relu((x − b_dec) W_enc + b_enc).

    Raises
    ------
    NeurratorError
        Keys are missing or wrong, or it is a gated one, whose code was never published.
    """
    weights = Weights(saved["state_dict"], source)
    config: dict[str, Any] = next((saved[key] for key in ("cfg", "config") if isinstance(saved.get(key), dict)), {})
    if config.get("gated_sae"):
        raise NeurratorError(
            f"The dictionary {source} is a gated one of PatchSAE's: only those without gates are read."
        )
    encoder, decoder = weights.matrix("W_enc"), weights.matrix("W_dec")
    width, n = encoder.shape
    bias = weights.vector("b_dec", width)
    sae = assembled(weights, encoder, decoder, weights.vector("b_enc", n), bias, bias, Activation("threshold"))
    model, module = config.get("model_name"), config.get("module_name")
    block, where = place_of(module if isinstance(module, str) else None, config.get("block_layer"))
    space = Space(
        model if isinstance(model, str) and model else None, block, where, module if isinstance(module, str) else None
    )
    return Description("PatchSAE", "standard", sae, space, config=config)
