"""What is refused on loading, each in one sentence that says what to do."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_neurrator.errors import NeurratorError
from napari_neurrator.language.devices import choose_device, choose_dtype
from napari_neurrator.language.narrator import LanguageModel

from .checkpoints import chat_template, save_small, small_llava, write_hub_folder, write_profile

PROMPT = "USER: {image}\n{question}\nASSISTANT:"


@pytest.fixture
def copy(tiny, tmp_path):
    """Return a copy of the tiny LLaVA's folder, and a way to load it."""
    folder = tmp_path / "llava"
    shutil.copytree(tiny.folder / "llava", folder)

    def load(prompt=PROMPT, extra="", layer=-2, **how):
        return LanguageModel(
            write_profile(tmp_path / "copied", tiny.folder / "clip", folder, prompt, layer, extra), "cpu", **how
        )

    return folder, load


def refused(load, match, **how):
    with pytest.raises(NeurratorError, match=match) as error:
        load(**how)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")


def change(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.fixture(scope="module")
def sharded(tiny, language, tmp_path_factory):
    """Return the tiny LLaVA as the hub would lay it out: three shards, older names, its prompt in the chat template."""
    folder = tmp_path_factory.mktemp("sharded") / "llava"
    inner = language.model.model
    inner.vision_tower = language._tower
    try:
        write_hub_folder(language.model, folder, 3, chat_template("\n"))
    finally:
        inner.vision_tower = torch.nn.Identity()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny.folder / "llava" / name, folder)
    return folder


@pytest.fixture(scope="module")
def sharded_profile(sharded, tiny, tmp_path_factory):
    return write_profile(tmp_path_factory.mktemp("profiles") / "sharded", tiny.folder / "clip", sharded)


def test_a_hub_folder_without_a_prompt_in_the_profile_says_what_tiny_says(sharded_profile, tower, language, pictures):
    loaded = LanguageModel(sharded_profile, "cpu")
    assert loaded.prompts.ids(None) == language.prompts.ids(None)
    grids = tower.grids(pictures)
    assert loaded.narrate(grids) == language.narrate(grids)


def test_narrate_and_models_info_take_such_a_folder(
    sharded_profile, small_sample, small_decoder, tmp_path, monkeypatch, capsys
):
    from napari_neurrator.cli import main

    decoder = tmp_path / "d"
    shutil.copytree(small_decoder, decoder)
    change(decoder / "decoder.json", profile=str(sharded_profile.folder))
    said = {}
    for name, folder in (("tiny", small_decoder), ("sharded", decoder)):
        out = tmp_path / f"{name}.jsonl"
        command = ["narrate", small_sample, "--decoder", folder, "--frames", "10,90", "--repeat", "4", "--out", out]
        monkeypatch.setattr("sys.argv", ["neurrator", *map(str, command)])
        with pytest.raises(SystemExit) as code:
            main()
        assert not code.value.code
        said[name] = [(line["text"], line["reference"], line["prior"]) for line in map(json.loads, out.open())]
    assert said["sharded"] == said["tiny"]
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["neurrator", "models", "info", str(sharded_profile.folder)])
    with pytest.raises(SystemExit):
        main()
    assert "12 × 12 patches" in capsys.readouterr().out


def test_missing_shards_and_weights_are_named(sharded, sharded_profile, tmp_path, tiny):
    folder = tmp_path / "cut"
    shutil.copytree(sharded, folder)
    profile = write_profile(tmp_path / "p", tiny.folder / "clip", folder)
    second = folder / "model-00002-of-00003.safetensors"
    whole = second.read_bytes()
    second.unlink()
    refused(lambda: LanguageModel(profile, "cpu"), r"1 of the 3 weight files .*\(model-00002-of-00003.safetensors\)")
    second.write_bytes(whole[: len(whole) // 2])
    refused(lambda: LanguageModel(profile, "cpu"), "model-00002-of-00003.safetensors is cut off or damaged")
    second.write_bytes(whole)
    # a weight that no file holds: transformers would make it up at random, and only warn
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    lost = "language_model.model.norm.weight"
    shard = folder / index["weight_map"].pop(lost)
    save_file({name: weight for name, weight in load_file(shard).items() if name != lost}, shard, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(lambda: LanguageModel(profile, "cpu"), r"lacks 1 of its weights \(model.language_model.norm.weight")
    (folder / "model.safetensors.index.json").write_text("{")
    refused(lambda: LanguageModel(profile, "cpu"), "index.json is damaged")


def test_weights_that_are_only_pickled_are_not_opened(copy):
    folder, load = copy
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    refused(load, "no weights in safetensors")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"architectures": ["LlavaOnevisionForConditionalGeneration"]}, "LlavaOnevisionForConditionalGeneration"),
        ({"architectures": None, "model_type": "qwen2_vl"}, "qwen2_vl"),
        ({"vision_feature_layer": [-2, -5]}, "several layers"),
        ({"vision_feature_layer": -3}, "layer = -3"),
        ({"vision_feature_select_strategy": "full"}, "class token"),
    ],
)
def test_other_architectures_and_patch_spaces(copy, fields, match):
    folder, load = copy
    change(folder / "config.json", **fields)
    refused(load, match)


