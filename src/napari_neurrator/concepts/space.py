"""Whether a dictionary was trained on the patch space of a profile."""

import re
from pathlib import Path
from typing import Any

from ..errors import NeurratorError
from ..profiles import Profile
from ..profiles.profile import layer_number
from ..vision.fingerprint import weights_fingerprint
from .formats import Description

_SIZES = {
    "s": "s",
    "small": "s",
    "b": "b",
    "base": "b",
    "l": "l",
    "large": "l",
    "h": "h",
    "huge": "h",
    "g": "g",
    "giant": "g",
}
_HF = re.compile(r"clip-vit-(small|base|large|huge|giant|[sblhg])-?(?:patch)?-?(\d+)(?:-(\d{3}))?(?=$|-)")
_OPEN = re.compile(r"vit-?(s|b|l|h|g)[-/_](\d+)(?:[-@_](\d{3}))?(?:px)?(?:-quickgelu)?(?=$|-)")


def check_space(described: Description, source: str, profile: Profile) -> list[str]:
    """Refuse a dictionary that was trained on another space, and say what could not be checked.

    Parameters
    ----------
    described : Description
        Says what it was trained on.
    source : str
        Where it lies, for messages.
    profile : Profile
        Whose patches it is to read.

    Returns
    -------
    list of str
        What could not be checked.

    Raises
    ------
    NeurratorError
        Its width, model or layer is another.
    """
    space, vision = described.space, profile.vision
    config = _vision_config(profile)
    width = config.get("hidden_size")
    if isinstance(width, int) and width != described.sae.width:
        raise _another(
            source,
            f"it reads vectors of {described.sae.width} numbers",
            f"patches of the profile {profile.name!r} have {width}",
        )
    if space.fingerprint is not None:
        present = weights_fingerprint(profile, vision.model)
        if profile.path_of(vision.model) is not None and present != space.fingerprint:
            raise _another(
                source,
                "it was trained on other weights of the vision model",
                f"the profile {profile.name!r} has its own",
            )
    notes = []
    same = (
        True if space.fingerprint is not None or space.model == profile.name else same_model(space.model, vision.model)
    )
    if same is False:
        raise _another(
            source, f"it was trained on {space.model!r}", f"the profile {profile.name!r} looks through {vision.model!r}"
        )
    if same is None:
        notes.append(
            f"it does not say which vision model it was trained on: whether that is {vision.model!r} cannot be checked"
            if space.model is None
            else f"it was trained on {space.model!r}: whether that is the profile's {vision.model!r} cannot be checked"
        )
    notes += _check_layer(described, source, profile, config.get("num_hidden_layers"))
    return notes


def _check_layer(described: Description, source: str, profile: Profile, blocks: Any) -> list[str]:
    """Compare the layers: block b of n (from 0) is what transformers calls hidden state b + 1."""
    space, layer = described.space, layer_number(profile.vision.layer)
    if space.where == "elsewhere":
        raise _another(
            source,
            f"it was trained inside a block, at {space.hook!r}",
            f"the profile {profile.name!r} reads what leaves one",
        )
    if space.block is None:
        return ["it does not say which layer it was trained on: whether that is the profile's cannot be checked"]
    if isinstance(blocks, int):
        block = space.block if space.block >= 0 else blocks + space.block
        state = block + (space.where == "after")
        wanted = layer if layer >= 0 else blocks + 1 + layer
    elif (space.block < 0) == (layer < 0):
        # Counted from the same end, the number of blocks does not matter.
        state = space.block + (space.where == "after" and layer >= 0) - (space.where == "before" and layer < 0)
        wanted = layer
    else:
        return [
            f"it was trained on block {space.block}: whether that is the profile's hidden state {layer} cannot be checked without the vision model's config.json"
        ]
    if state != wanted:
        raise _another(
            source,
            f"it was trained {space.where} block {space.block}, which is hidden state {state}",
            f"the profile {profile.name!r} reads hidden state {wanted}",
        )
    return []


def same_model(one: str | None, other: str) -> bool | None:
    """Tell whether two names mean the same vision model; None where they do not tell.

    The same weights are called ``openai/clip-vit-large-patch14-336`` by transformers, ``ViT-L-14-336-quickgelu`` by open_clip and ``ViT-L/14@336px`` by OpenAI.
    """
    if not one:
        return None
    a, b = _plain(one), _plain(other)
    if a == b:
        return True
    shape_a, shape_b = _shape(a), _shape(b)
    owner_a, owner_b = _owner(a), _owner(b)
    if shape_a is not None and shape_b is not None:
        if shape_a != shape_b:
            return False
        # The same shape, trained by others, is another space.
        return (
            owner_a == owner_b
            if owner_a and owner_b
            else (True if a.rsplit("/", 1)[-1] == b.rsplit("/", 1)[-1] else None)
        )
    if a.rsplit("/", 1)[-1] == b.rsplit("/", 1)[-1]:
        return True
    # Two ids of a hub, or one and a CLIP's name: these are telling. A folder's or a nickname ("clip") is not.
    telling = [shape is not None or "/" in name for shape, name in ((shape_a, a), (shape_b, b))]
    return False if all(telling) else None


def _plain(name: str) -> str:
    name = name.strip().lower()
    return name.split(":", 1)[1] if re.match(r"^(open-clip|hf-hub|timm):", name) else name


def _shape(name: str) -> tuple[str, int, int] | None:
    """Return size, patch and resolution from the name of a CLIP."""
    found = _HF.search(name) or _OPEN.search(name)
    if found is None:
        return None
    return _SIZES[found[1]], int(found[2]), int(found[3] or 224)


def _owner(name: str) -> str | None:
    """Return who trained a CLIP, if the name tells."""
    if "laion" in name or "datacomp" in name:
        return "laion"
    if name.startswith("openai/") or "quickgelu" in name or "@" in name:
        return "openai"
    head = name.split("/", 1)[0] if "/" in name else ""
    return head or None


def _vision_config(profile: Profile) -> dict[str, Any]:
    """Return the vision model's settings, empty where they are not on this machine."""
    try:
        config = profile.read_json(profile.vision.model, "config.json")
    except (NeurratorError, ValueError):
        return {}
    vision = config.get("vision_config", config)
    return vision if isinstance(vision, dict) else {}


def _another(source: str, it: str, profile: str) -> NeurratorError:
    name = Path(source).name or source
    return NeurratorError(
        f"The dictionary {name!r} was made for another space: {it}, and {profile}: choose a dictionary of the profile's model and layer, or train one "
        "with 'neurrator concepts train'."
    )
