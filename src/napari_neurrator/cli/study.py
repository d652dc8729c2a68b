"""``neurrator study``."""

from typing import Annotated

import typer


def study(
    config: Annotated[str, typer.Argument(help="A TOML file that says which study, on which sessions.")],
    out: Annotated[str, typer.Option(help="Folder to write report.html and report.json to.")],
) -> None:
    """Do a study: groups of units, telling cell types by their sentences, stability of concepts, axes between phrases."""
    from ..evaluation.studies.config import read_study
    from ..evaluation.studies.run import run_study
    from .progress import progress_bars, show_sample_being_made

    wanted = read_study(config)
    for session in wanted.sessions:
        show_sample_being_made(session.recording)
    with progress_bars() as report:
        found = run_study(wanted, out, report)
    for warning in found.warnings:
        print(f"Note: {warning}")
    print(f"The report is in {out}/report.html, all numbers in {out}/report.json.")
