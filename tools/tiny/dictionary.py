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
from napari_neurrator.concepts.naming import name_features
from napari_neurrator.profiles import load_profile
from napari_neurrator.recording.sample.captions import STRIPES, caption, with_article
from napari_neurrator.recording.sample.objects import KINDS
from napari_neurrator.recording.sample.scenery import PLACES, Actor
from napari_neurrator.vision.tower import VisionTower

from .corpus import GREY_CAPTION


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


def vocabulary() -> dict[str, list[str]]:
    """Return each concept's name and the captions whose mean embedding stands for it."""
    phrases: dict[str, list[str]] = {}
    scenes = [(place, night) for place in PLACES for night in (False, True)]
    for kind in KINDS:
        phrases[kind] = [
            caption([Actor(kind, x, 0.9, 0.3)], place, night) for place, night in scenes for x in (0.2, 0.5, 0.8)
        ]
    everyone = [Actor(kind, 0.5, 0.9, 0.3) for kind in KINDS]
    for place in PLACES:
        phrases[place] = [caption([actor], place, night) for actor in everyone for night in (False, True)]
    phrases["night"] = [caption([actor], place, True) for actor in everyone for place in PLACES]
    phrases["daylight"] = [caption([actor], place, False) for actor in everyone for place in PLACES]
    for name in STRIPES.values():
        phrases[f"stripes {name}" if "leaning" in name else f"{name} stripes"] = [
            f"stripes {name}." if "leaning" in name else f"{name} stripes."
        ]
    phrases["plain grey"] = [GREY_CAPTION]
    return phrases


def holds(concept: str, text: str) -> bool:
    """Tell whether a caption speaks of a concept."""
    words = {"daylight": "by day", "night": "at night", "beach": "on the beach"}.get(concept, concept)
    return words in text if " " in words else with_article(words) in text or f"in the {words}" in text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    L.seed_everything(0)
    profile = load_profile(str(arguments.profile))
    tower = VisionTower(profile)
    images = np.load(arguments.corpus / "images.npy", mmap_mode="r")
    texts = [
        json.loads(line)["caption"]
        for line in (arguments.corpus / "items.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    rows = np.sort(np.random.default_rng(0).choice(len(images), arguments.pictures, replace=False))
    parts = [tower.grids_and_embeddings(images[rows[start : start + 50]]) for start in range(0, len(rows), 50)]
    grids = torch.cat([grid.half() for grid, _ in parts])
    pictures = torch.cat([embedding for _, embedding in parts])
    patches = grids.flatten(0, 1)
    sample = patches[torch.randperm(len(patches))[:50_000]].float()
    centre, scale = sample.mean(0), float((sample - sample.mean(0)).norm(dim=1).mean())

    training = TopK(tower.width, arguments.features, arguments.k, centre, scale, arguments.steps)

    class Patches(torch.utils.data.IterableDataset):
        def __iter__(self):
            while True:
                yield patches[torch.randint(len(patches), (2048,))].float()

    trainer = L.Trainer(
        max_steps=arguments.steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(training, torch.utils.data.DataLoader(Patches(), batch_size=None))

    folder = arguments.profile / "dictionary"
    folder.mkdir(exist_ok=True)
    weights = {
        # The scale of the patch vectors goes into the biases and the decoder, so that the file needs no normaliser.
        "W_enc": training.W_enc.detach(),
        "W_dec": training.W_dec.detach(),
        "b_enc": training.b_enc.detach() * scale,
        "b_dec": training.b_dec.detach() * scale,
        "mean_activation": torch.zeros(arguments.features),
    }
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

    def write() -> None:
        save_file(
            {key: value.half().contiguous() for key, value in weights.items()},
            folder / "sae_weights.safetensors",
        )

    write()
    dictionary = Dictionary(folder)
    totals = torch.cat(
        [dictionary.encode(grids[start : start + 50].float()).totals() for start in range(0, len(grids), 50)]
    )
    weights["mean_activation"] = totals.mean(0)
    write()

    phrases = vocabulary()
    axes = torch.stack(
        [torch.nn.functional.normalize(tower.embed_phrases(group).mean(0), dim=0) for group in phrases.values()]
    )
    names = name_features(totals, pictures, axes, list(phrases))
    for feature, entry in enumerate(names):
        strongest = totals[:, feature].topk(24).indices.tolist()
        # How many of the feature's strongest pictures really show what it is called: the names' own evidence.
        entry["purity"] = (
            round(float(np.mean([holds(entry["name"], texts[rows[row]]) for row in strongest])), 3)
            if entry["name"]
            else 0.0
        )
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    alive = [entry for entry in names if entry["name"]]
    print(
        f"{len(alive)} of {len(names)} features alive; median purity of names {np.median([e['purity'] for e in alive]):.2f}; "
        f"{len({e['name'] for e in alive})} of {len(phrases)} concepts named"
    )


if __name__ == "__main__":
    main()
