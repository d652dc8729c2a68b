"""Run a study: fit or find its decoders, gather its sessions, do its work, write its report."""

import time
from collections.abc import Callable
from pathlib import Path

from ...errors import NeurratorError
from ..material import OnProgress, gather
from ..report import report_folder, write_json, write_text
from ..sentences import MakeLanguage, own_language
from ..versions import library_versions
from .config import AxesStudy, ClassifierStudy, GroupsStudy, MoviesStudy, StabilityStudy, StudyConfig, UnseenStudy
from .decoders import decoder_of
from .report import Outcome, StudyReport, study_page
from .sets import StudySession


def run_study(
    config: StudyConfig,
    out: str | Path,
    on_progress: OnProgress | None = None,
    make_language: MakeLanguage = own_language,
) -> StudyReport:
    """Do a study and write ``report.json`` and ``report.html``.

    Parameters
    ----------
    config : StudyConfig
        One of the kinds of `studies.config`.
    out : path-like
        Folder of the report; what was worked out before is read from its ``cache``, and decoders from its ``decoders``.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    make_language : callable
        Makes the language model of a profile; in this process by default.

    Raises
    ------
    NeurratorError
        Anything that does not fit the sessions.
    """
    began = time.monotonic()
    progress = on_progress or (lambda stage, done, total: None)
    folder = report_folder(out)
    names = _names(config)
    each: list[StudyConfig] = [config.model_copy(update={"sessions": [one]}) for one in config.sessions]
    if isinstance(config, MoviesStudy) and config.parts is not None:
        from .parts import fit_on_parts

        each = [*fit_on_parts(config, folder)]
    sessions = []
    for name, study in zip(names, each, strict=True):
        (one,) = study.sessions
        told = study.evaluation(one, decoder_of(one, folder, progress))
        sessions.append(StudySession(name, gather(told, progress, make_language), folder))
    warnings: list[str] = []
    outcome = _worker(config)(config, sessions, warnings, progress)
    simulated = any(session.material.recording.simulated for session in sessions)
    headlines = outcome.headlines
    if simulated:
        headlines = [
            *headlines,
            "The data were simulated by a program: nothing here says anything about a brain.",
        ]
    for session in sessions:
        warnings += [f"{session.name}: {one}" for one in session.material.recording.warnings]
    report = StudyReport(
        kind=config.kind,
        title=outcome.title,
        simulated=simulated,
        headlines=headlines,
        summary=outcome.summary,
        sections=outcome.sections,
        findings=outcome.findings,
        warnings=warnings,
        config=config.model_dump(),
        versions=library_versions(),
        seconds=round(time.monotonic() - began, 1),
    )
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", study_page(report))
    return report


def _names(config: StudyConfig) -> list[str]:
    """Return what sessions are called: as they are told, else as their files."""
    names = [one.name or Path(one.recording.rstrip("/")).name.split(".")[0] for one in config.sessions]
    if len(set(names)) < len(names):
        raise NeurratorError("Two sessions of the study have the same name: name them differently (name).")
    return names


def _worker(config: StudyConfig) -> Callable[..., Outcome]:
    """Return what does the work of a kind of study; imported here, for some bring large libraries."""
    if isinstance(config, GroupsStudy):
        from .groups import study_groups

        return study_groups
    if isinstance(config, ClassifierStudy):
        from .classifier import study_classifier

        return study_classifier
    if isinstance(config, StabilityStudy):
        from .stability import study_stability

        return study_stability
    if isinstance(config, AxesStudy):
        from .axes import study_axes

        return study_axes
    if isinstance(config, UnseenStudy):
        from .unseen import study_unseen

        return study_unseen
    assert isinstance(config, MoviesStudy)
    from .movies import study_movies

    return study_movies
