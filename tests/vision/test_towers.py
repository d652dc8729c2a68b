"""Every kind of tower gives the hidden state that its own library gives, without CLS, and loads no more than it needs."""

import json

import numpy as np
import pytest
import torch

from napari_neurrator.errors import NeurratorError
from napari_neurrator.vision.shape import DEFAULTS, TowerShape
from napari_neurrator.vision.tower import VisionTower

from .models import (
    DEPTH,
    SIDE,
    WIDTH,
    clip_config,
    noise,
    open_clip_model_config,
    profile_of,
    save_as_transformers,
    save_clip,
    save_open_clip,
    save_siglip,
)

FRAMES = noise(3, 90, 121)


@pytest.mark.parametrize("kind", ["CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection"])
@pytest.mark.parametrize(
    ("layer", "state"), [(-2, DEPTH - 1), ("penultimate", DEPTH - 1), ("last", DEPTH), ("layer 1", 2), (2, 2), (0, 0)]
)
def test_clip_of_transformers_by_layer(tmp_path, kind, layer, state):
    import transformers

    save_clip(tmp_path / "clip", kind)
    tower = VisionTower(profile_of(tmp_path, model="clip", layer=layer))
    pixels = tower.pixels(FRAMES)
    whole = transformers.CLIPVisionModel.from_pretrained(tmp_path / "clip")
    with torch.no_grad():
        expected = whole(pixel_values=pixels, output_hidden_states=True).hidden_states[state][:, 1:]
    assert tower.layer == state
    assert (tower.rows, tower.columns, tower.n_patches, tower.width) == (5, 5, 25, WIDTH)
    assert torch.allclose(tower.grids(FRAMES), expected, atol=1e-5)
    assert expected.std() > 0.3


def test_only_the_tower_and_only_to_the_layer_is_loaded(tmp_path):
    save_clip(tmp_path / "clip")
    tower = VisionTower(profile_of(tmp_path, model="clip", layer=2))
    loaded = tower._tower._tower
    assert type(loaded).__name__ == "CLIPVisionModel"
    names = [name for name, _ in loaded.named_parameters()]
    assert not any("text" in name or "layers.2." in name for name in names)
    assert any("layers.1." in name for name in names)


