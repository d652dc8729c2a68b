"""One evaluation or study in a process of its own: a job as one line of JSON on standard input, events as lines of JSON on standard output.

It stops when told to, and when standard input ends, which it does when the parent dies however it dies; what was worked out is kept for the next time.
"""

import json
import os
import sys
import threading
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..errors import NeurratorError, Stopped
from .config import EvaluateConfig
from .studies.config import study_of

EVALUATION = "evaluation"
# What is left of a job that hangs in a library when it should stop.
_GRACE_S = 20.0


class ReportJob(BaseModel):
    """What the child is asked for.

    Attributes
    ----------
    kind : str
        `EVALUATION`, or ``study``.
    config : dict
        Fields of `EvaluateConfig`, or of a study with its ``kind``.
    out : str
        Folder of the report.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["evaluation", "study"]
    config: dict[str, Any]
    out: str


class ReportEvent(BaseModel):
    """What the child says.

    Attributes
    ----------
    event : str
        ``progress``, or the last one: ``done``, ``stopped`` or ``failed``.
    stage, done, total
        Of progress.
    message : str
        Why it failed.
    headlines, warnings : list of str
        What came out.
    """

    model_config = ConfigDict(extra="forbid")

    event: Literal["progress", "done", "stopped", "failed"]
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    headlines: list[str] = []
    warnings: list[str] = []


def main() -> None:
    """Do the job that stands in the first line of standard input."""
    # What libraries print must not come between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    stopped = threading.Event()

    def tell(event: ReportEvent) -> None:
        events.write(event.model_dump_json() + "\n")
        events.flush()

    def progress(stage: str, done: int, total: int) -> None:
        if stopped.is_set():
            raise Stopped
        tell(ReportEvent(event="progress", stage=stage, done=done, total=total))

    def wait_for_the_end() -> None:
        # Any further line, or the end, means stop.
        sys.stdin.readline()
        stopped.set()
        threading.Timer(_GRACE_S, lambda: os._exit(1)).start()

    try:
        job = ReportJob(**json.loads(sys.stdin.readline()))
        threading.Thread(target=wait_for_the_end, daemon=True).start()
        tell(_work(job, progress))
    except BrokenPipeError:
        pass
    finally:
        os._exit(0)


def _work(job: ReportJob, progress: Any) -> ReportEvent:
    try:
        # Libraries take seconds to import.
        progress("starting", 0, 1)
        if job.kind == EVALUATION:
            from .run import evaluate

            evaluated = evaluate(EvaluateConfig(**job.config), job.out, progress)
            return ReportEvent(event="done", headlines=evaluated.headlines, warnings=evaluated.warnings)
        from .studies.run import run_study

        found = run_study(study_of(job.config), job.out, progress)
        return ReportEvent(event="done", headlines=found.headlines, warnings=found.warnings)
    except Stopped:
        return ReportEvent(event="stopped")
    except NeurratorError as error:
        return ReportEvent(event="failed", message=str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return ReportEvent(event="failed", message=f"The system refused{where}: {error.strerror or error}.")
    except Exception as error:
        return ReportEvent(
            event="failed", message=f"neurrator met a fault of its own ({type(error).__name__}: {error})."
        )


if __name__ == "__main__":
    main()
