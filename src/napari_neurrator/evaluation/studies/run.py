"""Run a study: gather its sessions, do its work, write its report."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import NeurratorError
from ..material import OnProgress, gather
from ..report import report_folder, write_json, write_text
from ..run import library_versions
from .config import AxesStudy, ClassifierStudy, GroupsStudy, StabilityStudy, StudyConfig
from .report import Section, StudyReport, study_page
from .sets import StudySession

Result = tuple[str, str, list[Section], dict[str, Any]]


def run_study(config: StudyConfig, out: str | Path, on_progress: OnProgress | None = None) -> StudyReport:
    """Do a study and write ``report.json`` and ``report.html``.

    Parameters
    ----------
    config : StudyConfig
        One of the kinds of `studies.config`.
    out : path-like
        Folder of the report; what was worked out before is read from its ``cache``.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.

    Raises
    ------
    NeurratorError
        Anything that does not fit the sessions.
    """
    began = time.monotonic()
    progress = on_progress or (lambda stage, done, total: None)
    folder = report_folder(out)
    warnings: list[str] = []
    sessions = [
        StudySession(one.name or f"session {number + 1}", gather(config.evaluation(one), progress), folder / "cache")
        for number, one in enumerate(config.sessions)
    ]
    if len({session.name for session in sessions}) < len(sessions):
        raise NeurratorError("Two sessions of the study have the same name: name them differently.")
    title, summary, sections, findings = _worker(config)(config, sessions, warnings, progress)
    simulated = any(session.material.recording.simulated for session in sessions)
    if simulated:
        summary += " The data were simulated by a program: nothing here says anything about a brain."
    for session in sessions:
        warnings += [f"{session.name}: {one}" for one in session.material.recording.warnings]
    report = StudyReport(
        kind=config.kind,
        title=title,
        simulated=simulated,
        summary=summary,
        sections=sections,
        findings=findings,
        warnings=warnings,
        config=config.model_dump(),
        versions=library_versions(),
        seconds=round(time.monotonic() - began, 1),
    )
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", study_page(report))
    return report


def _worker(config: StudyConfig) -> Callable[..., Result]:
    if isinstance(config, GroupsStudy):
        from .groups import study_groups

        return study_groups
    if isinstance(config, ClassifierStudy):
        from .classifier import study_classifier

        return study_classifier
    if isinstance(config, StabilityStudy):
        from .stability import study_stability

        return study_stability
    assert isinstance(config, AxesStudy)
    from .axes import study_axes

    return study_axes
