"""CLIP-Scope (clipscope 0.1.8 on PyPI, MIT): ``{model_state_dict, n_features, d_in, k}``."""

import re
from pathlib import Path
from typing import Any

import torch

from ..sae import Activation
from .description import Description, Space, Weights, assembled


def recognised(saved: dict[str, Any]) -> bool:
    """Tell whether this is CLIP-Scope's."""
    return isinstance(saved.get("model_state_dict"), dict) and "pre_b" in saved["model_state_dict"]


def describe(saved: dict[str, Any], path: Path, source: str) -> Description:
    """Read it: the k largest of (x − pre_b)·enc, and no ReLU.

    Raises
    ------
    NeurratorError
        Keys are missing or wrong.
    """
    weights = Weights(saved["model_state_dict"], source)
    encoder, decoder = weights.matrix("enc"), weights.matrix("dec")
    bias = weights.vector("pre_b", len(encoder))
    how = Activation("topk", k=weights.k(saved["k"]), relu=False) if "k" in saved else Activation("threshold")
    sae = assembled(weights, encoder, decoder, torch.zeros(encoder.shape[1]), bias, bias, how)
    # Its files lie in folders such as 22_resid.
    found = re.fullmatch(r"(\d+)_resid", path.parent.name)
    notes = (
        "CLIP-Scope's files do not name their model, and those published are of laion/CLIP-ViT-L-14-laion2B-s32B-b82K, which is as wide as OpenAI's ViT-L/14: "
        "it fits only if the profile's vision model is the one it was trained on",
    )
    config = {key: value for key, value in saved.items() if isinstance(value, int | float | str)}
    space = Space(block=int(found[1])) if found else Space()
    return Description("CLIP-Scope", "topk" if "k" in saved else "standard", sae, space, config=config, warnings=notes)
