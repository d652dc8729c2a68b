"""From one film to another: one decoder on held-out moments of its own film, and on all of a film that it never saw."""

from typing import Any

import numpy as np

from ...errors import NeurratorError
from ..claims import untold
from ..config import EvaluateConfig
from ..evidence import ALPHA
from ..html import p_text, percent, percents
from ..material import OnProgress, gather
from ..report import Report
from ..run import evaluate_material
from ..verdict import worse_than_prior
from .config import MoviesStudy
from .report import Outcome, Section
from .sets import StudySession
from .whole import HEAD, curves, rows_of


def study_movies(
    config: MoviesStudy, sessions: list[StudySession], warnings: list[str], progress: OnProgress
) -> Outcome:
    """Evaluate every session's decoder within its film and across to the other one."""
    sections, headlines = [], []
    findings: dict[str, Any] = {}
    for session in sessions:
        across_material = session.material
        told = across_material.config
        info = across_material.stored.info
        if across_material.stimulus_name == info.stimulus:
            raise NeurratorError(
                f"The decoder of {session.name} was fitted on {info.stimulus!r} itself: name another film of the session as stimulus."
            )
        own = EvaluateConfig(**{**told.model_dump(), "stimulus": None, "frames": None})
        within = evaluate_material(gather(own, progress, session.material.make_language), session.folder, progress)
        across = evaluate_material(across_material, session.folder, progress)
        warnings += [f"{session.name}: {one}" for one in dict.fromkeys([*within.warnings, *across.warnings])]
        findings[session.name] = {
            "within": within.model_dump(exclude={"config", "decoder_config", "versions"}),
            "across": across.model_dump(exclude={"config", "decoder_config", "versions"}),
        }
        headlines.append(
            f"{session.name}: {_claim('within', within)}; {_claim('across', across)}. {worse_than_prior(across)}".rstrip()
        )
        sections.append(_section(session.name, within, across))
    summary = (
        "One decoder a session was fitted on one film. “Within” tests held-out moments of that film; “across” tests another film of which nothing was fitted. The default decoder, fitted with showings held out, answers with "
        "mixtures of the grids of frames that it knows, so across films it can only say which known pictures the neurons find like the one shown; fitted with another split it regresses too, and can leave them. "
        "Two-way identification does not depend on the number of pictures; retrieval does, and the two films differ in it."
    )
    return Outcome("From one film to another", summary, headlines, sections, findings)


def _claim(which: str, report: Report) -> str:
    whole = report.sizes[-1]
    value, p = float(np.mean(whole.by_draw["two_way"])), whole.p_holm.get("two_way")
    if why := untold(report.least_p):
        claim = f"and whether that is more than chance cannot be told ({why})"
    else:
        claim = f"{'more' if p is not None and p <= ALPHA else 'not more'} than chance ({p_text(p)}, corrected)"
    return f"{which} ({report.stimulus}, {report.n_pictures:,} pictures) two-way identification is {percent(value)}{percents(whole.ci['two_way'])}, {claim}"


def _section(name: str, within: Report, across: Report) -> Section:
    rows = [
        [which, *row]
        for which, report in (("within", within), ("across", across))
        for row in rows_of(report, report.sizes[-1])
    ]
    return Section(
        title=name,
        text=f"Within: {within.n:,} moments of {within.stimulus} ({within.split}), {within.n_pictures:,} pictures. Across: {across.n:,} moments of {across.stimulus}, {across.n_pictures:,} pictures. "
        f"Sentences are held against {across.references}.",
        svg=curves([("within the film", within), ("across to the other", across)], "Within and across films"),
        caption="Means of random subsets of units, and their 95 % intervals over stretches of film and subsets.",
        head=["test", *HEAD],
        rows=rows,
    )
