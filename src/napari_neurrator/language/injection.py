"""Patch grids in place of a vision tower's output."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch


def image_token_id(model: Any) -> int:
    """Return the token that stands for a patch; its name in the configuration differs between versions of transformers."""
    config = model.config
    known = getattr(config, "image_token_index", None)
    return config.image_token_id if known is None else known


def tiled(model: Any) -> bool:
    """Say whether the model cuts pictures into tiles (LLaVA-NeXT)."""
    return getattr(model.model, "image_newline", None) is not None


def n_picture_tokens(model: Any, side: int) -> int:
    """Return how many tokens a grid of `side` × `side` patches takes in the prompt."""
    return side * side + side * (side + 1) if tiled(model) else side * side


def picture_features(model: Any, grids: torch.Tensor) -> torch.Tensor:
    """Return what the language model reads of patch grids.

    LLaVA-1.5 reads the projected patches. LLaVA-NeXT reads a picture as an overview followed by tiles, row by row, with a newline vector after each row. A
    patch grid is given to it as a picture that is one tile large, whose overview and only tile are the same.

    Parameters
    ----------
    model : LlavaForConditionalGeneration or LlavaNextForConditionalGeneration
        The language model.
    grids : torch.Tensor
        (batch, rows × columns, width), with as many rows as columns.

    Returns
    -------
    torch.Tensor
        (batch, token, hidden), on the projector's device and in its precision.
    """
    projector = model.model.multi_modal_projector
    weight = next(projector.parameters())
    projected = projector(grids.to(weight.device, weight.dtype))
    if not tiled(model):
        return projected
    side = round(projected.shape[1] ** 0.5)
    rows = projected.unflatten(1, (side, side))
    newline = model.model.image_newline.to(projected).expand(*rows.shape[:2], 1, -1)
    return torch.cat([projected, torch.cat([rows, newline], dim=2).flatten(1, 2)], dim=1)


def generate(
    model: Any, prompt: dict[str, torch.Tensor], features: Sequence[torch.Tensor] | torch.Tensor, **arguments: Any
) -> torch.Tensor:
    """Generate from features in place of pixels.

    Uses ``mm_encoder_outputs`` where transformers has it (5.18 and newer), else scatters the features into ``inputs_embeds`` itself.

    Parameters
    ----------
    model : LlavaForConditionalGeneration or LlavaNextForConditionalGeneration
        The language model.
    prompt : dict
        input_ids and attention_mask, with a placeholder for every feature.
    features : sequence of torch.Tensor
        One (token, hidden) a row of the prompt, see `picture_features`.
    **arguments
        Passed to ``generate``.

    Returns
    -------
    torch.Tensor
        New tokens, int64 (batch, token).
    """
    length = prompt["input_ids"].shape[1]
    if "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        pooled: Any = list(features)
        encoded = {"image": BaseModelOutputWithPooling(pooler_output=pooled)}
        return model.generate(**prompt, mm_encoder_outputs=encoded, **arguments)[:, length:]
    return generate_from_embeddings(model, prompt, features, **arguments)


def generate_from_embeddings(
    model: Any, prompt: dict[str, torch.Tensor], features: Sequence[torch.Tensor] | torch.Tensor, **arguments: Any
) -> torch.Tensor:
    """Do what `generate` does, on any transformers: the features are scattered into the prompt's embeddings."""
    ids = prompt["input_ids"]
    embedded = model.get_input_embeddings()(ids)
    mask = (ids == image_token_id(model)).unsqueeze(-1)
    embedded = embedded.masked_scatter(mask, torch.cat(list(features)).to(embedded))
    # Given embeddings only, generate returns new tokens only.
    return model.generate(inputs_embeds=embedded, attention_mask=prompt["attention_mask"], **arguments)
