"""``neurrator pool``."""

from pathlib import Path
from typing import Annotated

import typer


def pool(
    recordings: Annotated[list[str], typer.Argument(help="two or more sessions", metavar="RECORDING RECORDING…")],
    out: Annotated[Path, typer.Option(help="TOML file to write; give it as RECORDING to any other command")],
    stimulus: Annotated[
        str | None, typer.Option(help="pool this stimulus only; by default all that the sessions share")
    ] = None,
) -> None:
    """Pool the units of several sessions into a pseudo-population, matched by the frames shown."""
    from ..errors import NeurratorError
    from ..recording import open_recording
    from ..recording.pool import describe_pool, write_pool
    from ..recording.pool import pool as pooled_of

    if out.suffix.lower() != ".toml":
        raise NeurratorError(f"--out {out} has to end in .toml: that is how it is known as a pool of sessions.")
    pooled = pooled_of([open_recording(recording) for recording in recordings], stimulus, out.stem)
    write_pool(out, recordings, stimulus)
    parts = describe_pool(pooled)
    typer.echo(
        f"{out}: a pseudo-population of {len(pooled.units)} units, {len(pooled.presentations)} presentations shared.\n"
        + "\n".join(f"  session {name}: {count} units" for name, count in parts["sessions"].items())
        + f"\n  {len(parts['animals'])} animals: their units never fired together."
    )
