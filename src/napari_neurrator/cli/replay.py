"""``neurrator replay``."""

from pathlib import Path
from typing import Annotated

import typer

_TOLD = 5


def replay(
    session: Annotated[
        str,
        typer.Argument(help="A session saved by the window (.neurrator.json or .toml), or narrations as JSON lines."),
    ],
    out: Annotated[
        str | None, typer.Option(help="File to write, one JSON line a sentence; NAME.replayed.jsonl by default.")
    ] = None,
) -> None:
    """Make every sentence of a session again, without a window, and say what differs from what was saved."""
    from ..backend.local import InProcessBackend
    from ..export.files import write_narrations
    from ..replay import replay as replayed
    from .progress import progress_bars

    path = Path(session).expanduser()
    stem = path.name.removesuffix(path.suffix).removesuffix(".neurrator")
    target = Path(out).expanduser() if out else path.with_name(f"{stem}.replayed.jsonl")
    backend = InProcessBackend()
    found = []
    try:
        with progress_bars() as report:
            found = list(replayed(path, backend, report))
        write_narrations(target, (one.narration for one in found))
    finally:
        backend.close()
    changed = [one for one in found if one.differences]
    print(
        f"{len(found)} sentences made again and written to {target}; {len(found) - len(changed)} are as they were saved."
    )
    for one in changed[:_TOLD]:
        narration = one.narration
        print(f"  frame {narration.frame}, showing {narration.repeat}: {'; '.join(one.differences)}.")
    if len(changed) > _TOLD:
        print(f"  and {len(changed) - _TOLD} more.")
    if changed:
        raise typer.Exit(3)
