"""What the backend costs and brings: part of ``make benchmark``.

* how long the window's event loop is held up while a narration runs in the backend's processes, in a thread of the window, and not at all;
* what the protocol adds to a job;
* what narrating 32 requests side by side brings;
* two replicas on Ray Serve, where Ray is installed.
"""

import argparse
import importlib.util
import os
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.client import HttpBackend
from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.backend.process import ProcessBackend
from napari_neurrator.config import FitConfig

TOKEN = "a-token-for-the-benchmark"
REQUESTS = 32
ROWS: list[tuple[str, str, str]] = []


def row(what: str, value: str, aim: str = "") -> None:
    ROWS.append((what, value, aim))
    print(f"  {what}: {value}", flush=True)


def main() -> None:
    """Measure all, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["gap", "overhead", "batch", "ray"])
    parser.add_argument("--sample", help="the sample's file; made by default")
    parser.add_argument("--decoder", help="folder of a decoder fitted on the sample; fitted by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        decoder = options.decoder or str(Path(folder) / "decoder")
        make = requests_from(options.sample or "sample", decoder)
        for what in options.what:
            {"gap": gaps, "overhead": overhead, "batch": batching, "ray": replicas}[what](make)
    print("\n| what | measured | aim |\n|---|---|---|")
    for line in ROWS:
        print(f"| {' | '.join(line)} |")


def requests_from(source: str, decoder: str) -> Callable[..., p.NarrationRequest]:
    """Return a function that makes requests for held-out moments of the sample, each with units of its own."""
    from napari_neurrator.backend.fitting import fit_decoder
    from napari_neurrator.backend.narrations import choose_moments, narration_request
    from napari_neurrator.decoding import decoder_info
    from napari_neurrator.recording import moments, open_recording, open_stimulus
    from napari_neurrator.recording.sample import STIMULUS

    if not Path(decoder).is_dir():
        fit_decoder(FitConfig(recording=source, stimulus=STIMULUS), decoder)
    recording = open_recording(source)
    stimulus, name = open_stimulus(recording, STIMULUS)
    info = decoder_info(decoder)
    held_out = choose_moments(moments(recording, name, stimulus), info, None, held_out=True)
    visual = recording.select_units('region != "CA1"')

    def make(number: int, n: int = 1, **changes: Any) -> p.NarrationRequest:
        rng = np.random.default_rng(number)
        chosen = held_out.iloc[np.sort(rng.choice(len(held_out), n, replace=False))]
        units = [visual[i] for i in np.sort(rng.choice(len(visual), min(40, len(visual)), replace=False))]
        request = narration_request(recording, stimulus, chosen, info, decoder, units)
        return request.model_copy(update=changes)

    return make


def run(backend: Any, *requests: p.NarrationRequest) -> float:
    """Submit requests at once and return how long the last took to end, seconds."""
    events: queue.Queue[p.Event] = queue.Queue()
    began = time.perf_counter()
    for request in requests:
        backend.submit(request, events.put)
    left = len(requests)
    while left:
        event = events.get(timeout=600)
        if isinstance(event, p.Failed):
            raise SystemExit(event.message)
        left -= isinstance(event, p.Done | p.Cancelled)
    return time.perf_counter() - began


# -- the window's event loop ----------------------------------------------------------------------------------------------------------
def gaps(make: Callable[..., p.NarrationRequest]) -> None:
    """Measure how long a timer of 5 ms is held up, in turns: idle, with the backend's processes, with a thread of the window."""
    apart, inside = ProcessBackend(), InProcessBackend()
    try:
        for backend in (apart, inside):
            run(backend, make(0, 4))
        found: dict[str, list[float]] = {"idle": [], "processes": [], "thread": []}
        for turn in range(4):
            for name, one in (("idle", None), ("processes", apart), ("thread", inside)):
                found[name] += beats(one, make, turn)
    finally:
        apart.close()
        inside.close()
    middle = {name: statistics.median(values) for name, values in found.items()}
    late = {name: float(np.quantile(values, 0.95)) for name, values in found.items()}
    for name, words in (
        ("idle", "nothing runs"),
        ("processes", "a narration runs in the backend's processes"),
        ("thread", "in a thread of the window"),
    ):
        ratio = f"; {middle[name] / middle['idle']:.2f} × and {late[name] / late['idle']:.2f} × idle"
        aim = "≤ 1.5 × idle" if name == "processes" else ""
        row(
            f"event loop, {words}: median and p95 between two beats of a 5 ms timer",
            f"{1e3 * middle[name]:.1f} and {1e3 * late[name]:.1f} ms" + ("" if name == "idle" else ratio),
            aim,
        )


