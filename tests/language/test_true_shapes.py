"""LLaVA-1.5-7B's own shapes with random weights: proof that injected patches are read as the model reads its own tower's.

Vision tower of ViT-L/14-336's width, 576 patches, 1024 → 4096, a vocabulary of 32,064; two layers of the tower and one of the language model, whose gated
network is narrower. The weights lie in a folder as llava-hf/llava-1.5-7b-hf lays it out: three shards with an index, float16, the older names.
"""

import json

import pytest
import torch

from napari_neurrator.config import SpeakingConfig
from napari_neurrator.language import injection
from napari_neurrator.language.narrator import LanguageModel

from .checkpoints import chat_template, llama_tokenizer, write_hub_folder, write_profile

LENGTH = 6


def llava_config():
    from transformers import LlavaConfig

    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 2,
        "image_size": 336,
        "patch_size": 14,
        "projection_dim": 768,
    }
    text = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 512,
        "num_attention_heads": 32,
        "num_hidden_layers": 1,
        "vocab_size": 32064,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
    }
    return LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=32000, vision_feature_layer=-2, pad_token_id=32001
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import LlavaForConditionalGeneration

    path = tmp_path_factory.mktemp("hub") / "llava-1.5-7b-hf"
    torch.manual_seed(5)
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(llava_config())
    model = model.half().to_empty(device="cpu")
    for name, weight in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(weight)
        else:
            # Wide enough that pictures, and not the first word alone, decide what follows.
            torch.nn.init.normal_(weight, std=0.05 if "embed" in name or "projector" in name else 0.03)
    write_hub_folder(model, path, 3, chat_template())
    llama_tokenizer(32000).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def llava(folder, tmp_path_factory):
    profile = write_profile(tmp_path_factory.mktemp("profiles") / "seven", "openai/clip-vit-large-patch14-336", folder)
    return LanguageModel(profile, "cpu")


@pytest.fixture(scope="module")
def pixels():
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(2, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(2 * coarse, size=(336, 336), mode="nearest")


@pytest.fixture(scope="module")
def grids(llava, pixels):
    with torch.inference_mode():
        tower = llava._tower(pixels, output_hidden_states=True)
    return tower.hidden_states[-2][:, 1:]


def test_a_hub_folder_in_shards_with_the_older_names_loads_whole(llava, folder):
    from safetensors import safe_open

    assert llava.n_patches == 576
    assert llava.model.lm_head.weight.shape == (32064, 4096)
    for name, module in (
        ("language_model.model.layers.0.self_attn.q_proj.weight", llava.model.model.language_model.layers[0].self_attn),
        ("multi_modal_projector.linear_1.weight", llava.model.model.multi_modal_projector),
    ):
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        stored = safe_open(folder / index["weight_map"][name], "pt").get_tensor(name)
        assert torch.equal(getattr(module, name.split(".")[-2]).weight, stored.float())
    # the chat template's words, with a placeholder for every patch
    text = llava.tokenizer.decode(llava.prompts.ids("What is it?"), skip_special_tokens=False)
    assert text.count("<image>") == 576
    assert text.replace("<image>", "").split() == ["<s>", "USER:", "What", "is", "it?", "ASSISTANT:"]


@pytest.mark.parametrize("beams", [1, 2], ids=["greedily", "two beams"])
def test_injected_true_patches_give_the_pixel_routes_tokens(llava, pixels, grids, beams):
    seen = llava.narrate_pixels(pixels, max_new_tokens=LENGTH, num_beams=beams)
    prompt = llava.prompts.batch([None] * 2, LENGTH, llava.device)
    assert (prompt["input_ids"] == 32000).sum() == 576 * 2
    how = {"max_new_tokens": LENGTH, "do_sample": False, "num_beams": beams}
    with torch.inference_mode():
        features = injection.picture_features(llava.model, grids)
        assert features.shape == (2, 576, 4096)
        injected = injection.generate(llava.model, prompt, features, **how)
        portable = injection.generate_from_embeddings(llava.model, prompt, features, **how)
    assert torch.equal(injected, seen)
    assert torch.equal(portable, seen)
    assert all(len(set(row)) > 1 for row in seen.tolist()), "a sentence of one word only proves little"
    assert seen[0].tolist() != seen[1].tolist(), "the pictures differ, so the words have to"
    # one frame alone, by what a user calls
    alone = llava.narrate(grids[1:], max_new_tokens=LENGTH, speaking=SpeakingConfig(beams=beams))
    assert alone == llava._decode(seen[1:])
