"""How stable the ranking of concepts is when units are resampled."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ...concepts.dictionary import load_dictionary
from ...concepts.ranking import concept_totals
from ...errors import NeurratorError
from ..figures import bars_with_dots, panels, svg
from ..material import OnProgress
from .config import StabilityStudy
from .report import Outcome, Section
from .sets import StudySession


def study_stability(
    config: StabilityStudy, sessions: list[StudySession], warnings: list[str], progress: OnProgress
) -> Outcome:
    """Return what the study found."""
    findings: dict[str, Any] = {}
    sections = []
    for session in sessions:
        dictionary = load_dictionary(session.material.profile)
        if dictionary is None:
            raise NeurratorError(
                f"The profile {session.material.profile.name!r} has no dictionary, so concepts cannot be named: choose another profile."
            )
        groups = {"all units": session.material.unit_ids}
        if config.column:
            groups = session.groups(config.column, config.groups, config.min_units)
        base = _totals(dictionary, [session.material.pool.prior[None]])
        found: dict[str, Any] = {}
        whole = {}
        for place, (name, units) in enumerate(sorted(groups.items())):
            progress(f"{session.name}: resampling units", place, len(groups))
            rng = np.random.default_rng([config.seed, 50, place])
            whole[name] = _excess(dictionary, session, units, base)
            rank, shared = [], []
            for _ in range(config.resamples):
                some = sorted(set(rng.integers(0, len(units), size=len(units)).tolist()))
                again = _excess(dictionary, session, [units[i] for i in some], base)
                rank.append(float(spearmanr(whole[name], again).statistic))
                shared.append(_jaccard(whole[name], again, config.top))
            best = np.argsort(-whole[name])[: config.top]
            found[name] = {
                "n_units": len(units),
                "rank_correlation": rank,
                "jaccard": shared,
                "top": [dictionary.concepts[i] for i in best],
            }
        progress(f"{session.name}: resampling units", len(groups), len(groups))
        names = sorted(groups)
        between = {
            f"{a} – {b}": {
                "rank_correlation": float(spearmanr(whole[a], whole[b]).statistic),
                "jaccard": _jaccard(whole[a], whole[b], config.top),
            }
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        }
        findings[session.name] = {"groups": found, "between": between}
        sections.append(_section(config, session.name, found, between))
    summary = (
        f"The concepts of decoded grids, as their mean activation over held-out moments less that of the mean grid, were ranked for all units of a group and for {config.resamples} resamples of "
        "its units (with replacement). Rank correlation is over all concepts; overlap is the Jaccard index of the first "
        f"{config.top}. Stability says how much a ranking rests on single units; it does not say that the ranking is true."
    )
    headlines = [_headline(name, found) for name, found in findings.items()]
    return Outcome("How stable the concepts are", summary, headlines, sections, findings)


def _totals(dictionary: Any, grids: Any) -> np.ndarray:
    sums = [concept_totals(dictionary, dictionary.encode(part)) for part in grids]
    return np.concatenate([part.numpy() for part in sums]).mean(0)


def _excess(dictionary: Any, session: StudySession, units: list, base: np.ndarray) -> np.ndarray:
    material = session.material
    return _totals(dictionary, material.decode(units, material.narrated)) - base


def _jaccard(a: np.ndarray, b: np.ndarray, top: int) -> float:
    one, other = set(np.argsort(-a)[:top].tolist()), set(np.argsort(-b)[:top].tolist())
    return len(one & other) / len(one | other)


def _headline(name: str, found: dict[str, Any]) -> str:
    """Say whether groups differ by more than resampling moves them."""
    groups, between = found["groups"], found["between"]
    within = {group: float(np.mean(one["rank_correlation"])) for group, one in groups.items()}
    first = f"{name}: over resamples of its units a group's ranking correlates with itself by {min(within.values()):.2f} to {max(within.values()):.2f}"
    if not between:
        return first + "."
    across = [one["rank_correlation"] for one in between.values()]
    return (
        first + f", and rankings of different groups with each other by {min(across):.2f} to {max(across):.2f}: "
        "only where the second is clearly lower do the groups differ in what they say."
    )


def _section(config: StabilityStudy, session: str, found: dict[str, Any], between: dict[str, Any]) -> Section:
    axes = panels(2)
    bars_with_dots(
        axes[0],
        list(found),
        [one["rank_correlation"] for one in found.values()],
        [[]] * len(found),
        "rank correlation with all units",
    )
    bars_with_dots(
        axes[1],
        list(found),
        [one["jaccard"] for one in found.values()],
        [[]] * len(found),
        f"overlap of the first {config.top}",
    )
    across = (
        f" Between groups the rank correlation is {np.mean([one['rank_correlation'] for one in between.values()]):.3f} on average."
        if between
        else ""
    )
    return Section(
        title=session,
        text=f"Every dot is one resample.{across}",
        svg=svg(axes, "Agreement of resamples"),
        caption="Rank correlation (Spearman) and Jaccard index with the ranking of all units of the group.",
        head=["group", "units", "rank correlation", "5 % to 95 %", "overlap", f"first {config.top} concepts"],
        rows=[
            [
                name,
                str(one["n_units"]),
                f"{np.mean(one['rank_correlation']):.3f}",
                f"{np.quantile(one['rank_correlation'], 0.05):.3f} to {np.quantile(one['rank_correlation'], 0.95):.3f}",
                f"{np.mean(one['jaccard']):.3f}",
                ", ".join(one["top"][:6]) + (", …" if len(one["top"]) > 6 else ""),
            ]
            for name, one in found.items()
        ],
    )
