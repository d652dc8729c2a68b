"""Take the pictures of playing, colours, help and tour that the documentation shows, from the simulated sample.

On Linux without a display: ``xvfb-run -a -s "-screen 0 3840x2160x24" python -m tools.window_screenshots [--out docs/images] [--decoder FOLDER]``.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .window import IMAGES, resize, take_picture, wait

FRAME = 402
BY = ("depth", "cell type", "firing now", "contribution")


def example_contribution(session: Any) -> np.ndarray:
    """Return how much more than usual each unit fires at this frame, as an example of signed numbers."""
    usual = (
        session.recording.units["firing_rate_hz"].to_numpy(float)
        * session.decoder.window.n_bins
        * session.decoder.window.bin_s
    )
    return session.counts - usual


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--decoder", type=Path, help="folder of a fitted decoder; by default that of the demo")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    from napari_neurrator.gui import compat, mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace

    viewer = launch()
    workspace = Workspace.of(viewer)
    session, window = workspace.session, compat.qt_window(viewer)
    assert window is not None

    def shoot(name: str) -> None:
        mouse.settle(500)
        take_picture(window, out / f"{name}.png")

    try:
        resize(workspace, 1600, 1000)
        session.live = False
        workspace.open("sample", decoder=None if options.decoder is None else str(options.decoder))
        wait(lambda: session.recording is not None and not session.job.busy and session.spikes_ready, "the sample")
        if session.decoder is None:
            raise SystemExit("The sample has no decoder yet: run 'neurrator demo' first.")
        session.repeat = next(r for r in range(session.moments.n_repeats) if session.decoder.is_held_out(r, FRAME))
        units = session.recording.units
        session.select(units.index[units["region"].str.startswith("VIS")][::3])
        workspace.ahead.narrate_whole()
        wait(lambda: not session.filling and not session.ahead.busy, "the whole showing", 900)
        here = workspace.showing.map_at(FRAME)
        session.shown = max(here.concepts, key=lambda concept: concept.strength).name
        session.frame, session.speed = FRAME, 0.25
        resize(workspace, 1600, 1000)
        session.playing = True
        wait(lambda: session.frame > FRAME + 5, "the film")
        mouse.settle(100)
        take_picture(window, out / "play.png")
        session.playing, session.speed = False, 1.0
        session.frame = FRAME
        resize(workspace, 1280, 800)
        shoot("play_small")
        resize(workspace, 3840, 2160)
        shoot("play_4k")
        resize(workspace, 1600, 1000)
        chosen = session.selected
        session.select(())
        for by in BY:
            if by == "contribution":
                session.show_contribution(
                    example_contribution(session), "this frame, by how much more than usual they fire"
                )
            session.colour_by = by
            shoot("colour_" + by.replace(" ", "_"))
        viewer.theme = "light"
        shoot("colour_contribution_light")
        session.colour_by = "region"
        session.select(chosen)
        shoot("play_light")
        workspace.docks["Recording"].tabs.setCurrentIndex(1)
        shoot("table_light")
        viewer.theme = "dark"
        workspace.docks["Recording"].tabs.setCurrentIndex(0)
        workspace.shortcuts.show_help()
        mouse.settle(300)
        workspace.shortcuts._helper.grab().save(str(out / "help.png"))
        workspace.shortcuts._helper.close()
        workspace.show_tour()
        for step in range(4):
            workspace.tour.show_step(step)
            shoot(f"tour_{step + 1}")
        workspace.tour.leave()
    finally:
        workspace.close()
        viewer.close()


if __name__ == "__main__":
    main()
