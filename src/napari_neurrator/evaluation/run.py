"""``neurrator evaluate``: one decoder on held-out moments, at several population sizes, against every null."""

import importlib.metadata
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..errors import NeurratorError
from .captions import captions_beside, captions_for, read_captions
from .config import EvaluateConfig, default_sizes
from .draws import Draw, draw
from .labels import ClassNames, SameSentence
from .material import Material, OnProgress, gather
from .nulls import circular_shifts, halves, matched_units, permuted_frames, spearman_brown, unrelated_frames, word_salad
from .report import Example, Null, Report, SizeResult, report_folder, write_json, write_text
from .scores import truth
from .sentences import Narrator
from .statistics import effective_sample, holm, interval, p_value, two_sided_p
from .tables import Judge
from .text_scores import Overlap, SentenceEmbedder, unique_rate

if TYPE_CHECKING:
    import pandas as pd

_MATCHED, _HALVES, _SHUFFLES = 20, 5, 100
# Pairs on which BLEU and ROUGE of unrelated captions are worked out.
_PAIRS = 500
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "sacrebleu", "rouge-score", "numpy", "scipy")


def evaluate(config: EvaluateConfig, out: str | Path, on_progress: OnProgress | None = None) -> Report:
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

    began = time.monotonic()
    progress = on_progress or (lambda stage, done, total: None)
    folder = report_folder(out)
    material = gather(config, progress)
    warnings: list[str] = []
    narrator, judge, said_of_true, references_are, label = _judge(material, warnings, progress)
    sizes = _sizes(config, len(material.unit_ids), warnings)

    nulls = _Nulls(material, warnings)
    least = 1 / (1 + len(nulls.frames[nulls.main]))
    if least * len(sizes) > 0.05:
        warnings.append(
            f"There are so few frames that no p-value can fall below {least:.3f}, which {len(sizes)} sizes corrected for leave above 0.05: test more frames or fewer sizes."
        )
    subsets = [(size, units) for size in sizes for units in _subsets(material, size)]
    cache = folder / "cache"
    results: list[SizeResult] = []
    gathered: list[Draw] = []
    null_draws: dict[str, list[float]] = {}
    for number, (size, units) in enumerate(subsets):
        progress("decoding subsets of units", number, len(subsets))
        gathered.append(draw(material, units, narrator, cache))
        if number + 1 == len(subsets) or subsets[number + 1][0] != size:
            result, null_draws = nulls.judge(size, gathered, judge)
            results.append(result)
            last, gathered = gathered, []
    progress("decoding subsets of units", len(subsets), len(subsets))
    _correct(results)
    shown = material.course.frame[material.narrated]
    prior_text = narrator(material.pool.prior[None])[0]
    report = Report(
        title=f"What {len(material.unit_ids)} units of {material.recording.name} say about {material.stimulus_name}",
        simulated=material.recording.simulated,
        recording=material.recording.name,
        stimulus=material.stimulus_name,
        decoder_kind=material.stored.info.kind,
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
        references=references_are,
        label=label,
        chance=_chance(material, judge),
        sizes=results,
        ceiling=_ceiling(material, judge, said_of_true, shown),
        prior=_prior(material, judge, prior_text, shown),
        prior_sentence=prior_text,
        unrelated_caption=_unrelated_caption(judge, said_of_true, shown, nulls),
        word_salad=_salad(judge, said_of_true, shown, config.seed),
        size_matched=_size_matched(material, judge, narrator, cache, results, progress),
        split_half=_split_half(material, progress),
        effective_moments=_effective(material, last[0]),
        null_draws=null_draws,
        examples=_examples(material, judge, last[0]),
        warnings=[*material.recording.warnings, *warnings],
        config=config.model_dump(),
        decoder_config=material.stored.info.config.model_dump(),
        versions=library_versions(),
        seconds=round(time.monotonic() - began, 1),
    )
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report, material))
    return report


