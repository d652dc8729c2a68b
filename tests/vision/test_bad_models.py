"""Models that are missing, damaged or of another kind: one sentence each, before anything is computed, and nothing is unpickled."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_neurrator.errors import NeurratorError
from napari_neurrator.vision.geometry import PatchGeometry
from napari_neurrator.vision.tower import VisionTower

from .models import noise, open_clip_model_config, profile_of, save_clip, save_open_clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return a folder with CLIPs of both libraries, and one in shards."""
    folder = tmp_path_factory.mktemp("models")
    save_clip(folder / "clip")
    save_clip(folder / "shards", max_shard_size="100KB")
    save_open_clip(folder / "open")
    return folder


class Payload:
    """What a malicious pickle does when it is loaded."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def refused(folder, match, **vision):
    with pytest.raises(NeurratorError, match=match) as error:
        VisionTower(profile_of(folder, **vision))
    assert str(error.value).count("\n") == 0
    return str(error.value)


def test_a_missing_shard(clips, tmp_path):
    shutil.copytree(clips / "shards", tmp_path / "m")
    shard = sorted((tmp_path / "m").glob("*-of-*.safetensors"))[1]
    shard.unlink()
    assert shard.name in refused(tmp_path, "weight files of 'm' are not in", model="m")


def test_shards_without_their_index(clips, tmp_path):
    shutil.copytree(clips / "shards", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors.index.json").unlink()
    refused(tmp_path, r"model\.safetensors\.index\.json", model="m")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"weight_map": {"a": "../../other.safetensors"}}', '{"weight_map": {"a": 1}}', '{"weight_map": {}}'],
)
def test_a_damaged_index(clips, tmp_path, text):
    shutil.copytree(clips / "shards", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors.index.json").write_text(text)
    refused(tmp_path, "fetch the model again", model="m")


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
@pytest.mark.parametrize("keep", [0, 5, 4000, -1])
def test_weights_that_are_cut_off(clips, tmp_path, library, keep):
    source = {"transformers": "clip", "open_clip": "open"}[library]
    shutil.copytree(clips / source, tmp_path / "m")
    (file,) = (tmp_path / "m").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:keep])
    assert file.name in refused(tmp_path, "cut off or damaged", model="m", library=library)


def test_no_weights_no_folder_no_config(clips, tmp_path):
    shutil.copytree(clips / "clip", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    refused(tmp_path, "no weights of 'm'", model="m")
    (tmp_path / "m" / "config.json").unlink()
    refused(tmp_path, r"needs config\.json", model="m")
    refused(tmp_path, "no such folder: check the path", model="./elsewhere/clip/here")


def test_a_model_of_the_hub_names_the_command(tmp_path, monkeypatch):
    for library in ("transformers", "open_clip"):
        said = refused(tmp_path, "not on this machine", model="nobody/no-such-clip", library=library, download_gb=1.7)
        assert "run hf download nobody/no-such-clip --exclude '*.h5'" in said
        assert "about 1.7 GB" in said


@pytest.mark.parametrize("change", [{"hidden_size": 96}, {"patch_size": 7}, {"num_hidden_layers": 9}])
def test_weights_that_do_not_belong_to_their_config(clips, tmp_path, change):
    shutil.copytree(clips / "clip", tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    config = json.loads(file.read_text())
    config["vision_config"] |= change
    file.write_text(json.dumps(config))
    refused(tmp_path, "do not belong to its config.json|cannot be loaded", model="m")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "bert", "hidden_size": 8}, "is not a CLIP: its config.json says 'bert'"),
        ({}, "is not a CLIP"),
        ({"model_type": "clip", "vision_config": {"patch_size": "wide"}}, "damaged"),
    ],
)
def test_a_config_of_another_architecture(clips, tmp_path, config, says):
    shutil.copytree(clips / "clip", tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    refused(tmp_path, says, model="m")
    with pytest.raises(NeurratorError, match=says):
        PatchGeometry.of(profile_of(tmp_path, model="m"), 100, 100)


def test_a_config_that_is_no_json(clips, tmp_path):
    shutil.copytree(clips / "clip", tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{torn")
    refused(tmp_path, "damaged", model="m")


def test_pickled_weights_are_read_as_numbers_only(clips, tmp_path):
    """A plain pytorch_model.bin works; one with an object in it is refused, and the object is never made."""
    shutil.copytree(clips / "clip", tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "m" / "pytorch_model.bin")
    frames = noise(1, 80, 80)
    expected = VisionTower(profile_of(clips, model="clip")).grids(frames)
    assert torch.equal(VisionTower(profile_of(tmp_path, model="m")).grids(frames), expected)

    torch.save(weights | {"x": Payload(tmp_path / "made")}, tmp_path / "m" / "pytorch_model.bin")
    refused(tmp_path, "pickled Python objects", model="m")
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "made")))
    refused(tmp_path, "pickled Python objects", model="m")
    assert not (tmp_path / "made").exists()


def test_pickled_weights_of_open_clip(clips, tmp_path):
    shutil.copytree(clips / "open", tmp_path / "m")
    (tmp_path / "m" / "open_clip_model.safetensors").unlink()
    file = tmp_path / "m" / "open_clip_pytorch_model.bin"
    torch.save({"visual.conv1.weight": torch.zeros(3), "x": Payload(tmp_path / "made")}, file)
    refused(tmp_path, "pickled Python objects", model="m", library="open_clip")
    file.write_bytes(b"nothing of use")
    refused(tmp_path, "pickled Python objects|cut off or damaged", model="m", library="open_clip")
    assert not (tmp_path / "made").exists()


def test_open_clip_that_does_not_fit(clips, tmp_path):
    shutil.copytree(clips / "open", tmp_path / "m")
    config = json.loads((tmp_path / "m" / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 96
    (tmp_path / "m" / "open_clip_config.json").write_text(json.dumps(config))
    refused(tmp_path, "another shape", model="m", library="open_clip")
    refused(clips, "is no model of open_clip", model="clip", library="open_clip")
    refused(clips, r"needs config\.json", model="open")
    save_file({"other": torch.zeros(2)}, tmp_path / "m" / "open_clip_model.safetensors")
    refused(tmp_path, "no tower of open_clip", model="m", library="open_clip")


def test_architectures_of_open_clip(clips, tmp_path):
    refused(tmp_path, "did you mean", model="ViT-L-14-336-quickgel", library="open_clip", weights="x.safetensors")
    refused(tmp_path, "names the architecture 'ViT-B-32' but no weights", model="ViT-B-32", library="open_clip")
    refused(tmp_path, "no weights 'nope' of 'ViT-B-32'", model="ViT-B-32", library="open_clip", weights="nope")
    # The trap of the paper's own weights.
    refused(
        tmp_path,
        "name the architecture 'ViT-L-14-336-quickgelu'",
        model="ViT-L-14-336",
        library="open_clip",
        weights="openai",
    )
    refused(clips, "another shape|have no", model="ViT-B-32", library="open_clip", weights="open")
    refused(clips, "is a ResNet", model="RN50", library="open_clip", weights="open")
    folder = save_open_clip(tmp_path / "gelu", open_clip_model_config(False))
    assert VisionTower(profile_of(tmp_path, model=folder.name, library="open_clip")).n_patches == 25


def test_phrases_and_pictures_need_the_whole_model(tmp_path):
    save_clip(tmp_path / "tower", "CLIPVisionModel")
    tower = VisionTower(profile_of(tmp_path, model="tower"))
    for work in (lambda: tower.embed_phrases(["a bus"]), lambda: tower.grids_and_embeddings(noise(1, 80, 80))):
        with pytest.raises(NeurratorError, match="vision tower alone"):
            work()


def neurrator(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from napari_neurrator.cli import main; main()", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_fit_says_it_in_one_sentence_and_writes_nothing(clips, small_sample, tmp_path):
    shutil.copytree(clips / "shards", tmp_path / "clip")
    sorted((tmp_path / "clip").glob("*-of-*.safetensors"))[0].unlink()
    (tmp_path / "profile.toml").write_text(
        'name = "x"\ndescription = ""\n[vision]\nmodel = "clip"\n[language]\nmodel = "l"\nprompt = "{image}{question}"\nquestion = "?"\n'
    )
    run = neurrator(
        "fit", small_sample, "--stimulus", "natural_movie_one", "--profile", tmp_path, "--out", tmp_path / "out"
    )
    assert run.returncode == 2
    assert "weight files of 'clip' are not in" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()
