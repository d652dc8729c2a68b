"""Which subsets of units are tested, and what those of one size score against every null."""

import numpy as np

from .config import EvaluateConfig, default_sizes
from .draws import Draw
from .material import Material
from .null_frames import NullFrames
from .nulls import matched_units
from .report import Null, SizeResult
from .scores import truth
from .statistics import holm, interval, p_value
from .tables import LIMITS, SHARES, Judge
from .text_scores import unique_rate


def population_sizes(config: EvaluateConfig, n_units: int, warnings: list[str]) -> list[int]:
    """Return the sizes that are tested, ascending; what is larger than the population becomes all of it, with a warning."""
    sizes = config.sizes or default_sizes(n_units)
    large = [size for size in sizes if size > n_units]
    if large:
        warnings.append(
            f"There are {n_units} units, so the sizes {', '.join(map(str, large))} were left out and all units taken instead."
        )
        sizes = sorted({size for size in sizes if size <= n_units} | {n_units})
    return sizes


def subsets(material: Material, size: int) -> list[list]:
    """Return random subsets of one size, or the one that there is; more of them below five units, which differ most."""
    units = material.unit_ids
    if size == len(units):
        return [units]
    draws = material.config.draws
    draws = 5 * draws if size < 5 else draws if 2 * size <= len(units) else -(-draws // 3)
    rng = np.random.default_rng([material.config.seed, 1, size])
    if size == 1:
        chosen = rng.choice(len(units), size=min(draws, len(units)), replace=False)
        return [[units[place]] for place in chosen]
    return matched_units(units, size, draws, rng)


def judge_size(
    material: Material, nulls: NullFrames, judge: Judge, size: int, draws: list[Draw], prior_text: str
) -> tuple[SizeResult, dict[str, list[float]]]:
    """Return all scores of the subsets of one size, and the draws of the main null, {score: values}.

    A subset's null is worked out from the tables of the very same subsets, averaged over them, so the p-value asks whether *these* subsets do better on
    the frames shown than on others; the interval takes in which subsets were drawn.
    """
    course = material.course
    tables = [judge.tables(drawn) for drawn in draws]
    prior = judge.prior_tables(prior_text)
    result = SizeResult(
        size=size, draws=len(draws), by_draw={}, ci={}, above_prior={}, above_prior_ci={}, p={}, p_holm={}, nulls={}
    )
    kept: dict[str, list[float]] = {}
    for kind, rows in ((0, np.arange(len(material.moments))), (1, material.narrated)):
        blocks, frame = material.blocks[rows], course.frame[rows]
        for name in tables[0][kind]:
            right = np.stack([truth(table[kind][name], frame) for table in tables])
            gain = right - prior[kind][name][0, frame]
            result.by_draw[name] = [float(value) for value in right.mean(1)]
            rng = np.random.default_rng([material.config.seed, 13])
            result.ci[name] = interval(right, blocks, rng, share=name in SHARES, limits=LIMITS.get(name, (0.0, 1.0)))
            result.above_prior[name] = float(gain.mean())
            known = result.ci[name]
            if np.ptp(gain) == 0 and known is not None:
                # All moments alike, and the mean grid too: the interval of the score itself, moved.
                shift = result.above_prior[name] - float(right.mean())
                result.above_prior_ci[name] = known[0] + shift, known[1] + shift
            else:
                rng = np.random.default_rng([material.config.seed, 18])
                result.above_prior_ci[name] = interval(gain, blocks, rng)
            mean = np.mean([table[kind][name] for table in tables], axis=0)
            result.nulls[name], result.p[name] = {}, None
            place = np.arange(len(rows))
            for null, frames in nulls.frames.items():
                if not len(frames):
                    continue
                values = mean[place, frames[:, rows]].mean(1)
                far = values[nulls.far[null]]
                if len(far):
                    result.nulls[name][null] = _null(far)
                if null == nulls.main:
                    result.p[name] = p_value(float(right.mean()), values)
                    kept[name] = far.tolist()
            if len(nulls.unrelated):
                result.nulls[name]["unrelated"] = _null(mean[place, nulls.unrelated[:, frame]].mean(1))
    shown = course.frame[material.narrated]
    for drawn in draws:
        for name, value in judge.overlaps(drawn.texts, shown).items():
            result.by_draw.setdefault(name, []).append(value)
        result.by_draw.setdefault("unique_rate", []).append(unique_rate(drawn.texts))
    for name, values in result.by_draw.items():
        setattr(result, name, float(np.mean(values)))
    return result, kept


def correct_for_sizes(results: list[SizeResult]) -> None:
    """Correct each score's p-values for the number of sizes, by Holm's method."""
    for name in results[0].p:
        p = [result.p[name] for result in results]
        if all(value is not None for value in p):
            for result, value in zip(results, holm(np.array(p, dtype=float)), strict=True):
                result.p_holm[name] = float(value)


def _null(values: np.ndarray) -> Null:
    return Null(mean=values.mean(), sd=values.std(), q95=np.quantile(values, 0.95), n=len(values))
