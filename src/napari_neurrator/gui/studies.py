"""Runs evaluations and studies in a process of their own; Qt reads what it says, so no thread is needed and nothing waits."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from qtpy.QtCore import QObject, QProcess, QTimer, Signal

from ..evaluation.child import ReportEvent, ReportJob

CHILD = (sys.executable, "-m", "napari_neurrator.evaluation.child")
# How long a child may take to stop of its own accord.
_PATIENCE_MS = 8000


class ReportRunner(QObject):
    """One job at a time.

    Parameters
    ----------
    command : sequence of str
        Starts the child, see `evaluation.child`.

    Attributes
    ----------
    progress : Signal(ReportEvent)
        The child is at work.
    ended : Signal(ReportEvent)
        The job is done, was stopped, or failed: once for every job.
    """

    progress = Signal(object)
    ended = Signal(object)

    def __init__(self, command: Sequence[str] = CHILD) -> None:
        super().__init__()
        self._command = list(command)
        self._process: QProcess | None = None
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id of the child, 0 while there is none."""
        return 0 if self._process is None else int(self._process.processId())

    def start(self, job: ReportJob) -> None:
        """Start a job; `RuntimeError` while another one runs."""
        if self.busy:
            raise RuntimeError("a job runs already")
        self._stopping = False
        process = self._process = QProcess(self)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.SeparateChannels)
        # What libraries say there is for developers; unread it would fill the memory.
        process.setStandardErrorFile(QProcess.nullDevice())
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        process.start(self._command[0], self._command[1:])
        process.write(job.model_dump_json().encode() + b"\n")

    def stop(self) -> None:
        """Ask the child to stop, and end it if it does not."""
        process = self._process
        if process is None or self._stopping:
            return
        self._stopping = True
        process.closeWriteChannel()
        QTimer.singleShot(_PATIENCE_MS, lambda: process.kill() if process is self._process else None)

    def close(self) -> None:
        """End the child now, without a word."""
        process, self._process = self._process, None
        if process is not None:
            process.blockSignals(True)
            process.kill()
            process.waitForFinished(2000)

    def _read(self) -> None:
        process = self._process
        while process is not None and process is self._process and process.canReadLine():
            try:
                event = ReportEvent(**json.loads(bytes(process.readLine().data())))
            except (ValueError, ValidationError):
                continue
            if event.event == "progress":
                self.progress.emit(event)
            else:
                self._end(event)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end(ReportEvent(event="failed", message="The process of the study could not be started."))

    def _on_finished(self, code: int, _status: object) -> None:
        self._read()
        if self._stopping:
            self._end(ReportEvent(event="stopped"))
        else:
            message = (
                f"The process of the study ended unexpectedly (code {code}); run it again, it goes on where it was."
            )
            self._end(ReportEvent(event="failed", message=message))

    def _end(self, event: ReportEvent) -> None:
        """Tell once how the job ended, and let the process go when it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        for signal in (process.readyReadStandardOutput, process.finished, process.errorOccurred):
            signal.disconnect()
        if process.state() == QProcess.ProcessState.NotRunning:
            process.deleteLater()
        else:
            process.finished.connect(process.deleteLater)
            process.closeWriteChannel()
        self.ended.emit(event)


def report_page(folder: str) -> Path | None:
    """Return the page of a report that is there."""
    page = Path(folder).expanduser() / "report.html"
    return page if page.is_file() else None
