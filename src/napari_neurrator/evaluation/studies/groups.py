"""Regions and cell types: fidelity by number of units, and against as many random units, within each session and pooled."""

from typing import Any

import numpy as np

from ..claims import beaten, caveat, untold
from ..config import default_sizes
from ..evidence import ALPHA
from ..figures import CYCLE, GREY, against_size, bars_with_dots, panels, svg
from ..html import is_least, number, p_cell
from ..material import OnProgress
from ..nulls import matched_units
from ..scores import truth
from ..statistics import benjamini_hochberg, interval, least_adjusted, p_value, two_sided_p
from .config import GroupsStudy
from .report import Outcome, Section
from .sets import SCORES, StudySession

# Bands of more groups than these hide each other.
_BANDS = 4
_NAMES = {"two_way": "two-way identification", "patch_cosine": "patch cosine"}


def study_groups(
    config: GroupsStudy, sessions: list[StudySession], warnings: list[str], progress: OnProgress
) -> Outcome:
    """Return what the study found."""
    found: dict[str, dict[str, Any]] = {}
    for session in sessions:
        groups = session.groups(config.column, config.groups, config.min_units)
        found[session.name] = {}
        for place, (name, units) in enumerate(sorted(groups.items())):
            progress(f"{session.name}: {config.column}", place, len(groups))
            found[session.name][name] = {
                "n_units": len(units),
                "smallest_p": session.smallest_p,
                "curve": _curve(config, session, units),
                "matched": _matched(config, session, units),
            }
        progress(f"{session.name}: {config.column}", len(groups), len(groups))
        least = 2 / (1 + config.null_draws) * len(groups)
        if least > ALPHA:
            warnings.append(
                f"{session.name}: with {config.null_draws} random sets for each of {len(groups)} groups, a single group that differs cannot come below p = {min(least, 1):.2f} once adjusted: "
                f"take null_draws = {int(np.ceil(2 * len(groups) / ALPHA))} or more."
            )
    _correct(found)
    for session_name, results in found.items():
        warnings += _untold_groups(config, session_name, results)
    pooled = _pooled(found)
    for name in config.control:
        for session_name, results in found.items():
            if name in results and results[name]["curve"][-1]["p_adjusted"]["two_way"] <= ALPHA:
                warnings.append(
                    f"The control {name} beats its null in {session_name}: look for a leak before believing the other groups."
                )
    title = f"What each {config.column.replace('_', ' ')} says: {', '.join(sorted({name for groups in found.values() for name in groups}))}"
    summary = (
        f"Random subsets of the units of each {config.column.replace('_', ' ')} were decoded at held-out moments of {_sessions(len(sessions))}, by one decoder a session that "
        "was not retrained. P-values of the curves come from circular shifts of the film (or renamed frames, where frames do not follow each other); "
        f"contrasts hold the whole group against {config.null_draws} random sets of as many units of the same session. P-values are adjusted by Benjamini and Hochberg's method: of what is called a finding, one in twenty is expected to be false."
    )
    sections = [*_curves_section(config, found), *_contrast_section(config, found)]
    if len(sessions) > 1:
        sections.append(_pooled_section(config, pooled))
    headlines = [_headline(config, name, groups) for name, groups in found.items()]
    return Outcome(title, summary, headlines, sections, {"sessions": found, "pooled": pooled})


def _sessions(n: int) -> str:
    return "one session" if n == 1 else f"{n} sessions"


def _headline(config: GroupsStudy, session: str, groups: dict[str, Any]) -> str:
    """Say with how many units each group beats its null, controls apart."""
    parts = []
    least = [group["least_p"]["two_way"] for group in groups.values()]
    none = untold(min(least))
    for name, group in groups.items():
        curve = group["curve"]
        found = beaten([row["size"] for row in curve], [row["p_adjusted"]["two_way"] for row in curve])
        whole = f"two-way {number(group['matched']['observed']['two_way'])} with all {group['n_units']}"
        who = f"{name} (control)" if name in config.control else name
        if none:
            parts.append(f"{who} {whole}")
        elif not found and (why := untold(group["least_p"]["two_way"])):
            parts.append(f"whether {who} beats its null cannot be told ({whole}; {why})")
        else:
            parts.append(f"{who} {f'beats its null {found}' if found else 'does not beat its null'} ({whole})")
    lead = f"whether any {config.column.replace('_', ' ')} beats its null cannot be told ({none}): " if none else ""
    return f"{session}: {lead}" + "; ".join(parts) + "."


