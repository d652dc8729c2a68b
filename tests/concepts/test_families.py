"""Every family encodes and decodes as its formula says in float64, from files laid out as its library lays them out."""

import json

import numpy as np
import pytest
import torch

from napari_neurrator.concepts.dictionary import Dictionary
from napari_neurrator.concepts.store import as_saelens, save_dictionary
from napari_neurrator.errors import NeurratorError

from . import layouts

FRAMES, PATCHES = 3, 7


def dense(active):
    table = torch.zeros(active.n_frames * active.n_patches, active.n_features)
    table[active.rows, active.features] = active.values
    return table


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(FRAMES, PATCHES, layouts.WIDTH)) * 1.5 + 0.2


def expected(written, x):
    encoded = np.concatenate([written.encode(frame) for frame in x])
    decoded = np.concatenate([written.decode(frame, written.encode(frame)) for frame in x])
    return encoded, decoded.reshape(x.shape)


@pytest.mark.parametrize("name", layouts.EVERY)
def test_encode_and_decode_are_the_formula(tmp_path, name, x):
    written = layouts.EVERY[name](tmp_path / "d")
    dictionary = Dictionary(written.path)
    assert dictionary.described.family == written.family
    active = dictionary.encode(torch.tensor(x, dtype=torch.float32))
    encoded, decoded = expected(written, x)
    np.testing.assert_allclose(dense(active).numpy(), encoded, atol=2e-5)
    assert len(active.features) == np.count_nonzero(encoded)
    assert 0 < active.l0 < layouts.FEATURES
    np.testing.assert_allclose(dictionary.decode(active).numpy(), decoded, atol=5e-5)
    np.testing.assert_allclose(active.totals().numpy(), encoded.reshape(FRAMES, PATCHES, -1).sum(1), atol=2e-4)
    one = dictionary.encode(torch.tensor(x[1:2], dtype=torch.float32))
    np.testing.assert_allclose(dense(active.frame(1)).numpy(), dense(one).numpy(), atol=2e-5)
    np.testing.assert_allclose(
        dictionary.decode(active.frame(1)).numpy(), dictionary.decode(active)[1:2].numpy(), atol=2e-5
    )


@pytest.mark.parametrize("name", layouts.EVERY)
def test_small_chunks_change_nothing(tmp_path, name, x, monkeypatch):
    dictionary = Dictionary(layouts.EVERY[name](tmp_path / "d").path)
    whole = dictionary.encode(torch.tensor(x, dtype=torch.float32))
    monkeypatch.setattr("napari_neurrator.concepts.sae._LEAST", 3)
    monkeypatch.setattr("napari_neurrator.concepts.sae._BLOCK", 20)
    monkeypatch.setattr("napari_neurrator.concepts.sae._ROWS", PATCHES)
    parts = dictionary.encode(torch.tensor(x, dtype=torch.float32))
    np.testing.assert_allclose(dense(parts).numpy(), dense(whole).numpy(), atol=1e-5)
    np.testing.assert_allclose(dictionary.decode(parts).numpy(), dictionary.decode(whole).numpy(), atol=2e-5)


