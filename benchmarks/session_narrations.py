"""How long a session file of 10,000 narrations takes to open, as JSON and as TOML: part of ``make benchmark``.

Reading the file is measured by itself, then opening it in the window, beside the same session without a narration. The sentences are made up; the recording and the decoder are real.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from timing import median_of

NARRATIONS, RUNS = 10_000, 3
WORDS = [
    "a",
    "red",
    "ball",
    "rolls",
    "over",
    "the",
    "green",
    "hill",
    "on",
    "a",
    "sunny",
    "day",
    "while",
    "one",
    "brown",
    "cow",
    "stands",
    "beside",
    "some",
    "wooden",
    "fence",
]


def sentences(units: list, decoder: str, n_frames: int) -> list:
    """Make up a sentence for every frame of the first showing, for all units, then for half of them, then for other halves."""
    from napari_neurrator.evaluation.evidence import Evidence
    from napari_neurrator.session_file import SavedSentence

    rng = np.random.default_rng(0)
    sets = [
        [units[k] for k in np.sort(rng.choice(len(units), len(units) // 2, replace=False))]
        for _ in range(-(-NARRATIONS // n_frames))
    ]
    sets[0] = units

    def said() -> str:
        return " ".join(rng.choice(WORDS, 14))

    made = []
    for i in range(NARRATIONS):
        which, frame = divmod(i, n_frames)
        p, gain, usual, cosine, prior = (float(value) for value in rng.random(5))
        evidence = Evidence(patch_cosine=cosine, prior_cosine=prior, gain=gain, usual=usual, p=p, least=0.005)
        made.append(
            SavedSentence(
                units=sets[which], frame=frame, repeat=0, moment=frame, decoder=decoder, text=said(),
                reference=said(), prior=said(), mean_cosine=cosine, prior_cosine=prior, held_out=True, evidence=evidence, settings={"concepts": 24},
            )
        )  # fmt: skip
    return made


def opened(path: Path) -> float:
    """Open a session file in a new window; return the seconds until units, film and sentence are there."""
    from napari_neurrator.gui import mouse
    from napari_neurrator.gui.launch import launch
    from napari_neurrator.gui.workspace import Workspace

    viewer = launch()
    workspace = Workspace.of(viewer)
    session = workspace.session
    session.live = False
    mouse.settle(2000)

    def wait(condition: Callable[[], bool]) -> None:
        while not condition():
            mouse.settle(5)
            if session.error or time.perf_counter() - began > 120:
                raise SystemExit(session.error or "The window waited for two minutes.")

    try:
        began = time.perf_counter()
        workspace.open(path)
        wait(lambda: session.recording is not None and not session.job.busy and session.status.endswith("is open."))
        wait(lambda: session.decoder is not None)
        mouse.settle(0)
        return time.perf_counter() - began
    finally:
        workspace.close()
        viewer.close()
        mouse.settle(200)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decoder", help="a decoder of the sample session; without it, one is fitted")
    parser.add_argument("--no-window", action="store_true")
    options = parser.parse_args()
    from napari_neurrator.config import FitConfig
    from napari_neurrator.recording import open_recording, open_stimulus
    from napari_neurrator.recording.sample import STIMULUS
    from napari_neurrator.session_file import SavedRecording, SessionFile, read_session, write_session

    a = np.random.default_rng(0).normal(size=(1024, 1024))
    yardstick = median_of(lambda: a @ a, 7)
    recording = open_recording("sample")
    stimulus, _ = open_stimulus(recording, STIMULUS)
    units = list(recording.units.index)
    with tempfile.TemporaryDirectory() as folder:
        decoder = options.decoder or str(Path(folder) / "decoder")
        if not options.decoder:
            from napari_neurrator.backend.fitting import fit_decoder

            fit_decoder(FitConfig(recording="sample", stimulus=STIMULUS), Path(decoder))
        rows: list[tuple[str, float, str]] = []

        def session(said: list[Any]) -> SessionFile:
            one = SavedRecording(source="sample", stimulus=STIMULUS, decoder=decoder, selected=units, sentences=said)
            return SessionFile(recordings=[one])

        full = session(sentences(units, decoder, stimulus.n_frames))
        for ending in ("json", "toml"):
            path = Path(folder) / f"full.neurrator.{ending}"
            rows.append((f"write as {ending.upper()}", median_of(partial(write_session, path, full), RUNS), ""))
            rows.append((f"read the {ending.upper()}", median_of(partial(read_session, path), RUNS), ""))
        if not options.no_window:
            empty = write_session(Path(folder) / "empty", session([]))
            opened(empty)
            for name, file in [
                ("without a narration", empty),
                ("as JSON", Path(folder) / "full.neurrator.json"),
                ("as TOML", Path(folder) / "full.neurrator.toml"),
            ]:
                aim = "" if file == empty else "< 2 s"
                rows.append((f"open in the window, {name}", statistics.median(opened(file) for _ in range(RUNS)), aim))
    print(f"\n| a session file of {NARRATIONS:,} narrations | time | × yardstick | aim |\n|---|---|---|---|")
    for what, seconds, aim in rows:
        print(f"| {what} | {seconds:.2f} s | {seconds / yardstick:.1f} | {aim} |")
    print(f"Yardstick: a 1024 × 1024 matrix product, {yardstick * 1e3:.1f} ms.")


if __name__ == "__main__":
    main()
