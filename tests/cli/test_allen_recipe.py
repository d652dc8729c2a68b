"""The commands of docs/allen.md, on a session in Allen's layout with small random models in the hub's layout."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.vision.models import SIDE, WIDTH, noise, save_clip

DOCS = Path(__file__).parents[2] / "docs" / "allen.md"


def save_llava(folder: Path) -> Path:
    """Save a random LLaVA for the small CLIP, in shards as on the hub, with the tokenizer of the tiny profile."""
    import torch
    from transformers import AutoConfig, LlavaForConditionalGeneration

    from napari_neurrator.profiles import load_profile

    tiny = load_profile("tiny").folder / "llava"
    config = AutoConfig.from_pretrained(tiny)
    vision = config.vision_config
    vision.hidden_size, vision.intermediate_size, vision.num_attention_heads = WIDTH, 4 * WIDTH, 3
    vision.image_size, vision.patch_size, vision.num_hidden_layers, config.image_seq_length = SIDE, 14, 4, 25
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).half().save_pretrained(folder, max_shard_size="1MB")
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json", "generation_config.json"):
        shutil.copy(tiny / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Return the folder of a profile with these models."""
    folder = tmp_path_factory.mktemp("profile")
    save_clip(folder / "clip")
    save_llava(folder / "llava")
    (folder / "profile.toml").write_text(
        'name = "small"\ndescription = "small random models in the layout of the hub"\n'
        '[vision]\nmodel = "clip"\nlayer = "penultimate"\nprecision = "float16"\n'
        '[language]\nmodel = "llava"\nprompt = "USER: {image}\\n{question}\\nASSISTANT:"\nquestion = "Describe this scene in one sentence."\n'
    )
    return folder


@pytest.fixture(scope="module")
def session(small_sample, tmp_path_factory):
    """Return a folder with session.nwb and the movie as Allen gives it, uint8 (frame, 304, 608)."""
    folder = tmp_path_factory.mktemp("allen")
    shutil.copy(small_sample, folder / "session.nwb")
    scenes = noise(15, 304, 608)[..., 0]
    movie = np.repeat(scenes, 15, axis=0)
    # Frames of a scene differ a little, so that all of them are told apart.
    movie[:, :40, :40] = np.linspace(0, 255, len(movie)).astype(np.uint8)[:, None, None]
    np.save(folder / "natural_movie_one.npy", movie)
    return folder


def documented() -> list[str]:
    block = DOCS.read_text(encoding="utf-8").split("```neurrator\n")[1].split("```")[0]
    return [line for line in block.splitlines() if line.strip()]


def run(monkeypatch, capsys, words: list[str]) -> tuple[int, str, str]:
    from napari_neurrator.cli import main

    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_documented_commands_work(profile, session, monkeypatch, capsys):
    monkeypatch.chdir(session)
    commands = documented()
    assert [line.split()[1] for line in commands] == ["models", "inspect", "fit", "narrate", "evaluate"]
    for line in commands:
        words = [str(profile) if word == "llava-1.5-7b" else word for word in shlex.split(line)]
        if words[1] == "fit":
            # What takes long, and changes nothing of the way.
            words += ["--option", "calibration_steps=40"]
        if words[1] == "evaluate":
            words += [
                "--moments",
                "60",
                "--narrated",
                "4",
                "--permutations",
                "50",
                "--draws",
                "1",
                "--sizes",
                "5",
                "--sentence-model",
                "",
            ]
        code, out, err = run(monkeypatch, capsys, words)
        assert code == 0, (line, out, err)
        if words[1] == "models":
            shards = len(list((profile / "llava").glob("*-of-*.safetensors")))
            assert shards > 1
            assert f"{shards} weight files" in out
            assert "5 × 5 patches of 14 px, 48 numbers each" in out
            assert "hidden state 3 of 4" in out
            assert "keys and values of a batch of 32" in out
        if words[1] == "inspect":
            assert "natural_movie_one" in out
    lines = [json.loads(line) for line in (session / "narrations.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 30, 60, 90]
    assert all(line["held_out"] for line in lines)
    # The models are random: what they say is no matter, but the decoder finds its patches.
    assert all(line["patch_cosine"] > line["prior_patch_cosine"] for line in lines)
    assert (session / "report" / "report.html").is_file()
    info = json.loads((session / "decoder" / "decoder.json").read_text())
    assert info["grid"] == [25, 48]
    assert info["profile"] == str(profile)