def _untold_groups(config: GroupsStudy, session: str, groups: dict[str, Any]) -> list[str]:
    """Warn of groups of which it cannot be told whether they beat their null."""
    least = {name: group["least_p"]["two_way"] for name, group in groups.items()}
    few = [name for name in groups if untold(least[name])]
    if not few:
        return []
    tests = f"{sum(len(group['curve']) for group in groups.values())} groups and sizes"
    who = f" of {', '.join(few)}" if len(few) < len(groups) else ""
    return caveat(
        min(least[name] for name in few),
        tests,
        groups[few[0]]["smallest_p"],
        config.n_permutations,
        f"{who} in {session}",
    )


def _curve(config: GroupsStudy, session: StudySession, units: list) -> list[dict[str, Any]]:
    sizes = [size for size in (config.sizes or default_sizes(len(units))) if size < len(units)] + [len(units)]
    course, blocks = session.material.course, session.material.blocks
    curve: list[dict[str, Any]] = []
    for size in sizes:
        rng = np.random.default_rng([config.seed, 30, size])
        sets = [units] if size == len(units) else matched_units(units, size, min(config.draws, len(units)), rng)
        tables = [session.table(one) for one in sets]
        row: dict[str, Any] = {"size": size, "by_draw": {}, "ci": {}, "p": {}, "p_adjusted": {}, "null_mean": {}}
        for name in SCORES:
            right = np.stack([truth(table[name], course.frame) for table in tables])
            mean = np.mean([table[name] for table in tables], axis=0)
            frames = session.null_frames
            null = mean[np.arange(len(mean)), frames].mean(1) if len(frames) else np.empty(0)
            row["by_draw"][name] = right.mean(1).tolist()
            row["ci"][name] = interval(
                right,
                blocks,
                np.random.default_rng([config.seed, 31]),
                limits=(0.0 if name == "two_way" else -1.0, 1.0),
            )
            row["p"][name] = p_value(float(right.mean()), null)
            row["null_mean"][name] = float(null.mean()) if len(null) else None
        curve.append(row)
    return curve


def _matched(config: GroupsStudy, session: StudySession, units: list) -> dict[str, Any]:
    """Hold the whole group against random sets of as many units of the session."""
    observed = session.scores(units)
    rng = np.random.default_rng([config.seed, 32, len(units)])
    null = [session.scores(one) for one in matched_units(session.material.unit_ids, len(units), config.null_draws, rng)]
    draws = {name: [one[name] for one in null] for name in SCORES}
    return {
        "observed": observed,
        "null": draws,
        "difference": {name: observed[name] - float(np.mean(draws[name])) for name in SCORES},
        "p": {name: two_sided_p(observed[name], np.array(draws[name])) for name in SCORES},
        "smallest_p": 2 / (1 + config.null_draws),
        "p_adjusted": {},
    }


def _correct(found: dict[str, dict[str, Any]]) -> None:
    """Correct over the groups of a session, and the curves over their sizes too; say of each group what its curve could come to at least."""
    for groups in found.values():
        for name in SCORES:
            matched = [group["matched"] for group in groups.values()]
            for one, p in zip(matched, benjamini_hochberg(np.array([one["p"][name] for one in matched])), strict=True):
                one["p_adjusted"][name] = float(p)
            rows = [(who, row) for who, group in groups.items() for row in group["curve"]]
            found_p, of = np.array([row["p"][name] for _, row in rows]), np.array([who for who, _ in rows])
            for (_, row), p in zip(rows, benjamini_hochberg(found_p), strict=True):
                row["p_adjusted"][name] = float(p)
            for who, group in groups.items():
                group.setdefault("least_p", {})[name] = least_adjusted(found_p, of == who, group["smallest_p"])