class _Nulls:
    """The frames that moments are held against instead of their own."""

    def __init__(self, material: Material, warnings: list[str]):
        config, course = material.config, material.course
        self.material = material
        n_frames = len(material.pool)
        shifted, far = circular_shifts(course, config.n_permutations, np.random.default_rng([config.seed, 10]))
        self.frames = {
            "circular_shift": shifted,
            "shuffled": permuted_frames(
                course.frame, n_frames, config.n_permutations, np.random.default_rng([config.seed, 11])
            ),
        }
        # Which draws say what something unrelated scores; the test counts all of them.
        self.far = {"circular_shift": far, "shuffled": np.ones(len(self.frames["shuffled"]), dtype=bool)}
        try:
            unrelated = unrelated_frames(
                material.pool.picture, _SHUFFLES, np.random.default_rng([config.seed, 12]), material.near
            )
        except NeurratorError as error:
            warnings.append(str(error))
            unrelated = np.empty((0, n_frames), dtype=np.int64)
        self.unrelated = unrelated
        self.main = "circular_shift" if material.film else "shuffled"
        if material.film and not far.any():
            warnings.append(
                f"The tested film is too short to say what unrelated parts of it score: no circular shift leaves the gap of {config.gap_s:g} s."
            )
        n_blocks = len(np.unique(material.blocks))
        if n_blocks < 8:
            warnings.append(
                f"There are only {n_blocks} blocks to resample ({material.blocks_are}): intervals "
                + ("rest on Student's t and are rough." if n_blocks >= 3 else "are not given.")
            )

    def judge(self, size: int, draws: list[Draw], judge: Judge) -> tuple[SizeResult, dict[str, list[float]]]:
        """Return all scores of the subsets of one size, and the main null's draws."""
        material, course = self.material, self.material.course
        tables = [judge.tables(drawn) for drawn in draws]
        by_draw: dict[str, list[float]] = {}
        ci: dict[str, tuple[float, float] | None] = {}
        p: dict[str, float | None] = {}
        nulls: dict[str, dict[str, Null]] = {}
        kept: dict[str, list[float]] = {}
        for kind, rows in ((0, np.arange(len(material.moments))), (1, material.narrated)):
            for name in tables[0][kind]:
                some = [table[kind][name] for table in tables]
                right = np.stack([truth(table, course.frame[rows]) for table in some])
                by_draw[name] = [float(value) for value in right.mean(1)]
                rng = np.random.default_rng([material.config.seed, 13])
                ci[name] = interval(right, material.blocks[rows], rng)
                mean = np.mean(some, axis=0)
                nulls[name] = {}
                place = np.arange(len(rows))
                for null, frames in self.frames.items():
                    if len(frames):
                        values = mean[place, frames[:, rows]].mean(1)
                        if self.far[null].any():
                            nulls[name][null] = _null(values[self.far[null]])
                        if null == self.main:
                            p[name] = p_value(float(right.mean()), values)
                            kept[name] = [float(value) for value in values[self.far[null]]]
                if len(self.unrelated):
                    values = mean[place, self.unrelated[:, course.frame[rows]]].mean(1)
                    nulls[name]["unrelated"] = _null(values)
                p.setdefault(name, None)
        shown = course.frame[material.narrated]
        for drawn in draws:
            for name, value in judge.overlaps(drawn.texts, shown).items():
                by_draw.setdefault(name, []).append(value)
            by_draw.setdefault("unique_rate", []).append(unique_rate(drawn.texts))
        scores = {name: float(np.mean(values)) for name, values in by_draw.items()}
        result = SizeResult(size=size, draws=len(draws), by_draw=by_draw, ci=ci, p=p, p_holm={}, nulls=nulls, **scores)
        return result, kept


def _null(values: np.ndarray) -> Null:
    return Null(mean=values.mean(), sd=values.std(), q95=np.quantile(values, 0.95), n=len(values))


