"""One session by mouse and keyboard: open, lasso two groups, compare, ask back, play, take home, save, close, and open again.

Every step is done as a person would do it: clicks, drags and keys on what can be seen. The program itself is only looked at: to wait for it, and to make sure
after every step that it happened. A picture of the whole window is taken after each.
On Linux without a display: ``xvfb-run -a -s "-screen 0 1920x1200x24" python -m tools.recorded_run [--out docs/images] [--keep FOLDER]``.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .window import IMAGES, shrink, wait

SIZE = (1600, 1000)
PLAYED_S, SENTENCE_EVERY_S = 5.0, 0.5
ASKED = ((0.53, 0.10), (0.78, 0.40))
"""Two corners (y, x) of what is asked for, as shares of what the models see."""
FIRST, SECOND = "V1", "hippocampus"
NWB, MOVIE, LINES, SESSION = "narrations.nwb", "captioned.mp4", "narrations.jsonl", "session.neurrator.toml"


def need(holds: Any, what: str) -> None:
    """End the run where a step did not happen."""
    if not holds:
        raise SystemExit(f"The run ends here: {what}.")


class Run:
    """The steps, in order.

    Parameters
    ----------
    out : Path
        Folder of the pictures.
    keep : Path
        Folder of what is taken home.
    """

    def __init__(self, out: Path, keep: Path) -> None:
        self.out, self.keep = out, keep
        self.seen: dict[str, Any] = {}
        self.viewer: Any = None
        self.began = time.perf_counter()

    # -- looking -----------------------------------------------------------------------------------------------------------------------
    @property
    def workspace(self) -> Any:
        """What the window knows; it is only read."""
        from napari_neurrator.gui.workspace import Workspace

        return Workspace.of(self.viewer)

    @property
    def session(self) -> Any:
        """What is open, selected and said."""
        return self.workspace.session

    @property
    def window(self) -> Any:
        """The main window."""
        from napari_neurrator.gui import compat

        return compat.qt_window(self.viewer)

    def dock(self, name: str) -> Any:
        """A dock of the plugin, whose widgets are pressed."""
        return self.workspace.docks[name]

    def shoot(self, name: str, settle_ms: int = 600) -> None:
        """Take a picture of the window and of the menus and dialogs over it."""
        from qtpy.QtWidgets import QApplication

        from napari_neurrator.gui import mouse

        from .person import on_screen

        mouse.settle(settle_ms)
        place = on_screen(self.window)
        screen = QApplication.primaryScreen()
        assert screen is not None
        path = self.out / f"run_{name}.png"
        screen.grabWindow(0, place.x(), place.y(), place.width(), place.height()).save(str(path))  # type: ignore[arg-type]
        shrink(path)
        print(f"{time.perf_counter() - self.began:.0f} s: {path.name}", flush=True)

    def front(self) -> None:
        """Make the window the active one, as a desktop does at a click: a bare virtual screen does not."""
        from qtpy.QtWidgets import QApplication

        QApplication.setActiveWindow(self.window)

    def rest(self, what: str) -> None:
        """Wait until nothing is worked out."""
        session = self.session
        wait(lambda: bool(session.error) or not (session.job.busy or session.ahead.busy), what)
        need(not session.error, session.error)

    # -- the steps ---------------------------------------------------------------------------------------------------------------------
    def begin(self, picture: str = "") -> None:
        """Start napari, and the plugin from its menu."""
        import napari

        from napari_neurrator.gui import mouse

        from . import person

        self.viewer = napari.Viewer()
        mouse.settle(200)
        self.window.move(0, 0)
        self.window.resize(*SIZE)
        self.front()
        mouse.settle(300)
        person.take_from_bar(self.window, "Plugins", "Neurrator", "Neurrator")
        wait(lambda: len(self.workspace.docks) >= 7, "the docks")
        self.window.resize(*SIZE)
        mouse.settle(500)
        if picture:
            wait(lambda: self.workspace.tour is not None, "the tour")
            self.shoot(picture)
            person.click(self.workspace.tour.skip)
            need(self.workspace.tour is None, "the tour is still there")

    def open(self, recording: str, decoder: Path | None) -> None:
        """Open a recording, and its decoder."""
        from . import person

        dock, session = self.dock("Recording"), self.session
        if recording == "sample":
            person.click(person.button(dock, "Sample"))
        else:
            self.open_file(Path(recording))
        wait(lambda: session.recording is not None and not session.job.busy and session.spikes_ready, "the recording")
        if decoder is not None:
            from qtpy.QtWidgets import QFileDialog

            with person.answering(QFileDialog, person.type_path(decoder)):
                person.click(self.dock("Narrate").choose)
        wait(lambda: session.decoder is not None, "the decoder: run 'neurrator demo' once")
        need(len(session.unit_ids) > 0, "no units were opened")

    def open_file(self, path: Path) -> None:
        """Open a file by the button and the dialog."""
        from qtpy.QtWidgets import QFileDialog

        from . import person

        with person.answering(QFileDialog, person.type_path(path)):
            person.click(person.button(self.dock("Recording"), "File…"))

    def go_to(self, frame: int) -> None:
        """Go to a frame of a showing that was held out: by the box, the track and the arrow keys."""
        from qtpy.QtCore import QPoint, Qt

        from . import person

        session, play = self.session, self.dock("Play")
        held_out = next(r for r in range(session.moments.n_repeats) if session.decoder.is_held_out(r, frame))
        box = self.dock("Narrate").repeat
        person.write(box.lineEdit(), str(held_out + 1))
        need(session.repeat == held_out, f"showing {held_out + 1} is not on screen")
        track = play.track
        person.click(track, QPoint(round(track.axis.x(play.player.clock.onset(frame))), track.height() // 2))
        while session.frame != frame:
            before = session.frame
            person.press(track, Qt.Key.Key_Right if before < frame else Qt.Key.Key_Left)
            need(session.frame != before, f"the arrow keys do not reach frame {frame}")
        need(session.held_out, "the showing was seen in fitting")

    def lasso(self, region: str, probe: str) -> None:
        """Draw round the units of a region on a probe, and wait for what they say."""
        from napari_neurrator.gui import compat, mouse

        from . import person

        session, layers, dock = self.session, self.workspace.layers, self.dock("Recording")
        units = session.recording.units
        rows = np.flatnonzero(((units["region"] == region) & (units["probe"] == probe)).to_numpy())
        if not session.lassoing:
            person.click(dock.lasso)
        need(session.lassoing, "the lasso is not in hand")
        mouse.draw(self.viewer, mouse.ring(layers.positions[rows], max(0.8 * layers.diameter, 8 / compat.zoom(self.viewer))))  # fmt: skip
        wait(lambda: set(rows) == set(session.rows(session.selected)), f"a lasso round {region} on {probe}", 30)
        # narrated by itself, as "live" is on
        wait(lambda: bool(session.error) or (session.result is not None and session.result.finished and session.result.key.units == session.selected), "the sentence")  # fmt: skip
        need(not session.error, session.error)
        need(session.result.text.strip(), "nothing was said")
        self.rest("the end of the narration")

    def keep_group(self, name: str) -> None:
        """Save the selection under a name."""
        from qtpy.QtWidgets import QInputDialog

        from . import person

        with person.answering(QInputDialog, person.type_name(name)):
            person.click(person.button(self.dock("Recording"), "Save…"))
        need(self.session.groups.get(name) == self.session.selected, f"there is no group {name}")

    def compare(self, names: Sequence[str]) -> None:
        """Tick groups, compare them, and lay the difference on the frame."""
        from . import person

        person.show_tab(self.window, "Compare")
        panel, session = self.dock("Compare"), self.session
        for name in names:
            person.tick(panel.groups, f"{name}   (")
        person.click(panel.go)
        wait(lambda: session.compared is not None and not session.compared.stage, "the comparison")
        compared = session.compared
        need(not compared.problem, compared.problem)
        need(all(compared.said[name].text.strip() for name in names), "a group said nothing")
        need(len(compared.pairs) == 1, "the groups were not held against random ones")
        person.choose(panel.what, "match with the true frame")
        need(session.difference is not None, "no difference lies on the frame")

    def ask(self) -> None:
        """Draw a rectangle on the frame, and see which units say what is there; make a group of them, and leave them out."""
        from napari_neurrator.gui import mouse

        from . import person

        person.show_tab(self.window, "Ask back")
        panel, session = self.dock("Ask back"), self.session
        person.click(panel.on_frame)
        need(session.on_frame == "ask", "a click on the frame would not ask")
        top, left, height, width = session.geometry.crop
        corners = np.array([top, left]) + np.array([height, width]) * np.array(ASKED)
        mouse.draw(self.viewer, np.linspace(*corners, 6))
        wait(lambda: session.asked is not None and session.asked.known and not session.asked.stage, "the answer")
        asked = session.asked
        need(len(asked.patches) > 1, "no rectangle of patches was asked for")
        need(asked.explained and np.isfinite(session.contribution).any(), "no unit lit up")
        need(session.colour_by == "contribution", "the units are not coloured by what they contributed")
        person.click(panel.group)
        need(asked.explained in session.groups.values(), "no group was made of them")
        person.click(panel.without)
        wait(lambda: not session.asked.stage and session.asked.lost is not None and session.asked.lost.text, "what is lost")  # fmt: skip

    def end_comparing(self) -> None:
        """Take the difference off the frame, and choose the first group again."""
        from . import person

        session = self.session
        person.click(self.dock("Compare").clear)
        need(session.compared is None and session.difference is None, "the comparison is still there")
        person.choose(self.dock("Recording").groups, FIRST)
        need(session.selected == session.groups[FIRST], f"{FIRST} is not selected")
        self.rest("the sentence")

    def end_asking(self) -> None:
        """Bring the colours back."""
        from . import person

        person.click(self.dock("Ask back").clear)
        need(self.session.asked is None and self.session.colour_by == "region", "the colours are not back")
        person.show_tab(self.window, "Narrate")

    def show_concept(self) -> None:
        """Lay the strongest concept on the frame."""
        from . import person

        session = self.session
        name = session.result.concepts[0].name
        person.click(self.dock("Concepts").bars[name])
        need(session.shown == name, f"the concept {name} is not on the frame")
        wait(lambda: session.course is not None and session.course.n_known == session.course.n_wanted, "its course")

    def narrate_ahead(self) -> None:
        """Let sentences be worked out until the track is filled as far as the film will be played."""
        from . import person

        session, play, showing = self.session, self.dock("Play"), self.workspace.showing
        clock = play.player.clock
        now = clock.onset(session.frame)
        person.choose(play.every, f"sentence every {SENTENCE_EVERY_S:g} s")
        person.click(play.whole)
        need(session.filling, "the showing is not being narrated")
        end = min(now + PLAYED_S + 1, clock.length - 1)
        wait(lambda: not session.filling or (showing.told and clock.onset(showing.told[-1]) >= end), "sentences of five seconds")  # fmt: skip
        if session.filling:
            person.click(play.whole)
        self.rest("what was worked out ahead")
        told = [frame for frame in showing.told if frame >= session.frame]
        need(len(told) > 2, f"there are {len(told)} sentences only")

    def play(self, picture: str) -> None:
        """Play five seconds."""
        from napari_neurrator.gui import compat, mouse

        from . import person

        session, play = self.session, self.dock("Play")
        drawn: set[int] = set()

        def note(_event: Any = None) -> None:
            drawn.add(compat.frame_of(self.viewer))

        canvas = self.window._qt_viewer.canvas._scene_canvas
        first, length = play.player.clock.onset(session.frame), play.player.clock.length
        rate = session.stimulus.frame_rate_hz
        canvas.events.draw.connect(note)
        person.click(play.play)
        need(session.playing, "the film does not run")
        began, shot = time.perf_counter(), False
        while (passed := time.perf_counter() - began) < PLAYED_S:
            mouse.settle(20)
            if picture and not shot and passed > 0.02 * PLAYED_S:
                shot = True
                self.shoot(picture, 0)
        person.click(play.play)
        canvas.events.draw.disconnect(note)
        need(not session.playing, "the film does not stop")
        moved = (play.player.clock.onset(session.frame) - first) % length
        self.seen["played"] = {"film_s": round(moved, 2), "frames_drawn": len(drawn), "frames_due": round(moved * rate)}
        need(moved > 0.5 * PLAYED_S, f"the film moved by {moved:.1f} s only")
        need(len(drawn) > 2, f"{len(drawn)} frames were drawn only")
        self.rest("what was worked out ahead")

    def export(self, entry: str, name: str, picture: str = "") -> Path:
        """Take an entry of the Export menu, and type a path."""
        from qtpy.QtWidgets import QFileDialog

        from napari_neurrator.gui import mouse

        from . import person

        button, path = self.dock("Narrate").export, self.keep / name
        person.reach(button.button)
        with person.answering(QFileDialog, person.type_path(path)):
            person.take_from_button(button.button, entry, lambda: picture and self.shoot(picture))
        wait(lambda: not self.workspace.exporting.busy, f"{name}")
        mouse.settle(100)
        need(path.is_file() and path.stat().st_size, f"{name} is not there: {self.session.error}")
        return path

    def save(self, picture: str) -> Path:
        """Save the session."""
        from qtpy.QtWidgets import QFileDialog

        from . import person

        path = self.keep / SESSION
        with person.answering(QFileDialog, person.type_path(path)):
            person.click(person.button(self.dock("Recording"), "Save session…"))
        need(path.is_file(), f"{path.name} is not there: {self.session.error}")
        # the notification before has to fade
        self.shoot(picture, 2500)
        return path

    def state(self) -> dict[str, Any]:
        """What the window knows that a session file keeps."""
        session = self.session
        said = {(one.frame, one.repeat, one.key.units): one.text for one in session.results.values() if one.finished and one.text}  # fmt: skip
        return {
            "groups": {name: list(map(str, units)) for name, units in session.groups.items()},
            "selected": list(map(str, session.selected)),
            "frame": session.frame,
            "repeat": session.repeat,
            "sentences": sorted([frame, repeat, len(units), text] for (frame, repeat, units), text in said.items()),
        }

    def close(self) -> None:
        """Close the window from its menu."""
        from qtpy.QtWidgets import QDialog

        from napari_neurrator.gui import mouse

        from . import person

        workspace = self.workspace
        self.front()
        with person.answering(QDialog, person.press_button("Close")):
            person.take_from_bar(self.window, "File", "Close Window")
        wait(lambda: workspace.closed, "the end of the window", 60)
        mouse.settle(200)

    def again(self, path: Path) -> None:
        """Open the saved session in a new window, and see that all of it is back."""
        before = self.state()
        self.close()
        self.begin()
        self.open_file(path)
        session = self.session
        wait(
            lambda: session.groups and session.selected and not session.job.busy and session.spikes_ready,
            "the saved session",
        )
        self.rest("what is narrated")
        after = self.state()
        self.seen["before"], self.seen["after"] = before, after
        for what in before:
            need(before[what] == after[what], f"{what} are not as they were saved")


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "neurrator",
        help="folder of the files that are taken home",
    )
    parser.add_argument("--recording", default="sample")
    parser.add_argument("--decoder", type=Path, help="folder of a fitted decoder; by default that of the demo")
    parser.add_argument("--frame", type=int, default=562)
    parser.add_argument("--groups", nargs=2, default=["VISp@probeC", "CA1@probeC"], metavar="REGION@PROBE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # as one who opens it for the first time
        os.environ["NEURRATOR_CONFIG"] = str(Path(folder) / "config")
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "napari.yaml")
        for one in (options.out, options.keep):
            one.mkdir(parents=True, exist_ok=True)
        for name in (NWB, MOVIE, LINES, SESSION):
            (options.keep / name).unlink(missing_ok=True)
        run = Run(options.out, options.keep)
        drive(run, options)
    print(json.dumps(run.seen["played"]))


def drive(run: Run, options: argparse.Namespace) -> None:
    """Go through the steps, and take a picture of each."""
    from qtpy.QtCore import QCoreApplication, Qt

    # a dialog of the desktop would not be ours to type into
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)
    run.begin("1_start")
    run.open(options.recording, options.decoder)
    run.go_to(options.frame)
    run.shoot("2_open")
    for name, where, picture in zip((FIRST, SECOND), options.groups, ("3_lasso", "4_second"), strict=True):
        run.lasso(*where.split("@"))
        run.keep_group(name)
        run.shoot(picture)
    run.compare((FIRST, SECOND))
    run.shoot("5_compare")
    run.end_comparing()
    run.ask()
    run.shoot("6_ask")
    run.end_asking()
    run.show_concept()
    run.narrate_ahead()
    run.play("7_play")
    run.export("Narrations in a copy of the NWB file", NWB, "8_export")
    run.export("Narrations (JSON Lines)", LINES)
    run.export("Movie with captions (MP4)", MOVIE)
    path = run.save("9_save")
    run.again(path)
    run.shoot("10_reopened")
    (run.keep / "run.json").write_text(json.dumps(run.seen, indent=1), encoding="utf-8")
    run.close()


if __name__ == "__main__":
    main()
