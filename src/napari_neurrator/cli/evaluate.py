"""``neurrator evaluate``."""

from typing import Annotated

import typer

from .backend_options import BACKEND_HELP, CA_HELP, LANGUAGE_HELP, TOKEN_HELP, speaker
from .stopping import stoppable


@stoppable("what was worked out is kept in {out}, and the same command goes on from there")
def evaluate(
    recording: Annotated[str, typer.Argument(help="An NWB file, a Kilosort or phy folder, or the word 'sample'.")],
    decoder: Annotated[str, typer.Option(help="Folder of a decoder that 'neurrator fit' wrote.")],
    out: Annotated[str, typer.Option(help="Folder to write report.html and report.json to.")],
    presentations: Annotated[
        str | None, typer.Option(help="What was shown when, as in the fit; the decoder's own by default.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Query on the units table; the decoder's own units by default.")
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Population sizes, such as 1,3,10,30,100; by default these and all units.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Random subsets of each size.")] = 10,
    stimulus: Annotated[
        str | None, typer.Option(help="Another stimulus of the recording than the decoder's own.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(help="File or folder with the frames, where they do not lie beside the recording.")
    ] = None,
    captions: Annotated[str | None, typer.Option(help="JSON or CSV file from frame to reference captions.")] = None,
    labels: Annotated[str | None, typer.Option(help="Column of the presentations that a sentence should name.")] = None,
    sentence_model: Annotated[
        str, typer.Option(help="Folder or name of a sentence-transformers model; empty for none.")
    ] = "all-MiniLM-L6-v2",
    moments: Annotated[int, typer.Option(help="Moments decoded at most.")] = 900,
    narrated: Annotated[int, typer.Option(help="Moments put into words, for every subset.")] = 120,
    permutations: Annotated[int, typer.Option(help="Draws of each null.")] = 1000,
    prompt: Annotated[str | None, typer.Option(help="What to ask of the picture.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    backend: Annotated[str | None, typer.Option(help=BACKEND_HELP)] = None,
    token: Annotated[str | None, typer.Option(help=TOKEN_HELP)] = None,
    ca: Annotated[str | None, typer.Option(help=CA_HELP)] = None,
    language: Annotated[str | None, typer.Option(help=LANGUAGE_HELP)] = None,
) -> None:
    """Hold a decoder's sentences against chance, on moments it has not seen."""
    from ..config import validated
    from ..evaluation.config import EvaluateConfig
    from ..evaluation.report import report_folder
    from ..evaluation.run import evaluate as run
    from .progress import progress_bars, show_sample_being_made

    config = validated(
        EvaluateConfig, {"n_permutations": "permutations"}, recording=recording, presentations=presentations, decoder=decoder, stimulus=stimulus, frames=frames, units=units, sizes=sizes, draws=draws,
        moments=moments, narrated=narrated, captions=captions, labels=labels, sentence_model=sentence_model or None, prompt=prompt,
        n_permutations=permutations, seed=seed,
    )  # fmt: skip
    report_folder(out)
    show_sample_being_made(recording)
    with speaker(backend, token, ca, language) as make_language, progress_bars() as report:
        found = run(config, out, report, make_language)
    whole = found.sizes[-1]
    said = [
        f"{name} {getattr(whole, name):.3f}"
        for name in ("label_accuracy", "two_way", "patch_cosine", "sbert")
        if hasattr(whole, name)
    ]
    print(f"{found.n} held-out moments ({found.split}), {whole.size} units: {', '.join(said)}.")
    for warning in found.warnings:
        print(f"Note: {warning}")
    print(f"The report is in {out}/report.html, all numbers in {out}/report.json.")
