"""The sentences that a report shows: drawn at random, and the worst."""

import numpy as np

from .draws import Draw
from .material import Material
from .report import Example
from .scores import truth, two_way
from .tables import Judge


def examples(material: Material, judge: Judge, whole: Draw) -> list[Example]:
    """Choose narrated moments at random, and the one whose picture was found worst."""
    rows = material.narrated
    frames = material.course.frame[rows]
    number = min(material.config.examples, len(rows))
    if not number:
        return []
    rank = truth(two_way(whole.centred[rows], material.pool.picture), frames)
    patch = truth(whole.patch[rows], frames)
    sbert = truth(judge.of_texts(whole.texts)["sbert"], frames) if judge.embedder is not None else None
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
