"""Train the tiny profile's dictionary (a top-k sparse autoencoder on patch vectors), name its features, save it in SAELens' format.

python -m tools.tiny.dictionary --corpus CORPUS --profile src/napari_neurrator/profiles/tiny
"""

import argparse
import json
from pathlib import Path

import lightning as L
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from napari_neurrator.concepts.dictionary import Dictionary
from napari_neurrator.profiles import load_profile
from napari_neurrator.recording.sample.captions import STRIPES
from napari_neurrator.recording.sample.objects import KINDS
from napari_neurrator.recording.sample.scenery import PLACES
from napari_neurrator.vision.tower import VisionTower

from .corpus import GREY_CAPTION, SIDE

PATCH = SIDE // 12


class TopK(L.LightningModule):
    """A top-k autoencoder with a tied start and an auxiliary loss that revives dead features (Gao et al. 2024, arXiv 2406.04093)."""

    def __init__(self, width: int, n: int, k: int, centre: torch.Tensor, scale: float, steps: int):
        super().__init__()
        decoder = nn.functional.normalize(torch.randn(n, width), dim=1)
        self.W_dec, self.W_enc = nn.Parameter(decoder), nn.Parameter(decoder.T.clone())
        self.b_enc, self.b_dec = nn.Parameter(torch.zeros(n)), nn.Parameter(centre / scale)
        self.k, self.scale, self.steps = k, scale, steps
        self.register_buffer("idle", torch.zeros(n))

    def training_step(self, batch: torch.Tensor, step: int) -> torch.Tensor:
        x = batch / self.scale
        hidden = (x - self.b_dec) @ self.W_enc + self.b_enc
        top = hidden.relu().topk(self.k, dim=-1)
        sparse = torch.zeros_like(hidden).scatter(1, top.indices, top.values)
        error = x - (sparse @ self.W_dec + self.b_dec)
        with torch.no_grad():
            self.idle += 1
            self.idle[top.indices[top.values > 0].unique()] = 0
        loss = error.square().mean()
        dead = self.idle > 200
        if dead.any():
            revive = hidden.masked_fill(~dead, -torch.inf).topk(min(2 * self.k, int(dead.sum())), dim=-1)
            guess = torch.zeros_like(hidden).scatter(1, revive.indices, revive.values.relu()) @ self.W_dec
            loss = loss + (error.detach() - guess).square().mean() / 32
        if step % 250 == 0:
            share = error.square().sum() / (x - x.mean(0)).square().sum()
            print(f"step {step} unexplained {share.item():.4f} dead {int(dead.sum())}", flush=True)
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        with torch.no_grad():
            self.W_dec.copy_(nn.functional.normalize(self.W_dec, dim=1))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=2e-3)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": torch.optim.lr_scheduler.OneCycleLR(
                    optimizer, 2e-3, total_steps=self.steps + 1, pct_start=0.05
                ),
                "interval": "step",
            },
        }


def informative(grids: torch.Tensor) -> torch.Tensor:
    """Return a weight for every patch: how far it lies from what is usual at its place, the commonest directions (backgrounds) left out.

    Most patches are sky or ground. Without weights the dictionary spends its features on them.
    """
    unusual = (grids.float() - grids.float().mean(0)).flatten(0, 1)
    sample = unusual[torch.randperm(len(unusual))[:30_000]]
    common = torch.linalg.svd(sample, full_matrices=False).Vh[:8]
    weight = (unusual - (unusual @ common.T) @ common).square().sum(1)
    return weight.clamp(max=weight[torch.randperm(len(weight))[:100_000]].quantile(0.99))


SCENES = {
    **{place: (f"the {place} by", f"the {place} at") for place in PLACES},
    "daylight": ("by day",),
    "night": ("at night",),
    **{
        (f"stripes {name}" if "leaning" in name else f"{name} stripes"): (f"stripes {name}", f"{name} stripes")
        for name in STRIPES.values()
    },
    "plain grey": (GREY_CAPTION,),
}


