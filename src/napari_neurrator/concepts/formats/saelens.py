"""SAELens: ``cfg.json`` and ``sae_weights.safetensors`` (github.com/decoderesearch/SAELens, MIT; checked against 6.54)."""

import itertools
import re
from typing import Any

import torch

from ...errors import NeurratorError
from ..normaliser import KINDS, Normaliser
from ..sae import Activation
from .description import Description, Space, Weights, assembled, thresholds

READ = ("standard", "topk", "jumprelu", "gated", "batchtopk", "matryoshka_batchtopk")
# How versions before 6, and people, call the same.
_ALSO = {
    "matryoshka": "matryoshka_batchtopk",
    "batch_topk": "batchtopk",
    "matryoshka_batch_topk": "matryoshka_batchtopk",
}


def describe(config: dict[str, Any], tensors: dict[str, Any], source: str) -> Description:
    """Read a dictionary in SAELens' format, of version 6 or older.

    Raises
    ------
    NeurratorError
        Keys are missing or wrong, or it is of an architecture that is not read.
    """
    weights = Weights(tensors, source)
    notes: list[str] = []
    metadata = config.get("metadata") if isinstance(config.get("metadata"), dict) else {}
    assert isinstance(metadata, dict)
    function = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    options = config.get("activation_fn_kwargs") or {}
    architecture = str(config.get("architecture", "standard"))
    architecture = _ALSO.get(architecture, architecture)
    if architecture == "standard" and function == "topk":
        architecture = "topk"
    if architecture not in READ:
        raise NeurratorError(
            f"The dictionary {source} is a {architecture!r} one: of SAELens' architectures {', '.join(READ)} are read."
        )
    if function not in ("relu", "topk"):
        raise NeurratorError(
            f"The dictionary {source} has the activation {function!r}: of SAELens' relu and topk are read."
        )
    encoder, decoder = weights.matrix("W_enc"), weights.matrix("W_dec")
    width, n = encoder.shape
    for key, size in (("d_in", width), ("d_sae", n)):
        if isinstance(config.get(key), int) and config[key] != size:
            raise NeurratorError(
                f"The dictionary {source} is damaged: its settings say {key} = {config[key]}, and its weights are of {size}."
            )
    b_dec = weights.vector("b_dec", width)
    if bool(config.get("rescale_acts_by_decoder_norm")) and architecture in (
        "topk",
        "batchtopk",
        "matryoshka_batchtopk",
    ):
        # SAELens multiplies activations with the decoder's norms and divides when decoding: the same from weights that do.
        norm = decoder.norm(dim=1)
        encoder, decoder = encoder * norm, decoder / torch.where(norm > 0, norm, 1.0)[:, None]
        rescaled = norm
    else:
        rescaled = torch.ones(n)
    if config.get("finetuning_scaling_factor") and "finetuning_scaling_factor" in weights:
        decoder = decoder * weights.vector("finetuning_scaling_factor", n)[:, None]
    if architecture == "gated":
        latent_bias = weights.vector("b_gate", n)
        activation = Activation(
            "gated", gate_scale=weights.vector("r_mag", n).exp(), gate_bias=weights.vector("b_mag", n)
        )
    else:
        latent_bias = weights.vector("b_enc", n) * rescaled
        activation = _activation(architecture, config, options, weights, n)
    own = metadata.get("neurrator") if isinstance(metadata.get("neurrator"), dict) else {}
    assert isinstance(own, dict)
    if architecture == "topk" and own.get("relu") is False:
        activation = Activation("topk", k=activation.k, relu=False)
    input_bias = b_dec if config.get("apply_b_dec_to_input", True) else None
    normaliser = Normaliser(_normaliser(config, source, notes))
    sae = assembled(weights, encoder, decoder, latent_bias, input_bias, b_dec, activation, normaliser)
    widths = metadata.get("matryoshka_widths", config.get("matryoshka_widths"))
    return Description(
        "SAELens", architecture, sae, _space({**config, **metadata}, own), groups_of(widths, n), config, tuple(notes)
    )


def _activation(
    architecture: str, config: dict[str, Any], options: dict[str, Any], weights: Weights, n: int
) -> Activation:
    if architecture == "topk":
        return Activation("topk", k=weights.k(config.get("k", options.get("k"))))
    if architecture == "jumprelu":
        return thresholds(weights, weights.vector("threshold", n))
    if architecture in ("batchtopk", "matryoshka_batchtopk"):
        # SAELens trains with the largest of a batch, and keeps the threshold that this comes to for use.
        if "threshold" in weights:
            return thresholds(weights, weights.vector("threshold", n))
        return thresholds(weights, torch.full((n,), weights.number("topk_threshold")))
    return Activation("threshold")


def _normaliser(config: dict[str, Any], source: str, notes: list[str]) -> Any:
    kind = config.get("normalize_activations") or "none"
    if kind is True or kind in ("expected_average_only_in", "covariance_whitening"):
        notes.append(
            f"it was trained on rescaled vectors ({'expected_average_only_in' if kind is True else kind}) and its file does not hold the scale: "
            "it is taken to be folded into the weights, as SAELens does when it saves"
        )
        return "none"
    if kind not in KINDS:
        raise NeurratorError(
            f"The dictionary {source} normalises its input by {kind!r}: of SAELens' normalisers {', '.join(KINDS)} are read."
        )
    return kind


def _space(config: dict[str, Any], own: dict[str, Any]) -> Space:
    hook = config.get("hook_name", config.get("hook_point"))
    block = config.get("hook_layer", config.get("hook_point_layer"))
    model, fingerprint = config.get("model_name"), own.get("patch_space")
    return Space(
        model if isinstance(model, str) and model else None,
        *place_of(hook, block),
        hook if isinstance(hook, str) and hook else None,
        fingerprint if isinstance(fingerprint, str) else None,
    )


def place_of(hook: object, block: object) -> tuple[int | None, Any]:
    """Return block and place from the name of a hook, such as ``blocks.22.hook_resid_post``, and the number that stands beside it."""
    if isinstance(block, list) and len(block) == 1:
        block = block[0]
    number = block if isinstance(block, int) and not isinstance(block, bool) else None
    if not isinstance(hook, str) or not hook:
        return number, "after"
    if number is None and (found := re.search(r"\.(-?\d+)(\.|$)", hook)):
        number = int(found[1])
    last = hook.rsplit(".", 1)[-1]
    if "resid_pre" in last:
        return number, "before"
    if "resid_post" in last or last == "resid" or re.fullmatch(r"-?\d+", last):
        return number, "after"
    return number, "elsewhere" if re.search(r"mlp|attn|hook_z|resid_mid|embed|ln", last) else "after"


def groups_of(widths: object, n: int) -> tuple[int, ...] | None:
    """Return the sizes of nested groups from how far each reaches, or None where that is not told."""
    if not isinstance(widths, list) or not widths or not all(isinstance(w, int) for w in widths):
        return None
    ends = [0, *widths] if widths[-1] == n else [0, *widths, n]
    return tuple(b - a for a, b in itertools.pairwise(ends))
