"""How stable the ranking of concepts is when units are resampled."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ...concepts.dictionary import load_dictionary
from ...concepts.ranking import concept_totals
from ...errors import NeurratorError
from ..figures import bars_with_dots, panels, svg
from ..html import number
from ..material import OnProgress
from .config import StabilityStudy
from .report import Outcome, Section
from .sets import StudySession

# A group whose concepts deviate from those of the mean grid by less than this share of the largest deviation has none.
_SILENT = 1e-3


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
        whole = {name: _excess(dictionary, session, units, base) for name, units in sorted(groups.items())}
        loudest = max(float(np.abs(one).max()) for one in whole.values())
        found: dict[str, Any] = {}
        for place, (name, units) in enumerate(sorted(groups.items())):
            progress(f"{session.name}: resampling units", place, len(groups))
            found[name] = {"n_units": len(units), "rank_correlation": [], "jaccard": [], "top": []}
            if float(np.abs(whole[name]).max()) <= _SILENT * loudest:
                continue
            rng = np.random.default_rng([config.seed, 50, place])
            for _ in range(config.resamples):
                some = sorted(set(rng.integers(0, len(units), size=len(units)).tolist()))
                again = _excess(dictionary, session, [units[i] for i in some], base)
                found[name]["rank_correlation"].append(_agreement(whole[name], again))
                found[name]["jaccard"].append(_jaccard(whole[name], again, config.top))
            best = np.argsort(-whole[name])[: config.top]
            found[name]["top"] = [dictionary.concepts[i] for i in best]
        progress(f"{session.name}: resampling units", len(groups), len(groups))
        speaking = [name for name in sorted(groups) if found[name]["top"]]
        between = {
            f"{a} – {b}": {
                "rank_correlation": _agreement(whole[a], whole[b]),
                "jaccard": _jaccard(whole[a], whole[b], config.top),
            }
            for i, a in enumerate(speaking)
            for b in speaking[i + 1 :]
        }
        findings[session.name] = {"groups": found, "between": between}
        sections.append(_section(config, session.name, found, between))
    summary = (
        f"The concepts of decoded grids, as their mean activation over held-out moments less that of the mean grid, were ranked for all units of a group and for {config.resamples} resamples of "
        "its units (drawn with replacement; a unit drawn twice counts once, so a resample holds about 63 % of them). Rank correlation is over all concepts; overlap is the Jaccard index of the first "
        f"{config.top}. Stability says how much a ranking rests on single units; it does not say that the ranking is true."
    )
    headlines = [_headline(name, found) for name, found in findings.items()]
    return Outcome("How stable the concepts are", summary, headlines, sections, findings)


def _agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Return the rank correlation of two rankings; 0 where one of them ranks nothing."""
    r = float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else 0.0
    return r if np.isfinite(r) else 0.0


def _totals(dictionary: Any, grids: Any) -> np.ndarray:
    sums = [concept_totals(dictionary, dictionary.encode(part)) for part in grids]
    return np.concatenate([part.numpy() for part in sums]).mean(0)


def _excess(dictionary: Any, session: StudySession, units: list, base: np.ndarray) -> np.ndarray:
    material = session.material
    made = session.remembered(
        f"concepts-{dictionary.fingerprint}",
        units,
        lambda: _totals(dictionary, material.decode(units, material.narrated)).tolist(),
    )
    return np.array(made) - base


def _jaccard(a: np.ndarray, b: np.ndarray, top: int) -> float:
    one, other = set(np.argsort(-a)[:top].tolist()), set(np.argsort(-b)[:top].tolist())
    return len(one & other) / len(one | other)


def _headline(name: str, found: dict[str, Any]) -> str:
    """Say whether groups differ by more than resampling moves them."""
    within = [float(np.mean(one["rank_correlation"])) for one in found["groups"].values() if one["top"]]
    silent = [group for group, one in found["groups"].items() if not one["top"]]
    parts = []
    if within:
        parts.append(f"over resamples of its units a group's ranking correlates with itself by {_range(within)}")
    if found["between"]:
        across = [one["rank_correlation"] for one in found["between"].values()]
        parts.append(
            f"rankings of different groups correlate by {_range(across)}: only where this is clearly lower do groups differ in what they say"
        )
    if silent:
        parts.append(f"{', '.join(silent)} decode the mean grid and have no concepts of their own")
    return f"{name}: " + "; ".join(parts) + "."


def _range(values: list[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else number(values[0])


def _section(config: StabilityStudy, session: str, found: dict[str, Any], between: dict[str, Any]) -> Section:
    drawn = {name: one for name, one in found.items() if one["top"]}
    axes = panels(2)
    bars_with_dots(
        axes[0],
        list(drawn),
        [one["rank_correlation"] for one in drawn.values()],
        [[]] * len(drawn),
        "rank correlation with all units",
    )
    bars_with_dots(
        axes[1],
        list(drawn),
        [one["jaccard"] for one in drawn.values()],
        [[]] * len(drawn),
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
                *_cells(one),
            ]
            for name, one in found.items()
        ],
    )


def _cells(one: dict[str, Any]) -> list[str]:
    if not one["top"]:
        return ["–", "–", "–", "none: decodes the mean grid"]
    rank = one["rank_correlation"]
    return [
        number(float(np.mean(rank))),
        f"{number(float(np.quantile(rank, 0.05)))} to {number(float(np.quantile(rank, 0.95)))}",
        number(float(np.mean(one["jaccard"]))),
        ", ".join(one["top"][:6]) + (", …" if len(one["top"]) > 6 else ""),
    ]
