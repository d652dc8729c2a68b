"""Small dictionaries written as each library writes them: key names, nesting, dtypes; and the formula of each in float64 NumPy.

The layouts were taken from the libraries' own code: SAELens 6.54.12, dictionary_learning 0.1.0, clipscope 0.1.8, ViT-Prisma, MSAE and PatchSAE.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

WIDTH, FEATURES, K = 12, 40, 5


@dataclass
class Written:
    """A dictionary on disk, and what it has to do: encode (row, width) → (row, feature), decode back."""

    path: Path
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray, np.ndarray], np.ndarray]
    family: str
    upstream: dict


def draw(seed=0):
    """Return tensors of the usual shapes."""
    g = torch.Generator().manual_seed(seed)

    def r(*shape, scale=1.0):
        return torch.randn(*shape, generator=g) * scale

    return {
        "W_enc": r(WIDTH, FEATURES),
        "W_dec": r(FEATURES, WIDTH),
        "b_enc": r(FEATURES, scale=0.3),
        "b_dec": r(WIDTH, scale=0.3),
        "threshold": r(FEATURES, scale=1.0),
        "b_gate": r(FEATURES, scale=0.3),
        "r_mag": r(FEATURES, scale=0.2),
        "b_mag": r(FEATURES, scale=0.3),
        "mean": r(WIDTH, scale=0.5),
    }


def doubles(w):
    return {key: value.double().numpy() for key, value in w.items()}


def relu(h):
    return np.maximum(h, 0)


def topk(h, k=K, after=relu):
    kept = np.zeros_like(h)
    best = np.argsort(-h, axis=-1)[:, :k]
    np.put_along_axis(kept, best, np.take_along_axis(h, best, -1), -1)
    return after(kept)


def normalise(x, kind):
    if kind == "constant_norm_rescale":
        factor = np.sqrt(x.shape[-1]) / np.linalg.norm(x, axis=-1, keepdims=True)
        return x * factor, lambda y: y / factor
    if kind == "layer_norm":
        mean, std = x.mean(-1, keepdims=True), x.std(-1, ddof=1, keepdims=True)
        return (x - mean) / (std + 1e-5), lambda y: y * std + mean
    return x, lambda y: y


def saelens(folder, architecture, normaliser="none", apply_b_dec=True, rescale=False, said=None, **more):
    """As ``SAE.save_model`` and ``TrainingSAE.save_model`` write it."""
    w = draw()
    d = doubles(w)
    keys = {
        "standard": ("W_enc", "W_dec", "b_enc", "b_dec"),
        "topk": ("W_enc", "W_dec", "b_enc", "b_dec"),
        "jumprelu": ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"),
        "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "r_mag", "b_mag"),
        "batchtopk": ("W_enc", "W_dec", "b_enc", "b_dec"),
        "matryoshka_batchtopk": ("W_enc", "W_dec", "b_enc", "b_dec"),
    }[architecture]
    weights = {key: w[key] for key in keys}
    config = {
        "d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": apply_b_dec,
        "normalize_activations": normaliser, "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "sae_lens_training_version": "6.54.12", "model_name": "openai/clip-vit-large-patch14-336",
                     "hook_name": "blocks.22.hook_resid_post"},
        "architecture": architecture,
    }  # fmt: skip
    if architecture in ("topk", "batchtopk", "matryoshka_batchtopk"):
        config |= {"k": K, "rescale_acts_by_decoder_norm": rescale}
    if "batchtopk" in architecture:
        weights["topk_threshold"] = torch.tensor(1.7, dtype=torch.double)
    if architecture == "matryoshka_batchtopk":
        config["matryoshka_widths"] = [8, 20, FEATURES]
    config |= more | ({"architecture": said} if said else {})
    if said:
        del config["k"]
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    norm = np.linalg.norm(d["W_dec"], axis=1) if rescale else np.ones(FEATURES)

    def encode(x):
        z = normalise(x, normaliser)[0] - d["b_dec"] * apply_b_dec
        if architecture == "gated":
            return (z @ d["W_enc"] + d["b_gate"] > 0) * relu(z @ (d["W_enc"] * np.exp(d["r_mag"])) + d["b_mag"])
        h = (z @ d["W_enc"] + d["b_enc"]) * norm
        if architecture == "topk":
            return topk(h)
        return relu(h) * (h > {"jumprelu": d["threshold"], "standard": -np.inf}.get(architecture, 1.7))

    def decode(x, f):
        return normalise(x, normaliser)[1]((f / norm) @ d["W_dec"] + d["b_dec"])

    return Written(folder, encode, decode, "SAELens", weights)


def dictionary_learning(folder, kind, config=True, threshold=1.3):
    """As ``trainSAE`` writes it: a bare state dict ``ae.pt``, and ``config.json`` beside it."""
    w = draw()
    d = doubles(w)
    linear = {"encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T}
    numbers = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold, dtype=torch.float32)}
    state = {
        "AutoEncoder": {"bias": w["b_dec"], "encoder.bias": w["b_enc"], **linear},
        "AutoEncoderNew": {"encoder.bias": w["b_enc"], "decoder.bias": w["b_dec"], **linear},
        "GatedAutoEncoder": {
            "decoder_bias": w["b_dec"], "r_mag": w["r_mag"], "gate_bias": w["b_gate"], "mag_bias": w["b_mag"], **linear,
        },
        "JumpReluAutoEncoder": {key: w[key] for key in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")},
        "BatchTopKSAE": {**numbers, "b_dec": w["b_dec"], "encoder.bias": w["b_enc"], **linear},
        "AutoEncoderTopK": {**numbers, "b_dec": w["b_dec"], "encoder.bias": w["b_enc"], **linear},
        "MatryoshkaBatchTopKSAE": {
            **{key: w[key] for key in ("W_enc", "b_enc", "W_dec", "b_dec")}, **numbers, "group_sizes": torch.tensor([8, 12, 20]),
        },
    }[kind]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "ae.pt")
    if config:
        trainer = {"trainer_class": "…", "dict_class": kind, "activation_dim": WIDTH, "dict_size": FEATURES, "layer": 22,
                   "lm_name": "openai/clip-vit-large-patch14-336", "submodule_name": "", "k": K}  # fmt: skip
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": None}))

    def encode(x):
        z = x if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else x - d["b_dec"]
        if kind == "GatedAutoEncoder":
            pre = z @ d["W_enc"]
            return (pre + d["b_gate"] > 0) * relu(np.exp(d["r_mag"]) * pre + d["b_mag"])
        h = z @ d["W_enc"] + d["b_enc"]
        if kind == "AutoEncoderTopK" or (not config and threshold < 0 and kind != "MatryoshkaBatchTopKSAE"):
            return topk(relu(h))
        if kind == "JumpReluAutoEncoder":
            return relu(h * (h > d["threshold"]))
        return relu(h) * (relu(h) > threshold) if "Batch" in kind else relu(h)

    return Written(folder, encode, lambda x, f: f @ d["W_dec"] + d["b_dec"], "dictionary_learning", state)


def clip_scope(folder, k=K):
    """As clipscope's checkpoints are: ``{model_state_dict, n_features, d_in, k}``, in a folder named after the place."""
    w = draw()
    d = doubles(w)
    state = {"pre_b": w["b_dec"], "enc": w["W_enc"], "dec": w["W_dec"]}
    path = folder / "22_resid" / "1200013184.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state_dict": state, "n_features": FEATURES, "d_in": WIDTH, "k": k}, path)
    return Written(
        path,
        lambda x: topk((x - d["b_dec"]) @ d["W_enc"], k, lambda v: v),
        lambda x, f: f @ d["W_dec"] + d["b_dec"],
        "CLIP-Scope",
        state,
    )


