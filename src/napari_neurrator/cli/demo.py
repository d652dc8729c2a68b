"""``neurrator demo``."""

import time
from pathlib import Path
from typing import Annotated

import typer

_PROFILE = "tiny"


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
    from ..backend.fitting import fit_decoder
    from ..config import FitConfig
    from ..decoding import default_decoder_folder
    from ..demo import demo_folder, has_display, run_headless, write_results
    from ..recording.sample import STIMULUS, make_sample
    from .progress import progress_bars

    began = time.perf_counter()
    stays = has_display() and not no_window and out is None
    folder = None if stays else demo_folder(out or "neurrator-demo")
    with progress_bars() as report:
        sample = make_sample(on_progress=report)
        decoder = default_decoder_folder(sample.stem, STIMULUS, _PROFILE)
        if not _is_current(decoder):
            fit_decoder(FitConfig(recording="sample", stimulus=STIMULUS, profile=_PROFILE), decoder, report)
    if folder is None:
        from ..gui.launch import launch

        launch("sample", stimulus=STIMULUS, decoder=str(decoder), block=True)
        return
    print("Driving a real window: opening the session, drawing a lasso, narrating…", flush=True)
    result = run_headless(str(decoder), STIMULUS, folder)
    write_results(result, folder, seconds=time.perf_counter() - began)
    print(f"{len(result['unit_ids'])} units of {', '.join(result['regions'])} say: {result['text']}")
    print(f"Pictures and narrations are in {folder}: viewer.png, narrations.jsonl, summary.json.")


def _is_current(decoder: Path) -> bool:
    """Tell whether the demonstration's decoder is there and was fitted by this version, with its models."""
    from ..decoding import decoder_info
    from ..errors import NeurratorError
    from ..profiles import load_profile
    from ..vision.fingerprint import weights_fingerprint

    profile = load_profile(_PROFILE)
    try:
        info = decoder_info(decoder)
        return info.evidence is not None and info.patch_space == weights_fingerprint(profile, profile.vision.model)
    except NeurratorError:
        return False
