"""The command ``neurrator`` and how its errors reach the user."""

import os
import sys

import typer

from ..errors import NeurratorError, Stopped
from . import concepts, demo, evaluate, export, fit, inspect, models, narrate, pool, replay, serve, study

_STOPPED = 130

app = typer.Typer(
    name="neurrator",
    help="Narrate what neurons say about the movie: open a sorted session, fit a decoder, read sentences.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("inspect")(inspect.inspect)
app.command("fit")(fit.fit)
app.command("narrate")(narrate.narrate)
app.command("evaluate")(evaluate.evaluate)
app.command("study")(study.study)
app.command("pool")(pool.pool)
app.command("serve")(serve.serve)
app.command("export")(export.export)
app.command("replay")(replay.replay)
app.add_typer(models.app, name="models")
app.add_typer(concepts.app, name="concepts")


def main() -> None:
    """Run the command line: 0 is success, 2 is something the user can mend, said in one sentence on stderr."""
    try:
        app()
    except NeurratorError as error:
        _say(str(error))
        sys.exit(2)
    except (Stopped, KeyboardInterrupt) as stop:
        _say(str(stop) or "Stopped.")
        sys.exit(_STOPPED)
    except SystemExit as end:
        # What Typer makes of Ctrl-C, without a word.
        if end.code == _STOPPED:
            _say("Stopped.")
        raise
    except BrokenPipeError:
        # The reader of our output went away (for example `| head`): that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _say(f"The system refused{where}: {error.strerror or error}.")
        sys.exit(2)
    except Exception as error:
        if os.environ.get("NEURRATOR_DEBUG"):
            raise
        _say(
            f"neurrator met a fault of its own ({type(error).__name__}: {error}); run it again with NEURRATOR_DEBUG=1 to see where."
        )
        sys.exit(1)


def _say(sentence: str) -> None:
    print(f"neurrator: {sentence}", file=sys.stderr)
