"""Axes between two phrases, in CLIP's joint space of pictures and text, and where decoded grids lie on them.

CLIP joins picture and text at its class token, which a patch grid does not hold. Each patch vector is therefore read as if it were the class token: through the tower's
last layer norm and its visual projection (the "logit lens" of a patch), then the mean over patches of its cosine with one phrase less that with the other. It is a reading
of the patch space and not CLIP's own score; how far they agree on the true frames is stated beside every axis.
"""

from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from ...errors import NeurratorError
from ...vision.tower import VisionTower
from ..claims import caveat, untold
from ..evidence import ALPHA
from ..figures import bars_with_dots, panels, svg
from ..html import is_least, number, p_cell
from ..material import OnProgress
from ..statistics import benjamini_hochberg, correlation_interval, least_adjusted, p_value
from .config import AxesStudy
from .report import Outcome, Section
from .sets import StudySession

# Length of the difference of two phrases' unit-length embeddings that is no axis.
_SAME = 1e-3


def study_axes(config: AxesStudy, sessions: list[StudySession], warnings: list[str], progress: OnProgress) -> Outcome:
    """Return what the study found."""
    findings: dict[str, Any] = {}
    sections = []
    for session in sessions:
        material = session.material
        tower = VisionTower(material.profile)
        phrases = [phrase for pair in config.axes for phrase in pair]
        ends = tower.embed_phrases(phrases).reshape(len(config.axes), 2, -1)
        directions = ends[:, 1] - ends[:, 0]
        for pair, direction in zip(config.axes, directions, strict=True):
            if float(direction.norm()) < _SAME:
                raise NeurratorError(
                    f"The profile {material.profile.name!r} does not tell the phrases {pair[0]!r} and {pair[1]!r} apart: choose words that it knows."
                )
        groups = {"all units": material.unit_ids}
        if config.column:
            groups = session.groups(config.column, config.groups, config.min_units)
        rows = np.arange(len(material.pool))
        true = np.concatenate(
            [
                along(tower, material.pool.true(rows[start : start + 64]), directions)
                for start in range(0, len(rows), 64)
            ]
        )
        frames = material.pool.frames
        own = np.concatenate(
            [
                (
                    tower.grids_and_embeddings(material.stimulus.frames(frames[start : start + 64]))[1] @ directions.T
                ).numpy()
                for start in range(0, len(frames), 64)
            ]
        )
        found: dict[str, Any] = {}
        for place, (name, units) in enumerate(sorted(groups.items())):
            progress(f"{session.name}: projecting decoded grids", place, len(groups))
            decoded = np.concatenate([along(tower, grids, directions) for grids in material.decode(units)])
            found[name] = [
                _axis(config, session, pair, decoded[:, axis], true[:, axis], own[:, axis])
                for axis, pair in enumerate(config.axes)
            ]
        progress(f"{session.name}: projecting decoded grids", len(groups), len(groups))
        _correct(found)
        warnings += _untold_axes(config, session.name, found)
        findings[session.name] = found
        sections.append(_section(config, session.name, found))
    summary = (
        "Two phrases span an axis in CLIP's joint space. Each decoded patch was read through the tower's last layer norm and visual projection, and its cosine with the second phrase less that with the "
        "first averaged over patches. The score is the correlation, over moments, of this reading of the decoded grid with that of the true frame's grid; p-values come from the "
        "main null, adjusted by Benjamini and Hochberg's method. “Agrees with CLIP” is the rank correlation, over true frames, of the reading with CLIP's own embedding of the picture: an axis with a low one says little."
    )
    headlines = [_headline(name, config, found) for name, found in findings.items()]
    return Outcome("Concept axes between phrases", summary, headlines, sections, findings)


def _correct(found: dict[str, list[dict[str, Any]]]) -> None:
    """Correct over groups and axes, and say of each axis what it could come to at least."""
    tests = [(place, one) for group in found.values() for place, one in enumerate(group)]
    p, axis = np.array([one["p"] for _, one in tests]), np.array([place for place, _ in tests])
    for (place, one), adjusted in zip(tests, benjamini_hochberg(p), strict=True):
        one["p_adjusted"] = float(adjusted)
        one["least_p"] = least_adjusted(p, axis == place, one["smallest_p"])


