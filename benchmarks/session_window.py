"""How long a session of Allen's size takes to appear in the window, and how fast the slider moves: part of ``make benchmark``."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MOVES = 150


def main() -> None:
    """Open the session, wait until it can be used, move the slider."""
    sys.path.insert(0, str(Path(__file__).parent))
    from session_file import write_film

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.nwb"
        script = Path(__file__).parent / "session_file.py"
        subprocess.run([sys.executable, script, path], check=True, capture_output=True)
        write_film(path.with_name("natural_movie_one.mp4"))
        measure(path)


def measure(path: Path) -> None:
    """Print the table."""
    from napari_neurrator.gui import mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace

    viewer = launch()
    workspace = Workspace.of(viewer)
    session = workspace.session
    # While a user looks for the file.
    mouse.settle(8000)

    def wait(condition: Callable[[], bool]) -> float:
        began = time.perf_counter()
        while not condition():
            mouse.settle(20)
            if session.error or time.perf_counter() - began > 120:
                raise SystemExit(session.error or "The window waited for two minutes.")
        return time.perf_counter() - began

    try:
        session.live = False
        workspace.open(path)
        opening = wait(lambda: session.recording is not None and not session.job.busy)
        spikes = opening + wait(lambda: session.recording.spikes.loaded)
        mouse.settle(1500)
        own, times = [], []
        for number in range(MOVES):
            began = time.perf_counter()
            viewer.dims.set_current_step(0, number)
            own.append(time.perf_counter() - began)
            mouse.settle(0)
            times.append(time.perf_counter() - began)
        print(f"\n| a session of Allen's size in the window ({len(session.unit_ids)} units) | | aim |\n|---|---|---|")
        print(f"| opened, units and film to be seen | {opening:.2f} s | < 5 s |")
        print(f"| spikes read behind the window | {spikes:.2f} s | |")
        for what, seconds in (("film, spikes and texts set", own), ("and drawn without a GPU", times)):
            step = statistics.median(seconds)
            print(
                f"| a step of the slider, {what} (median of {MOVES}) | {step * 1e3:.0f} ms = {1 / step:.0f} a second | ≥ 30 |"
            )
    finally:
        workspace.close()
        viewer.close()


if __name__ == "__main__":
    main()