@pytest.mark.parametrize("name", layouts.EVERY)
def test_saved_in_saelens_format_it_does_the_same(tmp_path, name, x):
    """What is folded into the weights on the way changes nothing; what SAELens lacks is refused in one sentence."""
    dictionary = Dictionary(layouts.EVERY[name](tmp_path / "d").path)
    how = dictionary.sae.activation
    normalises_centred = dictionary.sae.normaliser.kind != "none" and dictionary.sae.normaliser.centre is not None
    if how.cap or how.absolute or how.kind == "batch_topk" or normalises_centred:
        with pytest.raises(NeurratorError, match="SAELens' format"):
            save_dictionary(dictionary.described, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return
    notes = save_dictionary(dictionary.described, tmp_path / "out")
    assert bool(notes) == (how.kind == "topk" and not how.relu)
    again = Dictionary(tmp_path / "out")
    patches = torch.tensor(x, dtype=torch.float32)
    active, same = dictionary.encode(patches), again.encode(patches)
    np.testing.assert_allclose(dense(same).numpy(), dense(active).numpy(), atol=5e-5)
    np.testing.assert_allclose(again.decode(same).numpy(), dictionary.decode(active).numpy(), atol=1e-4)
    assert again.described.group_sizes == dictionary.described.group_sizes
    assert again.described.space == dictionary.described.space or again.described.space.hook is not None
    assert again.described.space.model == dictionary.described.space.model
    config = json.loads((tmp_path / "out" / "cfg.json").read_text())
    assert config["metadata"]["neurrator"]["family"] == dictionary.described.family


def test_a_finetuned_scale_is_applied_when_decoding(tmp_path, x):
    written = layouts.saelens(tmp_path / "d", "standard", finetuning_scaling_factor=True)
    plain = Dictionary(written.path)
    from safetensors.torch import save_file

    factor = torch.linspace(0.5, 2, layouts.FEATURES)
    save_file({**written.upstream, "finetuning_scaling_factor": factor}, written.path / "sae_weights.safetensors")
    scaled = Dictionary(written.path)
    np.testing.assert_allclose((scaled.sae.decoder / plain.sae.decoder)[:, 0].numpy(), factor.numpy(), rtol=1e-5)


def test_half_precision_files_are_read(tmp_path, x):
    written = layouts.saelens(tmp_path / "d", "topk")
    from safetensors.torch import save_file

    save_file({key: value.half() for key, value in written.upstream.items()}, written.path / "sae_weights.safetensors")
    active = Dictionary(written.path).encode(torch.tensor(x))
    assert active.values.dtype == torch.float32
    assert active.l0 <= layouts.K


def test_no_patches_and_no_active_features_are_no_trouble(tmp_path):
    dictionary = Dictionary(layouts.saelens(tmp_path / "d", "jumprelu").path)
    none = dictionary.encode(torch.zeros(0, 5, layouts.WIDTH))
    assert len(none.features) == 0
    assert dictionary.decode(none).shape == (0, 5, layouts.WIDTH)
    assert none.totals().shape == (0, layouts.FEATURES)
    zeros = Dictionary(layouts.prisma(tmp_path / "p", normaliser="constant_norm_rescale").path)
    assert bool(zeros.decode(zeros.encode(torch.zeros(1, 2, layouts.WIDTH))).isfinite().all())


def test_what_a_file_leaves_open_is_said(tmp_path):
    def said(written):
        return " ".join(Dictionary(written.path).warnings)

    assert "no config.json" in said(layouts.dictionary_learning(tmp_path / "a", "BatchTopKSAE", config=False))
    assert "never set" in said(layouts.dictionary_learning(tmp_path / "b", "BatchTopKSAE", threshold=-1.0))
    assert "laion/CLIP-ViT-L-14" in said(layouts.clip_scope(tmp_path / "c"))
    folded = layouts.saelens(tmp_path / "e", "topk", "expected_average_only_in")
    assert "folded into the weights" in said(folded)
    assert not Dictionary(layouts.saelens(tmp_path / "f", "topk").path).warnings


def test_groups_and_place_are_read(tmp_path):
    d = Dictionary(layouts.saelens(tmp_path / "a", "matryoshka_batchtopk").path).described
    assert d.group_sizes == (8, 12, 20)
    assert (d.space.model, d.space.block, d.space.where) == ("openai/clip-vit-large-patch14-336", 22, "after")
    assert Dictionary(
        layouts.dictionary_learning(tmp_path / "b", "MatryoshkaBatchTopKSAE").path
    ).described.group_sizes == (8, 12, 20)
    assert Dictionary(layouts.clip_scope(tmp_path / "c").path).described.space.block == 22
    assert Dictionary(layouts.patchsae(tmp_path / "e").path).described.space.block == -2


def test_settings_written_for_saelens_are_those_it_reads(tmp_path):
    config, weights, _ = as_saelens(Dictionary(layouts.saelens(tmp_path / "d", "jumprelu").path).described)
    assert set(weights) == {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"}
    assert config["architecture"] == "jumprelu"
    assert config["d_in"] == layouts.WIDTH