def _untold_axes(config: AxesStudy, session: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Warn of axes along which it cannot be told whether anything is more than chance."""
    tests = f"{len(found) * len(config.axes)} groups and axes"
    return [
        warning
        for one in next(iter(found.values()))
        for warning in caveat(
            one["least_p"],
            tests,
            one["smallest_p"],
            config.n_permutations,
            f" of “{one['from']}” → “{one['to']}” in {session}",
        )
    ]


@torch.inference_mode()
def along(tower: VisionTower, grids: torch.Tensor, directions: torch.Tensor) -> np.ndarray:
    """Return how far grids lie along directions of the joint space, (grid, direction)."""
    joint = tower.project(grids)
    return (joint.mean(1) @ directions.T.to(joint.device)).cpu().numpy()


def _axis(
    config: AxesStudy,
    session: StudySession,
    pair: tuple[str, str],
    decoded: np.ndarray,
    true: np.ndarray,
    own: np.ndarray,
) -> dict[str, Any]:
    material = session.material
    frame = material.course.frame
    standard = (decoded - decoded.mean()) / max(decoded.std(), 1e-12)

    def score(values: np.ndarray) -> np.ndarray:
        centre = values.mean(-1, keepdims=True)
        spread = np.maximum(values.std(-1, keepdims=True), 1e-12)
        return standard * (values - centre) / spread

    observed = score(true[frame])
    null = score(true[session.null_frames]).mean(1) if len(session.null_frames) else np.empty(0)
    return {
        "from": pair[0],
        "to": pair[1],
        "correlation": float(observed.mean()),
        "ci": correlation_interval(decoded, true[frame], material.blocks, np.random.default_rng([config.seed, 60])),
        "null": null.tolist(),
        "p": p_value(float(observed.mean()), null),
        "smallest_p": session.smallest_p,
        "agrees_with_clip": float(spearmanr(true, own).statistic),
    }


def _headline(name: str, config: AxesStudy, found: dict[str, Any]) -> str:
    parts = []
    for place, (start, end) in enumerate(config.axes):
        tests = [group[place] for group in found.values()]
        beating = [group for group, one in zip(found, tests, strict=True) if one["p_adjusted"] <= ALPHA]
        best = max(tests, key=lambda one: one["correlation"])
        claim = f"more than chance for {', '.join(beating) or 'none'}"
        if not beating and (why := untold(best["least_p"])):
            claim = f"and whether that is more than chance cannot be told ({why})"
        parts.append(
            f"“{start}” → “{end}”: r up to {best['correlation']:.2f}, {claim} "
            f"(the axis itself agrees with CLIP by {best['agrees_with_clip']:.2f})"
        )
    return f"{name}: " + "; ".join(parts) + "."


def _section(config: AxesStudy, session: str, found: dict[str, Any]) -> Section:
    axes = panels(len(config.axes), height=2.6)
    for place, panel in enumerate(axes):
        pair = config.axes[place]
        bars_with_dots(
            panel, list(found), [[group[place]["correlation"]] for group in found.values()], [group[place]["null"] for group in found.values()],
            f"{pair[0]} → {pair[1]}",
        )  # fmt: skip
        panel.set_ylabel("correlation with the true frame")
    return Section(
        title=session,
        svg=svg(axes, "Correlation along the axis"),
        caption="Marks: the correlation of decoded and true frames along the axis. Grey: the middle 95 % of the null.",
        head=["units", "from", "to", "correlation", "95 % interval", "p (adjusted)", "agrees with CLIP"],
        rows=[
            [
                name,
                one["from"],
                one["to"],
                number(one["correlation"]),
                f"{number(one['ci'][0])} to {number(one['ci'][1])}" if one["ci"] else "–",
                p_cell(one["p_adjusted"], is_least(one["p"], one["smallest_p"])),
                f"{one['agrees_with_clip']:.2f}",
            ]
            for name, group in found.items()
            for one in group
        ],
    )
