"""Encoding a patch grid with a large dictionary, against the bare matrix product: ``python benchmarks/dictionary.py``.

Machines are noisy, so encoder and product take turns and the ratio is what counts. Memory is what the process grew by at most while it encoded (its
resident size, read from the system a thousand times a second in a child process of its own), beyond weights and input.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from napari_neurrator.concepts.sae import Activation, SparseAutoencoder

KINDS = ("top-k", "threshold", "gated", "batch top-k")


def activation(kind: str, n: int, k: int) -> Activation:
    # Pre-activations are normal with deviation 1: above 3.4 lie as many as k of 65,536.
    cut = float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - k / n, dtype=torch.float64)))
    return {
        "top-k": Activation("topk", k=k),
        "threshold": Activation("threshold", threshold=torch.full((n,), cut)),
        "gated": Activation("gated", gate_scale=torch.full((n,), 1.5), gate_bias=torch.zeros(n)),
        "batch top-k": Activation("batch_topk", k=k),
    }[kind]


def made(kind: str, width: int, n: int, k: int) -> SparseAutoencoder:
    encoder = torch.randn(width, n).div_(width**0.5)
    latent = torch.zeros(n)
    how = activation(kind, n, k)
    if kind == "gated":
        # The gate opens as seldom as the threshold.
        latent -= float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - k / n, dtype=torch.float64)))
    # The decoder is not asked here.
    return SparseAutoencoder(encoder, torch.empty(0, width), latent, None, torch.zeros(width), how)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak_of(work) -> float:
    """Return by how many MB the process grew at most during some work."""
    before, highest, over = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.is_set():
            highest = max(highest, resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    over.set()
    watcher.join()
    return (max(highest, resident()) - before) / 1e6


def child(kind: str, options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    sae = made(kind, options.width, options.features, options.k)
    x = torch.randn(1, options.patches, options.width)
    # The library's own buffers and threads are there before.
    x[0, :8] @ sae.encoder[:, :256].contiguous()
    memory = peak_of(lambda: sae.encode(x))
    encoding, product = [], []
    for _ in range(options.runs):
        began = time.perf_counter()
        x[0] @ sae.encoder
        product.append(time.perf_counter() - began)
        began = time.perf_counter()
        active = sae.encode(x)
        encoding.append(time.perf_counter() - began)
    ratios = sorted(a / b for a, b in zip(encoding, product, strict=True))
    print(json.dumps({
        "product": statistics.median(product), "encoding": statistics.median(encoding), "ratio": statistics.median(ratios),
        "low": ratios[0], "high": ratios[-1], "memory": memory, "l0": active.l0,
    }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=576)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--kind", choices=KINDS)
    options = parser.parse_args()
    if options.kind:
        child(options.kind, options)
        return
    size = 2 * options.patches * options.width * options.features / 1e9
    dense = options.patches * options.features * 4 / 1e6
    print(
        f"{options.patches} × {options.width} patches, {options.features} features: {size:.0f} GFLOP; the dense table would be {dense:.0f} MB"
    )
    print(
        "\n| activation | active a patch | matrix product | encoding | ratio (range) | peak extra memory |\n|---|---|---|---|---|---|"
    )
    shape = [f"--{name}={getattr(options, name)}" for name in ("patches", "width", "features", "k", "runs")]
    for kind in KINDS:
        run = subprocess.run(
            [sys.executable, __file__, "--kind", kind, *shape], check=True, capture_output=True, text=True
        )
        r = json.loads(run.stdout)
        print(
            f"| {kind} | {r['l0']:.1f} | {r['product']:.2f} s | {r['encoding']:.2f} s | {r['ratio']:.2f} ({r['low']:.2f}–{r['high']:.2f}) | {r['memory']:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
