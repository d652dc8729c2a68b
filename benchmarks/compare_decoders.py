"""Every decoder on every split, on the same subsets of units and the same moments: the table in docs/decoding.md.

    python benchmarks/compare_decoders.py OUT RECORDING STIMULUS [--kinds …] [--splits …] [--sizes …] [--option KIND:NAME=VALUE …]

Decoders, moments, subsets and scores are those of ``neurrator fit`` and ``neurrator evaluate``; what takes the rest of their time – sentences and
nulls – is left out. ``another-movie`` fits on the first half of the film and tests on the second. Scores of moments are kept in OUT, so what was done before is
not done again, and so that decoders are compared moment by moment: the intervals are of their differences, over stretches of film and subsets.

The network of the paper takes hours on a processor: ``--option paper:epochs=N`` cuts its training short, and the table then says so.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_neurrator.errors import NeurratorError

SPLITS = ("held-out-repeats", "contiguous-middle", "front-only", "held-out-images", "another-movie")
# The network that retrieves takes as long as the paper's.
OPTIONS = ["retrieval:classifier=logistic"]
SCORES = {"patch_cosine": "patch cosine", "two_way": "two-way identification", "retrieval_top1": "retrieval, first"}
OURS = "subset"


def options_of(kind: str, given: list[str]) -> dict[str, Any]:
    """Return the options of one kind, of ``KIND:NAME=VALUE``."""
    found: dict[str, Any] = {}
    for one in OPTIONS + given:
        of, _, pair = one.partition(":")
        name, _, value = pair.partition("=")
        if of == kind:
            found[name] = int(value) if value.isdecimal() else value
    return found


def stimuli(asked: argparse.Namespace, split: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what to fit on and what to evaluate on."""
    if split != "another-movie":
        return {"stimulus": asked.stimulus}, {}
    from napari_neurrator.evaluation.studies.config import MoviesStudy
    from napari_neurrator.evaluation.studies.parts import fit_on_parts
    from napari_neurrator.recording import open_recording, open_stimulus

    recording = open_recording(asked.recording)
    n = open_stimulus(recording, asked.stimulus)[0].n_frames
    session = {"recording": asked.recording, "fit": {"stimulus": asked.stimulus}}
    halves = [[0, n // 2 - 1], [n // 2, n - 1]]
    (study,) = fit_on_parts(MoviesStudy.model_validate({"sessions": [session], "parts": halves}), asked.out)
    fit = study.sessions[0].fit
    assert fit is not None
    own = {name: getattr(fit, name) for name in ("presentations", "stimulus", "frames")}
    return own, {"presentations": fit.presentations, "stimulus": study.stimulus, "frames": study.frames}


def measure(asked: argparse.Namespace, kind: str, split: str) -> dict[str, np.ndarray]:
    """Fit and evaluate one decoder; return the scores (subset, moment) by name and size, the blocks, and those of the mean grid."""
    from napari_neurrator.config import FitConfig
    from napari_neurrator.decoding.fit import fit
    from napari_neurrator.evaluation.config import EvaluateConfig
    from napari_neurrator.evaluation.material import gather
    from napari_neurrator.evaluation.scores import retrieval, truth, two_way
    from napari_neurrator.evaluation.sizes import population_sizes, subsets

    own, other = stimuli(asked, split)
    folder = asked.out / f"{kind}-{split}-decoder"
    began = time.process_time()
    if not (folder / "decoder.json").is_file():
        options = options_of(kind, asked.option)
        config = {"recording": asked.recording, "decoder": kind, "split": split, "options": options, **own}
        fit(FitConfig.model_validate(config)).stored.save(folder)
    fitted = time.process_time() - began
    how = EvaluateConfig(
        recording=asked.recording, decoder=str(folder), draws=asked.draws, moments=asked.moments, sizes=asked.sizes, **other
    )  # fmt: skip
    material = gather(how, lambda *_: None)
    frame, picture = material.course.frame, material.pool.picture
    found: dict[str, np.ndarray] = {"blocks": material.blocks, "fit_s": np.array(fitted)}

    def scored(parts: Iterator) -> dict[str, np.ndarray]:
        patch, centred = (np.concatenate(some) for some in zip(*map(material.pool.similarities, parts), strict=True))
        tables = {
            "patch_cosine": patch,
            "two_way": two_way(centred, picture),
            "retrieval_top1": retrieval(centred, picture),
        }
        return {name: truth(table, frame) for name, table in tables.items()}

    prior = scored(iter([material.pool.prior[None].expand(len(frame), -1, -1)]))
    found |= {f"prior/{name}": values for name, values in prior.items()}
    for size in population_sizes(how, len(material.unit_ids), []):
        rows = [scored(material.decode(units)) for units in subsets(material, size)]
        found |= {f"{size}/{name}": np.stack([row[name] for row in rows]) for name in SCORES}
    return found


def kept(asked: argparse.Namespace, kind: str, split: str) -> dict[str, np.ndarray]:
    """Return what `measure` does, read where it was done before."""
    file = asked.out / f"{kind}-{split}.npz"
    if not file.is_file():
        found = measure(asked, kind, split)
        partial = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **found)  # type: ignore[arg-type]
        os.replace(partial, file)
        print(f"{kind} on {split}: fitted in {found['fit_s']:.0f} s of processor time", file=sys.stderr, flush=True)
    with np.load(file) as arrays:
        return dict(arrays)


def cell(one: dict[str, np.ndarray], ours: dict[str, np.ndarray] | None, key: str) -> str:
    """Return a mean score; ° where ours is not ahead of it by more than chance, ! where ours is behind."""
    from napari_neurrator.evaluation.statistics import interval

    if key not in one:
        return ""
    text = f"{one[key].mean():.3f}"
    if ours is None or key not in ours or ours[key].shape != one[key].shape:
        return text
    bounds = interval(ours[key] - one[key], one["blocks"], np.random.default_rng(0))
    if bounds is None or bounds[0] > 0:
        return text
    return f"{text} !" if bounds[1] < 0 else f"{text} °"


def main() -> None:
    """Evaluate what is asked and print a table for each score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("recording")
    parser.add_argument("stimulus")
    parser.add_argument("--kinds", nargs="+", default=(OURS, "ridge", "cebra", "retrieval", "paper"))
    parser.add_argument("--splits", nargs="+", default=SPLITS)
    parser.add_argument("--sizes", help="population sizes, such as 1,10,100; by default as neurrator evaluate has them")
    parser.add_argument("--draws", type=int, default=4, help="random subsets of each size, as in neurrator evaluate")
    parser.add_argument("--moments", type=int, default=900, help="moments decoded at most, about")
    parser.add_argument("--option", action="append", default=[], help="KIND:NAME=VALUE, an option of a decoder")
    parser.add_argument("--only-kept", action="store_true", help="print what was done before, and fit nothing")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for split in asked.splits:
        for kind in asked.kinds:
            if asked.only_kept and not (asked.out / f"{kind}-{split}.npz").is_file():
                continue
            try:
                found[split, kind] = kept(asked, kind, split)
            except NeurratorError as error:
                print(f"{kind} on {split}: {error}", file=sys.stderr, flush=True)
    for score, name in SCORES.items():
        known = {int(key.split("/")[0]) for one in found.values() for key in one if key[0].isdigit()}
        sizes = [int(size) for size in asked.sizes.split(",")] if asked.sizes else sorted(known)
        print(f"\n| {name} | decoder | {' | '.join(map(str, sizes))} |\n|---|---|{'---|' * len(sizes)}")
        for (split, kind), one in found.items():
            ours = found.get((split, OURS)) if kind != OURS else None
            cells = [cell(one, ours, f"{size}/{score}") for size in sizes]
            print(f"| {split if kind == asked.kinds[0] else ''} | {kind} | {' | '.join(cells)} |")
            if kind == asked.kinds[0] and score == "patch_cosine":
                print(f"| | *mean grid* | {one[f'prior/{score}'].mean():.3f} |{' |' * (len(sizes) - 1)}")


if __name__ == "__main__":
    main()