def test_a_layer_counted_from_the_front_is_the_same_layer(copy):
    folder, load = copy
    change(folder / "config.json", vision_feature_layer=5)
    assert load().n_patches == 144


@pytest.mark.parametrize(
    ("prompt", "match"),
    [
        ("USER: {question}", "exactly once"),
        ("{image}{image} {question}", "exactly once"),
        ("{image} {question} {mood}", "no other braces"),
        ("{image} {", "no other braces"),
        (None, "without a chat template"),
    ],
)
def test_prompts_without_a_place_for_the_picture(copy, prompt, match):
    refused(copy[1], match, prompt=prompt)


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("USER: {{ messages[0]['content'][1]['text'] }}", "no place for the picture"),
        ("{% if %}", "cannot be filled in"),
    ],
)
def test_chat_templates_that_cannot_be_used(copy, template, match):
    folder, load = copy
    (folder / "chat_template.jinja").write_text(template)
    refused(load, match, prompt=None)


def test_a_template_that_opens_with_the_first_token_has_it_once(copy):
    folder, load = copy
    (folder / "chat_template.jinja").write_text("<s>USER: <image>\n{{ messages[0]['content'][1]['text'] }}\nASSISTANT:")
    loaded = load(prompt=None)
    assert loaded.prompts.ids(None).count(loaded.tokenizer.bos_token_id) <= 1


def test_questions_that_cannot_be_asked(language):
    grids = torch.zeros(1, 144, 160)
    refused(lambda: language.narrate(grids, "What is in <image>?"), "stands for the picture")
    refused(lambda: language.narrate(grids, "why " * 2000), "reads 1024 in all")
    refused(lambda: language.narrate(grids, None, 5000), "fewer new tokens")


def test_devices_that_are_not_there(copy, monkeypatch):
    refused(lambda: choose_device("gpu"), "no device 'gpu'")
    if not torch.cuda.is_available():
        assert choose_device().type == "cpu"
        refused(lambda: choose_device("cuda"), "not there")
        refused(lambda: choose_device("cuda:7"), "not there")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    refused(lambda: choose_dtype("bfloat16", torch.device("cuda")), "no bfloat16")
    assert choose_dtype(None, torch.device("cuda"), "bfloat16") == torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_dtype(None, torch.device("cuda"), "bfloat16") == torch.bfloat16
    assert choose_dtype(None, torch.device("cuda"), "float16") == torch.float16
    assert choose_dtype(None, torch.device("cpu"), "float16") == torch.float32


@pytest.mark.parametrize("quantise", ["8bit", "4bit"])
def test_fewer_bits_need_a_gpu(copy, quantise):
    refused(copy[1], f"{quantise[0]} bits need", quantise=quantise)
    refused(copy[1], f"{quantise[0]} bits need", extra=f'quantise = "{quantise}"\n')


def test_half_precision_on_the_cpu_by_option_and_by_profile(copy, tower, pictures, language):
    loaded = copy[1](dtype="bfloat16")
    assert loaded.model.dtype == torch.bfloat16
    assert copy[1](extra='dtype = "bfloat16"\n').model.dtype == torch.bfloat16
    grids = tower.grids(pictures)
    same = sum(a == b for a, b in zip(loaded.narrate(grids), language.narrate(grids), strict=True))
    assert same >= 4, "half precision may change a word now and then, not most sentences"


@pytest.fixture(scope="module")
def next_pixels():
    return torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(3))


def test_llava_next_reads_a_grid_as_it_reads_a_picture_of_one_tile(tiny, tmp_path, next_pixels):
    model = small_llava("LlavaNext", image_grid_pinpoints=[[56, 56], [56, 112]])
    folder = save_small(model, tiny, tmp_path / "next")
    loaded = LanguageModel(write_profile(tmp_path / "p", "none", folder, PROMPT), "cpu")
    assert loaded.notice == ""
    with torch.inference_mode():
        states = loaded._tower(next_pixels, output_hidden_states=True).hidden_states
    # a picture of one tile: overview and tile are the same
    tiles = torch.stack([next_pixels, next_pixels], dim=1)
    seen = loaded.narrate_pixels(tiles, max_new_tokens=12, image_sizes=torch.tensor([[56, 56]] * 2))
    prompt = loaded.prompts.batch([None] * 2, 12, loaded.device)
    assert (prompt["input_ids"][0] == 3).sum() == 16 + 4 * 5
    assert loaded.narrate(states[-2][:, 1:], max_new_tokens=12) == loaded._decode(seen)
    assert seen[0].tolist() != seen[1].tolist()


def test_llava_next_with_finer_tiles_says_so(tiny, tmp_path):
    model = small_llava("LlavaNext", image_grid_pinpoints=[[56, 112], [112, 56]])
    folder = save_small(model, tiny, tmp_path / "next")
    loaded = LanguageModel(write_profile(tmp_path / "p", "none", folder, PROMPT), "cpu")
    assert "in less detail than this model could see" in loaded.notice
