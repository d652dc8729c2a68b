"""Towers of transformers: CLIP, MetaCLIP 2, SigLIP and SigLIP 2."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..errors import NeurratorError
from ..profiles import Profile
from .blocks import capturing
from .loading import check_complete, fetch_configuration, loading
from .shape import TowerShape, hidden_state, preprocessor_config

# The class of the tower alone, and that of tower and text together.
_CLASSES = {
    "clip_vision_model": ("CLIPVisionModel", "CLIPModel"),
    "metaclip_2_vision_model": ("MetaClip2VisionModel", "MetaClip2Model"),
    "siglip_vision_model": ("SiglipVisionModel", "SiglipModel"),
    "siglip2_vision_model": ("Siglip2VisionModel", "Siglip2Model"),
}


class TransformersTower:
    """Loads the tower alone until pictures or phrases are wanted in the joint space.

    Parameters
    ----------
    profile : Profile
        Which model, layer and fit.
    device, dtype
        Where it runs, in which precision.
    """

    def __init__(self, profile: Profile, device: torch.device, dtype: torch.dtype):
        self.profile, self.device, self.dtype = profile, device, dtype
        fetch_configuration(profile, profile.vision.model, ["config.json", "preprocessor_config.json"])
        self.shape = TowerShape.of(profile)
        assert self.shape.depth is not None
        self.layer = hidden_state(profile.vision.layer, self.shape.depth, profile.vision.model)
        self.rows, self.columns = self.shape.rows, self.shape.columns
        assert self.shape.channels is not None
        self.width: int = self.shape.channels
        self._source = profile.locate(profile.vision.model)
        self._tower = self._load(_CLASSES[self.shape.kind][0], truncated=True)

    def _load(self, name: str, truncated: bool = False) -> Any:
        import transformers

        with loading(self.profile, self.profile.vision.model):
            kind = getattr(transformers, name)
            options = {}
            if truncated:
                # What lies behind the layer is never used, so it is not loaded either.
                options["config"] = kind.config_class.from_pretrained(self._source)
                options["config"].num_hidden_layers = max(self.layer, 1)
            model, told = kind.from_pretrained(self._source, dtype=self.dtype, output_loading_info=True, **options)
            check_complete(told, self.profile.folder_of(self.profile.vision.model) or self._source)
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def processor(self) -> Any:
        """The model's own image processor, in the variant that resizes with Pillow.

        CLIP was trained so, open_clip does so, and the grids do not depend on whether torchvision is there.
        """
        import transformers

        name = "SiglipImageProcessor" if "siglip" in self.shape.kind else "CLIPImageProcessor"
        # Before there was a variant with torchvision, the plain one was this.
        kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
        own = {key: value for key, value in preprocessor_config(self.profile).items() if not key.endswith("_type")}
        return kind.from_dict(own)

    def pixels(self, frames: np.ndarray) -> torch.Tensor:
        """Prepare frames: float32 (frame, 3, height, width)."""
        shape = self.shape
        side = {"height": shape.height, "width": shape.width}
        if self.profile.vision.fit == "whole":
            options: dict[str, Any] = {"size": side, "do_center_crop": False}
        else:
            options = {"size": {"shortest_edge": shape.shortest}, "do_center_crop": True, "crop_size": side}
        return self.processor([np.array(frame) for frame in frames], return_tensors="pt", **options)["pixel_values"]

    def _inputs(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        pixels = pixels.to(self.device, self.dtype)
        if self.shape.kind != "siglip2_vision_model":
            return {"pixel_values": pixels}
        # This one takes patches that are cut out already, row by row, the colour of a pixel last.
        (rows, columns), (high, wide) = (self.rows, self.columns), self.shape.patch
        cut = pixels.unflatten(2, (rows, high)).unflatten(4, (columns, wide)).permute(0, 2, 4, 3, 5, 1)
        return {
            "pixel_values": cut.reshape(len(pixels), rows * columns, -1),
            "pixel_attention_mask": torch.ones(len(pixels), rows * columns, dtype=torch.int32, device=self.device),
            "spatial_shapes": torch.tensor([[rows, columns]] * len(pixels), device=self.device),
        }

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patches' hidden state, (frame, patch, width)."""
        tower = self._tower if self._tower is not None else self.clip.vision_model
        with capturing(_blocks(tower), self.layer) as captured:
            tower(**self._inputs(pixels))
        return captured.patches(self.rows * self.columns)

    def embed(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patches' hidden state and the pictures' embeddings (frame, projection)."""
        with capturing(_blocks(self.clip.vision_model), self.layer) as captured:
            inputs = self._inputs(pixels)
            if hasattr(self.clip, "get_image_features"):
                features = self.clip.get_image_features(**inputs)
            else:
                features = self.clip(**inputs).image_embeds
        return captured.patches(self.rows * self.columns), _pooled(features)

    @cached_property
    def clip(self) -> Any:
        """The whole model, with text tower and projections where it has them."""
        config = self.profile.read_json(self.profile.vision.model, "config.json")
        architecture = str((config.get("architectures") or [""])[0])
        _, whole = _CLASSES[self.shape.kind]
        if architecture.endswith("WithProjection"):
            whole = architecture
        elif "text_config" not in config:
            raise NeurratorError(
                f"{self.profile.vision.model!r} is a vision tower alone, without the projection into the space that pictures and phrases share: "
                "name the whole model in the profile."
            )
        model = self._load(whole)
        self._tower = None
        return model

    def project(self, patches: torch.Tensor) -> torch.Tensor:
        """Read patches through the tower's last layer norm and projection: (batch, patch, projection)."""
        if not hasattr(self.clip, "visual_projection"):
            raise NeurratorError(
                f"{self.profile.vision.model!r} has no linear projection of patches into the space of phrases: name a CLIP in the profile."
            )
        normed = _tower(self.clip).post_layernorm(patches.to(self.device, self.dtype))
        return self.clip.visual_projection(normed)

    def embed_phrases(self, phrases: list[str]) -> torch.Tensor:
        """Return the embeddings of phrases: (phrase, projection)."""
        if not hasattr(self.clip, "get_text_features"):
            raise NeurratorError(
                f"{self.profile.vision.model!r} has no text tower, so it knows no phrases: name the whole model in the profile."
            )
        if "siglip" in self.shape.kind:
            # Trained on phrases padded to full length, without a mask.
            length = self.clip.config.text_config.max_position_embeddings
            words = self._tokenizer(
                phrases, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            keys: tuple[str, ...] = ("input_ids",)
        else:
            closed = [phrase + self._closing for phrase in phrases]
            words = self._tokenizer(closed, padding=True, truncation=True, padding_side="right", return_tensors="pt")
            keys = ("input_ids", "attention_mask")
        return _pooled(self.clip.get_text_features(**{key: words[key].to(self.device) for key in keys}))

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with loading(self.profile, self.profile.vision.model):
            return AutoTokenizer.from_pretrained(self._source)

    @cached_property
    def _closing(self) -> str:
        # CLIP reads a phrase at its end-of-text token; some tokenizers add it themselves.
        tokenizer = self._tokenizer
        return "" if tokenizer("a").input_ids[-1] == tokenizer.eos_token_id else tokenizer.eos_token


def _tower(model: Any) -> Any:
    """Return the module with embeddings and encoder: older versions wrap it once more."""
    while not hasattr(model, "encoder"):
        model = model.vision_model
    return model


def _blocks(model: Any) -> torch.nn.ModuleList:
    return _tower(model).encoder.layers


def _pooled(features: Any) -> torch.Tensor:
    return features if isinstance(features, torch.Tensor) else features.pooler_output
