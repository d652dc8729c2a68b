"""The default decoder against the paper's network: training, a changed subset, memory; 2,000 units and grids of 576 × 1024.

The session is made up: what is measured is time and memory, not what is decoded. Its grids have a long tail of components, so that the
default decoder keeps as many as it may. Each film is a process of its own, so that its peak memory is its own; part of ``make benchmark``.
"""

import dataclasses
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from timing import median_of

UNITS, PATCHES, WIDTH, SHOWINGS, COMPONENTS = 2000, 576, 1024, 10, 300
SIZES = (2000, 1000, 300, 30)
# Factors of the shared noise that the default decoder keeps at most.
FACTORS = 16
FILMS = (900, 3600)
# The paper's own batch of 64 does not fit into small machines.
BATCH = 16


def peak_mb() -> float:
    """Return the largest memory that this process has held, MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage says on Linux begins with what the process held that started this one.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_grids(path: Path, course: np.ndarray) -> None:
    """Write the frames' grids, float16 (frame, patches, width)."""
    rng = np.random.default_rng(1)
    patterns = rng.normal(size=(PATCHES, COMPONENTS)).astype(np.float32)
    channels = rng.normal(size=(COMPONENTS, WIDTH)).astype(np.float32) / np.sqrt(COMPONENTS)
    grids = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(len(course), PATCHES, WIDTH))
    for place, components in enumerate(course):
        grids[place] = (patterns * components) @ channels
    grids.flush()


def film(n_frames: int) -> np.ndarray:
    """Return components that change slowly, (frame, component)."""
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.normal(size=(n_frames, COMPONENTS)), axis=0)
    steps = (steps - steps.mean(0)) / steps.std(0)
    return (steps / np.sqrt(1 + np.arange(COMPONENTS))).astype(np.float32)


def measure(n_frames: int, folder: Path) -> dict[str, float]:
    """Fit the default decoder to one film; time it, and the paper's network beside it."""
    import torch

    from napari_neurrator.config import WindowConfig
    from napari_neurrator.decoding.interface import TrainingData
    from napari_neurrator.decoding.subset import SubsetBayes

    course = film(n_frames)
    rng = np.random.default_rng(2)
    rate = 0.3 * np.exp(course @ rng.normal(size=(COMPONENTS, UNITS)).astype(np.float32) * 0.3)
    frames = np.tile(np.arange(n_frames), SHOWINGS)
    showing = np.repeat(np.arange(SHOWINGS), n_frames)
    # As fit_decoder counts them: in as many parts of the window as the decoder can use.
    n_bins = SubsetBayes.pooled_bins
    assert n_bins is not None
    windows = np.empty((len(frames), n_bins, UNITS), dtype=np.uint8)
    for start in range(0, len(frames), 256):
        part = slice(start, start + 256)
        for bin_ in range(n_bins):
            windows[part, bin_] = rng.poisson(rate[frames[part]] / n_bins)
    data = TrainingData(
        windows=windows,
        frames=frames,
        grids=np.load(folder / "grids.npy", mmap_mode="r"),
        train=np.flatnonzero(showing < 6),
        validation=np.flatnonzero((showing >= 6) & (showing < 8)),
        groups=showing,
        unit_ids=list(range(UNITS)),
        window=WindowConfig(n_bins=n_bins, bin_s=1 / 24),
    )
    before = peak_mb()
    began = time.perf_counter()
    decoder = SubsetBayes.fit(data)
    fitted = time.perf_counter() - began
    result = {
        "frames": n_frames,
        "fit_s": fitted,
        "windows_s": (len(data.train) + len(data.validation)) / fitted,
        "before_mb": before,
        "peak_mb": peak_mb(),
    }
    decoder.window = WindowConfig()
    long = np.repeat(windows[:1], 5, axis=1)

    def changed(asked: SubsetBayes, size: int) -> Callable[[], object]:
        # As the network's, the windows are there beforehand; more subsets than a decoder remembers.
        subsets = [rng.choice(UNITS, size, replace=False) for _ in range(12)]
        questions = itertools.cycle([(np.ascontiguousarray(long[:, :, units]), units.tolist()) for units in subsets])
        return lambda: asked.predict(*next(questions))

    if n_frames == FILMS[0]:
        paper, kinds = _Paper(torch), {"fitted": decoder, "largest": largest(decoder)}
        threads = torch.get_num_threads()
        for n_threads in sorted({1, threads}):
            torch.set_num_threads(n_threads)
            # In turns, because other work on the machine comes and goes.
            rounds = []
            for _ in range(7):
                times = {"paper": 1e3 * median_of(paper.decode, 3)}
                times |= {
                    f"{kind}_{n}": 1e3 * median_of(changed(one, n), 9) for kind, one in kinds.items() for n in SIZES
                }
                rounds.append(times)
            for name in rounds[0]:
                result[f"ms_{n_threads}_{name}"] = statistics.median(one[name] for one in rounds)
        result |= {
            "threads": threads,
            "known": float(decoder.mixing.weights[-1, 0]),
            "regressed": float(decoder.mixing.weights[-1, 1]),
            "factors": decoder.posterior.loadings.shape[1],
        }
        result["paper_windows_s"] = BATCH / paper.step_seconds()
    return result


