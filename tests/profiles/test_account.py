"""models info: what is there, what is missing, how large it is – for profiles of the package and folders of one's own."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from napari_neurrator.backend import model_account
from napari_neurrator.backend.model_account import account
from napari_neurrator.errors import NeurratorError
from napari_neurrator.profiles import Profile, layer_number, list_profiles, load_profile
from napari_neurrator.profiles.weights import tensors, weight_files
from tests.vision.models import profile_of, save_clip, save_open_clip


def with_models(tmp_path, **changes) -> Profile:
    """Return the tiny profile's models as a profile of one's own, with some fields of [vision] changed."""
    tiny = load_profile("tiny")
    for part in ("clip", "llava", "dictionary"):
        shutil.copytree(tiny.folder / part, tmp_path / part, dirs_exist_ok=True)
    text = (tiny.folder / "profile.toml").read_text()
    (tmp_path / "profile.toml").write_text(text.replace("layer = -2", "layer = 2") if changes.get("layer") else text)
    return load_profile(str(tmp_path))


def test_every_profile_of_the_package_is_accounted_for():
    for name in list_profiles():
        told = account(load_profile(name))
        assert told.in_words().startswith(f"{name}: ")
        assert told.state in ("ready", "not on this machine")


def test_a_list_of_profiles_needs_no_torch():
    code = (
        "import sys; sys.argv = ['neurrator', 'models', 'list']\nfrom napari_neurrator.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nassert not {'torch', 'transformers'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "tiny             ready" in run.stdout


def test_memory_is_that_of_the_weights_that_are_loaded(tmp_path):
    from napari_neurrator.vision.tower import VisionTower

    profile = with_models(tmp_path)
    told = account(profile)
    memory = {name: size for part in told.parts for name, size in part.memory_gb.items()}
    loaded = VisionTower(profile)._tower._tower
    numbers = sum(p.numel() for p in loaded.parameters())
    # The last norm is loaded and counted, though the layer lies before it.
    assert memory["vision tower, to its layer"] == pytest.approx((4 * numbers / 1e9,) * 2)
    whole = sum(tensor.numbers for tensor in tensors(tmp_path / "llava" / "model.safetensors"))
    counted = sum(memory[name][0] for name in memory if name.startswith(("language", "projector")))
    assert counted == pytest.approx(2 * whole / 1e9)
    config = json.loads((tmp_path / "llava" / "config.json").read_text())["text_config"]
    tokens = 144 + model_account._TOKENS
    keys = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"] * tokens * 2 / 1e9
    assert memory["keys and values of a batch of 32"][0] == pytest.approx(32 * keys)


def test_a_shallower_layer_takes_less(tmp_path):
    deep = account(with_models(tmp_path / "a")).parts[0].memory_gb["vision tower, to its layer"][0]
    shallow = account(with_models(tmp_path / "b", layer=True)).parts[0].memory_gb["vision tower, to its layer"][0]
    assert shallow < deep / 2


def test_pickled_weights_are_counted_without_opening_them(tmp_path):
    from safetensors.torch import load_file

    profile = with_models(tmp_path)
    before = account(profile).parts[0].memory_gb
    torch.save(load_file(tmp_path / "clip" / "model.safetensors"), tmp_path / "clip" / "pytorch_model.bin")
    (tmp_path / "clip" / "model.safetensors").unlink()
    after = account(profile).parts[0].memory_gb
    assert after["vision tower, to its layer"] == pytest.approx(before["vision tower, to its layer"], rel=1e-6)


def test_what_is_missing_is_named(tmp_path):
    profile = with_models(tmp_path)
    (tmp_path / "llava" / "tokenizer.json").unlink()
    told = account(profile)
    assert told.state == "damaged"
    assert "tokenizer.json or vocab.json and merges.txt or tokenizer.model" in str(told.problem)
    (tmp_path / "llava" / "model.safetensors").unlink()
    assert "no weights of 'llava'" in str(account(profile).problem)
    shutil.rmtree(tmp_path / "dictionary")
    assert "no such folder" in account(profile).in_words()


def test_a_full_disk_is_said_with_the_command(tmp_path, monkeypatch):
    profile = load_profile("llava-1.5-7b")
    monkeypatch.setattr("napari_neurrator.profiles.profile.hub_folder", lambda model: None)
    monkeypatch.setattr(model_account, "_free_gb", lambda folder: 3.0)
    words = account(profile).in_words()
    assert "15.8 GB to fetch, 3.0 GB free" in words
    assert f"HF_HOME=/path/on/it hf download {profile.vision.model}" in words


def test_the_hub_s_cache_is_looked_into(tmp_path, monkeypatch):
    """Laid out as the hub's library does: blobs, snapshots, refs."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    for module in (huggingface_hub.constants, huggingface_hub.file_download.constants):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--clip"
    snapshot = repository / "snapshots" / ("a" * 40)
    save_clip(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    profile = profile_of(tmp_path, model="some/clip")
    part = account(profile).parts[0]
    assert part.folder == snapshot
    assert any("present" in line for line in part.lines)
    from napari_neurrator.vision.fingerprint import weights_fingerprint
    from napari_neurrator.vision.tower import VisionTower

    assert VisionTower(profile).n_patches == 25
    # The same files in a folder are the same patch space.
    shutil.copytree(snapshot, tmp_path / "clip")
    assert weights_fingerprint(profile, "some/clip") == weights_fingerprint(profile_of(tmp_path, model="clip"), "clip")
    (snapshot / "model.safetensors").unlink()
    broken = account(profile)
    assert "no weights" in str(broken.problem)
    assert broken.commands == [profile.download_command("some/clip")]


def test_open_clip_is_accounted_for(tmp_path):
    save_open_clip(tmp_path / "m")
    part = account(profile_of(tmp_path, model="m", library="open_clip")).parts[0]
    assert part.problem is None
    assert part.memory_gb["vision tower, to its layer"][0] > 0
    tag = account(profile_of(tmp_path, model="ViT-L-14-336-quickgelu", library="open_clip", weights="openai")).parts[0]
    assert tag.command is not None
    assert "timm/vit_large_patch14_clip_336.openai" in tag.command
    assert any("24 × 24 patches of 14 px, 1024 numbers each" in line for line in tag.lines)


@pytest.mark.parametrize(
    ("layer", "number"),
    [(-2, -2), (5, 5), ("last", -1), ("penultimate", -2), ("layer 22", 23), ("Layer_0", 1), (" LAST ", -1)],
)
def test_layers_by_name(layer, number):
    assert layer_number(layer) == number


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "x"', "description: Field required"),
        ("name = ", "cannot be read"),
        ('layer = "top"', "layer 'top' is not one"),
        ('fit = "middle"', r"vision\.fit"),
        ('weights = "w.pt"', "with library = 'open_clip' only"),
        ("batch = 0", r"vision\.batch"),
        ("lair = -2", r"vision\.lair"),
    ],
)
def test_a_wrong_profile_says_where(tmp_path, text, says):
    whole = f'name = "x"\ndescription = ""\n[vision]\nmodel = "m"\n{text}\n[language]\nmodel = "l"\nprompt = "{{image}}"\nquestion = "?"\n'
    (tmp_path / "profile.toml").write_text(text if "name" in text else whole)
    with pytest.raises(NeurratorError, match=says) as error:
        load_profile(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_profile_s_reference_works_from_anywhere(tmp_path, monkeypatch):
    with_models(tmp_path)
    monkeypatch.chdir(tmp_path)
    reference = load_profile(".").reference
    monkeypatch.chdir("/")
    assert load_profile(reference).folder == tmp_path
    assert load_profile("tiny").reference == "tiny"


def test_weight_files_of_a_sharded_model(tmp_path):
    save_clip(tmp_path / "m", max_shard_size="100KB")
    files = weight_files(tmp_path / "m")
    assert files.index == "model.safetensors.index.json"
    assert len(files.names) > 2
    assert not files.missing
    assert files.size_bytes == sum(file.stat().st_size for file in (tmp_path / "m").glob("*.safetensors"))