def name_feature(heat: torch.Tensor, items: list[dict], side: int, top: int = 24) -> dict:
    """Name one feature by what lies under its peak in the pictures that drive it most.

    Parameters
    ----------
    heat : torch.Tensor
        Activation by picture and patch, (picture, patch).
    items : list of dict
        Captions and object boxes of the pictures.
    side : int
        Patches in a row.
    top : int
        Pictures that are looked at.

    Returns
    -------
    dict
        ``name``: an object whose box the peak lies in, else a place, time or pattern that the captions share; "" where none holds for half of
        the pictures. ``score``: the share of the pictures for which the name holds.
    """
    peaks = heat.max(1)
    order = peaks.values.topk(min(top, len(heat))).indices
    order = order[peaks.values[order] > 0]
    if len(order) < top // 2:
        return {"name": "", "score": 0.0}
    votes: dict[str, int] = {}
    for row in order.tolist():
        patch = int(peaks.indices[row])
        x, y = (patch % side + 0.5) * PATCH, (patch // side + 0.5) * PATCH
        for kind in {
            kind
            for kind, left, above, width, height in items[row]["boxes"]
            if left <= x <= left + width and above <= y <= above + height
        }:
            votes[kind] = votes.get(kind, 0) + 1
    kind = max(votes, key=lambda key: votes[key], default="")
    if kind and votes[kind] >= 0.5 * len(order):
        return {"name": kind, "score": round(votes[kind] / len(order), 3)}
    shares = {
        name: np.mean([any(p in items[row]["caption"] for p in phrases) for row in order.tolist()])
        for name, phrases in SCENES.items()
    }
    # Rare scenes first: half of all pictures are by day, so "daylight" has to hold for nearly all of a feature's pictures.
    need = {"daylight": 0.95, "night": 0.95}
    fitting = [name for name, share in shares.items() if share >= need.get(name, 0.7)]
    best = max(fitting, key=lambda name: (name not in need, shares[name]), default="")
    return {"name": best, "score": round(float(shares[best]), 3) if best else 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument(
        "--named-on", type=Path, required=True, help="another corpus, with boxes, on which the features are named"
    )
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--features", type=int, default=1536)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    L.seed_everything(0)
    profile = load_profile(str(arguments.profile))
    tower = VisionTower(profile)
    images = np.load(arguments.corpus / "images.npy", mmap_mode="r")
    rows = np.sort(np.random.default_rng(0).choice(len(images), min(arguments.pictures, len(images)), replace=False))
    grids = torch.cat([tower.grids(images[rows[start : start + 50]]).half() for start in range(0, len(rows), 50)])
    patches = grids.flatten(0, 1)
    chance = torch.cumsum(informative(grids).double(), 0)
    chance /= chance[-1].clone()
    sample = patches[torch.randperm(len(patches))[:50_000]].float()
    centre, scale = sample.mean(0), float((sample - sample.mean(0)).norm(dim=1).mean())
    training = TopK(tower.width, arguments.features, arguments.k, centre, scale, arguments.steps)

    class Patches(torch.utils.data.IterableDataset):
        def __iter__(self):
            while True:
                chosen = torch.searchsorted(chance, torch.rand(1536, dtype=torch.float64)).clamp(max=len(patches) - 1)
                yield patches[torch.cat([chosen, torch.randint(len(patches), (512,))])].float()

    trainer = L.Trainer(
        max_steps=arguments.steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(training, torch.utils.data.DataLoader(Patches(), batch_size=None))

    folder = arguments.profile / "dictionary"
    folder.mkdir(exist_ok=True)
    weights = {
        # The scale of the patch vectors goes into the biases, so that the file needs no normaliser.
        "W_enc": training.W_enc,
        "W_dec": training.W_dec,
        "b_enc": training.b_enc * scale,
        "b_dec": training.b_dec * scale,
    }
    save_file(
        {key: value.detach().half().contiguous() for key, value in weights.items()}, folder / "sae_weights.safetensors"
    )
    config = {
        "architecture": "topk",
        "d_in": tower.width,
        "d_sae": arguments.features,
        "k": arguments.k,
        "activation_fn_kwargs": {"k": arguments.k},
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "dtype": "float16",
        "model_name": profile.name,
        "hook_layer": profile.vision.layer,
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    _name(Dictionary(folder), tower, arguments.named_on)


def _name(dictionary: Dictionary, tower: VisionTower, corpus: Path) -> None:
    images = np.load(corpus / "images.npy", mmap_mode="r")
    items = [json.loads(line) for line in (corpus / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    heat = torch.zeros(len(images), tower.n_patches, dictionary.n_features, dtype=torch.float16)
    error = total = 0.0
    for start in range(0, len(images), 50):
        grids = tower.grids(images[start : start + 50])
        active = dictionary.encode(grids)
        heat[start : start + 50].flatten(0, 1)[active.rows, active.features] = active.values.half()
        error += float((dictionary.decode(active) - grids).square().sum())
        total += float((grids - grids.mean((0, 1))).square().sum())
    names = [
        name_feature(heat[:, :, feature].float(), items, tower.columns) for feature in range(dictionary.n_features)
    ]
    (dictionary.folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    named = [entry for entry in names if entry["name"]]
    print(
        f"unexplained variance {error / total:.3f}; {len(named)} of {len(names)} features named, with {len({e['name'] for e in named})} names "
        f"({len({e['name'] for e in named} & set(KINDS))} of {len(KINDS)} objects); a name holds for {np.mean([e['score'] for e in named]):.2f} of a feature's pictures"
    )


if __name__ == "__main__":
    main()
