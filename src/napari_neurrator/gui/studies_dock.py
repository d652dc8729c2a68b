"""The Studies dock: is what the units say more than chance? An evaluation or a study of the open session, behind the window."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QProgressBar, QSizePolicy, QWidget

from ..errors import NeurratorError
from ..evaluation.child import EVALUATION, ReportEvent, ReportJob
from ..evaluation.config import EvaluateConfig
from ..evaluation.studies.config import (
    AxesStudy,
    ClassifierStudy,
    GroupsStudy,
    MoviesStudy,
    StabilityStudy,
    UnseenStudy,
    study_of,
)
from ..paths import cache_folder
from . import parts
from .fit_dialog import source_of
from .studies import ReportRunner, report_page
from .studies_form import ConfigForm
from .workspace import Workspace


@dataclass(frozen=True)
class Choice:
    """One entry of the dock: what it asks, its configuration, and the fields that the form shows."""

    question: str
    model: type[BaseModel]
    fields: tuple[str, ...]

    @property
    def kind(self) -> str:
        """`EVALUATION`, or the kind of study."""
        return EVALUATION if self.model is EvaluateConfig else self.model.model_fields["kind"].default


CHOICES = (
    Choice("Is it more than chance?", EvaluateConfig, ("sizes", "draws", "moments", "narrated", "captions")),
    Choice(
        "Do regions or cell types differ?",
        GroupsStudy,
        ("column", "groups", "control", "min_units", "sizes", "draws", "null_draws", "moments"),
    ),
    Choice(
        "Can sentences tell the groups apart?",
        ClassifierStudy,
        ("column", "groups", "min_units", "size", "sets", "relabelings", "narrated"),
    ),
    Choice("How stable are the concepts?", StabilityStudy, ("column", "groups", "min_units", "resamples", "narrated")),
    Choice("Along an axis between two phrases", AxesStudy, ("axes", "column", "groups", "min_units", "moments")),
    Choice("Pictures that were never seen", UnseenStudy, ("sizes", "draws", "moments", "narrated", "captions")),
    Choice("From one film to another", MoviesStudy, ("stimulus", "sizes", "draws", "moments", "narrated")),
)


class StudiesDock(parts.Listener):
    """Choose a study, run it, read what came out.

    Parameters
    ----------
    workspace : Workspace
        Of the viewer.
    runner : ReportRunner, optional
        Runs the jobs.
    """

    def __init__(self, workspace: Workspace, runner: ReportRunner | None = None) -> None:
        super().__init__(workspace.session)
        self.runner = runner or ReportRunner()
        self.runner.progress.connect(self._on_progress)
        self.runner.ended.connect(self._on_ended)
        self._out = ""
        layout = parts.column(parts.scrolled(self))

        self.study = QComboBox()
        self.study.addItems([choice.question for choice in CHOICES])
        self.study.currentIndexChanged.connect(lambda *_: self._show_form())
        layout.addWidget(self.study)
        self.about = parts.text(quiet=True, points=8.5)
        layout.addWidget(self.about)
        self.on = parts.text()
        layout.addWidget(self.on)
        self.only_selected = QCheckBox()
        layout.addWidget(self.only_selected)
        self.form_place = QWidget()
        self._form_layout = parts.column(self.form_place, margin=0)
        layout.addWidget(self.form_place)
        self.folder = QLineEdit()
        self.folder.setToolTip("Folder of the report; a study that was stopped goes on from what lies there")
        layout.addWidget(
            parts.row(parts.text("Report in", quiet=True, wrap=False), self.folder, parts.button("…", self._browse))
        )
        self.go = parts.button("Run", self.run, "Run it in a process of its own, behind the window", primary=True)
        self.go.setMinimumWidth(110)
        self.go.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.stop = parts.button("Stop", self.runner.stop, "Stop; what was worked out is kept for the next time")
        self.stage = parts.text(quiet=True, points=8.5)
        layout.addWidget(parts.row(self.go, self.stop, self.stage))
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        layout.addWidget(self.progress)
        self.heading = parts.heading("What came out")
        layout.addWidget(self.heading)
        self.findings = parts.text()
        self.findings.setTextFormat(Qt.TextFormat.PlainText)
        layout.addWidget(self.findings)
        self.notes = parts.text(quiet=True, points=8.5)
        self.notes.setTextFormat(Qt.TextFormat.PlainText)
        layout.addWidget(self.notes)
        self.open = parts.button("Open report", self.open_report, "Show the page in the browser")
        layout.addWidget(parts.row(self.open, 1))
        layout.addStretch(1)

        self._say("", [], [])
        events = self.session.events
        self.listen(self._show_form, self.session.scene_changed, events.decoder)
        self.listen(self._show_selected, events.selected)

    @property
    def choice(self) -> Choice:
        """The study that is chosen."""
        return CHOICES[self.study.currentIndex()]

    def job(self) -> ReportJob:
        """Return the job as it is filled in.

        Raises
        ------
        NeurratorError
            Something is missing, or cannot be.
        """
        session, choice = self.session, self.choice
        if session.recording is None or session.decoder is None:
            raise NeurratorError(
                "A study needs a recording and a decoder fitted on it: open one and fit or choose the other."
            )
        values = self.form.values()
        if self.only_selected.isChecked() and session.selected:
            values["units"] = f"unit_id in {list(session.selected)!r}"
        source = source_of(session.current) or session.source
        told = None if session.current is None else session.current.presentations
        own = {"recording": source, "decoder": session.decoder_folder, "presentations": told}
        shown = session.stimulus_file if session.decoder.stimulus == session.stimulus_name else None
        out = self.folder.text().strip()
        if not out:
            raise NeurratorError("Name a folder for the report.")
        Path(out).expanduser().parent.mkdir(parents=True, exist_ok=True)
        if choice.kind == EVALUATION:
            try:
                config: BaseModel = EvaluateConfig.model_validate({**own, "frames": shown, **values})
            except ValidationError as error:
                first = error.errors()[0]
                raise NeurratorError(f"{first['loc'][0]}: {first['msg']}.") from error
        else:
            fields = {"kind": choice.kind, "sessions": [{**own, "name": session.recording.name}], **values}
            if "stimulus" not in values:
                fields["frames"] = shown
            config = study_of(fields)
        return ReportJob(
            kind="evaluation" if choice.kind == EVALUATION else "study", config=config.model_dump(mode="json"), out=out
        )

    def run(self) -> None:
        """Run what is filled in."""
        try:
            job = self.job()
        except NeurratorError as error:
            self.session.fail(str(error))
            return
        self._out = job.out
        self.runner.start(job)
        self._say("Starting", [], [])

    def open_report(self) -> None:
        """Show the page of the last report in the browser."""
        page = report_page(self._out)
        if page is None:
            self.session.fail(f"There is no report in {self._out} any more: run the study again.")
            return
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(page.resolve())))

    def let_go(self) -> None:
        """Disconnect, and end a study that runs."""
        super().let_go()
        self.runner.close()

    def _show_form(self) -> None:
        session, choice = self.session, self.choice
        parts.clear(self._form_layout)
        columns = [] if session.recording is None else [str(name) for name in session.recording.units.columns]
        groups = [name for name in ("region", "cell_type", "waveform_class", "probe", "session") if name in columns]
        choices: dict[str, Sequence[str]] = {"column": groups, "stimulus": self._other_stimuli()}
        self.form = ConfigForm(choice.model, choice.fields, choices)
        self._form_layout.addWidget(self.form)
        self.about.setText(_EVALUATION if choice.kind == EVALUATION else str(choice.model.__doc__))
        ready = session.recording is not None and session.decoder is not None
        self.on.setText(
            f"{session.recording.name}, decoder {Path(session.decoder_folder).name} of {session.decoder.stimulus}"
            if ready
            else "Open a recording and fit or choose its decoder first."
        )
        if ready:
            self.folder.setText(str(default_folder(session.recording.name, session.decoder_folder, choice.kind)))
        self._show_buttons()

    def _other_stimuli(self) -> list[str]:
        session = self.session
        if session.recording is None:
            return []
        own = getattr(session.decoder, "stimulus", None)
        return [str(name) for name in session.recording.stimuli()["stimulus"] if name not in (own, "spontaneous")]

    def _show_selected(self) -> None:
        n = len(self.session.selected)
        self.only_selected.setText(f"only the {n:,} selected unit{'s' * (n != 1)}" if n else "only selected units")
        self.only_selected.setEnabled(n > 0)

    def _show_buttons(self) -> None:
        busy = self.runner.busy
        self.go.setEnabled(not busy and self.session.recording is not None and self.session.decoder is not None)
        self.stop.setEnabled(busy)
        self.progress.setVisible(busy)

    def _on_progress(self, event: ReportEvent) -> None:
        self.progress.setRange(0, event.total)
        self.progress.setValue(event.done)
        count = f" {event.done:,} of {event.total:,}" if event.total > 1 else ""
        self.stage.setText(event.stage[:1].upper() + event.stage[1:] + count)

    def _on_ended(self, event: ReportEvent) -> None:
        if event.event == "done":
            self._say("Done.", event.headlines, event.warnings)
        elif event.event == "stopped":
            self._say("Stopped; what was worked out is kept, and Run goes on from there.", [], [])
        else:
            self._say("Failed.", [], [])
            self.session.fail(event.message)

    def _say(self, stage: str, headlines: list[str], warnings: list[str]) -> None:
        self.stage.setText(stage)
        self.findings.setText("\n\n".join(headlines))
        self.notes.setText("\n".join(warnings))
        for widget in (self.heading, self.findings, self.open):
            widget.setVisible(bool(headlines))
        self.notes.setVisible(bool(warnings))
        self._show_buttons()

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write the report in")
        if folder:
            self.folder.setText(folder)


_EVALUATION = "One decoder on held-out moments, for subsets of the units of several sizes, against every null."


def default_folder(recording: str, decoder: str, kind: str) -> Path:
    """Return where a report lies unless the user says otherwise: the same for the same study, so that it goes on."""
    name = "-".join(re.sub(r"[^\w.]+", "_", part) for part in (recording, Path(decoder).name, kind))
    return cache_folder("reports") / name


class StudiesWidget(StudiesDock):
    """The Studies dock as napari makes it from the Plugins menu."""

    def __init__(self, napari_viewer: Any) -> None:
        workspace = Workspace.of(napari_viewer)
        super().__init__(workspace)
        workspace.when_closed(self.let_go)
