"""Progress bars for long work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

OnProgress = Callable[[str, int, int], None]


@contextmanager
def progress_bars() -> Iterator[OnProgress]:
    """Show one bar a stage on stderr; yields a function to call with (stage, done, total).

    Where stderr is no terminal, a line is printed as each stage begins and ends.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


class _Lines:
    def __init__(self, console: Console):
        self.console = console
        self.quarter: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        quarter = 4 * done // max(total, 1)
        if self.quarter.get(stage) != quarter:
            self.quarter[stage] = quarter
            self.console.print(f"{stage}: {done} of {total}", highlight=False)


def show_sample_being_made(recording: str) -> None:
    """Make the sample session in sight of the user, where that is what was asked for and it is not there yet."""
    if recording != "sample":
        return
    from ..recording.sample import make_sample, sample_file

    if not sample_file().is_file():
        with progress_bars() as report:
            make_sample(on_progress=report)
