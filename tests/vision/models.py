"""Small vision models with random weights, in the layouts of their libraries."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from napari_neurrator.profiles import LanguageSpec, Profile, VisionSpec

SIDE, PATCH, WIDTH, DEPTH, HEADS = 70, 14, 48, 4, 3
PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE},
    "resample": 3, "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip


def profile_of(folder: Path, **vision) -> Profile:
    """Return a profile around a vision model; its language model is never loaded."""
    return Profile(
        name="test", description="", folder=folder, vision=VisionSpec(**vision),
        language=LanguageSpec(model="none", prompt="{image}{question}", question="?"),
    )  # fmt: skip


def liven(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give a model random weights that keep its activations near one: biases and norms are moved too, so that none can be mixed up unseen."""
    generator = torch.Generator().manual_seed(seed)

    def normal(parameter, scale):
        parameter.copy_(torch.empty(parameter.shape).normal_(generator=generator) * scale)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "embedding" not in name:
                normal(parameter, parameter[0].numel() ** -0.5)
            elif parameter.ndim >= 2 or "class_embedding" in name:
                normal(parameter, 0.5)
            elif name.endswith("weight"):
                normal(parameter, 0.2)
                parameter.add_(1.0)
            elif parameter.ndim:
                normal(parameter, 0.2)
    return model


def clip_config(vision: dict | None = None):
    from transformers import CLIPConfig

    return CLIPConfig(
        text_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 99, "projection_dim": 24,
            "max_position_embeddings": 16,
        },
        vision_config=vision or {
            "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "image_size": SIDE,
            "patch_size": PATCH, "projection_dim": 24, "hidden_act": "quick_gelu",
        },
        projection_dim=24,
    )  # fmt: skip


def save_clip(folder: Path, kind: str = "CLIPModel", preprocessor: dict | None = None, **options) -> Path:
    """Save a random CLIP of transformers, whole or its tower."""
    import transformers

    config = clip_config()
    cls = getattr(transformers, kind)
    model = liven(cls(config if kind == "CLIPModel" else config.vision_config))
    model.save_pretrained(folder, **options)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor or PREPROCESSOR))
    return folder


def save_siglip(folder: Path, kind: str = "SiglipModel") -> Path:
    """Save a random SigLIP; a SigLIP 2 of any resolution for ``Siglip2Model``."""
    import transformers

    cls = getattr(transformers, kind)
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "patch_size": 14,
    }
    vision |= {"num_patches": 25} if kind.startswith("Siglip2") else {"image_size": SIDE + 6}
    text = {
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "vocab_size": 99,
        "projection_size": 48,
    }
    config = (
        cls.config_class(**vision) if "Vision" in kind else cls.config_class(text_config=text, vision_config=vision)
    )
    model = liven(cls(config))
    model.save_pretrained(folder)
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    own = {
        "image_processor_type": "Siglip2ImageProcessor",
        "resample": 2,
        "max_num_patches": 25,
        "patch_size": 14,
        **half,
    }
    if kind.startswith("Siglip") and not kind.startswith("Siglip2"):
        own = {
            "image_processor_type": "SiglipImageProcessor",
            "resample": 3,
            "size": {"height": SIDE + 6, "width": SIDE + 6},
            **half,
        }
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    return folder


def open_clip_model_config(quick_gelu: bool = True, **vision) -> dict:
    return {
        "embed_dim": 24, "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": SIDE, "layers": DEPTH, "width": WIDTH, "patch_size": PATCH, "head_width": WIDTH // HEADS, **vision},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }  # fmt: skip


def save_open_clip(folder: Path, config: dict | None = None, preprocess: dict | None = None) -> Path:
    """Save a random model of open_clip as its own `push_to_hf_hub` lays a folder out."""
    import open_clip

    config = config or open_clip_model_config()
    cls = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    model = liven(cls(**{key: value for key, value in config.items() if key != "custom_text"}))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess or {}}))
    return folder


def to_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the vision tower of an open_clip state dict as transformers' CLIPVisionModel names it in a checkpoint."""
    names = {
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "conv1.weight": "embeddings.patch_embedding.weight",
        "ln_pre.": "pre_layrnorm.",
        "ln_post.": "post_layernorm.",
        "transformer.resblocks.": "encoder.layers.",
        ".ln_1.": ".layer_norm1.",
        ".ln_2.": ".layer_norm2.",
        ".mlp.c_fc.": ".mlp.fc1.",
        ".mlp.c_proj.": ".mlp.fc2.",
        ".attn.out_proj.": ".self_attn.out_proj.",
    }
    renamed = {}
    for name, tensor in state.items():
        if not name.startswith("visual.") or name == "visual.proj":
            continue
        new = name.removeprefix("visual.")
        for old, other in names.items():
            new = new.replace(old, other)
        if ".attn.in_proj_" in new:
            kind = new.rsplit("_", 1)[1]
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                renamed["vision_model." + new.replace(f".attn.in_proj_{kind}", f".self_attn.{part}_proj.{kind}")] = (
                    piece.clone()
                )
        else:
            renamed["vision_model." + new] = tensor.clone()
    return renamed


def save_as_transformers(state: dict[str, torch.Tensor], folder: Path, config, side: int) -> Path:
    """Save an open_clip tower as a folder that transformers reads."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(to_transformers(state), folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["CLIPVisionModel"]
    config.save_pretrained(folder)
    own = PREPROCESSOR | {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    return folder


def noise(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return frames of smooth noise, uint8 (n, height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 9, 3), dtype=np.uint8)
    from PIL import Image

    return np.stack(
        [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in coarse]
    )
