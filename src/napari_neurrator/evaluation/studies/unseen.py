"""Pictures that the decoder never saw, and how far what is decoded goes beyond the pictures that it knows."""

from typing import Any

import numpy as np

from ...decoding.rows import Rows
from ...errors import NeurratorError
from ...vision.cache import patch_grids
from ..claims import beaten, untold
from ..draws import draw
from ..figures import bars_with_dots, panels, svg
from ..html import bounds_text, number, p_text, percent, percents, picture
from ..judging import make_bench
from ..material import Material, OnProgress
from ..pool import Pool
from ..report import Report
from ..run import evaluate_material
from ..scores import truth, two_way
from ..statistics import interval
from ..verdict import worse_than_prior
from .config import UnseenStudy
from .report import Outcome, Section, Shot
from .sets import StudySession
from .whole import HEAD, curves, rows_of

_CHUNK = 64


def study_unseen(
    config: UnseenStudy, sessions: list[StudySession], warnings: list[str], progress: OnProgress
) -> Outcome:
    """Evaluate every session's decoder on pictures that it never saw."""
    findings: dict[str, Any] = {}
    sections, headlines = [], []
    for session in sessions:
        material = session.material
        if material.split == "held-out-repeats":
            raise NeurratorError(
                f"The decoder of {session.name} was fitted with the split 'held-out-repeats', so it knows all pictures: fit one with --split held-out-images."
            )
        report = evaluate_material(material, session.folder, progress)
        warnings += [f"{session.name}: {one}" for one in report.warnings if one not in material.recording.warnings]
        beyond = _beyond(config, material, session, progress)
        findings[session.name] = {
            "evaluation": report.model_dump(exclude={"config", "decoder_config", "versions"}),
            "known_pictures": beyond,
        }
        headlines.append(_headline(session.name, report))
        headlines.append(_beyond_in_words(session.name, beyond))
        sections.append(_scores_section(session.name, report))
        sections.append(_beyond_section(session.name, beyond))
        if config.shown:
            sections.append(_pictures_section(config, session, progress))
    summary = (
        "The decoder was fitted without any showing of the pictures tested. Each is decoded and narrated, and found among the other unseen ones. Then what is decoded is compared with what a decoder could reach "
        "by recall alone: the known picture that is most like the true one. Of a film, held-out stretches have neighbours that are known, so recall alone can go far there; of separate images it cannot."
    )
    return Outcome("Pictures that were never seen", summary, headlines, sections, findings)


def _beyond(config: UnseenStudy, material: Material, session: StudySession, progress: OnProgress) -> dict[str, Any]:
    """Hold what is decoded, and the best and an average known picture, against the unseen truth: cosines of deviations from the mean grid."""
    from ...recording import moments as moments_of

    # Frames next to a held-out stretch were not learnt from either, and are the ones that resemble it most.
    known = material.learnt
    if not len(known):
        return {}
    frames = np.unique(moments_of(material.recording, material.stimulus_name, material.stimulus)["frame"].to_numpy())
    progress("comparing with known pictures", 0, 1)
    grids = patch_grids(material.stimulus, frames, material.profile, progress)
    rows = Rows(grids, np.searchsorted(frames, known))
    pool = Pool(known, rows, material.pool.prior)
    like = np.concatenate(
        [
            pool.similarities(material.pool.true(np.arange(len(material.pool))[start : start + _CHUNK]))[1]
            for start in range(0, len(material.pool), _CHUNK)
        ]
    )
    decoded, other = [], []
    for part in material.decode(material.unit_ids):
        decoded.append(material.pool.similarities(part)[1])
        other.append(pool.similarities(part)[1].max(1))
    frame = material.course.frame
    right = truth(np.concatenate(decoded), frame)
    values = {
        "decoded": right,
        "nearest known picture": like.max(1)[frame],
        "average known picture": like.mean(1)[frame],
    }
    progress("comparing with known pictures", 1, 1)
    rng = np.random.default_rng([config.seed, 70])
    gain = right - values["nearest known picture"]
    return {
        "n_known": len(known),
        "cosine": {name: float(one.mean()) for name, one in values.items()},
        "ci": {name: interval(one, material.blocks, rng, limits=(-1.0, 1.0)) for name, one in values.items()},
        "beyond_recall": float(gain.mean()),
        "beyond_recall_ci": interval(gain, material.blocks, rng),
        "nearer_to_a_known_picture": float((np.concatenate(other) > right).mean()),
        "by_frame": {
            name: [float(one[frame == row].mean()) for row in range(len(material.pool))] for name, one in values.items()
        },
    }


