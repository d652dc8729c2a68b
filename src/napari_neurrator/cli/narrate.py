"""``neurrator narrate``."""

from pathlib import Path
from typing import Annotated

import typer

from .backend_options import BACKEND_HELP, CA_HELP, LANGUAGE_HELP, TOKEN_HELP


def narrate(
    recording: Annotated[str, typer.Argument(help="An NWB file, a Kilosort or phy folder, or the word 'sample'.")],
    decoder: Annotated[str, typer.Option(help="Folder of a decoder that 'neurrator fit' wrote.")],
    out: Annotated[str, typer.Option(help="File to write, one JSON line a moment.")],
    units: Annotated[
        str | None, typer.Option(help="Query on the units table; the decoder's own units by default.")
    ] = None,
    presentations: Annotated[
        str | None,
        typer.Option(help="What was shown when, as it was given for the fit: a table (CSV) or a TTL file (TOML)."),
    ] = None,
    frames: Annotated[str | None, typer.Option(help="Only these frames, for example 0,30,60-90.")] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only showings that the decoder was not fitted on.")
    ] = False,
    repeat: Annotated[int | None, typer.Option(help="Only this showing of each frame; the first is 0.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What to ask of the picture.")] = None,
    concepts: Annotated[int, typer.Option(help="Concepts listed for each moment.")] = 8,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run of the same was stopped.")
    ] = False,
    backend: Annotated[str | None, typer.Option(help=BACKEND_HELP)] = None,
    token: Annotated[str | None, typer.Option(help=TOKEN_HELP)] = None,
    ca: Annotated[str | None, typer.Option(help=CA_HELP)] = None,
    language: Annotated[str | None, typer.Option(help=LANGUAGE_HELP)] = None,
) -> None:
    """Narrate what units say at moments of the stimulus."""
    from ..backend.connect import connect
    from ..backend.narration_file import NarrationFile
    from ..backend.narrations import choose_moments, narrate_moments, summary_of
    from ..config import NarrateConfig, validated
    from ..decoding import decoder_info
    from ..errors import NeurratorError
    from ..recording import moments as moments_of
    from ..recording import open_recording, open_stimulus
    from .progress import progress_bars, show_sample_being_made

    config = validated(
        NarrateConfig, recording=recording, presentations=presentations, decoder=decoder, units=units, frames=frames, held_out=held_out, repeat=repeat, prompt=prompt,
        concepts=concepts,
    )  # fmt: skip
    info = decoder_info(decoder)
    show_sample_being_made(recording)
    opened = open_recording(recording, presentations=presentations or info.config.presentations)
    unit_ids = opened.select_units(units) if units else [unit for unit in info.unit_ids if unit in set(opened.unit_ids)]
    if opened.name != info.recording or not unit_ids:
        raise NeurratorError(
            f"The decoder in {decoder} was fitted on the recording {info.recording!r}, and this one is {opened.name!r}: fit a decoder on it."
        )
    if units:
        known = set(info.unit_ids)
        chosen = [unit for unit in unit_ids if unit in known]
        if not chosen:
            info.positions(unit_ids)
        unit_ids = chosen
    stimulus, name = open_stimulus(opened, info.stimulus, frames=info.config.frames)
    moments = choose_moments(moments_of(opened, name, stimulus), info, frames, held_out, repeat)

    target = Path(out).expanduser()
    if not target.parent.is_dir():
        raise NeurratorError(f"The folder {target.parent} of --out does not exist: make it first.")
    asked = connect(backend, token, ca, language)
    try:
        with NarrationFile(target, moments, config, resume) as file:
            try:
                with progress_bars() as report:
                    report("narrating", len(file.done), len(moments))
                    for narration in narrate_moments(asked, opened, stimulus, file.missing, info, unit_ids, config):
                        file.add(narration)
                        report("narrating", len(file.done), len(moments))
            except NeurratorError as error:
                if not file.done:
                    raise
                kept = f"{len(file.done)} of {len(moments)} narrations are kept in {file.part}: go on with --resume."
                raise NeurratorError(f"{error} {kept}") from error
    finally:
        asked.close()
    right = sum(narration.text == narration.reference for narration in file.done)
    print(
        f"{len(moments)} narrations of {len(unit_ids)} units written to {out}; "
        f"{right / len(moments):.1%} are word for word what the profile says of the true frame."
    )
    print(summary_of([narration.evidence for narration in file.done]))
