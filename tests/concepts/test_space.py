"""A dictionary of another space is refused with the reason, and what cannot be checked is said."""

import json

import pytest

from napari_neurrator.concepts.dictionary import Dictionary, find_dictionary, load_dictionary
from napari_neurrator.concepts.formats.saelens import place_of
from napari_neurrator.concepts.space import same_model
from napari_neurrator.errors import NeurratorError
from napari_neurrator.profiles import load_profile

from . import layouts

LARGE = "openai/clip-vit-large-patch14-336"


@pytest.mark.parametrize(("one", "other", "same"), [
    (LARGE, LARGE, True),
    ("ViT-L-14-336-quickgelu", LARGE, True),
    ("ViT-L/14@336px", LARGE, True),
    ("clip-vit-large-patch14-336", LARGE, True),
    ("openai/clip-vit-large-patch14", LARGE, False),
    ("openai/clip-vit-base-patch16", LARGE, False),
    ("open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", LARGE, False),
    ("laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "openai/clip-vit-large-patch14", False),
    ("laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", True),
    ("facebook/dinov2-large", LARGE, False),
    ("CLIP", LARGE, None),
    (None, LARGE, None),
    ("ViT-L-14-336", LARGE, None),
])  # fmt: skip
def test_names_of_the_same_model_are_recognised(one, other, same):
    assert same_model(one, other) is same


@pytest.mark.parametrize(("hook", "block", "place"), [
    ("blocks.22.hook_resid_post", None, (22, "after")),
    ("blocks.22.hook_resid_pre", None, (22, "before")),
    ("blocks.22.hook_mlp_out", 22, (22, "elsewhere")),
    ("vision_model.encoder.layers.22", None, (22, "after")),
    ("resid", -2, (-2, "after")),
    (None, [11], (11, "after")),
    (None, None, (None, "after")),
])  # fmt: skip
def test_the_place_is_read_from_hooks(hook, block, place):
    assert place_of(hook, block) == place


@pytest.fixture
def profile(tmp_path):
    """A profile of a CLIP of 24 blocks, as wide as the dictionaries of these tests, which reads hidden state −2."""
    folder = tmp_path / "profile"
    clip = folder / "clip-vit-large-patch14-336"
    clip.mkdir(parents=True)
    vision = {"hidden_size": layouts.WIDTH, "num_hidden_layers": 24, "patch_size": 14, "image_size": 336}
    (clip / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": vision}))
    processor = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    (clip / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "profile.toml").write_text(
        'name = "p"\ndescription = "d"\ndictionary = "d"\n[vision]\nmodel = "clip-vit-large-patch14-336"\nlayer = -2\n'
        '[language]\nmodel = "x"\nprompt = "{image}{question}"\nquestion = "?"\n'
    )
    return load_profile(str(folder))


def checked(profile, **config):
    layouts.saelens(profile.folder / "d", "topk", **config)
    return load_dictionary(profile)


def test_the_right_one_is_taken(profile):
    assert checked(profile).warnings == []
    metadata = {"model_name": LARGE, "hook_layer": -2}
    assert checked(profile, metadata=metadata).warnings == []
    assert checked(profile, metadata={"model_name": LARGE, "hook_name": "blocks.23.hook_resid_pre"}).warnings == []


@pytest.mark.parametrize(("metadata", "reason"), [
    ({"model_name": "openai/clip-vit-base-patch16", "hook_name": "blocks.22.hook_resid_post"}, "trained on 'openai/clip-vit-base-patch16'"),
    ({"model_name": LARGE, "hook_name": "blocks.11.hook_resid_post"}, "hidden state 12"),
    ({"model_name": LARGE, "hook_name": "blocks.22.hook_resid_pre"}, "hidden state 22"),
    ({"model_name": LARGE, "hook_layer": -1}, "hidden state 24"),
    ({"model_name": LARGE, "hook_name": "blocks.22.hook_mlp_out"}, "inside a block"),
    ({"model_name": LARGE, "hook_layer": 22, "neurrator": {"patch_space": "other"}}, "other weights"),
])  # fmt: skip
def test_another_model_or_layer_is_refused_with_the_reason(profile, metadata, reason):
    with pytest.raises(NeurratorError, match="another space.*" + reason):
        checked(profile, metadata=metadata)


def test_another_width_is_refused(tiny, tmp_path):
    with pytest.raises(NeurratorError, match="reads vectors of 12 numbers, and patches of the profile 'tiny' have 160"):
        Dictionary(layouts.saelens(tmp_path / "d", "topk").path).check(tiny)


def test_what_is_not_told_is_said(profile):
    dictionary = checked(profile, metadata={})
    assert len(dictionary.warnings) == 2
    assert "which vision model" in dictionary.warnings[0]
    assert "which layer" in dictionary.warnings[1]
    assert "cannot be checked" in checked(profile, metadata={"model_name": "clip", "hook_layer": 22}).warnings[0]


def test_a_file_or_what_is_not_there(profile):
    written = layouts.dictionary_learning(profile.folder / "single", "AutoEncoder", config=False)
    assert find_dictionary("single/ae.pt", profile) == (written.path / "ae.pt").resolve()
    with pytest.raises(NeurratorError, match=r"run 'hf download owner/name sub/ae\.pt' first"):
        find_dictionary("owner/name/sub/ae.pt", profile)
    with pytest.raises(NeurratorError, match="not on this machine"):
        find_dictionary("nowhere", profile)
