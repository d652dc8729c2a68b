"""Drive a real window through the death of its models' process, and take a picture of what the user is told.

A narration is started, the slider is scrubbed while it speaks, the process in which the models run is killed, and the same is narrated again.
On Linux without a display: ``xvfb-run -a -s "-screen 0 1920x1200x24" python -m tools.backend_killed [--out docs/images]``.
"""

import argparse
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from .screenshots import SIZE
from .window import IMAGES, take_picture, wait

FRAME = 120
SCRUBBED = 40


def unfold_notifications(window: Any) -> None:
    """Unfold what napari tells the user, so that the picture shows the whole sentence."""
    from qtpy.QtWidgets import QWidget

    for widget in window.findChildren(QWidget):
        if type(widget).__name__ == "NapariQtNotification" and widget.isVisible():
            widget.expand_button.click()


def main() -> None:
    """Do it, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--recording", default="sample")
    parser.add_argument("--decoder", help="the sample's own by default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    from napari_neurrator.gui import compat, mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace

    viewer = launch()
    workspace = Workspace.of(viewer)
    session, window = workspace.session, compat.qt_window(viewer)
    try:
        assert window is not None
        window.resize(*SIZE)
        session.live = False
        workspace.open(options.recording, decoder=options.decoder)
        wait(lambda: session.recording is not None and not session.job.busy, "the recording")
        window.resize(*SIZE)
        session.repeat = next(r for r in range(session.moments.n_repeats) if session.decoder.is_held_out(r, FRAME))
        session.frame = FRAME
        visual = session.recording.units["region"].str.startswith("VIS")
        session.select(session.recording.units.index[visual][::2])
        mouse.settle(500)
        # The first narration loads the models.
        workspace.narrator.narrate()
        wait(lambda: session.result is not None and session.result.finished, "the first sentence")
        first = session.result.text
        print(f"narrated: {first}")

        gaps = scrub(workspace, viewer, mouse)
        print(f"slider moved {len(gaps)} times while narrating; longest step {1e3 * max(gaps):.0f} ms")

        session.frame = FRAME + 30
        mouse.settle(300)
        killer = threading.Thread(target=kill_at_work, args=(workspace,))
        killer.start()
        workspace.narrator.narrate()
        wait(lambda: bool(session.error), "what the user is told")
        print(f"told: {session.error}")
        workspace.docks["Narrate"].light.refresh()
        mouse.settle(1200)
        unfold_notifications(window)
        mouse.settle(600)
        take_picture(window, options.out / "backend_killed.png")

        session.error = ""
        workspace.narrator.narrate()
        wait(lambda: session.result is not None and session.result.finished, "the sentence after the restart")
        print(f"narrated again: {session.result.text}")
        print(
            f"the light says: {workspace.docks['Narrate'].light.text()}; {workspace.docks['Narrate'].light.toolTip()}"
        )
    finally:
        workspace.close()
        viewer.close()


def scrub(workspace: Any, viewer: Any, mouse: Any) -> list[float]:
    """Narrate live while the slider moves; return how long each step took, seconds."""
    session = workspace.session
    session.live = True
    gaps = []
    for step in range(SCRUBBED):
        began = time.perf_counter()
        viewer.dims.set_current_step(0, FRAME - SCRUBBED + step)
        mouse.settle(20)
        gaps.append(time.perf_counter() - began)
    session.live = False
    mouse.settle(500)
    wait(lambda: not session.job.busy, "rest")
    return gaps


def kill_at_work(workspace: Any) -> None:
    """Kill the process in which the models run as soon as it has a job."""
    backend = workspace.link._backend
    while not (status := backend.status()).running:
        time.sleep(0.002)
    time.sleep(0.02)
    os.kill(status.workers[0].pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
