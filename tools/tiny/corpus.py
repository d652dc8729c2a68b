"""Render the corpus on which the tiny profile is trained: landscapes with objects, gratings, plain grey; and their captions.

    python -m tools.tiny.corpus --out CORPUS --images 40000

Writes ``images.npy`` (uint8, image × height × width × 3, after CLIP's own resize and centre crop) and ``items.jsonl``.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from napari_neurrator.recording.sample.captions import (
    caption,
    stripes_caption,
    with_article,
)
from napari_neurrator.recording.sample.objects import KINDS
from napari_neurrator.recording.sample.scenery import PLACES, Actor, Scenery, bounding_box

SIDE = 96
FRAME = (256, 192)
PER_SCENERY = 10
GREY_CAPTION = "a plain grey screen."


def _overlap(a: Actor, b: Actor) -> float:
    ax, ay, aw, ah = bounding_box(a, FRAME)
    bx, by, bw, bh = bounding_box(b, FRAME)
    width = min(ax + aw, bx + bw) - max(ax, bx)
    height = min(ay + ah, by + bh) - max(ay, by)
    return max(width, 0) * max(height, 0) / min(aw * ah, bw * bh)


def random_actor(rng: np.random.Generator) -> Actor:
    kind = KINDS[list(KINDS)[rng.integers(len(KINDS))]]
    ground = kind.habitat == "ground"
    return Actor(
        kind.name,
        x=float(rng.uniform(0.22, 0.78)),
        y=float(rng.uniform(0.74, 0.98) if ground else rng.uniform(0.2, 0.6)),
        height=float(kind.height * rng.uniform(0.75, 1.15)),
        flip=bool(rng.uniform() < 0.5),
        tilt=float(rng.normal(0, 3) if ground else rng.normal(0, 8)),
    )


def random_actors(rng: np.random.Generator) -> list[Actor]:
    first = random_actor(rng)
    if rng.uniform() < 0.35:
        return [first]
    for _ in range(30):
        second = random_actor(rng)
        if second.kind != first.kind and _overlap(first, second) < 0.15:
            return [first, second]
    return [first]


def grating(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Render a full-field sinusoidal grating and its caption."""
    direction = 45 * rng.integers(8) + rng.uniform(-12, 12)
    cycles, contrast, phase = rng.uniform(1.8, 9), rng.uniform(0.35, 1.0), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle = np.deg2rad(direction)
    wave = np.cos(2 * np.pi * cycles * (x * np.cos(angle) - y * np.sin(angle)) - phase)
    level = np.clip(127.5 * (1 + contrast * wave), 0, 255).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=2), stripes_caption(float(direction))


def clip_crop(frame: np.ndarray) -> np.ndarray:
    """Resize the shorter side to `SIDE` and crop the centre, as CLIP's image processor does."""
    height, width = frame.shape[:2]
    left = (width - height) // 2
    square = Image.fromarray(frame).crop((left, 0, left + height, height))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _box_in_crop(actor: Actor) -> list[float]:
    """Return left, top, width, height of an actor placed in the crop, in pixels of the cropped picture."""
    return [round(value * SIDE / FRAME[1], 1) for value in bounding_box(actor, (FRAME[1], FRAME[1]))]


def _block(seed: int) -> tuple[np.ndarray, list[dict]]:
    rng = np.random.default_rng([20260000, seed])
    images, items = [], []
    place, night = PLACES[rng.integers(len(PLACES))], bool(rng.uniform() < 0.45)
    scenery = Scenery(place, night, int(rng.integers(1 << 30)), FRAME)
    for _ in range(PER_SCENERY):
        draw = rng.uniform()
        if draw < 0.12:
            image, text = grating(rng)
            objects, where, seen = text.rstrip("."), text, []
        elif draw < 0.135:
            image = np.full((SIDE, SIDE, 3), rng.integers(90, 165), dtype=np.uint8)
            text, objects, where, seen = GREY_CAPTION, "nothing", GREY_CAPTION, []
        else:
            actors = [] if draw < 0.155 else random_actors(rng)
            image = clip_crop(scenery.render(float(rng.uniform()), actors, float(rng.uniform(0, 3))))
            # The crop shows the central square: the side is that of the crop.
            seen = [
                Actor(a.kind, (a.x * FRAME[0] - (FRAME[0] - FRAME[1]) / 2) / FRAME[1], a.y, a.height, a.flip, a.tilt)
                for a in actors
            ]
            text = caption(seen, place, night)
            names = [with_article(a.kind) for a in sorted(seen, key=lambda a: a.x)]
            objects = " and ".join(names) or "nothing"
            where = caption([], place, night).removeprefix("nothing ")
        images.append(image)
        items.append(
            {
                "caption": text,
                "objects": objects + ("" if objects.endswith(".") else "."),
                "where": where,
                "boxes": [[actor.kind, *_box_in_crop(actor)] for actor in seen],
            }
        )
    return np.stack(images), items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    blocks = arguments.images // PER_SCENERY
    images = np.lib.format.open_memmap(
        arguments.out / "images.npy", mode="w+", dtype=np.uint8, shape=(blocks * PER_SCENERY, SIDE, SIDE, 3)
    )
    with (
        ProcessPoolExecutor(arguments.workers) as pool,
        (arguments.out / "items.jsonl").open("w", encoding="utf-8") as file,
    ):
        seeds = range(arguments.first_seed, arguments.first_seed + blocks)
        for number, (block, items) in enumerate(pool.map(_block, seeds, chunksize=16)):
            images[number * PER_SCENERY : (number + 1) * PER_SCENERY] = block
            file.writelines(json.dumps(item) + "\n" for item in items)
    images.flush()


if __name__ == "__main__":
    main()
