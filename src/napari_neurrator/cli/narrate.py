"""``neurrator narrate``."""

import sys
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
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="What to ask of the picture; give it several times to ask several questions."),
    ] = None,
    concepts: Annotated[int, typer.Option(help="Concepts listed for each moment.")] = 8,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run of the same was stopped.")
    ] = False,
    backend: Annotated[str | None, typer.Option(help=BACKEND_HELP)] = None,
    token: Annotated[str | None, typer.Option(help=TOKEN_HELP)] = None,
    ca: Annotated[str | None, typer.Option(help=CA_HELP)] = None,
    language: Annotated[str | None, typer.Option(help=LANGUAGE_HELP)] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Length of a sentence at most, in tokens.")] = 60,
    beams: Annotated[int, typer.Option(help="Candidate sentences that are followed at once.")] = 1,
    temperature: Annotated[float, typer.Option(help="Draw words at random; 0 takes the likeliest.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest words that share this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    batch: Annotated[int | None, typer.Option(help="Sentences at once; as many as memory allows by default.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the models run: cpu, cuda, cuda:1, …; a GPU if there is one.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Precision of the language model: float32, float16 or bfloat16.")
    ] = None,
    quantise: Annotated[str | None, typer.Option(help="Language model in 8bit or 4bit, on a GPU.")] = None,
) -> None:
    """Narrate what units say at moments of the stimulus."""
    from ..backend.connect import connect
    from ..backend.narration_file import NarrationFile
    from ..backend.narrations import choose_moments, narrate_moments, summary_of
    from ..config import NarrateConfig, RunningConfig, SpeakingConfig, validated
    from ..decoding import decoder_info
    from ..errors import NeurratorError, Stopped
    from ..recording import moments as moments_of
    from ..recording import open_recording, open_stimulus
    from .progress import progress_bars, show_sample_being_made

    speaking = validated(SpeakingConfig, beams=beams, temperature=temperature, top_p=top_p, seed=seed)
    running = validated(RunningConfig, device=device, dtype=dtype, quantise=quantise, batch=batch)
    several = prompt if prompt and len(prompt) > 1 else None
    config = validated(
        NarrateConfig, {"prompts": "prompt"}, recording=recording, presentations=presentations, decoder=decoder, units=units, frames=frames, held_out=held_out, repeat=repeat,
        prompt=prompt[0] if prompt and not several else None, prompts=several,
        concepts=concepts, max_new_tokens=max_new_tokens,
        speaking=None if speaking == SpeakingConfig() else speaking, running=None if running == RunningConfig() else running,
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
    asked = connect(backend, token, ca, language, config.running)
    try:
        with NarrationFile(target, moments, config, resume) as file:
            try:
                with progress_bars() as report:
                    report("narrating", len(file.done), len(moments))
                    for narration in narrate_moments(
                        asked, opened, stimulus, file.missing, info, unit_ids, config, _notice
                    ):
                        file.add(narration)
                        report("narrating", len(file.done), len(moments))
            except (NeurratorError, Stopped, KeyboardInterrupt) as error:
                if not file.done:
                    raise
                kept = f"{len(file.done)} of {len(moments)} narrations are kept in {file.part}: go on with --resume."
                if isinstance(error, NeurratorError):
                    raise NeurratorError(f"{error} {kept}") from error
                raise Stopped(f"Stopped: {kept}") from error
    finally:
        asked.close()
    right = sum(narration.text == narration.reference for narration in file.done)
    print(
        f"{len(moments)} narrations of {len(unit_ids)} units written to {out}; "
        f"{right / len(moments):.1%} are word for word what the profile says of the true frame."
    )
    print(summary_of([narration.evidence for narration in file.done]))


def _notice(text: str) -> None:
    print(f"neurrator: {text}", file=sys.stderr)