def largest(decoder):
    """Return the decoder as slow as one of its size can be: all estimates are asked, and the units' noise has as many factors as may be kept."""
    import torch

    from napari_neurrator.decoding.bayes import SubsetPosterior
    from napari_neurrator.decoding.mixing import Mixing
    from napari_neurrator.decoding.network import LatentNetwork

    old = decoder.posterior
    shared = 0.3 * torch.randn(len(old.noise), FACTORS) * old.noise.sqrt()[:, None]
    posterior = SubsetPosterior(old.means, old.grand_mean, shared, old.noise, old.sharpness.detach(), old.log_prior)
    return type(decoder)(
        posterior,
        dataclasses.replace(decoder.latent, shared=shared),
        LatentNetwork(len(decoder.latent.loadings), decoder.basis.coefficients.shape[1]).eval().requires_grad_(False),
        decoder.basis,
        Mixing(decoder.mixing.sizes, np.full_like(decoder.mixing.weights, 0.5), decoder.mixing.flattening),
        decoder.blocks,
        decoder.unit_ids,
        decoder.window,
    )


class _Paper:
    """The paper's network on the same data: one window decoded, one step of training."""

    def __init__(self, torch) -> None:
        from napari_neurrator.decoding.baselines.paper import PaperOptions, patch_loss
        from napari_neurrator.decoding.baselines.paper_network import PatchNetwork

        self.torch, self.loss = torch, patch_loss
        self.network = PatchNetwork(UNITS, PATCHES, WIDTH, PaperOptions()).eval()
        self.spikes = torch.randn(BATCH, 20, UNITS)

    def decode(self) -> None:
        with self.torch.inference_mode():
            self.network(self.spikes[:1])

    def step_seconds(self) -> float:
        """Return the time of one step of training on a batch, the faster of two."""
        network = self.network.train()
        optimizer = self.torch.optim.AdamW(network.parameters(), 3e-4)
        true = self.torch.randn(BATCH, PATCHES, WIDTH)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            optimizer.zero_grad()
            self.loss(network(self.spikes), true).backward()
            optimizer.step()
            times.append(time.perf_counter() - began)
        return min(times[1:])


def main() -> None:
    """Measure each film and print the tables."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for n_frames in FILMS:
            write_grids(Path(folder) / "grids.npy", film(n_frames))
            command = [sys.executable, __file__, str(n_frames), folder]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append(json.loads(out.splitlines()[-1]))
    short = results[0]
    print(f"\n| {UNITS} units, grids of {PATCHES} × {WIDTH} | the paper's network | default decoder | ratio | aim |")
    print("|---|---|---|---|---|")
    print(
        f"| training, windows a second (of the network, one pass of its sixty) | {short['paper_windows_s']:.1f} | {short['windows_s']:.0f} "
        f"| {short['windows_s'] / short['paper_windows_s']:.0f} | ≥ 50 |"
    )
    print(
        f"\nAs fitted: weights {short['known']:.2f} and {short['regressed']:.2f} of the two estimates with all units, {short['factors']:.0f} factors of shared "
        f"noise. At its largest: both and the network, {FACTORS} factors."
    )
    print("\n| threads | units | the paper's network | as fitted | ratio | at its largest | ratio | aim |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in sorted({1, int(short["threads"])}, reverse=True):
        for size in SIZES:
            paper = short[f"ms_{threads}_paper"]
            fitted, costly = (short[f"ms_{threads}_{kind}_{size}"] for kind in ("fitted", "largest"))
            print(
                f"| {threads} | {size} | {paper:.1f} ms | {fitted:.1f} ms | {paper / fitted:.1f} | {costly:.1f} ms | {paper / costly:.1f} | ≥ 10 |"
            )
    print("\n| frames of the film | their grids | fit | peak memory | of it before the fit |\n|---|---|---|---|---|")
    for one in results:
        size = one["frames"] * PATCHES * WIDTH * 2 / 1e9
        print(
            f"| {one['frames']} | {size:.1f} GB | {one['fit_s']:.0f} s | {one['peak_mb']:.0f} MB | {one['before_mb']:.0f} MB |"
        )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))
    else:
        main()
