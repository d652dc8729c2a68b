"""``neurrator demo``."""

import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        str | None,
        typer.Option(help="Folder for the pictures and narrations; without it the window stays open."),
    ] = None,
    no_window: Annotated[
        bool, typer.Option("--no-window", help="Run the demonstration by itself under a virtual screen.")
    ] = False,
) -> None:
    """Show the whole idea on a simulated session: open it, lasso neurons, read what they say, see where.

    With a display and without --out the window opens and stays. Otherwise a real window is driven by mouse events, under a virtual screen
    where there is none, and viewer.png, narrations.jsonl and summary.json are written.
    """
    from ..config import FitConfig
    from ..decoding import decoder_info, default_decoder_folder
    from ..decoding.fit import fit_decoder
    from ..demo import has_display, run_headless, write_results
    from ..errors import NeurratorError
    from ..recording.sample import open_sample
    from .progress import progress_bars

    began = time.perf_counter()
    folder = Path(out or "neurrator-demo").expanduser().resolve()
    with progress_bars() as report:
        recording = open_sample(progress=report)
        stimulus = str(recording.stimuli()["stimulus"].iloc[0])
        stimulus = "natural_movie_one" if "natural_movie_one" in set(recording.stimuli()["stimulus"]) else stimulus
        decoder = default_decoder_folder(recording.name, stimulus, "tiny")
        try:
            decoder_info(decoder)
        except NeurratorError:
            fit_decoder(FitConfig(recording="sample", stimulus=stimulus), decoder, report)
    del recording
    if has_display() and not no_window and out is None:
        from ..gui.launch import launch

        launch("sample", stimulus=stimulus, decoder=str(decoder), block=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    print("Driving a real window: opening the session, drawing a lasso, narrating…", flush=True)
    result = run_headless(str(decoder), stimulus, folder)
    write_results(result, folder, seconds=time.perf_counter() - began)
    print(f"{len(result['unit_ids'])} units of {', '.join(result['regions'])} say: {result['text']}")
    print(f"Pictures and narrations are in {folder}: viewer.png, narrations.jsonl, summary.json.")
