"""How fast the window selects thousands of units, and how many frames it drops while the film plays: part of ``make benchmark``.

The models are left out: what they would have said is made up beforehand, so that only the window is measured. Drawing is measured apart from the program's own
share, for without a GPU most of the time goes into drawing.
"""

import argparse
import os
import statistics
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

UNITS, LASSOS, PLAY_S = 5_000, 15, 10.0
SAID = (
    "a red ball rolls over a green hill on a sunny day",
    "a cow stands on a meadow beside a wooden fence",
    "a butterfly and a cloud",
)


def large_recording(n: int) -> Any:
    """Return a recording of many units on six probes, each with a little noise for spikes."""
    from napari_neurrator.recording import Recording
    from napari_neurrator.recording.spikes import SpikeTrains
    from napari_neurrator.recording.trains_sorting import TrainsSorting

    rng = np.random.default_rng(0)
    ids = list(range(n))
    trains = SpikeTrains(ids, [np.sort(rng.uniform(0, 40, 80)) for _ in ids])
    units = pd.DataFrame(
        {
            "x_um": rng.choice([11.0, 27.0, 43.0, 59.0], n),
            "y_um": rng.uniform(0, 3840, n),
            "probe": [f"probe{'ABCDEF'[i % 6]}" for i in ids],
            "region": rng.choice(["VISp", "VISl", "LGd", "CA1", "LP", "VISam"], n),
        },
        index=pd.Index(ids, name="unit_id"),
    )
    start = np.arange(900) / 30
    shown = pd.DataFrame(
        {"stimulus": "natural_movie_one", "start_time": start, "stop_time": start + 1 / 30, "frame": np.arange(900)}
    )
    return Recording.from_sorting(TrainsSorting(trains), shown, units, name="many units", source="many", spikes=trains)


def select(workspace: Any) -> tuple[int, list[float], list[float]]:
    """Lasso most of the units; return how many, and the program's own milliseconds and those until all is drawn."""
    from napari_neurrator.gui import mouse

    at = workspace.layers.positions
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    own, drawn = [], []
    for k in range(LASSOS):
        reach = np.ptp(at, axis=0) * (0.60 - 0.02 * (k % 5))
        polygon = at.mean(axis=0) + np.column_stack([np.sin(angle), np.cos(angle)]) * reach
        cpu, began = time.thread_time(), time.perf_counter()
        workspace.lasso.select_inside(polygon, "replace")
        own.append(1e3 * (time.thread_time() - cpu))
        mouse.settle(0)
        drawn.append(1e3 * (time.perf_counter() - began))
        mouse.settle(100)
    return len(workspace.session.selected), own[2:], drawn[2:]


