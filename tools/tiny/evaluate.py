"""Measure the tiny profile on held-out pictures.

python -m tools.tiny.evaluate --corpus HELD_OUT --profile src/napari_neurrator/profiles/tiny
"""

import argparse
import json
from pathlib import Path

import numpy as np

from napari_neurrator.language.narrator import LanguageModel
from napari_neurrator.profiles import load_profile
from napari_neurrator.recording.sample.captions import named_objects
from napari_neurrator.vision.tower import VisionTower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--pictures", type=int, default=1000)
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    tower, language = VisionTower(profile), LanguageModel(profile)
    images = np.load(arguments.corpus / "images.npy", mmap_mode="r")[: arguments.pictures]
    items = [json.loads(line) for line in (arguments.corpus / "items.jsonl").read_text(encoding="utf-8").splitlines()][
        : len(images)
    ]
    said: list[str] = []
    same = []
    for start in range(0, len(images), 50):
        batch = images[start : start + 50]
        said += language.narrate(tower.grids(batch))
        _, pictures = tower.grids_and_embeddings(batch)
        phrases = tower.embed_phrases([item["caption"] for item in items[start : start + 50]])
        best = (pictures @ phrases.T).argmax(1).tolist()
        same += [items[start + i]["caption"] == items[start + j]["caption"] for i, j in enumerate(best)]
    true = [item["caption"] for item in items]
    stripes = [i for i, text in enumerate(true) if "stripes" in text]
    scenes = [i for i, text in enumerate(true) if "stripes" not in text and "screen" not in text]
    print(f"pictures {len(true)}")
    print(f"sentence word for word {np.mean([a == b for a, b in zip(said, true, strict=True)]):.3f}")
    print(f"objects right (scenes) {np.mean([named_objects(said[i]) == named_objects(true[i]) for i in scenes]):.3f}")
    print(
        f"place and time right (scenes) {np.mean([said[i].split(', ')[-1] == true[i].split(', ')[-1] for i in scenes]):.3f}"
    )
    print(f"stripes right (gratings, {len(stripes)}) {np.mean([said[i] == true[i] for i in stripes]):.3f}")
    print(f"CLIP retrieval of the caption among 50 {np.mean(same):.3f}")
    for i in [i for i in range(len(true)) if said[i] != true[i]][:8]:
        print(f"  said {said[i]!r} of {true[i]!r}")


if __name__ == "__main__":
    main()
