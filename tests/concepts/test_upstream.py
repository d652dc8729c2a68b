"""Files go through the libraries that the formats come from, both ways.

None of these libraries is a dependency: sae-lens brings transformer-lens, datasets and older pins, dictionary_learning brings nnsight. Where they are
installed the tests run; docs/concepts.md tells how.
"""

import importlib.util
import sys
import types

import numpy as np
import pytest
import torch

from napari_neurrator.concepts.dictionary import Dictionary
from napari_neurrator.concepts.store import save_dictionary

from . import layouts
from .test_families import dense


@pytest.fixture
def x():
    return torch.randn(9, layouts.WIDTH, generator=torch.Generator().manual_seed(3)) * 1.5


@pytest.fixture(scope="module")
def sae_lens():
    return pytest.importorskip("sae_lens", reason="sae-lens is not installed: it is heavy, and only these tests use it")


@pytest.fixture(scope="module")
def trainers():
    """Return dictionary_learning's classes; its ``__init__`` wants nnsight and is left out."""
    found = importlib.util.find_spec("dictionary_learning")
    if found is None:
        pytest.skip("dictionary_learning is not installed: it brings nnsight, and only these tests use it")
    package = types.ModuleType("dictionary_learning")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["dictionary_learning"] = package
    from dictionary_learning import dictionary
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    return {
        "AutoEncoder": dictionary.AutoEncoder,
        "AutoEncoderNew": dictionary.AutoEncoderNew,
        "GatedAutoEncoder": dictionary.GatedAutoEncoder,
        "JumpReluAutoEncoder": dictionary.JumpReluAutoEncoder,
        "BatchTopKSAE": batch_top_k.BatchTopKSAE,
        "AutoEncoderTopK": top_k.AutoEncoderTopK,
        "MatryoshkaBatchTopKSAE": matryoshka_batch_top_k.MatryoshkaBatchTopKSAE,
    }


def agrees(dictionary, x, encoded, decoded):
    active = dictionary.encode(x[None])
    np.testing.assert_allclose(dense(active).numpy(), encoded.detach().float().numpy(), atol=3e-5)
    np.testing.assert_allclose(dictionary.decode(active)[0].numpy(), decoded.detach().float().numpy(), atol=1e-4)


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
@pytest.mark.parametrize("normaliser", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("apply_b_dec", [True, False])
def test_what_saelens_saves_is_read(sae_lens, tmp_path, x, architecture, normaliser, apply_b_dec):
    more = {"k": layouts.K, "rescale_acts_by_decoder_norm": True} if architecture == "topk" else {}
    config = {
        "architecture": architecture, "d_in": layouts.WIDTH, "d_sae": layouts.FEATURES, "normalize_activations": normaliser,
        "apply_b_dec_to_input": apply_b_dec, "metadata": {"model_name": "m", "hook_name": "blocks.3.hook_resid_post"}, **more,
    }  # fmt: skip
    torch.manual_seed(0)
    sae = sae_lens.SAE.from_dict(config)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (1.0 if name.startswith("W") else 0.3))
    sae.save_model(tmp_path / "s")
    dictionary = Dictionary(tmp_path / "s")
    assert not dictionary.warnings
    assert dictionary.described.space.block == 3
    encoded = sae.encode(x)
    agrees(dictionary, x, encoded, sae.decode(encoded))


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
@pytest.mark.parametrize("inference", [True, False])
def test_what_saelens_trains_is_read(sae_lens, tmp_path, x, architecture, inference):
    """As it is saved for use (a JumpReLU) and as it stands in a checkpoint (with its own threshold)."""
    from sae_lens.registry import get_sae_training_class

    kind, settings = get_sae_training_class(architecture)
    more = {"matryoshka_widths": [8, 20, layouts.FEATURES]} if "matryoshka" in architecture else {}
    torch.manual_seed(0)
    sae = kind(settings(d_in=layouts.WIDTH, d_sae=layouts.FEATURES, k=layouts.K, **more))
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (1.0 if name.startswith("W") else 0.3))
        sae.topk_threshold.fill_(2.5)
    (sae.save_inference_model if inference else sae.save_model)(tmp_path / "s")
    sae.save_inference_model(tmp_path / "used")
    used = sae_lens.SAE.load_from_disk(tmp_path / "used")
    encoded = used.encode(x)
    agrees(Dictionary(tmp_path / "s"), x, encoded, used.decode(encoded))


@pytest.mark.parametrize(
    "name", [name for name in layouts.EVERY if not (name.startswith("msae") and "no cap" not in name)]
)
def test_saelens_loads_what_is_saved(sae_lens, tmp_path, x, name):
    written = layouts.EVERY[name](tmp_path / "d")
    save_dictionary(Dictionary(written.path).described, tmp_path / "out")
    sae = sae_lens.SAE.load_from_disk(tmp_path / "out")
    encoded = written.encode(x.double().numpy())
    if "negative" in name:
        # Said when it is saved: SAELens' top-k ends with a ReLU.
        encoded = np.maximum(encoded, 0)
    np.testing.assert_allclose(sae.encode(x).detach().numpy(), encoded, atol=5e-5)
    if "negative" not in name:
        decoded = written.decode(x.double().numpy(), encoded)
        np.testing.assert_allclose(sae.decode(sae.encode(x)).detach().numpy(), decoded, atol=1e-4)


@pytest.mark.parametrize("kind", [
    "AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "BatchTopKSAE", "AutoEncoderTopK", "MatryoshkaBatchTopKSAE",
])  # fmt: skip
def test_dictionary_learning_loads_the_layout_and_agrees(trainers, tmp_path, x, kind):
    written = layouts.dictionary_learning(tmp_path / "d", kind)
    more = {"normalize_decoder": False} if kind == "AutoEncoder" else {}
    theirs = trainers[kind].from_pretrained(written.path / "ae.pt", **more)
    assert set(theirs.state_dict()) == set(written.upstream)
    encoded = theirs.encode(x)
    agrees(Dictionary(written.path), x, encoded, theirs.decode(encoded))


def test_clipscope_loads_the_layout_and_agrees(tmp_path, x):
    clipscope = pytest.importorskip("clipscope", reason="clipscope is not installed: only this test uses it")
    written = layouts.clip_scope(tmp_path / "d")
    saved = torch.load(written.path, weights_only=True)
    theirs = clipscope.TopKSAE(k=saved["k"], n_features=saved["n_features"], d_in=saved["d_in"], device="cpu")
    theirs.load_state_dict(saved["model_state_dict"])
    out = theirs.forward_verbose(x)
    agrees(Dictionary(written.path), x, out["latent"], out["reconstruction"])
