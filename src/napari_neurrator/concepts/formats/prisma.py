"""Prisma (github.com/Prisma-Multimodal/ViT-Prisma, MIT): ``config.json`` and ``weights.pt``."""

from typing import Any

from ...errors import NeurratorError
from ..normaliser import KINDS, Normaliser
from ..sae import Activation
from .description import Description, Space, Weights, assembled
from .saelens import place_of


def recognised(config: dict[str, Any]) -> bool:
    """Tell by its settings whether this is Prisma's."""
    return "trainer" not in config and any(
        key in config for key in ("activation_fn_str", "hook_point_layer", "architecture")
    )


def describe(config: dict[str, Any], saved: dict[str, Any], source: str) -> Description:
    """Read it: normalise, − b_dec, encode, activate; decode, undo the normaliser.

    Raises
    ------
    NeurratorError
        Keys are missing or wrong, or it is a transcoder, or of an activation that is not read.
    """
    tensors = saved["state_dict"] if isinstance(saved.get("state_dict"), dict) else saved
    weights = Weights(tensors, source)
    notes: list[str] = []
    if config.get("is_transcoder"):
        raise NeurratorError(
            f"The dictionary {source} is a transcoder: it does not rebuild what it reads, so it is none."
        )
    architecture = config.get("architecture", "gated" if "b_gate" in weights else "standard")
    function = config.get("activation_fn_str", "relu")
    kind = config.get("normalize_activations") or "none"
    if architecture not in ("standard", "gated") or function not in ("relu", "topk") or kind not in KINDS:
        raise NeurratorError(
            f"The dictionary {source} is a {architecture!r} one with the activation {function!r} and the normaliser {kind!r}: of Prisma's standard and gated "
            f"with relu or topk are read, normalised by {', '.join(KINDS)}."
        )
    encoder, decoder = weights.matrix("W_enc"), weights.matrix("W_dec")
    width, n = encoder.shape
    bias = weights.vector("b_dec", width)
    if architecture == "gated":
        if function != "relu":
            raise NeurratorError(f"The dictionary {source} is gated with the activation {function!r}: relu is read.")
        latent_bias = weights.vector("b_gate", n)
        how = Activation("gated", gate_scale=weights.vector("r_mag", n).exp(), gate_bias=weights.vector("b_mag", n))
    elif function == "topk":
        latent_bias = weights.vector("b_enc", n)
        how = Activation("topk", k=weights.k((config.get("activation_fn_kwargs") or {}).get("k")))
    else:
        latent_bias, how = weights.vector("b_enc", n), Activation("threshold")
    if config.get("cls_token_only"):
        notes.append("it was trained on the class token alone, and patches may look otherwise")
    sae = assembled(weights, encoder, decoder, latent_bias, bias, bias, how, Normaliser(kind))
    return Description("Prisma", architecture, sae, _space(config), config=config, warnings=tuple(notes))


def _space(config: dict[str, Any]) -> Space:
    model, hook = config.get("model_name"), config.get("hook_point")
    if not hook and isinstance(config.get("layer_subtype"), str):
        hook = config["layer_subtype"]
    return Space(
        model if isinstance(model, str) and model else None,
        *place_of(hook, config.get("hook_point_layer")),
        hook if isinstance(hook, str) and hook else None,
    )
