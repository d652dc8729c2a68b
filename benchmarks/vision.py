"""Embedding a movie: is it resumed after a kill, how long does a frame take, and what do rows of the cache cost: part of ``make benchmark``.

The tower has the true shape of CLIP ViT-L/14-336 and random weights, which serve for speed. As 900 frames of it take an hour on two cores,
the kill is tried with a small tower on all 900; ``--full`` does it with the large one.
"""

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

FRAMES, HEIGHT, WIDTH = 900, 304, 608
LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
SMALL = {
    "hidden_size": 1024,
    "intermediate_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "image_size": 112,
    "patch_size": 14,
}
PROFILE = """name = "benchmark"
description = ""
[vision]
model = "clip"
[language]
model = "none"
prompt = "{image}{question}"
question = "?"
"""


def make_profile(folder: Path, shape: dict) -> Path:
    """Write a profile with a random tower."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(hidden_act="quick_gelu", **shape)).save_pretrained(folder / "clip")
    own = {
        "size": {"shortest_edge": 336},
        "crop_size": {"height": 336, "width": 336},
        "image_processor_type": "CLIPImageProcessor",
    }
    (folder / "clip" / "preprocessor_config.json").write_text(json.dumps(own))
    (folder / "profile.toml").write_text(PROFILE)
    return folder


def embed(profile: str, movie: str) -> None:
    """Fill the cache, printing what is done: what the child process runs."""
    from napari_neurrator.profiles import load_profile
    from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
    from napari_neurrator.vision.cache import patch_grids
    from napari_neurrator.vision.tower import VisionTower

    frames, whole = 0, VisionTower.grids

    def counting(self, batch):
        nonlocal frames
        frames += len(batch)
        return whole(self, batch)

    VisionTower.grids = counting  # type: ignore[method-assign]
    patch_grids(
        ArrayStimulus.from_npy(movie), np.arange(FRAMES), load_profile(profile), lambda *said: print(*said, flush=True)
    )
    print(f"frames {frames}", flush=True)


def resumed(profile: Path, movie: Path) -> tuple[int, int]:
    """Kill a process that embeds the movie half-way; return the chunks that it had finished, and those that the next one worked out."""
    command = [sys.executable, __file__, "--embed", str(profile), str(movie)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    for line in first.stdout:
        *stage, done, total = line.split()
        if stage[:1] == ["looking"] and int(done) >= int(total) // 2:
            break
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (made,) = (Path(os.environ["NEURRATOR_CACHE"]) / "patches").iterdir()
    lines = (made / "finished.jsonl").read_bytes().splitlines()
    chunk = json.loads((made / "grids.zarr" / ".zarray").read_text())["chunks"][0]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return len(lines), math.ceil(int(out.split("frames ")[-1]) / chunk)


def one_frame(profile: Path, frames: np.ndarray) -> tuple[float, float, str]:
    """Return the time of a frame, that of preparing it, and where it ran."""
    import torch

    from napari_neurrator.profiles import load_profile
    from napari_neurrator.vision.devices import usable_device
    from napari_neurrator.vision.tower import VisionTower

    device = usable_device()
    tower = VisionTower(load_profile(str(profile)), device)
    tower.grids(frames[:1])
    each = statistics.median(seconds(lambda: tower.grids(frames).cpu()) / len(frames) for _ in range(3))
    prepared = statistics.median(seconds(lambda: tower.pixels(frames)) / len(frames) for _ in range(3))
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {torch.get_num_threads()} threads"
    )
    return each, prepared, where


def rows_against_memmap(folder: Path, patches: int, width: int, n: int) -> tuple[float, float]:
    """Return the time of reading rows, in order and at random, as a ratio to np.memmap's; the files are in the system's cache for both."""
    from napari_neurrator.vision.grid_store import GridStore

    rng = np.random.default_rng(0)
    grid = rng.normal(size=(patches, width)).astype(np.float16)
    store = GridStore(folder / f"{patches}x{width}", (n, patches, width), {})
    mapped = np.lib.format.open_memmap(
        folder / f"{patches}x{width}.npy", mode="w+", dtype=np.float16, shape=(n, patches, width)
    )
    with store.filling():
        for chunk in store.chunks_of(np.arange(n)):
            frames = store.frames_of(int(chunk))
            store.write(int(chunk), np.stack([grid + number for number in frames]))
            mapped[frames] = np.stack([grid + number for number in frames])
    mapped.flush()
    table = store.table(np.arange(n))
    plain = np.load(folder / f"{patches}x{width}.npy", mmap_mode="r")
    orders = [np.arange(n), rng.permutation(n)]

    def read(source, order: np.ndarray) -> Callable[[], None]:
        def work() -> None:
            for start in range(0, n, 8):
                np.asarray(source[order[start : start + 8]], dtype=np.float32).sum()

        return work

    ratios = []
    for order in orders:
        turns = [(seconds(read(table, order)), seconds(read(plain, order))) for _ in range(5)]
        ratios.append(statistics.median(ours / theirs for ours, theirs in turns))
    return ratios[0], ratios[1]


def seconds(work: Callable[[], object]) -> float:
    """Return the time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embed", nargs=2, metavar=("PROFILE", "MOVIE"))
    parser.add_argument("--full", action="store_true", help="kill and resume with the large tower")
    arguments = parser.parse_args()
    if arguments.embed:
        embed(*arguments.embed)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NEURRATOR_CACHE"] = str(folder / "cache")
        movie = np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
        np.save(folder / "movie.npy", movie)
        print("| what | figure |\n|---|---|")
        large, small = make_profile(folder / "large", LARGE), make_profile(folder / "small", SMALL)
        before, after = resumed(large if arguments.full else small, folder / "movie.npy")
        print(
            f"| chunks finished before kill -9 / worked out by the next run, of a movie of {FRAMES} frames | {before} / {after} |",
            flush=True,
        )
        each, prepared, where = one_frame(large, np.repeat(movie[:2, :, :, None], 3, axis=3))
        print(f"| one frame through ViT-L/14-336 to its penultimate layer, float32, {where} | {each:.3f} s |")
        print(f"| of it preparing the frame | {prepared * 1e3:.1f} ms |", flush=True)
        for patches, width, n in ((576, 1024, 200), (144, 160, 900)):
            forward, shuffled = rows_against_memmap(folder, patches, width, n)
            print(
                f"| reading rows of {patches} × {width}, 8 at a time, in order / at random: time as a ratio to np.memmap | {forward:.2f} / {shuffled:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
