"""What runs on a GPU, at the true shapes: the paper's network, the vision tower, a large dictionary; ``benchmarks/language.py`` has the language model.

    python benchmarks/gpu.py

Weights and spikes are random: what is measured is time. Where there is no GPU it says so and measures nothing.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from decoders import PATCHES, UNITS, WIDTH
from dictionary import KINDS, made
from vision import LARGE, make_profile, one_frame

BATCH = 64
FEATURES, ACTIVE = 65_536, 20


def seconds(work: Callable[[], object], rounds: int = 20) -> float:
    """Return the median time of some work on the GPU, after three rounds that do not count."""
    times = []
    for _ in range(3 + rounds):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def network() -> tuple[float, float, float]:
    """Return the time of a step of training of the paper's network, of one window decoded, and the memory of the steps in GB."""
    from napari_neurrator.decoding.baselines.paper import PaperOptions, patch_loss
    from napari_neurrator.decoding.baselines.paper_network import PatchNetwork

    net = PatchNetwork(UNITS, PATCHES, WIDTH, PaperOptions()).cuda().train()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-4)
    spikes = torch.randn(BATCH, 20, UNITS, device="cuda")
    true = torch.randn(BATCH, PATCHES, WIDTH, device="cuda")

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            decoded = net(spikes)
        patch_loss(decoded.float(), true).backward()
        optimizer.step()

    torch.cuda.reset_peak_memory_stats()
    trained = seconds(step)
    memory = torch.cuda.max_memory_allocated() / 1e9
    net.eval()
    with torch.inference_mode():
        return trained, seconds(lambda: net(spikes[:1])), memory


def main() -> None:
    """Print the table."""
    if not torch.cuda.is_available():
        print("No GPU is at hand: nothing was measured.")
        return
    torch.manual_seed(0)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n\n| what | figure |\n|---|---|")
    step, one, memory = network()
    shape = f"{UNITS} units, grids of {PATCHES} × {WIDTH}"
    print(
        f"| the paper's network, {shape}: training in bfloat16, batches of {BATCH} | {BATCH / step:.0f} windows/s ({memory:.1f} GB) |"
    )
    print(f"| the same, one window decoded in float32, spikes on the GPU already | {one * 1e3:.1f} ms |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        profile = make_profile(Path(folder), LARGE)
        frames = np.random.default_rng(0).integers(0, 256, (64, 304, 608, 3), dtype=np.uint8)
        each, prepared, _ = one_frame(profile, frames)
    print(f"| one frame through ViT-L/14-336 to its penultimate layer, 64 at a time | {each * 1e3:.1f} ms |")
    print(f"| of it preparing the frame on the processor | {prepared * 1e3:.1f} ms |", flush=True)
    for kind in KINDS:
        sae = made(kind, WIDTH, FEATURES, ACTIVE).to("cuda")
        grid = torch.randn(1, PATCHES, WIDTH, device="cuda")
        took = seconds(lambda sae=sae, grid=grid: sae.encode(grid))  # type: ignore[misc]
        bare = seconds(lambda sae=sae, grid=grid: grid[0] @ sae.encoder)  # type: ignore[misc]
        print(
            f"| a grid in {FEATURES} features, {kind} (the bare matrix product) | {took * 1e3:.1f} ms ({bare * 1e3:.1f} ms) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
