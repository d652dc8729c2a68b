"""Dictionaries encode as their formula says, and heatmaps point at what is there."""

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_neurrator.concepts.dictionary import Dictionary, load_dictionary
from napari_neurrator.concepts.ranking import UsualActivation, concept_totals, top_concepts
from napari_neurrator.errors import NeurratorError


@pytest.fixture
def folder(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weights = {
        "W_enc": torch.randn(6, 20, generator=generator),
        "W_dec": torch.randn(20, 6, generator=generator),
        "b_enc": torch.randn(20, generator=generator),
        "b_dec": torch.randn(6, generator=generator),
    }
    save_file(weights, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "topk", "d_in": 6, "d_sae": 20, "k": 4}))
    return tmp_path, {key: value.double().numpy() for key, value in weights.items()}


def test_encoding_is_the_formula_in_double_precision(folder):
    path, w = folder
    x = np.random.default_rng(0).normal(size=(2, 5, 6))
    got = Dictionary(path).encode(torch.tensor(x, dtype=torch.float32))
    dense = np.maximum((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 0)
    for frame in range(2):
        for patch in range(5):
            expected = np.zeros(20)
            strongest = np.argsort(dense[frame, patch])[-4:]
            expected[strongest] = dense[frame, patch, strongest]
            found = np.zeros(20)
            row = slice(int(got.offsets[frame * 5 + patch]), int(got.offsets[frame * 5 + patch + 1]))
            found[got.features[row].numpy()] = got.values[row].numpy()
            np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(got.totals().numpy().sum(), got.values.numpy().sum(), rtol=1e-5)


def test_another_width_is_refused(folder):
    with pytest.raises(NeurratorError, match="made for another model"):
        Dictionary(folder[0]).encode(torch.zeros(1, 3, 7))


def test_a_damaged_dictionary_is_one_sentence(folder):
    (folder[0] / "sae_weights.safetensors").write_bytes(b"no")
    with pytest.raises(NeurratorError, match="damaged"):
        Dictionary(folder[0])


def test_the_tiny_dictionary_rebuilds_patches_and_names_what_is_there(tiny, tower, pictures):
    dictionary = load_dictionary(tiny)
    grids = tower.grids(pictures)
    active = dictionary.encode(grids)
    rebuilt = dictionary.decode(active)
    unexplained = (rebuilt - grids).square().sum() / (grids - grids.mean((0, 1))).square().sum()
    assert unexplained < 0.35
    ranked = top_concepts(dictionary, active, 6, UsualActivation.of(concept_totals(dictionary, active)))
    assert all(a.strength >= b.strength for concepts in ranked for a, b in itertools.pairwise(concepts))
    # The conftest's pictures: a place each, and an object of which five have a feature of their own.
    expected = ["tiger", "bus", "penguin", "balloon", "house", "bee"]
    found = [kind in {concept.name for concept in concepts} for kind, concepts in zip(expected, ranked, strict=True)]
    assert sum(found) >= 3, [[concept.name for concept in concepts] for concepts in ranked]
