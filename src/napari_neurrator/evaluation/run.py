"""``neurrator evaluate``: one decoder on held-out moments, at several population sizes, against every null."""

import time
from pathlib import Path

import numpy as np

from . import levels
from .claims import caveat, units
from .config import EvaluateConfig
from .contrasts import size_matched, split_half
from .draws import Draw, draw
from .examples import examples
from .judging import make_bench
from .material import Material, OnProgress, gather
from .null_frames import NullFrames
from .report import Report, SizeResult, report_folder, write_json, write_text
from .scores import truth
from .sentences import MakeLanguage, own_language
from .sizes import correct_for_sizes, judge_size, population_sizes, subsets
from .statistics import FEW_BLOCKS, effective_sample, smallest_p
from .verdict import verdict
from .versions import library_versions


def evaluate(
    config: EvaluateConfig,
    out: str | Path,
    on_progress: OnProgress | None = None,
    make_language: MakeLanguage = own_language,
) -> Report:
    """Evaluate a decoder and write ``report.json`` and ``report.html``.

    Subsets that were decoded before are read from the folder, so work that was stopped goes on where it was.

    Parameters
    ----------
    config : EvaluateConfig
        What to evaluate.
    out : path-like
        Folder of the report.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    make_language : callable
        Makes the language model of a profile; in this process by default.

    Returns
    -------
    Report
        What was found.

    Raises
    ------
    NeurratorError
        Anything in the configuration that does not fit the recording or the decoder.
    """
    from .page import page

    folder = report_folder(out)
    material = gather(config, on_progress or _silent, make_language)
    report = evaluate_material(material, folder, on_progress)
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report, material.stimulus))
    return report


def evaluate_material(material: Material, folder: Path, on_progress: OnProgress | None = None) -> Report:
    """Evaluate what was gathered; subsets of units are kept in the ``cache`` of `folder`, and nothing else is written."""
    began = time.monotonic()
    progress = on_progress or _silent
    config, cache = material.config, folder / "cache"
    warnings: list[str] = []
    bench = make_bench(material, warnings, progress)
    sizes = population_sizes(config, len(material.unit_ids), warnings)
    nulls = NullFrames(material, warnings)
    warnings += _few_blocks(material)
    prior_text = bench.narrator(material.pool.prior[None])[0]

    planned = [(size, subsets(material, size)) for size in sizes]
    total, done = sum(len(some) for _, some in planned), 0
    results: list[SizeResult] = []
    null_draws: dict[str, list[float]] = {}
    gathered: list[Draw] = []
    for size, some in planned:
        gathered = []
        for subset in some:
            progress("decoding subsets of units", done, total)
            gathered.append(draw(material, subset, bench.narrator, cache))
            done += 1
        result, null_draws = judge_size(material, nulls, bench.judge, size, gathered, prior_text)
        results.append(result)
    progress("decoding subsets of units", total, total)
    correct_for_sizes(results)
    whole = gathered[0]
    report = Report(
        title=f"What {units(sizes[-1:])} of {material.recording.name} say{'s' * (sizes[-1] == 1)} about {material.stimulus_name}",
        simulated=material.recording.simulated,
        recording=material.recording.name,
        stimulus=material.stimulus_name,
        decoder_kind=material.stored.info.kind,
        decoder_stimulus=material.stored.info.stimulus,
        profile=material.profile.name,
        split=material.split,
        n=len(material.moments),
        n_frames=len(material.pool),
        n_pictures=material.pool.n_pictures,
        n_narrated=len(material.narrated),
        n_units=len(material.unit_ids),
        repeats=int(material.moments["repeat"].nunique()),
        resampled=material.blocks_are,
        main_null=nulls.main,
        smallest_p=smallest_p(nulls.frames[nulls.main], material.course.frame),
        references=bench.references,
        label=bench.label,
        label_name=bench.label_name,
        chance=levels.chance(material, bench.judge),
        sizes=results,
        ceiling=levels.ceiling(material, bench),
        prior=levels.prior(material, bench.judge, prior_text),
        prior_sentence=prior_text,
        unrelated_caption=levels.unrelated_caption(material, bench, nulls),
        word_salad=levels.random_words(material, bench),
        size_matched=size_matched(material, bench, cache, progress),
        split_half=split_half(material, bench, cache, progress),
        effective_moments=_effective(material, whole),
        null_draws=null_draws,
        examples=examples(material, bench.judge, whole),
        warnings=[*material.recording.warnings, *warnings],
        config=config.model_dump(),
        decoder_config=material.stored.info.config.model_dump(),
        versions=library_versions(),
        seconds=round(time.monotonic() - began, 1),
    )
    many = f"{len(sizes)} population size{'s' * (len(sizes) > 1)}"
    report.warnings += caveat(report.least_p, many, report.smallest_p, config.n_permutations)
    report.headlines = verdict(report)[0]
    return report


def _few_blocks(material: Material) -> list[str]:
    n_blocks = len(np.unique(material.blocks))
    if n_blocks >= FEW_BLOCKS:
        return []
    rough = "rest on Student's t and are rough" if n_blocks >= 3 else "are not given"
    return [f"There are only {n_blocks} blocks to resample ({material.blocks_are}): intervals {rough}."]


def _effective(material: Material, whole: Draw) -> float:
    """Return how many independent moments the tested ones are worth, from the autocorrelation of the scores."""
    score = truth(whole.patch, material.course.frame)
    return float(sum(effective_sample(score[run]) for run in material.course.runs))


def _silent(stage: str, done: int, total: int) -> None:
    pass