def test_the_processor_of_the_model_is_the_library_s(tmp_path):
    from transformers import CLIPImageProcessorPil

    old = {"crop_size": SIDE, "do_center_crop": True, "do_normalize": True, "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor",
           "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "resample": 3, "size": SIDE}  # fmt: skip
    save_clip(tmp_path / "clip", preprocessor=old)
    theirs = CLIPImageProcessorPil.from_pretrained(tmp_path / "clip")(list(FRAMES), return_tensors="pt")["pixel_values"]
    assert torch.equal(VisionTower(profile_of(tmp_path, model="clip")).pixels(FRAMES), theirs)


@pytest.mark.parametrize("kind", ["SiglipModel", "SiglipVisionModel", "Siglip2Model", "Siglip2VisionModel"])
def test_siglip_has_no_cls_to_drop(tmp_path, kind):
    import transformers

    save_siglip(tmp_path / "m", kind)
    tower = VisionTower(profile_of(tmp_path, model="m", fit="whole"))
    vision = getattr(transformers, kind.replace("Model", "VisionModel") if "Vision" not in kind else kind)
    whole = vision.from_pretrained(tmp_path / "m")
    # A picture that is square already: both resize it to the same input.
    frames = noise(2, SIDE, SIDE)
    if "2" in kind:
        processor = transformers.Siglip2ImageProcessorPil.from_pretrained(tmp_path / "m")
    else:
        processor = transformers.SiglipImageProcessorPil.from_pretrained(tmp_path / "m")
    inputs = processor(list(frames), return_tensors="pt")
    with torch.no_grad():
        expected = whole(**inputs, output_hidden_states=True).hidden_states[-2]
    assert tower.n_patches == 25
    assert torch.allclose(tower.grids(frames), expected, atol=1e-5)
    assert tower.grids(FRAMES).shape == (3, 25, WIDTH)


def test_siglip_embeds_pictures_as_its_library_does(tmp_path):
    from transformers import SiglipModel

    save_siglip(tmp_path / "m")
    tower = VisionTower(profile_of(tmp_path, model="m", fit="whole"))
    grids, embedded = tower.grids_and_embeddings(FRAMES)
    with torch.no_grad():
        out = SiglipModel.from_pretrained(tmp_path / "m").get_image_features(pixel_values=tower.pixels(FRAMES))
    expected = torch.nn.functional.normalize(getattr(out, "pooler_output", out), dim=-1)
    assert torch.allclose(embedded, expected, atol=1e-5)
    assert torch.allclose(grids, tower.grids(FRAMES), atol=1e-5)


@pytest.mark.parametrize("kind", ["CLIPModel", "CLIPVisionModelWithProjection"])
def test_pictures_and_patches_lie_in_one_space(tmp_path, kind):
    save_clip(tmp_path / "clip", kind)
    tower = VisionTower(profile_of(tmp_path, model="clip", layer="last"))
    before = tower.grids(FRAMES)
    grids, embedded = tower.grids_and_embeddings(FRAMES)
    assert torch.allclose(before, grids, atol=1e-5)
    assert torch.allclose(tower.grids(FRAMES), grids, atol=1e-5)
    assert embedded.norm(dim=-1) == pytest.approx(np.ones(3), abs=1e-5)
    assert tower.project(grids).shape == (3, 25, embedded.shape[1])


def open_clip_reference(folder, state, frames):
    """Return the hidden state and embedding that open_clip's own functions give, with its own transform."""
    import open_clip
    from PIL import Image

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.no_grad():
        pixels = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
        out = model.eval().visual.forward_intermediates(pixels, indices=[state - 1], output_fmt="NLC")
    return pixels, out["image_intermediates"][0], torch.nn.functional.normalize(out["image_features"], dim=-1)


TIMM = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token", "timm_proj": "linear", "image_size": 224}
REGISTERS = {
    "timm_model_name": "vit_little_patch16_reg4_gap_256",
    "timm_pool": "avg",
    "timm_proj": "linear",
    "image_size": 256,
}
KINDS = {
    "quickgelu": open_clip_model_config(True),
    "gelu": open_clip_model_config(False),
    "wide": open_clip_model_config(True, image_size=[70, 98]),
    "pooled by attention": open_clip_model_config(True, attentional_pool=True, attn_pooler_heads=2),
    "timm": {"embed_dim": 24, "vision_cfg": TIMM, "text_cfg": open_clip_model_config()["text_cfg"], "custom_text": True},
    "timm with registers": {"embed_dim": 24, "vision_cfg": REGISTERS, "text_cfg": open_clip_model_config()["text_cfg"], "custom_text": True},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_open_clip(tmp_path, kind):
    folder = save_open_clip(tmp_path / "m", KINDS[kind], {"interpolation": "bicubic", "mean": [0.4, 0.5, 0.6]})
    tower = VisionTower(profile_of(tmp_path, library="open_clip", model="m"))
    assert not hasattr(tower._tower._tower, "text")
    frames = FRAMES[:1] if "timm" in kind else FRAMES
    pixels, expected, embedded = open_clip_reference(folder, tower.layer, frames)
    assert torch.equal(tower.pixels(frames), pixels)
    assert tower.grids(frames).shape == (len(frames), tower.rows * tower.columns, tower.width)
    assert torch.allclose(tower.grids(frames), expected, atol=1e-5)
    grids, own = tower.grids_and_embeddings(frames)
    assert torch.allclose(grids, expected, atol=1e-5)
    assert torch.allclose(own, embedded, atol=1e-5)


def test_open_clip_whole_frames_as_its_own_squash(tmp_path):
    folder = save_open_clip(tmp_path / "m", preprocess={"resize_mode": "squash", "interpolation": "bilinear"})
    tower = VisionTower(profile_of(tmp_path, library="open_clip", model="m", fit="whole", layer="last"))
    pixels, expected, _ = open_clip_reference(folder, DEPTH, FRAMES)
    assert torch.equal(tower.pixels(FRAMES), pixels)
    assert torch.allclose(tower.grids(FRAMES), expected, atol=1e-5)


def test_open_clip_by_the_name_of_an_architecture(tmp_path, monkeypatch):
    """The weights in a file of its own, as safetensors and as a plain state dict."""
    from open_clip import factory

    from napari_neurrator.vision import shape

    config = open_clip_model_config()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "ViT-test-14-quickgelu.json").write_text(json.dumps(config))
    monkeypatch.setattr(shape, "_architectures", lambda: tmp_path / "configs")
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-test-14-quickgelu", config)
    folder = save_open_clip(tmp_path / "m", config)
    expected = VisionTower(profile_of(tmp_path, library="open_clip", model="m")).grids(FRAMES)

    from safetensors.torch import load_file

    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in load_file(folder / "open_clip_model.safetensors").items()}},
        tmp_path / "w.pt",
    )
    for weights in ("m", "m/open_clip_model.safetensors", "w.pt"):
        named = profile_of(tmp_path, library="open_clip", model="ViT-test-14-quickgelu", weights=weights)
        assert torch.equal(VisionTower(named).grids(FRAMES), expected)
    tower = VisionTower(
        profile_of(
            tmp_path, library="open_clip", model="ViT-test-14-quickgelu", weights="m/open_clip_model.safetensors"
        )
    )
    phrases = tower.embed_phrases(["a tiger", "a bus"])
    assert phrases.norm(dim=-1) == pytest.approx(np.ones(2), abs=1e-5)
    assert tower.project(expected).shape == (3, 25, 24)