def beats(backend: Any, make: Callable[..., p.NarrationRequest], turn: int, seconds: float = 5.0) -> list[float]:
    """Return the times between beats of a Qt timer, while narrations follow one another."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from qtpy.QtCore import QEventLoop, Qt, QTimer
    from qtpy.QtWidgets import QApplication

    from napari_neurrator.gui.threads import MainThread

    application = QApplication.instance() or QApplication([])
    main, loop, times = MainThread(), QEventLoop(), []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: times.append(time.perf_counter()))
    number = [1000 * turn]
    current = [""]

    def deliver(event: p.Event) -> None:
        if isinstance(event, p.Done):
            main.post(start)
        else:
            main.post(lambda: None)

    def start() -> None:
        number[0] += 1
        request = make(number[0], 4)
        current[0] = request.job_id
        backend.submit(request, deliver)

    if backend is not None:
        start()
    timer.start(5)
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    timer.stop()
    main.close()
    if backend is not None:
        backend.cancel(current[0])
        time.sleep(0.5)
    assert application is not None
    return np.diff(times).tolist()


# -- the protocol ---------------------------------------------------------------------------------------------------------------------
def overhead(make: Callable[..., p.NarrationRequest]) -> None:
    """Measure what a job takes beyond the model's work: one whose work is next to nothing, in turns with the same within this process."""
    backend, here = ProcessBackend(), InProcessBackend()
    try:
        for one in (backend, here):
            run(one, make(0), make(1))
        for what, changes in (("with its frame", {}), ("without frames", {"frames": None})):
            took: dict[str, list[float]] = {"there": [], "here": []}
            for number in range(60):
                request = make(number % 7, want=["concepts"], n_concepts=0, **changes)
                for name, one in (("there", backend), ("here", here)):
                    took[name].append(run(one, request.model_copy(update={"job_id": f"{name}{number}"})))
            there, at_home = (statistics.median(took[name]) for name in ("there", "here"))
            size = len(request.model_dump_json()) / 1024
            row(
                f"a job of one moment {what} ({size:.0f} KiB) through the local protocol, beyond the same in this process (median of 60)",
                f"{1e3 * (there - at_home):.1f} ms ({1e3 * there:.1f} − {1e3 * at_home:.1f})",
                "≤ 5 ms",
            )
    finally:
        backend.close()
        here.close()


# -- groups ---------------------------------------------------------------------------------------------------------------------------
@contextmanager
def served(*options: str) -> Iterator[HttpBackend]:
    """Run ``neurrator serve`` and yield its client."""
    script = "from napari_neurrator.cli import main; main()"
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", script, "serve", "--port", "0", "--store", store, "--rate", "10000", *options]
        environment = {**os.environ, "NEURRATOR_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert server.stdout is not None
        found = re.search(r"http://[^ ]+", server.stdout.readline())
        if found is None:
            raise SystemExit("The server did not start.")
        client = HttpBackend(found[0], TOKEN, patience_s=600, quiet_s=120)
        try:
            yield client
        finally:
            client.close()
            server.terminate()
            server.wait(60)


def batching(make: Callable[..., p.NarrationRequest]) -> None:
    """Compare 32 requests that wait together with the same 32 one after another, on one server."""
    with served() as client:
        row(*compared("32 requests side by side, against one after another", client, make), "≥ 3 ×")


def compared(what: str, client: HttpBackend, make: Callable[..., p.NarrationRequest]) -> tuple[str, str]:
    """Return how much faster requests are together, the median of three rounds in turns."""
    for number in range(3):
        run(client, make(number))
    rounds = []
    for turn in range(3):
        requests = [make(100 * (turn + 1) + number, want=["text", "concepts"]) for number in range(REQUESTS)]
        alone = sum(
            run(client, request.model_copy(update={"job_id": f"a{request.job_id[:30]}"})) for request in requests
        )
        rounds.append((alone, behind(client, make(turn, prompt="What is shown?", want=["text"]), requests)))
    alone, together = (statistics.median(one[i] for one in rounds) for i in (0, 1))
    ratio = statistics.median(a / b for a, b in rounds)
    return what, f"{ratio:.1f} × ({REQUESTS / together:.1f} against {REQUESTS / alone:.1f} narrations a second)"


def behind(client: HttpBackend, first: p.NarrationRequest, requests: list[p.NarrationRequest]) -> float:
    """Return how long requests take that wait until another one has ended, seconds from then."""
    ends: queue.Queue[tuple[str, float]] = queue.Queue()

    def listen(event: p.Event) -> None:
        if isinstance(event, p.Failed):
            raise SystemExit(event.message)
        if isinstance(event, p.Done):
            ends.put((event.job_id, time.perf_counter()))

    for request in (first, first.model_copy(update={"job_id": f"b{first.job_id[:30]}", "max_new_tokens": 59})):
        client.submit(request, listen)
    time.sleep(0.01)
    for request in requests:
        client.submit(request, listen)
    at = dict(ends.get(timeout=600) for _ in range(len(requests) + 2))
    return max(at[request.job_id] for request in requests) - max(
        when for job, when in at.items() if job not in {request.job_id for request in requests}
    )


def replicas(make: Callable[..., p.NarrationRequest]) -> None:
    """State the throughput of two replicas on Ray Serve beside that of one process, for 64 requests at once."""
    if importlib.util.find_spec("ray") is None:
        row("two replicas on Ray Serve", "not measured: Ray is not installed")
        return
    rates = {}
    for name, options in (("one process", ()), ("two replicas on Ray Serve", ("--engine", "ray", "--replicas", "2"))):
        with served(*options, "--batch", "16") as client:
            for number in range(4):
                run(client, make(number), make(number + 10))
            requests = [make(500 + number, want=["text", "concepts"]) for number in range(2 * REQUESTS)]
            rates[name] = len(requests) / run(client, *requests)
    one, two = rates.values()
    row(
        "two replicas on Ray Serve, 64 requests at once in groups of 16",
        f"{two:.1f} narrations a second (one process: {one:.1f})",
    )


if __name__ == "__main__":
    main()