def fill(session: Any, every: int = 3) -> None:
    """Put made-up sentences and maps of the whole showing into the session."""
    from napari_neurrator.evaluation.evidence import Evidence
    from napari_neurrator.gui.findings import ConceptMap, Result, ResultKey

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    evidence = Evidence(patch_cosine=0.6, prior_cosine=0.4, gain=0.2, usual=0.0, p=0.01, least=0.005)
    for frame in range(0, session.stimulus.n_frames, every):
        row = session.moments.row(frame, session.repeat)
        heat = np.exp(-((y - 6 - 4 * np.sin(frame / 40)) ** 2 + (x - 6 - 4 * np.cos(frame / 40)) ** 2) / 8)
        maps = tuple(
            ConceptMap(k, name, float(5 + rng.normal()), (heat * (5 + np.sin(frame / 30))).astype(np.float32))
            for k, name in enumerate(("ball", "hill", "sky"))
        )
        key = ResultKey(session.decoder_folder, "", row, session.selected)
        told = frame % 30 == 0
        session.results[key] = Result(
            key, frame, session.repeat, len(session.selected), text=SAID[frame // 60 % len(SAID)] if told else "", spoken=told, finished=told,
            concepts=maps, cosine=heat.astype(np.float32), mean_cosine=0.6, prior_cosine=0.4, held_out=True, evidence=evidence,
        )  # fmt: skip
    session.results_grew.emit()


def dismiss_notifications() -> None:
    """Close what napari says in the corner of the canvas: it fades by itself, but not while the mouse of a virtual screen happens to rest on it."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    from napari_neurrator.gui import mouse

    for notification in list(NapariQtNotification._instances):
        print(f"(dismissed: {notification.message.text()})")
        notification.close()
    mouse.settle(300)


def play(workspace: Any, viewer: Any) -> dict[str, float]:
    """Play for some seconds; return frames due and drawn, and milliseconds of the program's own share of a step and of drawing one frame."""
    from napari_neurrator.gui import compat, mouse

    session, player = workspace.session, workspace.player
    seen: set[int] = set()
    own: list[float] = []
    move = player._move

    def moving(frame: int) -> None:
        cpu = time.thread_time()
        move(frame)
        own.append(1e3 * (time.thread_time() - cpu))

    canvas: Any = compat.native_canvas(viewer)
    paint = canvas.paintGL

    def painting() -> None:
        paint()
        seen.add(session.frame)

    player._move, canvas.paintGL = moving, painting
    session.frame = 0
    mouse.settle(300)
    seen.clear()
    session.loop, session.playing = False, True
    began = time.perf_counter()
    mouse.settle(int(1000 * PLAY_S))
    took = time.perf_counter() - began
    session.playing = False
    player._move, canvas.paintGL = move, paint
    due = round(took * 30)
    return {"due": due, "drawn": min(due, len(seen)), "own": statistics.median(own), "skipped": player.skipped}


def napari_alone(width: int, height: int) -> dict[str, Any]:
    """Play the same film in a napari window that holds nothing else; the yardstick of what a window can do on this machine."""
    import napari
    from qtpy.QtCore import Qt, QTimer

    from napari_neurrator.gui import compat, mouse
    from napari_neurrator.gui.frames import Frames
    from napari_neurrator.recording import open_recording, open_stimulus
    from napari_neurrator.recording.sample import STIMULUS

    stimulus, _ = open_stimulus(open_recording("sample"), STIMULUS)
    viewer = napari.Viewer()
    compat.qt_window(viewer).resize(width, height)  # type: ignore[union-attr]
    viewer.add_image(Frames(stimulus), rgb=True)
    mouse.settle(2000)
    canvas: Any = compat.native_canvas(viewer)
    paint = canvas.paintGL
    seen: set[int] = set()
    own: list[float] = []

    def painting() -> None:
        paint()
        seen.add(compat.frame_of(viewer))

    def step() -> None:
        cpu = time.thread_time()
        viewer.dims.set_current_step(0, int((time.perf_counter() - began) * 30) % stimulus.n_frames)
        own.append(1e3 * (time.thread_time() - cpu))

    canvas.paintGL = painting
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(step)
    began = time.perf_counter()
    timer.start(33)
    mouse.settle(int(1000 * PLAY_S))
    took = time.perf_counter() - began
    timer.stop()
    size = canvas.width(), canvas.height()
    canvas.paintGL = paint
    viewer.close()
    due = round(took * 30)
    return {"due": due, "drawn": min(due, len(seen)), "own": statistics.median(own), "size": size}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x800", help="of the window")
    parser.add_argument("--no-spikes", action="store_true", help="leave raster and rate out")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    from napari_neurrator.config import WindowConfig
    from napari_neurrator.gui import compat, mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace

    viewer = launch()
    workspace = Workspace.of(viewer)
    session = workspace.session
    compat.qt_window(viewer).resize(width, height)  # type: ignore[union-attr]
    session.live = False

    def wait() -> None:
        while session.recording is None or session.job.busy or not session.spikes_ready:
            mouse.settle(20)
        mouse.settle(1500)
        workspace.layers.look()
        mouse.settle(500)

    try:
        workspace.open(large_recording(UNITS))
        wait()
        n, own, drawn = select(workspace)
        workspace.open("sample")
        wait()
        session.decoder_folder = "made up"
        session.decoder = SimpleNamespace(
            unit_ids=list(session.unit_ids), profile="tiny", window=WindowConfig(), stimulus=session.stimulus_name, config=None, metrics={},
            evidence=None, is_held_out=lambda *_: True,
        )  # fmt: skip
        session.geometry = SimpleNamespace(
            rows=12, columns=12, scale=(24.0, 24.0), translate=(12.0, 60.0), crop=(0, 48, 288, 288)
        )
        session.select(session.unit_ids[::3])
        session.shown = "ball"
        fill(session)
        if options.no_spikes:
            workspace.docks["Play"].spikes.setChecked(False)
        mouse.settle(1000)
        dismiss_notifications()
        played = play(workspace, viewer)
        alone = napari_alone(width, height)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        canvas: Any = compat.native_canvas(viewer)
        dropped = 1 - played["drawn"] / played["due"]
        print(
            f"\n| window of {options.size}, canvas {canvas.width()} × {canvas.height()}, load {load:.1f} on {os.cpu_count()} cores | | aim |\n|---|---|---|"
        )
        print(
            f"| lasso of {n:,} of {UNITS:,} units: selection and colours set, CPU (median of {len(own)}) | {statistics.median(own):.1f} ms | < 16 ms |"
        )
        print(f"| and all of it drawn, without a GPU | {statistics.median(drawn):.0f} ms | |")
        print(f"| a step while playing: film, heatmap, subtitle, head set, CPU (median) | {played['own']:.1f} ms | |")
        print(f"| frames of 30 a second that were not drawn, of {played['due']} | {dropped:.1%} | < 5 % |")
        print(
            f"| the same film in a napari window that holds nothing else, canvas {alone['size'][0]} × {alone['size'][1]}: a step, and frames not drawn | {alone['own']:.1f} ms, {1 - alone['drawn'] / alone['due']:.1%} | |"
        )
    finally:
        workspace.close()
        viewer.close()


if __name__ == "__main__":
    main()