def patchsae(folder, key="cfg"):
    """As PatchSAE and Fry save it, with the settings made a plain dict (theirs are a pickled object)."""
    w = draw()
    d = doubles(w)
    config = {
        "model_name": "openai/clip-vit-base-patch16",
        "module_name": "resid",
        "block_layer": -2,
        "d_in": WIDTH,
        "gated_sae": False,
    }
    state = {name: w[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clip-vit-base-patch16_-2_resid_40.pt"
    torch.save({key: config, "state_dict": state}, path)
    return Written(
        path,
        lambda x: relu((x - d["b_dec"]) @ d["W_enc"] + d["b_enc"]),
        lambda x, f: f @ d["W_dec"] + d["b_dec"],
        "PatchSAE",
        state,
    )


def prisma(folder, architecture="standard", function="relu", normaliser="layer_norm"):
    """As ViT-Prisma's on the hub: ``config.json`` and ``weights.pt``; a gated one has an unused ``b_enc`` too."""
    w = draw()
    d = doubles(w)
    names = ["W_enc", "b_enc", "W_dec", "b_dec"] + (["b_gate", "r_mag", "b_mag"] if architecture == "gated" else [])
    config = {
        "architecture": architecture, "model_name": "open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", "hook_point_layer": 11,
        "layer_subtype": "hook_resid_post", "activation_fn_str": function, "activation_fn_kwargs": {"k": K} if function == "topk" else {},
        "normalize_activations": normaliser, "d_in": WIDTH, "cls_token_only": False, "is_transcoder": False, "_dtype": "float32",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({name: w[name] for name in names}, folder / "weights.pt")

    def encode(x):
        z = normalise(x, normaliser)[0] - d["b_dec"]
        if architecture == "gated":
            return (z @ d["W_enc"] + d["b_gate"] > 0) * relu(z @ (d["W_enc"] * np.exp(d["r_mag"])) + d["b_mag"])
        h = z @ d["W_enc"] + d["b_enc"]
        return topk(h) if function == "topk" else relu(h)

    return Written(folder, encode, lambda x, f: normalise(x, normaliser)[1](f @ d["W_dec"] + d["b_dec"]), "Prisma", {})


def msae(folder, activation="TopKReLU", tied=False, normalise_input=False, cap=30.0, centred=True):
    """As MSAE's ``train.py`` saves it, its settings in the name of the file."""
    w = draw()
    d = doubles(w)
    state = {
        "pre_bias": w["b_dec"], "encoder": w["W_enc"], "latent_bias": w["b_enc"], "latents_activation_frequency": torch.zeros(FEATURES, dtype=torch.int64),
    }  # fmt: skip
    if not tied:
        state["decoder"] = w["W_dec"]
    if activation == "JumpReLU":
        state["activation.log_threshold"] = (w["threshold"].abs() + 0.1).log()
    mean, scale = (w["mean"], 1.75) if centred else (torch.zeros(WIDTH), 1.0)
    said = (
        f"{activation}_{K}"
        if "TopK" in activation
        else f"{activation}_{FEATURES if activation == 'JumpReLU' else '03'}"
    )
    appendix = "_UW" if activation == "TopKReLU" else ""
    path = folder / f"{FEATURES}_{WIDTH}_{said}{appendix}_{tied}_{normalise_input}_{cap}_cc3m_vit_train.pth"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state, "mean_center": mean, "scaling_factor": scale, "target_norm": 1.0}, path)
    centre = mean.double().numpy()
    kind = "layer_norm" if normalise_input else "none"

    def encode(x):
        z = normalise((x - centre) * scale, kind)[0]
        h = (z - d["b_dec"]) @ d["W_enc"] + d["b_enc"]
        h = np.abs(h) if "abs" in activation else h
        after = relu if activation.endswith("ReLU") else (lambda v: v)
        if activation == "ReLU":
            f = relu(h)
        elif activation == "JumpReLU":
            f = relu(h) * (relu(h) > np.exp(state["activation.log_threshold"].double().numpy()))
        elif activation.startswith("Batch"):
            cut = np.sort(h.ravel())[-K * len(h)]
            f = after(h * (h >= cut))
        else:
            f = topk(h, after=after)
        return cap * np.tanh(f / cap) if cap > 0 else f

    def decode(x, f):
        back = normalise((x - centre) * scale, kind)[1]
        return back(f @ (d["W_enc"].T if tied else d["W_dec"]) + d["b_dec"]) / scale + centre

    return Written(path, encode, decode, "MSAE", state)


EVERY = {
    "saelens standard": lambda f: saelens(f, "standard"),
    "saelens standard, b_dec not subtracted": lambda f: saelens(f, "standard", apply_b_dec=False),
    "saelens topk": lambda f: saelens(f, "topk"),
    "saelens topk, rescaled": lambda f: saelens(f, "topk", rescale=True),
    "saelens topk, constant norm": lambda f: saelens(f, "topk", "constant_norm_rescale"),
    "saelens jumprelu": lambda f: saelens(f, "jumprelu"),
    "saelens jumprelu, layer norm": lambda f: saelens(f, "jumprelu", "layer_norm", apply_b_dec=False),
    "saelens gated": lambda f: saelens(f, "gated"),
    "saelens gated, layer norm": lambda f: saelens(f, "gated", "layer_norm"),
    "saelens batchtopk": lambda f: saelens(f, "batchtopk"),
    "saelens batchtopk, rescaled": lambda f: saelens(f, "batchtopk", rescale=True),
    "saelens matryoshka": lambda f: saelens(f, "matryoshka_batchtopk"),
    "saelens 5, topk by its function": lambda f: saelens(
        f, "topk", said="standard", activation_fn_str="topk", activation_fn_kwargs={"k": K}, metadata=None,
    ),
    "dictionary_learning standard": lambda f: dictionary_learning(f, "AutoEncoder"),
    "dictionary_learning standard, no config": lambda f: dictionary_learning(f, "AutoEncoder", config=False),
    "dictionary_learning april": lambda f: dictionary_learning(f, "AutoEncoderNew"),
    "dictionary_learning gated": lambda f: dictionary_learning(f, "GatedAutoEncoder"),
    "dictionary_learning jumprelu": lambda f: dictionary_learning(f, "JumpReluAutoEncoder"),
    "dictionary_learning batch top-k": lambda f: dictionary_learning(f, "BatchTopKSAE"),
    "dictionary_learning batch top-k, no config": lambda f: dictionary_learning(f, "BatchTopKSAE", config=False),
    "dictionary_learning batch top-k, threshold not set": lambda f: dictionary_learning(f, "BatchTopKSAE", threshold=-1.0),
    "dictionary_learning top-k": lambda f: dictionary_learning(f, "AutoEncoderTopK"),
    "dictionary_learning top-k, no config": lambda f: dictionary_learning(f, "AutoEncoderTopK", False, -1.0),
    "dictionary_learning matryoshka": lambda f: dictionary_learning(f, "MatryoshkaBatchTopKSAE"),
    "dictionary_learning matryoshka, no config": lambda f: dictionary_learning(f, "MatryoshkaBatchTopKSAE", config=False),
    "clip-scope": clip_scope,
    "clip-scope, negative activations stay": lambda f: clip_scope(f, k=30),
    "patchsae": patchsae,
    "fry": lambda f: patchsae(f, "config"),
    "prisma": prisma,
    "prisma, constant norm": lambda f: prisma(f, normaliser="constant_norm_rescale"),
    "prisma topk": lambda f: prisma(f, function="topk", normaliser="none"),
    "prisma gated": lambda f: prisma(f, "gated"),
    "msae": msae,
    "msae, no cap": lambda f: msae(f, cap=0.0),
    "msae relu": lambda f: msae(f, "ReLU"),
    "msae jumprelu": lambda f: msae(f, "JumpReLU"),
    "msae topk, tied": lambda f: msae(f, "TopK", tied=True),
    "msae topk of sizes": lambda f: msae(f, "TopKabs"),
    "msae batch top-k": lambda f: msae(f, "BatchTopKReLU"),
    "msae, normalised": lambda f: msae(f, normalise_input=True),
}  # fmt: skip
