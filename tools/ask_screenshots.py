"""Take the pictures of asking back, inspecting and comparing that the documentation shows, from the simulated sample.

On Linux without a display: ``xvfb-run -a -s "-screen 0 1920x1200x24" python -m tools.ask_screenshots --decoder FOLDER [--out docs/images]``.
"""

import argparse
from pathlib import Path

import numpy as np

from .window import IMAGES, resize, take_picture, wait

FRAME = 402
SHOTS = (("", (1600, 1000), "dark"), ("_small", (1280, 800), "dark"), ("_light", (1600, 1000), "light"))


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--decoder", help="folder of a fitted decoder; by default that of the demo")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    from napari_neurrator.gui import compat, mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace

    from . import person

    viewer = launch()
    workspace = Workspace.of(viewer)
    session, window = workspace.session, compat.qt_window(viewer)
    assert window is not None

    def shoot(name: str) -> None:
        """Take a picture of the usual window, a small one and a light one."""
        for end, size, theme in SHOTS:
            viewer.theme = theme
            resize(workspace, *size)
            take_picture(window, out / f"{name}{end}.png")
        viewer.theme = "dark"
        resize(workspace, 1600, 1000)

    try:
        resize(workspace, 1600, 1000)
        session.live = False
        workspace.open("sample", decoder=options.decoder)
        wait(lambda: session.recording is not None and not session.job.busy and session.spikes_ready, "the sample")
        wait(lambda: session.decoder is not None, "its decoder")
        session.frame = FRAME
        session.repeat = next(r for r in range(session.moments.n_repeats) if session.decoder.is_held_out(r, FRAME))
        units = session.recording.units
        session.select(units.index[units["region"].str.startswith("VIS")])
        session.save_group("visual cortex")
        workspace.narrator.narrate()
        wait(lambda: session.result is not None and session.result.finished, "the sentence", 600)
        resize(workspace, 1600, 1000)
        top, left, height, width = session.geometry.crop
        patch = np.array(session.geometry.scale)
        corner = np.array([top + 0.45 * height, left + 0.2 * width])
        workspace.show_asking()
        session.on_frame = "ask"
        mouse.draw(viewer, np.array([corner, corner + patch, corner + 2.4 * patch]))
        wait(lambda: session.asked is not None and session.asked.known, "the answer", 600)
        workspace.asking.make_group()
        workspace.asking.without()
        wait(lambda: not session.asked.stage and session.asked.lost is not None, "what is lost", 600)
        shoot("ask_back")
        workspace.asking.clear()
        workspace.show_inspector()
        session.on_frame, session.grid_shown = "inspect", True
        mouse.click(viewer, corner + patch)
        wait(lambda: session.inspected is not None and not session.inspected.stage, "the patch", 600)
        wait(lambda: session.match is not None and session.match.key.patches == session.inspected.patches and session.match.n_known == session.match.n_wanted, "the match over the film", 600)  # fmt: skip
        mouse.settle(1000)
        shoot("patches")
        workspace.inspector.clear()
        session.grid_shown = False
        session.select(())
        workspace.show_comparing()
        panel = workspace.docks["Compare"]
        for name in ("visual cortex", "CA1"):
            person.tick(panel.groups, f"{name}   (")
        person.click(panel.go)
        wait(lambda: session.compared is not None and not session.compared.stage, "the comparison", 600)
        panel.what.setCurrentIndex(1)
        panel.what.activated.emit(1)
        shoot("compare")
    finally:
        workspace.close()
        viewer.close()


if __name__ == "__main__":
    main()
