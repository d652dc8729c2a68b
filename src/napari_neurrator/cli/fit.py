"""``neurrator fit``."""

from typing import Annotated

import typer

from .stopping import stoppable


@stoppable("nothing was written to {out}")
def fit(
    recording: Annotated[str, typer.Argument(help="An NWB file, a Kilosort or phy folder, or the word 'sample'.")],
    stimulus: Annotated[str, typer.Option(help="A stimulus of the recording by name, or the file with its frames.")],
    out: Annotated[str, typer.Option(help="Folder to write the decoder to.")],
    profile: Annotated[
        str,
        typer.Option(help="Which frozen models: a name that 'neurrator models list' prints, or a folder."),
    ] = "tiny",
    decoder: Annotated[
        str, typer.Option(help="Kind of decoder: subset (the default), paper, ridge, cebra, retrieval.")
    ] = "subset",
    option: Annotated[
        list[str] | None,
        typer.Option(help="The decoder's own option, as name=value; may be given several times.", metavar="NAME=VALUE"),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="What is held out from fitting: held-out-repeats, contiguous-middle, front-only, held-out-images, another-movie."
        ),
    ] = "held-out-repeats",
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
    from ..backend.fitting import fit_decoder
    from ..config import FitConfig, validated
    from ..decoding.store import check_decoder_place
    from ..evaluation import EvidenceTable
    from .progress import progress_bars, show_sample_being_made

    config = validated(
        FitConfig, {"window.lag_s": "lag", "options": "option"}, recording=recording, presentations=presentations, stimulus=stimulus, frames=frames, profile=profile, decoder=decoder,
        options=_options(option or []), split=split, units=units,
        window={"lag_s": lag}, seed=seed,
    )  # fmt: skip
    check_decoder_place(out)
    show_sample_being_made(recording)
    with progress_bars() as report:
        info = fit_decoder(config, out, report)
    scores = info.metrics
    print(f"Decoder of {len(info.unit_ids)} units written to {out}.")
    if scores:
        print(
            f"On {scores['moments']:.0f} moments that were held out ({config.split}): the decoded grid lies nearest to that of the frame shown, "
            f"among {scores['pool']:.0f}, in {scores['frame_accuracy']:.1%} (chance {scores['chance']:.1%}); cosine of decoded and true patches "
            f"{scores['patch_cosine']:.3f} (the mean grid reaches {scores['prior_cosine']:.3f})."
        )
    if info.evidence:
        print(EvidenceTable.model_validate(info.evidence).in_words())
    else:
        print("Nothing was held out, so sentences will come without evidence.")


def _options(given: list[str]) -> dict[str, object]:
    """Read ``name=value`` pairs; a value that is JSON is taken as such, else as text."""
    import json

    from ..errors import NeurratorError

    options: dict[str, object] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise NeurratorError(f"--option {pair!r} cannot be read: write it as name=value.")
        try:
            options[name.strip()] = json.loads(value)
        except ValueError:
            options[name.strip()] = value
    return options
