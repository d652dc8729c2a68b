"""Whatever is wrong with a file is said in one sentence, and nothing is unpickled."""

import gzip
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from napari_neurrator.concepts.dictionary import Dictionary
from napari_neurrator.errors import NeurratorError

from . import layouts


class Settings:
    """What an author's own class of settings is to this package: code that is run when it is unpickled."""

    opened = False

    def __init__(self):
        self.model_name, self.d_in, self.dtype = "openai/clip-vit-base-patch16", layouts.WIDTH, torch.float32

    def __setstate__(self, state):
        Settings.opened = True


def refused(path, match):
    with pytest.raises(NeurratorError, match=match) as caught:
        Dictionary(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "first."))


def test_pickles_are_refused_and_say_how_to_convert(tmp_path):
    state = {key: layouts.draw()[key] for key in ("W_enc", "b_enc", "W_dec", "b_dec")}
    torch.save({"cfg": Settings(), "state_dict": state}, tmp_path / "sae.pt")
    refused(tmp_path / "sae.pt", "pickled objects.*Pickled dictionaries")
    torch.save({"cfg": Settings(), "state_dict": state}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", "pickled objects|damaged")
    with gzip.open(tmp_path / "sae.pkl.gz", "wb") as file:
        pickle.dump({"cfg": Settings()}, file)
    refused(tmp_path / "sae.pkl.gz", "a pickle.*Pickled dictionaries")
    (tmp_path / "sae.pkl").write_bytes(pickle.dumps({"cfg": Settings()}))
    refused(tmp_path / "sae.pkl", "a pickle")
    assert not Settings.opened


def test_the_recipe_in_the_docs_works(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text(encoding="utf-8")
    section = page.split("Pickled dictionaries", 1)[1]
    code = re.search(r"```python\n(.*?)```", section, re.S)[1]
    (tmp_path / "theirs.py").write_text(
        "import torch\n\nclass Config:\n    def __init__(self):\n        self.model_name, self.block_layer, self.dtype = 'openai/clip-vit-base-patch16', -2, torch.float32\n"
    )
    make = (
        "import torch, theirs\ntorch.manual_seed(0)\n"
        f"w = dict(W_enc=torch.randn({layouts.WIDTH}, 9), b_enc=torch.randn(9), W_dec=torch.randn(9, {layouts.WIDTH}), b_dec=torch.randn({layouts.WIDTH}))\n"
        "torch.save({'cfg': theirs.Config(), 'state_dict': w}, 'sae.pt')\n"
    )
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True)
    refused(tmp_path / "sae.pt", "pickled objects")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    read = Dictionary(tmp_path / "sae-plain.pt")
    assert read.described.family == "PatchSAE"
    assert read.described.space.model == "openai/clip-vit-base-patch16"


def test_missing_damaged_and_strange_files(tmp_path):
    refused(tmp_path / "nothing", "no dictionary")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no dictionary in")
    written = layouts.saelens(tmp_path / "s", "topk")
    weights = written.path / "sae_weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused(written.path, "damaged")
    weights.write_bytes(whole)
    (written.path / "cfg.json").write_text("{")
    refused(written.path, "cannot be read")
    (written.path / "cfg.json").write_text("[1]")
    refused(written.path, "not a JSON object")
    (written.path / "cfg.json").unlink()
    refused(written.path, "lacks cfg.json")
    two = layouts.dictionary_learning(tmp_path / "two", "AutoEncoder").path
    (two / "ae.pt").rename(two / "a.pt")
    (two / "b.pt").write_bytes((two / "a.pt").read_bytes())
    refused(two, "2 files of weights")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "no family")
    torch.save({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "net.pt")
    refused(tmp_path / "net.pt", "no family that is read: its weights are conv1.weight")


@pytest.mark.parametrize(("change", "match"), [
    (lambda w, c: w.pop("b_dec"), "lack b_dec"),
    (lambda w, c: w.update(b_enc=torch.zeros(3)), r"b_enc is of shape \(3,\)"),
    (lambda w, c: w.update(W_dec=torch.zeros(layouts.FEATURES, 3)), "decoder"),
    (lambda w, c: w.update(W_enc=torch.zeros(5)), "a matrix is needed"),
    (lambda w, c: w["W_enc"].view(-1)[7:8].fill_(float("nan")), "not finite"),
    (lambda w, c: w["b_dec"][2:3].fill_(float("inf")), "not finite"),
    (lambda w, c: c.update(k=0), "k is 0"),
    (lambda w, c: c.update(k=-3), "k is -3"),
    (lambda w, c: c.update(k="many"), "k is 'many'"),
    (lambda w, c: c.pop("k"), "k is None"),
    (lambda w, c: c.update(d_in=99), "d_in = 99"),
    (lambda w, c: c.update(architecture="transcoder"), "'transcoder'"),
    (lambda w, c: c.update(normalize_activations="mystery"), "'mystery'"),
    (lambda w, c: c.update(activation_fn="tanh-relu"), "tanh-relu"),
])  # fmt: skip
def test_what_is_wrong_with_weights_or_settings_is_named(tmp_path, change, match):
    written = layouts.saelens(tmp_path / "d", "topk")
    config = json.loads((written.path / "cfg.json").read_text())
    weights = {key: value.clone() for key, value in written.upstream.items()}
    change(weights, config)
    save_file(weights, written.path / "sae_weights.safetensors")
    (written.path / "cfg.json").write_text(json.dumps(config))
    refused(written.path, match)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(["a.pt", "a.pth", "a.safetensors", "sae_weights.safetensors", "a.bin"]),
)
def test_any_bytes_are_one_sentence(tmp_path, data, name):
    folder = tmp_path / "wild"
    folder.mkdir(exist_ok=True)
    (folder / "cfg.json").write_text("{}")
    (folder / name).write_bytes(data)
    with pytest.raises(NeurratorError):
        Dictionary(folder / name)
    (folder / name).unlink()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=st.dictionaries(
        st.sampled_from(["architecture", "k", "d_in", "activation_fn", "activation_fn_kwargs", "metadata", "hook_name", "hook_layer", "model_name", "matryoshka_widths", "normalize_activations"]),
        st.none() | st.integers(-5, 50) | st.text(max_size=8) | st.lists(st.integers(-2, 60), max_size=3) | st.floats(allow_nan=True) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    )
)  # fmt: skip
def test_any_settings_are_read_or_refused_in_one_sentence(tmp_path, config):
    written = layouts.saelens(tmp_path / "d", "topk")
    (written.path / "cfg.json").write_text(json.dumps({"k": 3, **config}))
    try:
        Dictionary(written.path)
    except NeurratorError as error:
        if "\n" in str(error):
            pytest.fail(str(error))
