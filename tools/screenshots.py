"""Take the pictures of the window that the documentation shows, from the simulated sample.

On Linux without a display: ``xvfb-run -a -s "-screen 0 1920x1200x24" python -m tools.screenshots [--out docs/images]``.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .window import IMAGES, take_picture, wait

SIZE = (1880, 1080)
TABLE_WIDTH = 740
THREE = ("probeA", "probeC", "probeE")
# A scene at night with several objects.
NARRATED = 562


def only_probes(recording: Any, probes: Sequence[str]) -> Any:
    """Return the recording with the units of some probes."""
    units = recording.units[recording.units["probe"].isin(probes)]
    return replace(recording, units=units, name=f"{recording.name}: {', '.join(probes)}")


def narrate(workspace: Any, window: Any, frame: int, units: Sequence[Any], out: Path) -> None:
    """Take a picture of what some units say of a frame, at the first showing that was held out."""
    from napari_neurrator.gui import mouse

    session = workspace.session
    if session.decoder is None:
        raise SystemExit("The sample has no decoder yet: run 'neurrator demo' first.")
    session.repeat = next(r for r in range(session.moments.n_repeats) if session.decoder.is_held_out(r, frame))
    session.frame = frame
    session.select(units)
    workspace.layers.look()
    workspace.narrator.narrate()
    wait(lambda: bool(session.error) or (session.result is not None and session.result.finished), "the sentence")
    if session.error:
        raise SystemExit(session.error)
    mouse.settle(800)
    take_picture(window, out)


def concepts(workspace: Any, window: Any, out: Path) -> None:
    """Take a picture of the first concept of what was narrated last: on the frame, under the slider, and in the gallery."""
    from napari_neurrator.gui import mouse

    session = workspace.session
    name = session.result.concepts[0].name
    dock = workspace.docks["Concepts"]
    dock.bars[name].click()
    wait(lambda: session.course is not None and session.course.n_known == session.course.n_wanted, "the course")
    wait(
        lambda: session.ceiling.n_known == session.ceiling.n_wanted or bool(session.ceiling.problem), "the true frames"
    )
    dock.rows[name].gallery_wanted.emit()
    wait(lambda: session.gallery is not None and session.gallery.finished, "the gallery")
    panel = workspace.docks["Gallery"]
    wait(lambda: panel.n_made == len(session.gallery.pictures), "the pictures")
    mouse.settle(800)
    take_picture(window, out)
    session.shown = None


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    from qtpy.QtCore import Qt

    from napari_neurrator.gui import compat, mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace
    from napari_neurrator.recording import open_recording

    recording = open_recording("sample")
    viewer = launch()
    workspace = Workspace.of(viewer)
    session, window = workspace.session, compat.qt_window(viewer)
    try:
        assert window is not None
        window.resize(*SIZE)
        session.live = False
        workspace.open(only_probes(recording, THREE))
        wait(lambda: session.recording is not None and not session.job.busy, "the sample")
        dock = workspace.docks["Recording"]
        mouse.settle(200)
        window.resize(*SIZE)
        dock.tabs.setCurrentIndex(1)
        holder = compat.dock_of(dock)
        assert holder is not None
        window.resizeDocks([holder], [TABLE_WIDTH], Qt.Orientation.Horizontal)
        session.frame = 400
        session.select(recording.units.index[recording.units["region"] == "VISp"][::3])
        dock.table.view.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        mouse.settle(300)
        workspace.layers.look()
        mouse.settle(800)
        take_picture(window, out / "probes.png")

        workspace.open(recording)
        wait(lambda: session.recording is recording and not session.job.busy, "the sample")
        dock.tabs.setCurrentIndex(0)
        window.resizeDocks([holder], [340], Qt.Orientation.Horizontal)
        session.view = "brain"
        mouse.settle(1200)
        take_picture(window, out / "ccf.png")

        session.view = "probe"
        mouse.settle(300)
        visual, blind = recording.units["region"].str.startswith("VIS"), recording.units["region"] == "CA1"
        show = partial(narrate, workspace, window, NARRATED)
        show(recording.units.index[visual][::6], out / "evidence_good.png")
        concepts(workspace, window, out / "concept_gallery.png")
        compat.dock_of(workspace.docks["Narrate"]).raise_()
        show(recording.units.index[blind], out / "evidence_greyed.png")
    finally:
        workspace.close()
        viewer.close()


if __name__ == "__main__":
    main()
