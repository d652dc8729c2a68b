"""``neurrator study``."""

from typing import Annotated

import typer

from ..errors import NeurratorError
from .backend_options import BACKEND_HELP, CA_HELP, LANGUAGE_HELP, TOKEN_HELP, speaker
from .stopping import stoppable


@stoppable("what was worked out is kept in {out}, and the same command goes on from there")
def study(
    config: Annotated[str | None, typer.Argument(help="A TOML file that says which study, on which sessions.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder to write report.html and report.json to.")] = None,
    example: Annotated[
        str | None, typer.Option(help="Print a starting file and do nothing else: 'list' lists them.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help=BACKEND_HELP)] = None,
    token: Annotated[str | None, typer.Option(help=TOKEN_HELP)] = None,
    ca: Annotated[str | None, typer.Option(help=CA_HELP)] = None,
    language: Annotated[str | None, typer.Option(help=LANGUAGE_HELP)] = None,
) -> None:
    """Do a study: regions and cell types, their sentences, concepts, axes between phrases, unseen images, from movie to movie."""
    if example is not None:
        _show_example(example)
        return
    if config is None or out is None:
        raise NeurratorError(
            "Give a study's TOML file and a folder with --out, or print a file to start from with --example list."
        )
    from ..evaluation.report import report_folder
    from ..evaluation.studies.config import read_study
    from ..evaluation.studies.run import run_study
    from .progress import progress_bars, show_sample_being_made

    wanted = read_study(config)
    report_folder(out)
    for session in wanted.sessions:
        show_sample_being_made(session.recording)
    with speaker(backend, token, ca, language) as make_language, progress_bars() as report:
        found = run_study(wanted, out, report, make_language)
    for line in found.headlines:
        print(line)
    for warning in found.warnings:
        print(f"Note: {warning}")
    print(f"The report is in {out}/report.html, all numbers in {out}/report.json.")


def _show_example(name: str) -> None:
    from ..evaluation.studies.examples import EXAMPLES, example

    if name == "list":
        for one, (kind, _, _) in EXAMPLES.items():
            print(f"{one:20} {kind.__doc__}")
    else:
        print(example(name), end="")
