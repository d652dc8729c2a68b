"""What a vision tower looks like, from its configuration files alone: neither torch nor the model is loaded."""

import json
import math
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import NeurratorError
from ..profiles import Profile, layer_number

# What the configuration classes of transformers take where a config.json leaves it out, as those of SigLIP on the hub do.
DEFAULTS: dict[str, dict[str, int]] = {
    "clip_vision_model": {"image_size": 224, "patch_size": 32, "hidden_size": 768, "num_hidden_layers": 12},
    "metaclip_2_vision_model": {"image_size": 224, "patch_size": 32, "hidden_size": 768, "num_hidden_layers": 12},
    "siglip_vision_model": {"image_size": 224, "patch_size": 16, "hidden_size": 768, "num_hidden_layers": 12},
    "siglip2_vision_model": {"num_patches": 256, "patch_size": 16, "hidden_size": 768, "num_hidden_layers": 12},
}
# Types of whole models, and that of the tower in each.
TOWER_OF = {name.removesuffix("_vision_model"): name for name in DEFAULTS}
OPEN_CLIP_CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class TowerShape:
    """The input and the grid of a vision tower.

    Attributes
    ----------
    height, width : int
        Of its input, pixels.
    patch : tuple of int
        Height and width of a patch, pixels.
    shortest : int
        What the shorter side of a frame is resized to before the centre is cut out.
    centred_up : bool
        Whether a centre that falls between two pixels is rounded to the even one (open_clip) and not down (transformers).
    kind : str
        Type of the tower: as transformers spells it, or ``open_clip``.
    channels, depth : int or None
        Width of a patch's vector, and number of blocks, where the configuration tells.
    """

    height: int
    width: int
    patch: tuple[int, int]
    shortest: int
    centred_up: bool
    kind: str
    channels: int | None
    depth: int | None

    @property
    def rows(self) -> int:
        """Rows of the grid; what is left of the input beyond whole patches is not seen."""
        return self.height // self.patch[0]

    @property
    def columns(self) -> int:
        """Columns of the grid."""
        return self.width // self.patch[1]

    @classmethod
    def of(cls, profile: Profile) -> "TowerShape":
        """Read the shape from the configuration files that a profile's vision model has on this machine.

        Raises
        ------
        NeurratorError
            They are not there, or not those of a CLIP or SigLIP.
        """
        try:
            if profile.vision.library == "open_clip":
                return _of_open_clip(profile)
            return _of_transformers(profile)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise NeurratorError(
                f"The configuration of {profile.vision.model!r} is damaged ({error}): fetch the model again."
            ) from error


def hidden_state(layer: int | str, depth: int, where: object) -> int:
    """Return which hidden state a layer is, counted from what enters the first block (0).

    Raises
    ------
    NeurratorError
        The tower has no such layer.
    """
    number = layer_number(layer)
    resolved = number if number >= 0 else depth + 1 + number
    if not 0 <= resolved <= depth:
        raise NeurratorError(
            f"The tower {str(where)!r} has {depth} blocks, so its hidden states are 0 to {depth} (or -1 to {-depth - 1}), and there is no layer {layer!r}: "
            "choose another layer in the profile."
        )
    return resolved


def tower_config(profile: Profile) -> tuple[dict[str, Any], str]:
    """Return the configuration of a transformers tower with the library's defaults filled in, and its type.

    Raises
    ------
    NeurratorError
        It is not that of a CLIP or SigLIP.
    """
    config = profile.read_json(profile.vision.model, "config.json")
    kind = str(config.get("model_type"))
    kind = TOWER_OF.get(kind, kind)
    if kind not in DEFAULTS:
        known = ", ".join(sorted(TOWER_OF))
        raise NeurratorError(
            f"{profile.vision.model!r} is not a CLIP: its config.json says {config.get('model_type')!r}, and a vision tower is one of {known}; name one in the profile."
        )
    return DEFAULTS[kind] | (config.get("vision_config") or config), kind


