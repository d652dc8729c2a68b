"""Training finds what patches are made of, goes on where it was stopped, and says what it reached."""

import json

import numpy as np
import pytest
import torch

from napari_neurrator.concepts.config import TrainConceptsConfig
from napari_neurrator.concepts.dictionary import Dictionary
from napari_neurrator.concepts.formats import Space
from napari_neurrator.concepts.patches import PatchBatches
from napari_neurrator.concepts.store import save_dictionary
from napari_neurrator.concepts.train import fit_dictionary, measure_dictionary
from napari_neurrator.concepts.trainer import nested
from napari_neurrator.errors import NeurratorError, Stopped

WIDTH, ATOMS = 16, 24


@pytest.fixture(scope="module")
def made():
    """Grids made of few of 24 directions each, about a mean that is not 0, and the directions."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(ATOMS, WIDTH))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = (rng.random((48, 25, ATOMS)) < 0.08) * rng.gamma(4, 1, size=(48, 25, ATOMS))
    return (codes @ atoms + rng.normal(size=WIDTH) * 2).astype(np.float16), atoms


def config(**options):
    return TrainConceptsConfig(
        source="x", **({"features": 48, "k": 3, "steps": 300, "batch": 256, "lr": 5e-3, "dead_after": 40} | options)
    )


@pytest.mark.parametrize("architecture", ["topk", "matryoshka"])
def test_it_finds_the_directions_and_resumes_bit_for_bit(made, tmp_path, architecture):
    grids, atoms = made
    options = config(architecture=architecture)
    described = fit_dictionary(options, grids, range(40), Space())
    scores = measure_dictionary(described.sae, grids, range(40, 48))
    assert scores.explained_variance > 0.6
    assert 1 < scores.l0 < 8

    def found(directions):
        return (directions / np.linalg.norm(directions, axis=1, keepdims=True) @ atoms.T).max(0).mean()

    # Nearer to what the patches are made of than any of 50 random dictionaries as large, by far.
    rng = np.random.default_rng(1)
    luck = [found(rng.normal(size=described.sae.decoder.shape)) for _ in range(50)]
    assert found(described.sae.decoder.numpy()) > max(luck) + 4 * np.std(luck)
    checkpoint = tmp_path / "c.safetensors"

    def stop(stage, done, total):
        if done == 120:
            raise Stopped

    with pytest.raises(Stopped):
        fit_dictionary(options, grids, range(40), Space(), checkpoint, ["these"], stop)
    seen = []
    again = fit_dictionary(
        options, grids, range(40), Space(), checkpoint, ["these"], lambda *step: seen.append(step[1])
    )
    assert seen[0] == 121
    assert torch.equal(again.sae.decoder, described.sae.decoder)
    assert torch.equal(again.sae.encoder, described.sae.encoder)
    with pytest.raises(NeurratorError, match="other frames or with other options"):
        fit_dictionary(options, grids, range(40), Space(), checkpoint, ["others"])
    checkpoint.write_bytes(b"half")
    with pytest.raises(NeurratorError, match="damaged"):
        fit_dictionary(options, grids, range(40), Space(), checkpoint, ["these"])
    # What is saved does the same.
    save_dictionary(described, tmp_path / "d")
    read = Dictionary(tmp_path / "d")
    assert measure_dictionary(read.sae, grids, range(40, 48)).explained_variance == pytest.approx(
        scores.explained_variance, abs=1e-4
    )
    assert bool(read.described.group_sizes) == (architecture == "matryoshka")


def test_scores_are_those_of_float64(made):
    grids, _ = made
    described = fit_dictionary(config(steps=20), grids, range(40), Space())
    scores = measure_dictionary(described.sae, grids, range(40, 48))
    x = torch.from_numpy(grids[40:])
    active = described.sae.encode(x)
    x, rebuilt = x.double().numpy(), described.sae.decode(active).double().numpy()
    expected = 1 - ((x - rebuilt) ** 2).sum() / ((x - x.mean((0, 1))) ** 2).sum()
    assert scores.explained_variance == pytest.approx(expected, abs=1e-4)
    assert scores.l0 == pytest.approx(active.l0)
    assert scores.dead == pytest.approx(1 - len(active.features.unique()) / 48)


def test_dead_features_come_back(made):
    """With the auxiliary loss fewer features stay silent than without it (features that count as dead only after the end)."""
    grids, _ = made
    dead = [
        measure_dictionary(
            fit_dictionary(config(features=96, k=2, steps=250, dead_after=after), grids, range(40), Space()).sae,
            grids,
            range(40, 48),
        ).dead
        for after in (20, 10_000)
    ]
    assert dead[0] < dead[1]


def test_batches_hold_every_patch_once_a_pass_and_begin_anywhere(made):
    grids, _ = made
    stream = iter(PatchBatches(grids, range(3, 43), 100, 5, held=grids[:20].nbytes))
    steps = [next(stream) for _ in range(30)]
    for start in (0, 7, 11, 25):
        late = iter(PatchBatches(grids, range(3, 43), 100, 5, start, held=grids[:20].nbytes))
        assert torch.equal(next(late), steps[start])
    one_pass = torch.cat(steps[:10])
    assert len(one_pass) == 40 * 25
    held = {tuple(row) for row in one_pass.tolist()}
    assert held == {tuple(row) for row in grids[3:43].reshape(-1, WIDTH).astype(np.float32).tolist()}


def test_bad_options_are_one_sentence(made):
    grids, _ = made
    with pytest.raises(NeurratorError, match="the dictionary has 4 features"):
        fit_dictionary(config(features=4, k=5), grids, range(40), Space())
    with pytest.raises(NeurratorError, match="all the same"):
        fit_dictionary(config(), np.ones((20, 9, WIDTH), np.float16), range(18), Space())
    with pytest.raises(NeurratorError, match="diverged"):
        fit_dictionary(config(lr=1e30), grids, range(40), Space())


def test_groups_are_whole_and_add_up():
    assert nested([0.0625, 0.1875, 0.25, 0.5], 96) == (6, 18, 24, 48)
    assert sum(nested([0.1, 0.2, 0.7], 5)) == 5
    assert min(nested([0.01, 0.01, 0.98], 3)) >= 1


def test_the_command_trains_and_the_profile_takes_it(pictures, tmp_path):
    from tests.cli.test_cli import neurrator, one_sentence

    np.save(tmp_path / "p.npy", pictures)
    out = tmp_path / "d"
    run = neurrator(
        "concepts", "train", tmp_path / "p.npy", "--out", out, "--features", 64, "--k", 4, "--steps", 15, "--batch", 64
    )
    assert run.returncode == 0, run.stderr
    assert "On 1 frames that were held out" in run.stdout
    saved = json.loads((out / "cfg.json").read_text())
    assert saved["metadata"]["neurrator"]["training"]["k"] == 4
    assert not list(tmp_path.glob("*.training.safetensors"))
    assert "is there already" in one_sentence(neurrator("concepts", "train", tmp_path / "p.npy", "--out", out))
    info = neurrator("concepts", "info", out, "--profile", "tiny")
    assert info.returncode == 0, info.stderr
    assert "fits        the profile 'tiny'" in info.stdout
    assert "another space" in one_sentence(neurrator("concepts", "info", out, "--profile", str(_other(tmp_path))))
    converted = neurrator("concepts", "convert", out, "--out", tmp_path / "c", "--dtype", "float16")
    assert converted.returncode == 0, converted.stderr
    assert "not empty" in one_sentence(neurrator("concepts", "convert", out, "--out", tmp_path / "c"))


def _other(tmp_path):
    """A profile with the same CLIP and another layer."""
    from napari_neurrator.profiles import load_profile

    tiny = load_profile("tiny")
    folder = tmp_path / "other"
    folder.mkdir()
    text = (
        (tiny.folder / "profile.toml")
        .read_text()
        .replace("layer = -2", "layer = -3")
        .replace('"clip"', f'"{tiny.folder / "clip"}"')
    )
    (folder / "profile.toml").write_text(text)
    return folder