def _judge(
    material: Material, warnings: list[str], progress: OnProgress
) -> tuple[Narrator, Judge, list[str], str, str]:
    """Return the narrator, the judge, what is said of the true pictures, and in words what the references and the labels are."""
    from ..language.narrator import LanguageModel

    config = material.config
    narrator = Narrator(LanguageModel(material.profile), config.prompt, config.max_new_tokens)
    frames = material.pool.frames
    said: list[str] = []
    for start in range(0, len(frames), 64):
        progress("narrating the true frames", start, len(frames))
        said += narrator(material.pool.true(np.arange(len(frames))[start : start + 64]))
    progress("narrating the true frames", len(frames), len(frames))
    file = config.captions or captions_beside(material.recording)
    if file is not None:
        references = captions_for(read_captions(file), frames, file)
        fewest, most = min(map(len, references)), max(map(len, references))
        references_are = f"captions of {Path(file).name}, {fewest if fewest == most else f'{fewest} to {most}'} a frame"
    else:
        references = [[sentence] for sentence in said]
        references_are = f"what the profile {material.profile.name} says of the true frame"
    classes, label = _classes(material, said)
    labels = SameSentence(said) if classes is said else ClassNames(classes, said)
    embedder = None
    if config.sentence_model:
        try:
            progress("loading the sentence model", 0, 1)
            embedder = SentenceEmbedder(config.sentence_model)
            progress("loading the sentence model", 1, 1)
        except NeurratorError as error:
            warnings.append(f"{error} The report goes on without SBERT.")
    else:
        warnings.append("No sentence model was asked for: the report is without SBERT.")
    of = np.array([labels.classes.index(name) for name in classes])
    return narrator, Judge(material, references, labels, of, embedder, Overlap()), said, references_are, label


def _classes(material: Material, said: list[str]) -> tuple[list, str]:
    """Return the class of each frame that a sentence should name: a column of the presentations, else what is said of the true frame."""
    shown: pd.DataFrame = material.recording.presentations.loc[material.moments["presentation"]]
    column = material.config.labels
    if column is not None and column not in shown:
        raise NeurratorError(
            f"The presentations of {material.stimulus_name!r} have no column {column!r}: choose another one for --labels."
        )
    if column is None and "orientation" in shown and shown["orientation"].notna().all():
        column = "orientation"
    if column is None:
        return said, "the sentence is word for word what is said of the true frame"
    values = shown[column].to_numpy()
    if column == "orientation":
        # Stripes that drift in opposite directions lie alike.
        values = values.astype(float) % 180
    of: dict[int, object] = {}
    for frame, value in zip(material.course.frame, values, strict=True):
        if of.setdefault(int(frame), value) != value:
            raise NeurratorError(
                f"The column {column!r} differs between showings of frame {material.pool.frames[frame]}, so no sentence can name it: choose another one for --labels."
            )
    classes = [of[frame] for frame in range(len(material.pool))]
    return classes, f"the sentence names the {column} shown ({len(set(classes))} classes)"


def _sizes(config: EvaluateConfig, n_units: int, warnings: list[str]) -> list[int]:
    sizes = config.sizes or default_sizes(n_units)
    large = [size for size in sizes if size > n_units]
    if large:
        warnings.append(
            f"There are {n_units} units, so the sizes {', '.join(map(str, large))} were left out and all units taken instead."
        )
        sizes = sorted({size for size in sizes if size <= n_units} | {n_units})
    return sizes


