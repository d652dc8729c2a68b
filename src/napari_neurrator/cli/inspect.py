"""``neurrator inspect``."""

import json
from typing import Annotated

import typer


def inspect(
    recording: Annotated[str, typer.Argument(help="An NWB file, a Kilosort or phy folder, or the word 'sample'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Say what is in a recording: units, positions, regions, stimuli."""
    from ..recording import open_recording
    from ..recording.inspect import account
    from .progress import show_sample_being_made

    show_sample_being_made(recording)
    opened = open_recording(recording)
    print(json.dumps(opened.to_dict(), indent=1) if as_json else account(opened))
