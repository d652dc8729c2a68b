"""``neurrator fit``."""

from typing import Annotated

import typer


def fit(
    recording: Annotated[str, typer.Argument(help="An NWB file, a Kilosort or phy folder, or the word 'sample'.")],
    stimulus: Annotated[str, typer.Option(help="A stimulus of the recording by name, or the file with its frames.")],
    out: Annotated[str, typer.Option(help="Folder to write the decoder to.")],
    profile: Annotated[
        str,
        typer.Option(help="Which frozen models: a name that 'neurrator models list' prints, or a folder."),
    ] = "tiny",
    decoder: Annotated[str, typer.Option(help="Kind of decoder.")] = "subset",
    split: Annotated[str, typer.Option(help="What is held out from fitting.")] = "held-out-repeats",
    units: Annotated[
        str | None,
        typer.Option(help="Query on the units table, for example 'region == \"VISp\" and y_um > 800'."),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="File or folder with the frames, where they do not lie beside the recording."),
    ] = None,
    presentations: Annotated[
        str | None,
        typer.Option(help="What was shown when, in place of the recording's own: a table (CSV) or a TTL file (TOML)."),
    ] = None,
    lag: Annotated[float, typer.Option(help="Seconds from the onset of a frame to its window of spikes.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Fit a decoder from spikes to what CLIP sees, for any subset of the units."""
    from ..config import FitConfig, WindowConfig, validated
    from ..decoding.fit import fit_decoder
    from .progress import progress_bars, show_sample_being_made

    config = validated(
        FitConfig, recording=recording, presentations=presentations, stimulus=stimulus, frames=frames, profile=profile, decoder=decoder, split=split, units=units,
        window=WindowConfig(lag_s=lag), seed=seed,
    )  # fmt: skip
    show_sample_being_made(recording)
    with progress_bars() as report:
        info = fit_decoder(config, out, report)
    scores = info.metrics
    print(
        f"Decoder of {len(info.unit_ids)} units written to {out}.\n"
        f"On {scores['moments']:.0f} held-out showings: the likeliest frame is the one shown in {scores['frame_accuracy']:.1%} "
        f"(chance {scores['chance']:.1%}); cosine of decoded and true patches {scores['patch_cosine']:.3f} "
        f"(the mean grid reaches {scores['prior_cosine']:.3f})."
    )