def _subsets(material: Material, size: int) -> list[list]:
    """Return random subsets of one size, or the one that there is."""
    units = material.unit_ids
    if size == len(units):
        return [units]
    draws = material.config.draws
    draws = 2 * draws if size < 5 else draws if 2 * size <= len(units) else -(-draws // 3)
    rng = np.random.default_rng([material.config.seed, 1, size])
    if size == 1:
        chosen = rng.choice(len(units), size=min(draws, len(units)), replace=False)
        return [[units[place]] for place in chosen]
    return matched_units(units, size, draws, rng)


def _correct(results: list[SizeResult]) -> None:
    """Correct each score's p-values for the number of sizes."""
    for name in results[0].p:
        p = [result.p[name] for result in results]
        if all(value is not None for value in p):
            for result, value in zip(results, holm(np.array(p, dtype=float)), strict=True):
                result.p_holm[name] = float(value)


def _chance(material: Material, judge: Judge) -> dict[str, float]:
    n = material.pool.n_pictures
    shown = material.course.frame[material.narrated]
    chance = {
        "two_way": 0.5,
        "retrieval_top1": 1 / n,
        "label_accuracy": judge.labels.chance([judge.labels.classes[judge.label_of[frame]] for frame in shown]),
    }
    if n > 10:
        chance["retrieval_top5"] = 5 / n
    return chance


def _of_truth(tables: dict[str, np.ndarray], frames: np.ndarray) -> dict[str, float]:
    return {name: float(truth(table, frames).mean()) for name, table in tables.items()}


def _ceiling(material: Material, judge: Judge, said: list[str], shown: np.ndarray) -> dict[str, float]:
    """Score the narration of the true patches."""
    texts = [said[frame] for frame in shown]
    best = {"patch_cosine": 1.0, "two_way": 1.0, "retrieval_top1": 1.0}
    if material.pool.n_pictures > 10:
        best["retrieval_top5"] = 1.0
    return {
        **best,
        **_of_truth(judge.of_texts(texts), shown),
        **judge.overlaps(texts, shown),
        "unique_rate": unique_rate(texts),
    }


def _prior(material: Material, judge: Judge, sentence: str, shown: np.ndarray) -> dict[str, float]:
    """Score the mean grid and what is said of it."""
    patch, centred = material.pool.similarities(material.pool.prior[None])
    frames = material.course.frame
    grids = {name: float(table[0, frames].mean()) for name, table in judge.of_grids(patch, centred).items()}
    texts = {name: float(table[0, shown].mean()) for name, table in judge.of_texts([sentence]).items()}
    overlaps = judge.overlaps([sentence] * len(shown), shown)
    return {**grids, **texts, **overlaps, "unique_rate": unique_rate([sentence] * len(shown))}


def _unrelated_caption(judge: Judge, said: list[str], shown: np.ndarray, nulls: _Nulls) -> dict[str, float]:
    """Score true sentences of frames that are not related to the one shown: the random-caption baseline."""
    if not len(nulls.unrelated):
        return {}
    tables = judge.of_texts(said)
    # The frame shown is held against sentences of others: rows are sentences, columns frames.
    result = {
        name: float(np.mean([table[match[shown], shown].mean() for match in nulls.unrelated]))
        for name, table in tables.items()
    }
    pairs = np.concatenate([np.stack([match[shown], shown]) for match in nulls.unrelated], axis=1)[:, :_PAIRS]
    return {**result, **judge.overlaps([said[frame] for frame in pairs[0]], pairs[1])}


def _salad(judge: Judge, said: list[str], shown: np.ndarray, seed: int) -> dict[str, float]:
    corpus = [one for some in judge.references for one in some] or said
    texts = word_salad(corpus, len(shown), np.random.default_rng([seed, 14]))
    if not texts:
        return {}
    return {
        **_of_truth(judge.of_texts(texts), shown),
        **judge.overlaps(texts, shown),
        "unique_rate": unique_rate(texts),
    }


def _size_matched(
    material: Material,
    judge: Judge,
    narrator: Narrator,
    cache: Path,
    results: list[SizeResult],
    progress: OnProgress,
) -> dict | None:
    """Hold the chosen units against as many drawn from all units of the decoder, where some were chosen."""
    known = set(material.recording.unit_ids)
    everyone = [unit for unit in material.stored.info.unit_ids if unit in known]
    if len(everyone) == len(material.unit_ids):
        return None
    from dataclasses import replace

    from ..decoding.windows import spike_windows

    wide = replace(
        material,
        unit_ids=everyone,
        windows=spike_windows(material.recording, material.moments, material.stored.info.window, everyone),
    )
    size = len(material.unit_ids)
    rng = np.random.default_rng([material.config.seed, 15])
    drawn: dict[str, list[float]] = {}
    for number, units in enumerate(matched_units(everyone, size, _MATCHED, rng)):
        progress("decoding as many random units", number, _MATCHED)
        one = draw(wide, units, narrator, cache)
        grids, texts = judge.tables(one)
        scores = {
            **_of_truth(grids, material.course.frame),
            **_of_truth(texts, material.course.frame[material.narrated]),
        }
        for name, value in scores.items():
            drawn.setdefault(name, []).append(value)
    progress("decoding as many random units", _MATCHED, _MATCHED)
    whole = next((result for result in results if result.size == size), None)
    observed = {} if whole is None else {name: whole.by_draw[name][0] for name in drawn}
    return {
        "size": size,
        "pool": len(everyone),
        "draws": _MATCHED,
        "observed": observed,
        "mean": {name: float(np.mean(values)) for name, values in drawn.items()},
        "by_draw": drawn,
        "p_two_sided": {name: two_sided_p(value, np.array(drawn[name])) for name, value in observed.items()},
    }


def _split_half(material: Material, progress: OnProgress) -> dict | None:
    """Decode from two halves of the units: how far they agree bounds what all of them can know."""
    if len(material.unit_ids) < 2:
        return None
    rows = material.narrated
    agreements = []
    for number, pair in enumerate(
        halves(material.unit_ids, _HALVES, np.random.default_rng([material.config.seed, 16]))
    ):
        progress("decoding halves of the units", number, _HALVES)
        total = 0.0
        for one, other in zip(material.decode(pair[0], rows), material.decode(pair[1], rows), strict=True):
            a, b = ((grids - material.pool.prior).flatten(1) for grids in (one, other))
            norm = (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-6)
            total += float(((a * b).sum(1) / norm).sum())
        agreements.append(total / len(rows))
    progress("decoding halves of the units", _HALVES, _HALVES)
    mean = float(np.mean(agreements))
    return {
        "size": len(material.unit_ids) // 2,
        "agreement": mean,
        "by_split": agreements,
        "spearman_brown": spearman_brown(mean),
        "explained": "cosine between the deviations, from the mean grid, of what two random halves of the units decode at the same moment",
    }


def _effective(material: Material, whole: Draw) -> float:
    """Return how many independent moments the tested ones are worth, from the autocorrelation of the scores."""
    score = truth(whole.patch, material.course.frame)
    return float(sum(effective_sample(score[run]) for run in material.course.runs))


def _examples(material: Material, judge: Judge, whole: Draw) -> list[Example]:
    """Choose sentences at random, and the worst."""
    from .scores import two_way

    rows = material.narrated
    frames = material.course.frame[rows]
    rank = truth(two_way(whole.centred[rows], material.pool.picture), frames)
    patch = truth(whole.patch[rows], frames)
    sbert = truth(judge.of_texts(whole.texts)["sbert"], frames) if judge.embedder is not None else None
    number = min(material.config.examples, len(rows))
    if not number:
        return []
    rng = np.random.default_rng([material.config.seed, 17])
    chosen = np.sort(rng.choice(len(rows), size=number, replace=False)).tolist()
    chosen.append(int(np.lexsort((patch, rank))[0]))
    return [
        Example(
            frame=int(material.pool.frames[frames[row]]),
            time=float(material.moments["time"].iloc[rows[row]]),
            text=whole.texts[row],
            references=judge.references[frames[row]],
            patch_cosine=float(patch[row]),
            sbert=None if sbert is None else float(sbert[row]),
            rank=float(rank[row]),
            worst=place == number,
        )
        for place, row in enumerate(chosen)
    ]


def library_versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that numbers depend on."""
    versions = {"napari-neurrator": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