@pytest.mark.parametrize("quick", [True, False])
def test_both_libraries_give_one_grid_from_the_same_weights(tmp_path, quick):
    from safetensors.torch import load_file

    folder = save_open_clip(tmp_path / "open", open_clip_model_config(quick))
    config = clip_config().vision_config
    config.hidden_act = "quick_gelu" if quick else "gelu"
    save_as_transformers(load_file(folder / "open_clip_model.safetensors"), tmp_path / "theirs", config, SIDE)
    ours = VisionTower(profile_of(tmp_path, library="open_clip", model="open"))
    theirs = VisionTower(profile_of(tmp_path, model="theirs"))
    # Sizes whose crop both libraries place alike: the halves that they round to different pixels are left to test_geometry.
    for height, width in [(SIDE, SIDE), (90, 122), (152, 304), (131, 70)]:
        frames = noise(2, height, width)
        assert torch.allclose(ours.pixels(frames), theirs.pixels(frames), atol=1e-6)
        assert (ours.grids(frames) - theirs.grids(frames)).abs().max() < 1e-4


def test_batches_do_not_change_grids(tmp_path):
    save_clip(tmp_path / "clip")
    one = VisionTower(profile_of(tmp_path, model="clip", batch=2))
    assert torch.allclose(one.grids(FRAMES), VisionTower(profile_of(tmp_path, model="clip")).grids(FRAMES), atol=1e-5)


def test_a_short_gpu_memory_halves_the_batch(tmp_path, monkeypatch):
    save_clip(tmp_path / "clip")
    tower = VisionTower(profile_of(tmp_path, model="clip", batch=3))
    expected = tower.grids(FRAMES)
    seen, work = [], tower._tower.patches

    def short(pixels):
        seen.append(len(pixels))
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(pixels)

    monkeypatch.setattr(tower._tower, "patches", short)
    assert torch.allclose(tower.grids(FRAMES), expected, atol=1e-5)
    assert seen == [3, 2, 1, 1, 1]


def test_half_precision_is_for_gpus_only(tmp_path):
    save_clip(tmp_path / "clip")
    tower = VisionTower(profile_of(tmp_path, model="clip", precision="float16"))
    assert next(tower._tower._tower.parameters()).dtype == torch.float32


def test_the_defaults_of_configurations_are_those_of_transformers():
    from transformers import AutoConfig

    for kind, values in DEFAULTS.items():
        theirs = AutoConfig.for_model(kind)
        assert {key: getattr(theirs, key) for key in values} == values


def test_a_configuration_may_leave_its_defaults_out(tmp_path):
    """As SigLIP's on the hub do."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(
        '{"model_type": "siglip", "vision_config": {"model_type": "siglip_vision_model"}}'
    )
    (tmp_path / "m" / "preprocessor_config.json").write_text('{"size": {"height": 224, "width": 224}}')
    shape = TowerShape.of(profile_of(tmp_path, model="m"))
    assert (shape.rows, shape.columns, shape.channels, shape.depth) == (14, 14, 768, 12)


@pytest.mark.parametrize("layer", [DEPTH + 1, -DEPTH - 2, f"layer {DEPTH}"])
def test_a_layer_that_is_not_there(tmp_path, layer):
    save_clip(tmp_path / "clip")
    with pytest.raises(NeurratorError, match="has 4 blocks"):
        VisionTower(profile_of(tmp_path, model="clip", layer=layer))


def test_a_device_that_is_not_there(tmp_path):
    save_clip(tmp_path / "clip")
    for device in ("cuda:7", "gpu"):
        with pytest.raises(NeurratorError, match=r"no device .* choose one of cpu"):
            VisionTower(profile_of(tmp_path, model="clip"), device)
