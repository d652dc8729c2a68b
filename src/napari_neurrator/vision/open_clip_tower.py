"""Towers of open_clip: its own ViTs and those of timm."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import NeurratorError
from ..profiles import Profile
from ..profiles.profile import HUB_PREFIX
from ..profiles.weights import check_weights, tensors, weight_files
from .blocks import capturing
from .loading import explained, fetch_configuration, loading
from .shape import OPEN_CLIP_CONFIG, TowerShape, hidden_state, open_clip_config

_VISUAL = "visual."


class OpenClipTower:
    """Builds and loads the vision tower alone until pictures or phrases are wanted in the joint space.

    Parameters
    ----------
    profile : Profile
        Which model, weights, layer and fit.
    device, dtype
        Where it runs, in which precision.
    """

    def __init__(self, profile: Profile, device: torch.device, dtype: torch.dtype):
        self.profile, self.device, self.dtype = profile, device, dtype
        fetch_configuration(profile, profile.vision.model, [OPEN_CLIP_CONFIG])
        self.shape = TowerShape.of(profile)
        self.config = open_clip_config(profile)
        self._file = weights_file(profile)
        with loading(profile, profile.vision.model):
            self._tower = self._build()
        blocks = _blocks(self._tower, profile.vision.model)
        self.layer = hidden_state(profile.vision.layer, len(blocks), profile.vision.model)
        self.rows, self.columns = self.shape.rows, self.shape.columns
        self.width = int(
            self._tower.conv1.out_channels if hasattr(self._tower, "conv1") else self._tower.trunk.embed_dim
        )
        # What lies behind the layer is never used.
        del blocks[max(self.layer, 1) :]

    def _build(self) -> Any:
        from open_clip.model import _build_vision_tower

        model = self.config["model_cfg"]
        state = visual_state(self._file)
        # On no device: the random numbers that open_clip draws would be overwritten anyway.
        with torch.device("meta"):
            tower = _build_vision_tower(model["embed_dim"], model["vision_cfg"], model.get("quick_gelu", False))
        missing = sorted(set(tower.state_dict()) - set(state))
        odd = [key for key, tensor in tower.state_dict().items() if key in state and tensor.shape != state[key].shape]
        if missing or odd:
            what = f"have no {missing[0]}" if missing else f"have another shape of {odd[0]}"
            raise NeurratorError(
                f"The weights in {self._file} {what}, so they are not those of {self.profile.vision.model!r} in open_clip: name the right architecture or weights in the profile."
            )
        if any(buffer.is_meta for name, buffer in tower.named_buffers() if name not in state):
            # Some towers work tables out when they are built.
            tower = _build_vision_tower(model["embed_dim"], model["vision_cfg"], model.get("quick_gelu", False))
        tower.load_state_dict({key: state[key] for key in tower.state_dict()}, assign=True)
        return tower.eval().requires_grad_(False).to(self.device, self.dtype)

    @cached_property
    def transform(self) -> Any:
        """open_clip's own transform, with the profile's fit."""
        from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

        own = merge_preprocess_dict(PreprocessCfg(), self._preprocessing())
        mode = "squash" if self.profile.vision.fit == "whole" else "shortest"
        return image_transform_v2(
            PreprocessCfg(**(own | {"size": (self.shape.height, self.shape.width), "resize_mode": mode})),
            is_train=False,
        )

    def _preprocessing(self) -> dict[str, Any]:
        """Return means, deviations and interpolation: as the model says, or as all weights of this architecture were trained with."""
        if self.config.get("preprocess_cfg"):
            return self.config["preprocess_cfg"]
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        name, weights = self.profile.vision.model, self.profile.vision.weights
        known = get_pretrained_cfg(name, weights or "")
        if not known and (tags := list_pretrained_tags_by_model(name)):
            known = get_pretrained_cfg(name, tags[0])
        return known or {}

    def pixels(self, frames: np.ndarray) -> torch.Tensor:
        """Prepare frames: float32 (frame, 3, height, width)."""
        from PIL import Image

        return torch.stack([self.transform(Image.fromarray(np.ascontiguousarray(frame))) for frame in frames])

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patches' hidden state, (frame, patch, width)."""
        tower = self._tower if self._tower is not None else self.clip.visual
        return self._run(tower, pixels)[0]

    def embed(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patches' hidden state and the pictures' embeddings (frame, projection)."""
        return self._run(self.clip.visual, pixels)

    def _run(self, tower: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with capturing(_blocks(tower, self.profile.vision.model), self.layer) as captured:
            pooled = tower(pixels.to(self.device, self.dtype))
        return captured.patches(self.rows * self.columns), pooled[0] if isinstance(pooled, tuple) else pooled

    @cached_property
    def clip(self) -> Any:
        """The whole model, with its text tower."""
        import open_clip

        name, pretrained = self._named()
        with loading(self.profile, self.profile.vision.model):
            model = open_clip.create_model(name, pretrained=pretrained, require_pretrained=True)
        self._tower = None
        return model.eval().requires_grad_(False).to(self.device, self.dtype)

    def _named(self) -> tuple[str, str | None]:
        """Return the model as open_clip names it, and its weights where it does not name them."""
        folder = self._file.parent
        if self.profile.folder_of(self.profile.vision.model) is not None:
            return f"local-dir:{folder}", None
        return self.profile.vision.model, str(self._file)

    def project(self, patches: torch.Tensor) -> torch.Tensor:
        """Read patches through the tower's last layer norm and projection: (batch, patch, projection)."""
        visual = self.clip.visual
        if getattr(visual, "proj", None) is None or getattr(visual, "attn_pool", None) is not None:
            raise NeurratorError(
                f"{self.profile.vision.model!r} has no linear projection of patches into the space of phrases: name another CLIP in the profile."
            )
        return visual.ln_post(patches.to(self.device, self.dtype)) @ visual.proj

    def embed_phrases(self, phrases: list[str]) -> torch.Tensor:
        """Return the embeddings of phrases: (phrase, projection)."""
        import open_clip

        with loading(self.profile, self.profile.vision.model):
            words = open_clip.get_tokenizer(self._named()[0])(phrases)
        return self.clip.encode_text(words.to(self.device))


def weights_file(profile: Profile) -> Path:
    """Return the file with the weights of an open_clip model; where the profile says so, it is fetched from the hub.

    Raises
    ------
    NeurratorError
        There is none, or it does not belong to the architecture.
    """
    model, weights = profile.vision.model, profile.vision.weights
    named = weights if weights is not None else model
    for candidate in (profile.folder / named, Path(named).expanduser()):
        if candidate.is_file():
            return candidate
    folder = profile.folder_of(named)
    if folder is not None and weight_files(folder).names:
        files = check_weights(folder, named)
        if len(files.names) > 1:
            raise NeurratorError(
                f"open_clip reads weights from one file, and {folder} holds shards: name another folder."
            )
        return files.present[0]
    if weights is None and "/" not in model:
        raise NeurratorError(
            f'The profile {profile.name!r} names the architecture {model!r} but no weights: say weights = "…" under [vision], a file, a folder or a tag such as "openai".'
        )
    return _fetched(profile)


def tag_on_hub(profile: Profile) -> str | None:
    """Return the hub id of the weights that a profile names by their tag, or None where it names none.

    Raises
    ------
    NeurratorError
        There is no such tag, or its weights were trained with the activation of another architecture.
    """
    model, tag = profile.vision.model, profile.vision.weights
    if tag is None:
        return None
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    known = get_pretrained_cfg(model, tag)
    if not known:
        tags = ", ".join(list_pretrained_tags_by_model(model)) or "none"
        raise NeurratorError(
            f"There are no weights {tag!r} of {model!r}: name a file or folder that exists, or a tag of open_clip ({tags})."
        )
    quick = bool(open_clip_config(profile)["model_cfg"].get("quick_gelu", False))
    if bool(known.get("quick_gelu", False)) != quick:
        other = model.removesuffix("-quickgelu") if quick else f"{model}-quickgelu"
        raise NeurratorError(
            f"The weights {tag!r} were trained with{'out' if quick else ''} QuickGELU: name the architecture {other!r} in the profile."
        )
    return str(known.get("hf_hub", "")).split("/weights", 1)[0].strip("/") or None


def _fetched(profile: Profile) -> Path:
    model, weights = profile.vision.model, profile.vision.weights
    from open_clip.pretrained import download_pretrained, download_pretrained_from_hf, get_pretrained_cfg

    hub = tag_on_hub(profile) or model
    with loading(profile, model):
        try:
            if weights is not None:
                return Path(download_pretrained(get_pretrained_cfg(model, weights)))
            return Path(download_pretrained_from_hf(model.removeprefix(HUB_PREFIX)))
        except NeurratorError:
            raise
        except Exception as error:
            raise explained(profile, hub, error) from error


def visual_state(file: Path) -> dict[str, torch.Tensor]:
    """Read the vision tower's weights of an open_clip model; the text tower's are left on disk.

    Raises
    ------
    NeurratorError
        The file is damaged, holds pickled objects, or is not a model of open_clip.
    """
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        names = [tensor.name for tensor in tensors(file)]
        with safe_open(file, framework="pt") as opened:
            state = {name: opened.get_tensor(name) for name in names if _VISUAL in name}
    else:
        names, state = _unpickled(file)
    found = {
        name.split(_VISUAL, 1)[1]: tensor
        for name, tensor in state.items()
        if name.split(_VISUAL, 1)[0] in ("", "module.")
    }
    if not found:
        theirs = any(name.startswith("vision_model.") for name in names)
        raise NeurratorError(
            f"{file} holds no tower of open_clip (no tensor is called {_VISUAL}…)"
            + (
                ': it is a model of transformers, so say library = "transformers" in the profile.'
                if theirs
                else ": name other weights in the profile."
            )
        )
    return found


def _unpickled(file: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    import pickle

    try:
        read = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise NeurratorError(
            f"{file} holds pickled Python objects and not only numbers, which may run anything when they are loaded: fetch the weights as safetensors."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise NeurratorError(
            f"{file} is cut off or damaged, or holds a program (TorchScript): fetch the weights as safetensors."
        ) from error
    state = read.get("state_dict", read) if isinstance(read, dict) else {}
    state = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    return list(state), state


def _blocks(tower: Any, name: str) -> Any:
    """Return the transformer blocks of a tower of open_clip or timm."""
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if blocks is None:
        blocks = getattr(getattr(tower, "trunk", None), "blocks", None)
    if blocks is None or not hasattr(blocks, "__delitem__"):
        raise NeurratorError(
            f"The tower of {name!r} is no plain ViT, so it has no patch grid: choose another model in the profile."
        )
    return blocks


__all__ = ["OPEN_CLIP_CONFIG", "OpenClipTower", "tag_on_hub", "visual_state", "weights_file"]
