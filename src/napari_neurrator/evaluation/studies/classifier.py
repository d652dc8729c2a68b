"""Can the group of units be told from the sentences alone: text features, logistic regression, folds that share neither frames nor units.

Chance is not taken from a formula: units' groups are dealt out anew, sets are drawn, narrated and classified again.
"""

from typing import Any

import numpy as np

from ...errors import NeurratorError
from ..evidence import ALPHA
from ..figures import null_histogram, panels, svg
from ..html import is_least, p_cell, percent
from ..material import OnProgress
from ..nulls import matched_units
from ..statistics import p_value
from .config import ClassifierStudy
from .report import Outcome, Section
from .sets import StudySession


def study_classifier(
    config: ClassifierStudy, sessions: list[StudySession], warnings: list[str], progress: OnProgress
) -> Outcome:
    """Return what the study found."""
    findings: dict[str, Any] = {}
    sections = []
    for session in sessions:
        groups = session.groups(config.column, config.groups, config.min_units)
        if len(groups) < 2:
            raise NeurratorError(
                f"{session.name} has one {config.column} with {config.min_units} units, so there is nothing to tell apart: lower min_units."
            )
        size = config.size or max(min(map(len, groups.values())) // 3, 2)
        if 2 * size > min(map(len, groups.values())):
            raise NeurratorError(
                f"Sets of {size} units leave too few in the smallest group to test on other units: choose a smaller size."
            )
        names = sorted(groups)
        units = {name: groups[name] for name in names}
        rng = np.random.default_rng([config.seed, 40])
        accuracy, by_class = _accuracy(config, session, units, size, rng)
        null = []
        everyone = [unit for name in names for unit in units[name]]
        for deal in range(config.relabelings):
            progress(f"{session.name}: dealing out the groups anew", deal, config.relabelings)
            order = rng.permutation(len(everyone))
            dealt, start = {}, 0
            for name in names:
                dealt[name] = [everyone[place] for place in order[start : start + len(units[name])]]
                start += len(units[name])
            null.append(_accuracy(config, session, dealt, size, rng)[0])
        progress(f"{session.name}: dealing out the groups anew", config.relabelings, config.relabelings)
        p, least = p_value(accuracy, np.array(null)), 1 / (1 + len(null))
        findings[session.name] = {
            "groups": {name: len(units[name]) for name in names},
            "set_size": size,
            "accuracy": accuracy,
            "by_class": by_class,
            "null": null,
            "chance": 1 / len(names),
            "p": p,
            "smallest_p": least,
        }
        axes = panels(1)
        null_histogram(axes[0], null, accuracy, "accuracy of sets and frames not trained on", "groups dealt anew")
        sections.append(
            Section(
                title=session.name,
                text=f"Accuracy {accuracy:.3f} of {len(names)} groups ({', '.join(names)}), sets of {size} units; {p_cell(p, is_least(p, least))} against {len(null)} dealings.",
                svg=svg(axes, "Accuracy under the null"),
                caption="Grey: the same with the units' groups dealt out at random.",
                head=["group", "units", "share named right"],
                rows=[[name, str(len(units[name])), f"{by_class[name]:.3f}"] for name in names],
            )
        )
    summary = (
        f"Sets of units of each {config.column.replace('_', ' ')} narrated held-out moments. A classifier (TF-IDF of words and word pairs, logistic regression) was trained on sentences of "
        "half of the units of each group at some stretches of film, and tested on sentences of the other half at other stretches, so it can lean neither on frames nor on units."
    )
    headlines = [
        f"{name}: the {config.column.replace('_', ' ')} is told from one sentence in {percent(found['accuracy'])} of cases (by luck {percent(found['chance'])}); "
        f"this is {'more' if found['p'] <= ALPHA else 'not more'} than when units' groups are dealt out at random ({p_cell(found['p'], is_least(found['p'], found['smallest_p']))}, {len(found['null'])} dealings)."
        for name, found in findings.items()
    ]
    title = f"Telling {config.column.replace('_', ' ')}s by their sentences"
    return Outcome(title, summary, headlines, sections, findings)


def _accuracy(
    config: ClassifierStudy, session: StudySession, units: dict[str, list], size: int, rng: np.random.Generator
) -> tuple[float, dict[str, float]]:
    """Return the accuracy on units and frames that were not trained on, averaged over folds and both directions, and that of each group."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline

    texts: list[str] = []
    labels: list[str] = []
    halves: list[int] = []
    blocks: list[int] = []
    for name, members in units.items():
        order = rng.permutation(len(members))
        middle = len(members) // 2
        for half, places in enumerate((order[:middle], order[middle:])):
            pool = [members[place] for place in np.sort(places)]
            for one in matched_units(pool, min(size, len(pool)), max(config.sets // 2, 1), rng):
                said = session.say(one)
                texts += said
                labels += [name] * len(said)
                halves += [half] * len(said)
                blocks += session.material.blocks[session.material.narrated].tolist()
    y, half_of, block_of = np.array(labels), np.array(halves), np.array(blocks)
    x = np.array(texts, dtype=object)
    right = np.zeros(len(x), dtype=bool)
    folds = min(config.folds, len(np.unique(block_of)))
    if folds < 2:
        raise NeurratorError("All narrated moments lie in one stretch of film: narrate more of them.")
    for train, test in GroupKFold(folds).split(x, y, block_of):
        for half in (0, 1):
            learn, judge = train[half_of[train] != half], test[half_of[test] == half]
            model = make_pipeline(
                TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b"), LogisticRegression(max_iter=1000)
            )
            right[judge] = model.fit(x[learn], y[learn]).predict(x[judge]) == y[judge]
    return float(right.mean()), {name: float(right[y == name].mean()) for name in units}
