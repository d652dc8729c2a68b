"""dictionary_learning (github.com/saprmarks/dictionary_learning, MIT), of which sae-for-vlm's are: a bare state dict, maybe with ``config.json``."""

from typing import Any

import torch

from ...errors import NeurratorError
from ..sae import Activation
from .description import Description, Space, Weights, assembled, thresholds
from .saelens import place_of


def describe(config: dict[str, Any], tensors: dict[str, Any], source: str) -> Description:
    """Read a state dict of one of dictionary_learning's classes; which one is told by its keys, and by ``config.json`` where they leave it open.

    Raises
    ------
    NeurratorError
        Keys are missing or wrong, or they are of no class that is read.
    """
    weights = Weights(tensors, source)
    notes: list[str] = []
    trainer = config.get("trainer") if isinstance(config.get("trainer"), dict) else config
    assert isinstance(trainer, dict)
    kind = str(trainer.get("dict_class", ""))
    linear = "encoder.weight" in weights
    if not linear and "W_enc" not in weights:
        raise NeurratorError(
            f"The dictionary {source} is of no family that is read: its weights are {', '.join(sorted(map(str, tensors))[:8]) or 'none'}."
        )
    encoder = weights.matrix("encoder.weight", transposed=True) if linear else weights.matrix("W_enc")
    decoder = weights.matrix("decoder.weight", transposed=True) if linear else weights.matrix("W_dec")
    width, n = encoder.shape
    latent = "encoder.bias" if linear else "b_enc"
    groups = None
    if "gate_bias" in weights:
        name, bias = "gated", weights.vector("decoder_bias", width)
        latent_bias = weights.vector("gate_bias", n)
        activation = Activation(
            "gated", gate_scale=weights.vector("r_mag", n).exp(), gate_bias=weights.vector("mag_bias", n)
        )
        sae = assembled(weights, encoder, decoder, latent_bias, bias, bias, activation)
    elif "decoder.bias" in weights:
        # AutoEncoderNew: nothing is subtracted before.
        name = "standard"
        sae = assembled(
            weights,
            encoder,
            decoder,
            weights.vector(latent, n),
            None,
            weights.vector("decoder.bias", width),
            Activation("threshold"),
        )
    elif "bias" in weights:
        name, bias = "standard", weights.vector("bias", width)
        sae = assembled(weights, encoder, decoder, weights.vector(latent, n), bias, bias, Activation("threshold"))
    else:
        bias = weights.vector("b_dec", width)
        name, activation = _by_k(weights, kind, n, notes)
        # Its JumpReLU dictionaries alone do not subtract the decoder's bias first.
        first = None if name == "jumprelu" else bias
        sae = assembled(weights, encoder, decoder, weights.vector(latent, n), first, bias, activation)
        if "group_sizes" in weights:
            groups = _groups(weights, n)
    return Description("dictionary_learning", name, sae, _space(trainer), groups, config, tuple(notes))


def _by_k(weights: Weights, kind: str, n: int, notes: list[str]) -> tuple[str, Activation]:
    if "k" not in weights.tensors:
        if "threshold" in weights and weights.tensors["threshold"].ndim == 1:
            return "jumprelu", thresholds(weights, weights.vector("threshold", n))
        return "standard", Activation("threshold")
    k = weights.k(weights.tensors["k"])
    threshold = weights.number("threshold") if "threshold" in weights.tensors else -1.0
    batch = "Batch" in kind or "group_sizes" in weights
    if kind == "AutoEncoderTopK":
        return "topk", Activation("topk", k=k)
    if not batch and not kind:
        # Top-k and batch top-k have the same keys.
        if threshold < 0:
            notes.append(
                f"its file has no config.json and its threshold was never set: the {k} largest features of each patch are taken (top-k)"
            )
            return "topk", Activation("topk", k=k)
        notes.append(
            f"its file has no config.json: it is taken for batch top-k, with the threshold {threshold:.3g} that it holds; if it is plain top-k, put its config.json beside it"
        )
    elif threshold < 0:
        notes.append(
            "its threshold was never set in training: every positive feature is active, as in dictionary_learning itself"
        )
    name = "matryoshka_batchtopk" if "group_sizes" in weights else "batchtopk"
    return name, thresholds(weights, torch.full((n,), threshold))


def _groups(weights: Weights, n: int) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in weights.tensors["group_sizes"].flatten().tolist())
    if sum(sizes) != n or min(sizes, default=0) < 1:
        raise NeurratorError(
            f"The dictionary {weights.source} is damaged: its groups hold {sum(sizes)} features in all, and it has {n}."
        )
    return sizes


def _space(trainer: dict[str, Any]) -> Space:
    model, hook = trainer.get("lm_name"), trainer.get("submodule_name")
    return Space(
        model if isinstance(model, str) and model else None,
        *place_of(hook, trainer.get("layer")),
        hook if isinstance(hook, str) and hook else None,
    )
