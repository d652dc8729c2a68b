"""Drive the real window from outside, as a person would, and take its picture."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError

SIZE = (1600, 1000)


def drive_demo(
    recording_source: str | Path | Any,
    decoder: str | Path | None,
    out: Path,
    *,
    stimulus: str | None = None,
    frame: int | None = None,
    region: str | None = None,
    make_backend: Any = None,
    timeout_s: float = 120.0,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Open a recording, lasso units with the mouse, wait for the sentence, lay the top concept on the frame, take a picture.

    Parameters
    ----------
    recording_source : path, str or Recording
        What to open.
    decoder : path, optional
        Folder of a fitted decoder; None uses the one at the default place.
    out : Path
        Folder that receives ``viewer.png``.
    stimulus : str, optional
        Which stimulus to show.
    frame : int, optional
        Frame to narrate; by default one about 40 % into the movie.
    region : str, optional
        Lasso the units of this region on the probe that holds most of them; by default the region with most units.
    make_backend : callable, optional
        Makes the backend.
    timeout_s : float
        How long to wait for each step.
    progress : callable
        Is told in words what goes on.

    Returns
    -------
    dict
        ``unit_ids``, ``frame``, ``repeat``, ``held_out``, ``text``, ``reference``, ``prior``, ``concepts``, ``mean_cosine``,
        ``prior_cosine``, ``picture`` and ``timings`` (seconds).
    """
    from . import compat, mouse
    from .launch import launch
    from .state import PATCHES
    from .workspace import Workspace

    def wait(condition: Callable[[], bool], what: str) -> None:
        end = time.perf_counter() + timeout_s
        while not condition():
            mouse.settle(5)
            if time.perf_counter() > end:
                raise NeurratorError(f"The window waited {timeout_s:.0f} s for {what} in vain. {session.error}".strip())

    progress("Opening the window")
    started = time.perf_counter()
    viewer = launch(make_backend=make_backend)
    workspace = Workspace.of(viewer)
    session = workspace.session
    try:
        window = compat.qt_window(viewer)
        window.resize(*SIZE)  # type: ignore[union-attr]
        mouse.settle(300)
        window.resize(*SIZE)  # type: ignore[union-attr]
        session.live = False
        opened = time.perf_counter()
        workspace.open(recording_source, stimulus=stimulus)
        wait(lambda: (session.recording is not None and not session.job.busy) or bool(session.error), "the recording")
        opening_s = time.perf_counter() - opened
        if session.recording is None:
            raise NeurratorError(session.error)
        if decoder is not None and not workspace.decoders.choose(str(decoder)):
            raise NeurratorError(session.error)
        if session.decoder is None:
            raise NeurratorError("There is no decoder for this recording; fit one first.")
        first = frame if frame is not None else int(0.4 * session.stimulus.n_frames)
        shown = range(session.moments.n_repeats)  # type: ignore[union-attr]
        session.repeat = next((r for r in shown if session.decoder.is_held_out(r, first)), 0)
        session.frame = first
        workspace.layers.look()
        mouse.settle(300)

        progress("Warming up the models")
        rows = lassoed_rows(session.recording.units, region)
        ids = session.unit_ids
        session.select([ids[i] for i in rows[:1]])
        workspace.narrator.narrate()
        wait(lambda: not session.job.busy, "the models")
        if session.error:
            raise NeurratorError(session.error)
        session.select(())
        mouse.settle(100)

        progress("Drawing a lasso with the mouse")
        session.shown = PATCHES
        session.live = True
        session.lassoing = True
        mouse.settle(100)
        marks: dict[str, float] = {}

        def on_result(result: Any) -> None:
            if result is not None:
                if result.cosine is not None and result.concepts:
                    marks.setdefault("heatmap", time.perf_counter())
                if result.text:
                    marks.setdefault("word", time.perf_counter())

        session.events.selected.connect(lambda _: marks.setdefault("selection", time.perf_counter()))
        session.events.result.connect(on_result)
        path = mouse.ring(
            workspace.layers.positions[rows], max(0.9 * workspace.layers.diameter, 9 / compat.zoom(viewer))
        )
        released = mouse.draw(viewer, path)
        wait(lambda: bool(session.selected), "the lasso")
        progress("Waiting for the sentence")
        wait(lambda: (session.result is not None and session.result.finished) or bool(session.error), "the sentence")
        if session.error:
            raise NeurratorError(session.error)
        result = session.result
        assert result is not None
        if result.concepts:
            workspace.docks["Concepts"].bars[result.concepts[0].name].click()
        session.lassoing = False
        mouse.settle(600)
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        picture = out / "viewer.png"
        take_picture(window, picture)
        return {
            "unit_ids": list(session.selected),
            "decoder": session.decoder_folder,
            "frame": session.frame,
            "repeat": session.repeat,
            "held_out": session.held_out,
            "stimulus": session.stimulus_name,
            "text": result.text,
            "reference": result.reference,
            "prior": result.prior,
            "concepts": [{"name": c.name, "feature": c.feature, "strength": c.strength} for c in result.concepts],
            "mean_cosine": result.mean_cosine,
            "prior_cosine": result.prior_cosine,
            "picture": str(picture),
            "timings": {
                "open_recording_s": opening_s,
                **{f"lasso_to_{name}_s": at - released for name, at in marks.items()},
                "whole_s": time.perf_counter() - started,
            },
        }
    finally:
        viewer.close()
        mouse.settle(50)


def lassoed_rows(units: Any, region: str | None) -> np.ndarray:
    """Return the rows of one region's units on the probe that holds most of them, those that one lasso can enclose."""
    if region is None:
        region = units["region"].astype(str).value_counts().index[0]
    of_region = (units["region"].astype(str) == region).to_numpy()
    if not of_region.any():
        raise NeurratorError(f"No unit lies in region {region!r}.")
    probe = units.loc[of_region, "probe"].value_counts().index[0]
    rows = np.flatnonzero(of_region & (units["probe"] == probe).to_numpy())
    depth = units["y_um"].to_numpy(float)[rows]
    middle = np.abs(depth - np.median(depth)) <= np.quantile(np.abs(depth - np.median(depth)), 0.95)
    return rows[middle]


def take_picture(window: Any, path: Path) -> None:
    """Save the whole window, canvas and docks, as it stands on screen."""
    from qtpy.QtWidgets import QApplication

    QApplication.processEvents()
    window.grab().save(str(path))


def main(arguments: list[str]) -> int:
    """Run the demo in a process of its own: ``python -m napari_neurrator.gui.demo DECODER STIMULUS OUT FRAME [RECORDING]``.

    What `drive_demo` returns is written to ``OUT/.demo.json``. Exit code 2 and one sentence for a fault the user can mend.
    """
    decoder, stimulus, out = arguments[:3]
    frame = int(arguments[3])
    recording = arguments[4] if len(arguments) > 4 else "sample"
    try:
        result = drive_demo(
            recording,
            decoder,
            Path(out),
            stimulus=stimulus,
            frame=frame,
            progress=lambda words: print(words, flush=True),
        )
    except NeurratorError as error:
        print(error, file=sys.stderr)
        return 2
    (Path(out) / ".demo.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