def _pooled(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Average each group's difference over sessions; the null averages draws of all sessions, each about its own mean."""
    pooled: dict[str, Any] = {}
    for name in sorted({name for groups in found.values() for name in groups}):
        matched = [groups[name]["matched"] for groups in found.values() if name in groups]
        least = matched[0]["smallest_p"]
        pooled[name] = {"sessions": len(matched), "difference": {}, "p": {}, "p_adjusted": {}, "smallest_p": least}
        for score in SCORES:
            null = np.mean([np.array(one["null"][score]) - np.mean(one["null"][score]) for one in matched], axis=0)
            difference = float(np.mean([one["difference"][score] for one in matched]))
            pooled[name]["difference"][score] = difference
            pooled[name]["p"][score] = two_sided_p(difference, null)
    for score in SCORES:
        for one, p in zip(
            pooled.values(), benjamini_hochberg(np.array([one["p"][score] for one in pooled.values()])), strict=True
        ):
            one["p_adjusted"][score] = float(p)
    return pooled


def _curves_section(config: GroupsStudy, found: dict[str, dict[str, Any]]) -> list[Section]:
    sections = []
    for session, groups in found.items():
        axes = panels(len(SCORES), width=4.4, height=3.2)
        for one, score in zip(axes, SCORES, strict=True):
            few = len(groups) <= _BANDS
            for place, (name, group) in enumerate(groups.items()):
                curve = group["curve"]
                color = GREY if name in config.control else CYCLE[place % len(CYCLE)]
                against_size(
                    one, [row["size"] for row in curve], [row["by_draw"][score] for row in curve], [row["ci"][score] if few or name in config.control else None for row in curve], {},
                    _NAMES[score], color, dots=False,
                )  # fmt: skip
            _name_curves(one, groups, score, config.control)
        rows = [
            [name, str(group["n_units"]), str(row["size"])]
            + [cell for score in SCORES for cell in (_with_interval(row, score), _p(row, score, group["smallest_p"]))]
            for name, group in groups.items()
            for row in group["curve"]
        ]
        head = [
            config.column,
            "units in all",
            "units",
            *[cell for score in SCORES for cell in (_NAMES[score], "p (adjusted)")],
        ]
        sections.append(
            Section(
                title=f"Fidelity against the number of units: {session}",
                svg=svg(axes, "Fidelity against the number of units"),
                caption="Lines are means of random subsets, bands their 95 % intervals (of controls only, where there are many groups; the table has all); grey: controls.",
                head=head,
                rows=rows,
            )
        )
    return sections


def _name_curves(axes: Any, groups: dict[str, Any], score: str, control: list[str]) -> None:
    """Name each curve at its end, and set the ticks for all of them."""
    axes.set_xticks(
        *[
            list(x)
            for x in zip(
                *[(size, f"{size:,}") for size in default_sizes(max(group["n_units"] for group in groups.values()))],
                strict=True,
            )
        ]
    )
    ends = sorted(
        (
            (float(np.mean(group["curve"][-1]["by_draw"][score])), group["n_units"], name, place)
            for place, (name, group) in enumerate(groups.items())
        ),
        reverse=True,
    )
    low, high = axes.get_ylim()
    at = np.inf
    for value, size, name, place in ends:
        at = min(value, at - 0.075 * (high - low))
        color = GREY if name in control else CYCLE[place % len(CYCLE)]
        axes.annotate(
            name, xy=(size, value), xytext=(1.02, at), textcoords=("axes fraction", "data"), va="center", fontsize=8, color=color,
            annotation_clip=False, arrowprops={"arrowstyle": "-", "color": color, "lw": 0.5, "alpha": 0.5},
        )  # fmt: skip


def _with_interval(row: dict[str, Any], score: str) -> str:
    bounds = row["ci"][score]
    mean = number(float(np.mean(row["by_draw"][score])))
    return f"{mean} [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else mean


def _p(tested: dict[str, Any], score: str, floor: float) -> str:
    return p_cell(tested["p_adjusted"][score], is_least(tested["p"][score], floor))


def _contrast_section(config: GroupsStudy, found: dict[str, dict[str, Any]]) -> list[Section]:
    sections = []
    for session, groups in found.items():
        axes = panels(len(SCORES), width=4.4, height=2.8)
        for one, score in zip(axes, SCORES, strict=True):
            bars_with_dots(
                one, list(groups), [[group["matched"]["observed"][score]] for group in groups.values()],
                [group["matched"]["null"][score] for group in groups.values()], _NAMES[score], config.control,
            )  # fmt: skip
        rows = [
            [name, str(group["n_units"])]
            + [
                cell
                for score in SCORES
                for cell in (
                    number(group["matched"]["observed"][score]),
                    number(group["matched"]["difference"][score], signed=True),
                    _p(group["matched"], score, group["matched"]["smallest_p"]),
                )
            ]
            for name, group in groups.items()
        ]
        sections.append(
            Section(
                title=f"Against as many random units: {session}",
                svg=svg(axes, "Groups against as many random units"),
                caption=f"Marks: all units of the group. Grey: the middle 95 % of {config.null_draws} random sets of as many units of the same session.",
                head=[
                    config.column,
                    "units",
                    *[cell for score in SCORES for cell in (_NAMES[score], "difference", "p (adjusted)")],
                ],
                rows=rows,
            )
        )
    return sections


def _pooled_section(config: GroupsStudy, pooled: dict[str, Any]) -> Section:
    return Section(
        title="Pooled over sessions",
        text="Differences from as many random units of the same session, averaged over the sessions that hold the group: differences between animals do not enter.",
        head=[
            config.column,
            "sessions",
            *[cell for score in SCORES for cell in (f"{_NAMES[score]}, difference", "p (adjusted)")],
        ],
        rows=[
            [name, str(one["sessions"])]
            + [
                cell
                for score in SCORES
                for cell in (number(one["difference"][score], signed=True), _p(one, score, one["smallest_p"]))
            ]
            for name, one in pooled.items()
        ],
    )