def _headline(name: str, report: Report) -> str:
    whole = report.sizes[-1]
    found = beaten([result.size for result in report.sizes], [result.p_holm.get("two_way") for result in report.sizes])
    value = percent(float(np.mean(whole.by_draw["two_way"])))
    if why := untold(report.least_p):
        claim = f"whether this beats the null cannot be told ({why})"
    else:
        p = p_text(whole.p_holm.get("two_way"))
        claim = f"this {f'beats the null {found}' if found else 'does not beat the null'} ({p} with {whole.size:,} units, corrected)"
    return (
        f"{name}: an unseen picture is told from another unseen one in {value} of pairs{percents(whole.ci['two_way'])}, among {report.n_pictures:,} pictures; {claim}. "
        f"{worse_than_prior(report)}".rstrip()
    )


def _beyond_in_words(name: str, beyond: dict[str, Any]) -> str:
    if not beyond:
        return f"{name}: the decoder knows no picture of this stimulus, so there is nothing to recall."
    bounds = beyond["beyond_recall_ci"]
    if bounds and bounds[0] > 0:
        claim = "What is decoded lies nearer to the truth than any known picture does"
    elif bounds and bounds[1] < 0:
        claim = "What is decoded lies farther from the truth than the nearest known picture does, so it does not go beyond recall"
    else:
        claim = "What is decoded lies about as near to the truth as the nearest known picture does, so recall can explain it"
    return f"{name}: {claim} (difference {number(beyond['beyond_recall'], signed=True)} {bounds_text(bounds, signed=True)})."


def _scores_section(name: str, report: Report) -> Section:
    return Section(
        title=f"Scores: {name}",
        text=f"{report.n:,} moments, {report.n_pictures:,} unseen pictures, decoder {report.decoder_kind}, split {report.split}; sentences against {report.references}.",
        svg=curves([(name, report)], "Score of unseen pictures"),
        caption="Means of random subsets of units, and their 95 % intervals.",
        head=HEAD,
        rows=rows_of(report, report.sizes[-1]),
    )


def _beyond_section(name: str, beyond: dict[str, Any]) -> Section:
    if not beyond:
        return Section(title=f"Recall: {name}", text="The decoder knows no picture of this stimulus.")
    axes = panels(1, width=6.0, height=2.8)
    names = list(beyond["cosine"])
    bars_with_dots(axes[0], names, list(beyond["by_frame"].values()), [[]] * len(names), "cosine with the unseen truth")
    return Section(
        title=f"More than recall? {name}",
        text=f"Cosine, with the true grid, of the deviations from the mean grid. In {percent(beyond['nearer_to_a_known_picture'])} of moments what is decoded is nearer to one of the "
        f"{beyond['n_known']:,} known pictures than to the true one.",
        svg=svg(axes, "Decoded grids and known pictures"),
        caption="Every dot is one unseen picture, averaged over its showings; marks are means.",
        head=["", "cosine with the truth"],
        rows=[[one, f"{number(beyond['cosine'][one])} {bounds_text(beyond['ci'][one])}".strip()] for one in names],
    )


def _pictures_section(config: UnseenStudy, session: StudySession, progress: OnProgress) -> Section:
    material = session.material
    bench = make_bench(material, [], progress)
    whole = draw(material, material.unit_ids, bench.narrator, session.cache)
    frame = material.course.frame
    rank = truth(two_way(whole.centred, material.pool.picture), frame)
    rows = material.narrated
    _, first = np.unique(material.pool.picture[frame[rows]], return_index=True)
    rng = np.random.default_rng([config.seed, 71])
    chosen = np.sort(rng.permutation(first)[: config.shown])
    shots = [
        Shot(
            title=whole.texts[row],
            text=f"Frame {material.pool.frames[frame[rows[row]]]}. Reference: {bench.judge.references[frame[rows[row]]][0]} Found nearer than {percent(float(rank[frame == frame[rows[row]]].mean()))} of other unseen pictures, over its showings.",
            picture=picture(material.stimulus.frame(int(material.pool.frames[frame[rows[row]]]))),
        )
        for row in chosen
    ]
    return Section(
        title=f"What is said of them: {session.name}",
        text=f"{len(shots)} of the {len(first)} narrated unseen pictures, drawn at random; the first narrated showing of each.",
        shots=shots,
    )
