"""Saving a dictionary in SAELens' format, so that SAELens itself loads it."""

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..errors import NeurratorError
from ..writing import folder_beside, write_text, written
from .formats import Description, Space
from .normaliser import Normaliser
from .sae import SparseAutoencoder

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# The version whose format is written.
_SAELENS = "6.54.12"


def save_dictionary(
    described: Description, out: str | Path, dtype: str = "float32", about: dict[str, Any] | None = None
) -> list[str]:
    """Write ``cfg.json`` and ``sae_weights.safetensors`` as SAELens does; the folder appears whole or not at all.

    What SAELens has no settings for is folded into the weights: a bias that differs before and after, the mean and scale of the training data.

    Parameters
    ----------
    described : Description
        The dictionary.
    out : path-like
        Folder to make; must not exist yet, or be empty.
    dtype : str
        float32, float16 or bfloat16.
    about : dict, optional
        More to be said in the metadata.

    Returns
    -------
    list of str
        Where SAELens will do otherwise than this package.

    Raises
    ------
    NeurratorError
        SAELens has no such architecture, or the folder cannot be written.
    """
    if dtype not in _DTYPES:
        raise NeurratorError(f"--dtype {dtype!r} is not possible: give one of {', '.join(_DTYPES)}.")
    config, weights, notes = as_saelens(described)
    config["dtype"] = dtype
    config["metadata"]["neurrator"].update(about or {})
    target = Path(out).expanduser()
    if target.is_dir() and any(target.iterdir()):
        raise NeurratorError(f"The folder {target} is not empty: give another one with --out, or empty it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(target) as made:
            with written(made / "sae_weights.safetensors") as part:
                save_file({key: value.to(_DTYPES[dtype]).contiguous() for key, value in weights.items()}, part)
            write_text(made / "cfg.json", json.dumps(config, indent=1, ensure_ascii=False) + "\n")
            if target.is_dir():
                target.rmdir()
            os.replace(made, target)
    except OSError as error:
        raise NeurratorError(f"The dictionary cannot be written to {target}: {error.strerror or error}.") from error
    return notes


def as_saelens(described: Description) -> tuple[dict[str, Any], dict[str, torch.Tensor], list[str]]:
    """Return settings and weights in SAELens' terms, and where SAELens will do otherwise.

    Raises
    ------
    NeurratorError
        SAELens has no such architecture.
    """
    sae, how, notes = described.sae, described.sae.activation, []
    if how.cap is not None or how.absolute or how.kind == "batch_topk":
        what = (
            "a cap on activations"
            if how.cap is not None
            else "absolute activations"
            if how.absolute
            else "batch top-k without a threshold"
        )
        raise NeurratorError(
            f"A dictionary with {what} cannot be saved in SAELens' format, which has no such thing: use its own file, which is read as it is."
        )
    if sae.normaliser.kind != "none" and (sae.normaliser.centre is not None or sae.normaliser.scale != 1.0):
        raise NeurratorError(
            "A dictionary that normalises vectors after their mean was taken away cannot be saved in SAELens' format: use its own file, which is read as it is."
        )
    subtracts = sae.input_bias is not None
    plain = sae.normaliser.centre is None and sae.normaliser.scale == 1.0
    if not plain or (subtracts and not torch.equal(sae.input_bias, sae.output_bias)):  # type: ignore[arg-type]
        sae, subtracts = _folded(sae), False
        how = sae.activation
    weights = {"W_enc": sae.encoder, "W_dec": sae.decoder, "b_dec": sae.output_bias}
    if how.kind == "gated":
        assert how.gate_scale is not None
        assert how.gate_bias is not None
        architecture = "gated"
        weights |= {"b_gate": sae.latent_bias, "r_mag": how.gate_scale.log(), "b_mag": how.gate_bias}
    elif how.kind == "topk":
        architecture = "topk"
        weights["b_enc"] = sae.latent_bias
        if not how.relu:
            notes.append(
                "SAELens' top-k ends with a ReLU and this one does not: it will differ where fewer than k activations of a patch are positive"
            )
    elif how.threshold is not None:
        architecture = "jumprelu"
        weights |= {"b_enc": sae.latent_bias, "threshold": how.threshold}
    else:
        architecture = "standard"
        weights["b_enc"] = sae.latent_bias
    config = {
        "d_in": sae.width,
        "d_sae": sae.n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": subtracts,
        "normalize_activations": sae.normaliser.kind,
        "reshape_activations": "none",
        "metadata": _metadata(described),
        "architecture": architecture,
    }
    if architecture == "topk":
        config |= {"k": how.k, "rescale_acts_by_decoder_norm": False}
    return config, weights, notes


def _folded(sae: SparseAutoencoder) -> SparseAutoencoder:
    """Push what is subtracted and multiplied before the encoder into its weights, and what is undone after the decoder into its own.

    ((x − c)s − p) E + b = x (sE) + b − (cs + p) E, and (f D + o)/s + c = f (D/s) + o/s + c.
    """
    zero = torch.zeros(sae.width)
    centre = zero if sae.normaliser.centre is None else sae.normaliser.centre
    scale, how = sae.normaliser.scale, sae.activation
    shift = centre * scale + (zero if sae.input_bias is None else sae.input_bias)
    pushed = (shift.double() @ sae.encoder.double()).float()
    if how.gate_scale is not None and how.gate_bias is not None:
        how = replace(how, gate_bias=how.gate_bias - pushed * how.gate_scale)
    return SparseAutoencoder(
        sae.encoder * scale,
        sae.decoder / scale,
        sae.latent_bias - pushed,
        None,
        sae.output_bias / scale + centre,
        how,
        Normaliser(sae.normaliser.kind),
    )


def _metadata(described: Description) -> dict[str, Any]:
    """Return what SAELens keeps in ``metadata``: where the dictionary belongs, and what this package needs to read it again as it was."""
    space, groups = described.space, described.group_sizes
    metadata: dict[str, Any] = {
        "sae_lens_version": _SAELENS,
        "model_name": space.model,
        "hook_name": space.hook or _hook(space),
        "hook_layer": space.block,
    }
    if groups:
        metadata["matryoshka_widths"] = list(itertools.accumulate(groups))
    own: dict[str, Any] = {"family": described.family, "relu": described.sae.activation.relu}
    if space.fingerprint:
        own["patch_space"] = space.fingerprint
    return {key: value for key, value in metadata.items() if value is not None} | {"neurrator": own}


def _hook(space: Space) -> str | None:
    """Name the place as SAELens' users do."""
    if space.block is None or space.where == "elsewhere":
        return None
    return f"blocks.{space.block}.hook_resid_{'post' if space.where == 'after' else 'pre'}"