def preprocessor_config(profile: Profile) -> dict[str, Any]:
    """Return how a transformers model wants its pictures prepared."""
    folder = profile.folder_of(profile.vision.model)
    if (
        folder is not None
        and not (folder / "preprocessor_config.json").is_file()
        and (folder / "processor_config.json").is_file()
    ):
        # Where transformers 5 saves a whole processor.
        return profile.read_json(profile.vision.model, "processor_config.json")["image_processor"]
    return profile.read_json(profile.vision.model, "preprocessor_config.json")


def open_clip_config(profile: Profile) -> dict[str, Any]:
    """Return what open_clip knows of a model: ``model_cfg`` and, where it is said, ``preprocess_cfg``.

    Raises
    ------
    NeurratorError
        It is neither a folder nor a hub id of open_clip nor the name of an architecture.
    """
    model = profile.vision.model
    folder = profile.folder_of(model)
    if folder is not None:
        if not (folder / OPEN_CLIP_CONFIG).is_file():
            raise NeurratorError(
                f'{folder} is no model of open_clip: it has no {OPEN_CLIP_CONFIG}; say library = "transformers" in the profile, or name another folder.'
            )
        config = profile.read_json(model, OPEN_CLIP_CONFIG)
        return config if "model_cfg" in config else {"model_cfg": config}
    file = _architectures() / f"{model}.json"
    if "/" not in model and file.is_file():
        beside: dict[str, Any] = {}
        weights = profile.path_of(profile.vision.weights) if profile.vision.weights else None
        if weights is not None and (weights / OPEN_CLIP_CONFIG).is_file():
            beside = json.loads((weights / OPEN_CLIP_CONFIG).read_text(encoding="utf-8"))
        return {
            "preprocess_cfg": beside.get("preprocess_cfg", {}),
            "model_cfg": json.loads(file.read_text(encoding="utf-8")),
        }
    if "/" not in model:
        from difflib import get_close_matches

        names = sorted(path.stem for path in _architectures().glob("*.json"))
        close = get_close_matches(model, names, 3, 0.5)
        raise NeurratorError(
            f"open_clip has no architecture {model!r}{': did you mean ' + ' or '.join(close) + '?' if close else '.'} Give such a name, a folder or a hub id in the profile."
        )
    raise profile.missing(model, OPEN_CLIP_CONFIG)


def _architectures() -> Path:
    # Found without importing open_clip, which brings torch.
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise NeurratorError("open_clip is not installed: run pip install open_clip_torch.")
    return Path(spec.submodule_search_locations[0]) / "model_configs"


def _of_open_clip(profile: Profile) -> TowerShape:
    vision = open_clip_config(profile)["model_cfg"]["vision_cfg"]
    height, width = _pair(vision.get("image_size", 224))
    name = vision.get("timm_model_name")
    if name:
        found = re.search(r"patch(\d+)", name)
        if not found:
            raise NeurratorError(
                f"The tower of {profile.vision.model!r} is {name!r}, which has no patches: choose a ViT in the profile."
            )
        patch, depth, channels = int(found[1]), None, None
    elif isinstance(vision.get("layers", 12), list):
        raise NeurratorError(
            f"The tower of {profile.vision.model!r} is a ResNet, which has no patches: choose a ViT in the profile."
        )
    else:
        patch, depth, channels = vision.get("patch_size", 16), vision.get("layers", 12), vision.get("width", 768)
    return TowerShape(height, width, _pair(patch), min(height, width), True, "open_clip", channels, depth)


def _of_transformers(profile: Profile) -> TowerShape:
    vision, kind = tower_config(profile)
    patch = int(vision["patch_size"])
    side = int(vision["image_size"]) if "image_size" in vision else math.isqrt(int(vision["num_patches"])) * patch
    size = preprocessor_config(profile).get("size", side)
    shortest = size.get("shortest_edge", side) if isinstance(size, dict) else size
    if kind == "siglip2_vision_model":
        shortest = side
    return TowerShape(
        side,
        side,
        (patch, patch),
        int(shortest),
        False,
        kind,
        int(vision["hidden_size"]),
        int(vision["num_hidden_layers"]),
    )


def _pair(size: Any) -> tuple[int, int]:
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return int(height), int(width)
