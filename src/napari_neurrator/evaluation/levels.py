"""What scores are to be read against: the narration of the true patches, the mean grid, captions of other frames, random words, luck."""

import numpy as np

from .judging import Bench
from .material import Material
from .null_frames import NullFrames
from .nulls import word_salad
from .scores import truth
from .tables import Judge
from .text_scores import unique_rate

# Pairs on which BLEU and ROUGE of unrelated captions are worked out.
_PAIRS = 500


def chance(material: Material, judge: Judge) -> dict[str, float]:
    """Return what luck alone scores, where that is known: of a sentence, always saying what is said most often."""
    n = material.pool.n_pictures
    shown = material.course.frame[material.narrated]
    found = {
        "two_way": 0.5,
        "retrieval_top1": 1 / n,
        "label_accuracy": judge.labels.chance([judge.labels.classes[judge.label_of[frame]] for frame in shown]),
    }
    if judge.top_five:
        found["retrieval_top5"] = 5 / n
    return found


def ceiling(material: Material, bench: Bench) -> dict[str, float]:
    """Score the true patches and their narration."""
    shown = material.course.frame[material.narrated]
    texts = [bench.said[frame] for frame in shown]
    best = {"patch_cosine": 1.0, "two_way": 1.0, "retrieval_top1": 1.0}
    if bench.judge.top_five:
        best["retrieval_top5"] = 1.0
    return {**best, **_of_sentences(bench.judge, texts, shown)}


def prior(material: Material, judge: Judge, sentence: str) -> dict[str, float]:
    """Score the mean grid and what is said of it."""
    frames = material.course.frame
    shown = frames[material.narrated]
    grids, texts = judge.prior_tables(sentence)
    said = [sentence] * len(shown)
    return {
        **{name: float(table[0, frames].mean()) for name, table in grids.items()},
        **{name: float(table[0, shown].mean()) for name, table in texts.items()},
        **judge.overlaps(said, shown),
        "unique_rate": unique_rate(said),
    }


def unrelated_caption(material: Material, bench: Bench, nulls: NullFrames) -> dict[str, float]:
    """Score true sentences of frames that are not related to the one shown: the random-caption baseline."""
    if not len(nulls.unrelated):
        return {}
    shown, judge, said = material.course.frame[material.narrated], bench.judge, bench.said
    # The frame shown is held against sentences of others: rows are sentences, columns frames.
    result = {
        name: float(np.mean([table[match[shown], shown].mean() for match in nulls.unrelated]))
        for name, table in judge.of_texts(said).items()
    }
    pairs = np.concatenate([np.stack([match[shown], shown]) for match in nulls.unrelated], axis=1)[:, :_PAIRS]
    return {**result, **judge.overlaps([said[frame] for frame in pairs[0]], pairs[1])}


def random_words(material: Material, bench: Bench) -> dict[str, float]:
    """Score words drawn at their frequency in the references: the floor."""
    shown = material.course.frame[material.narrated]
    corpus = [one for some in bench.judge.references for one in some]
    texts = word_salad(corpus, len(shown), np.random.default_rng([material.config.seed, 14]))
    return _of_sentences(bench.judge, texts, shown) if texts else {}


def _of_sentences(judge: Judge, texts: list[str], shown: np.ndarray) -> dict[str, float]:
    return {
        **{name: float(truth(table, shown).mean()) for name, table in judge.of_texts(texts).items()},
        **judge.overlaps(texts, shown),
        "unique_rate": unique_rate(texts),
    }
