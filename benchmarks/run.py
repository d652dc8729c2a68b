"""What users wait for, measured on the sample session: ``make benchmark``.

Machines are noisy, so each line gives the median of several runs and its ratio to one yardstick measured in the same run: a 1024 × 1024
matrix product in NumPy.
"""

import queue
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.narrations import choose_moments, narration_request
from napari_neurrator.backend.process import ProcessBackend
from napari_neurrator.config import FitConfig
from napari_neurrator.decoding import decoder_info
from napari_neurrator.recording import moments, open_recording, open_stimulus
from napari_neurrator.recording.sample import STIMULUS, make_sample
from timing import median_of

ROWS: list[tuple[str, float, str]] = []


def row(name: str, seconds: float, aim: str = "") -> None:
    ROWS.append((name, seconds, aim))
    print(f"  {name}: {seconds * 1e3:.1f} ms", flush=True)


def child_seconds(code: str, runs: int = 5) -> float:
    script = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(runs)
    ]
    return statistics.median(times)


def main() -> None:
    a = np.random.default_rng(0).normal(size=(1024, 1024))
    yardstick = median_of(lambda: a @ a)
    print(f"yardstick: a 1024 × 1024 matrix product takes {yardstick * 1e3:.1f} ms")
    file = make_sample()
    row("import napari_neurrator", child_seconds("import napari_neurrator"), "< 100 ms")
    row(
        "open the sample in a new process",
        child_seconds("from napari_neurrator import open_recording; open_recording('sample').spikes.load()"),
        "< 3 s",
    )
    row("open the sample again", median_of(lambda: open_recording(file).spikes.load(), 3))

    recording = open_recording(file)
    stimulus, name = open_stimulus(recording, STIMULUS)
    table = moments(recording, name, stimulus)
    row(
        "count one window of all units",
        median_of(lambda: recording.spikes.count(table["time"].to_numpy()[:1], 20, 1 / 120), 50),
    )
    row(
        "a film frame at random",
        median_of(lambda: stimulus.frame(int(np.random.default_rng().integers(stimulus.n_frames))), 60),
    )

    with tempfile.TemporaryDirectory() as folder:
        decoder = str(Path(folder) / "decoder")
        backend = ProcessBackend()
        try:
            began = time.perf_counter()
            events = run(
                backend,
                p.FitRequest(job_id="fit", config=FitConfig(recording="sample", stimulus=STIMULUS), out=decoder),
            )
            row("fit the sample", events[-1][0] - began, "< 180 s")
            narrations(backend, recording, stimulus, table, decoder)
        finally:
            backend.close()
    print("\n| what | time | × yardstick | aim |\n|---|---|---|---|")
    for what, seconds, aim in ROWS:
        shown = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
        print(f"| {what} | {shown} | {seconds / yardstick:.2f} | {aim} |")


def narrations(backend: ProcessBackend, recording, stimulus, table, decoder: str) -> None:
    info = decoder_info(decoder)
    held_out = choose_moments(table, info, None, held_out=True)
    visual = recording.select_units('region != "CA1"')
    rng = np.random.default_rng(0)
    waits: dict[str, list[float]] = {"concepts": [], "token": [], "done": []}
    for trial in range(13):
        # A new lasso on a new frame each time: nothing of the answer is known beforehand.
        units = [visual[i] for i in np.sort(rng.choice(len(visual), 60, replace=False))]
        began = time.perf_counter()
        moment = held_out.iloc[[int(rng.integers(len(held_out)))]]
        events = run(backend, narration_request(recording, stimulus, moment, info, decoder, units))
        if trial < 3:
            continue
        for kind in waits:
            waits[kind].append(next(at for at, event in events if event.kind == kind) - began)
    row("lasso of 60 units to its heatmaps", statistics.median(waits["concepts"]), "< 150 ms")
    row("lasso to the first word", statistics.median(waits["token"]), "< 1 s")
    row("lasso to sentence and evidence", statistics.median(waits["done"]))
    moment = held_out.iloc[:: len(held_out) // 64][:64]
    units = visual
    began = time.perf_counter()
    run(backend, narration_request(recording, stimulus, moment, info, decoder, units))
    row("a narration in a batch of 64, with evidence", (time.perf_counter() - began) / 64)


def run(backend: ProcessBackend, request: p.NarrationRequest | p.FitRequest) -> list[tuple[float, p.Event]]:
    events: queue.Queue = queue.Queue()
    backend.submit(request, lambda event: events.put((time.perf_counter(), event)))
    got: list[tuple[float, p.Event]] = []
    while not got or not isinstance(got[-1][1], p.Done | p.Failed | p.Cancelled):
        got.append(events.get(timeout=600))
    if isinstance(got[-1][1], p.Failed):
        raise SystemExit(got[-1][1].message)
    return got


if __name__ == "__main__":
    main()
