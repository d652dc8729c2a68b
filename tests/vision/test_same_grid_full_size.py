"""transformers and open_clip give the same grid from the same weights, at the true shape of ViT-L/14-336."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from napari_neurrator.vision.tower import VisionTower

from .models import noise, profile_of, save_as_transformers

NAME = "ViT-L-14-336-quickgelu"


def random_state() -> dict[str, torch.Tensor]:
    """Return random weights of the vision tower, as open_clip names them, that keep activations near one through all 24 blocks."""
    from open_clip import get_model_config
    from open_clip.model import _build_vision_tower

    config = get_model_config(NAME)
    with torch.device("meta"):
        tower = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config["quick_gelu"])
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in tower.state_dict().items():
        drawn = torch.empty(tensor.shape).uniform_(-1, 1, generator=generator)
        if "embedding" in name or tensor.ndim < 2:
            state[name] = drawn * 0.3 + (1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        else:
            # Uniform numbers have a deviation of 1 / √3.
            state[name] = drawn.mul_((3 / tensor[0].numel()) ** 0.5)
    return state


@pytest.mark.slow
def test_both_libraries_give_one_grid_at_the_true_shape(tmp_path):
    from transformers import CLIPVisionConfig

    state = {f"visual.{name}": tensor for name, tensor in random_state().items()}
    config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336, patch_size=14,
        hidden_act="quick_gelu", projection_dim=768,
    )  # fmt: skip
    frame = noise(1, 304, 608)
    try:
        save_as_transformers(state, tmp_path / "theirs", config, 336)
        save_file(state, tmp_path / "open_clip_model.safetensors")
        del state
        grids = []
        for options in (
            {"model": "theirs"},
            {"library": "open_clip", "model": NAME, "weights": "open_clip_model.safetensors"},
        ):
            tower = VisionTower(profile_of(tmp_path, layer="penultimate", **options))
            assert (tower.layer, tower.n_patches, tower.width) == (23, 576, 1024)
            grids.append(tower.grids(frame))
            del tower
    finally:
        # 2.4 GB that pytest would keep.
        shutil.rmtree(tmp_path / "theirs", ignore_errors=True)
        (tmp_path / "open_clip_model.safetensors").unlink(missing_ok=True)
    assert grids[0].shape == (1, 576, 1024)
    assert grids[0].std() > 1
    assert (grids[0] - grids[1]).abs().max() < 1e-4
    # Patches differ from each other, so that a wrong order would be seen.
    assert (grids[0] - grids[1].flip(1)).abs().max() > 1
