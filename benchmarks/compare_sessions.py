"""Decoders compared on several simulated sessions, which differ in film and neurons: part of "Compared" in docs/decoding.md.

    python benchmarks/compare_sessions.py OUT [--seeds …] [--kinds …] [--splits …] [--sizes …]

Each session is compared as by ``compare_decoders.py``, whose scores of moments are kept in a folder of its own in OUT; other sizes, draws, moments or
options need another OUT. What is printed is the mean over sessions, and sessions are what the intervals are over: they are independent of each other, as
stretches of one film are not quite.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t

from compare_decoders import OURS, SCORES, SPLITS, kept

KINDS = (OURS, "ridge", "retrieval")


def sessions(asked: argparse.Namespace, kind: str, split: str) -> list[dict[str, np.ndarray]]:
    """Return the scores of one decoder on every session."""
    from napari_neurrator.recording.sample import SampleSpec, make_sample

    found = []
    for seed in asked.seeds:
        spec = SampleSpec(seed=seed, n_units=asked.units, n_frames=asked.frames, n_repeats=asked.showings)
        one = {**vars(asked), "recording": str(make_sample(spec)), "out": asked.out / f"{seed}-{spec.folder_name}"}
        one["out"].mkdir(parents=True, exist_ok=True)
        found.append(kept(argparse.Namespace(**one), kind, split))
    return found


def cell(values: np.ndarray, ours: np.ndarray | None) -> str:
    """Return a mean over sessions; ° where ours is not ahead of it by more than chance, ! where ours is behind."""
    text = f"{values.mean():.3f}"
    if ours is None:
        return text
    ahead = ours - values
    reach = t.ppf(0.975, len(ahead) - 1) * ahead.std(ddof=1) / np.sqrt(len(ahead))
    return text if ahead.mean() > reach else f"{text} !" if ahead.mean() < -reach else f"{text} °"


def main() -> None:
    """Evaluate what is asked and print a table for each score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5, 11), help="of the sessions, two at least")
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--splits", nargs="+", default=SPLITS)
    parser.add_argument("--sizes", default="1,3,10,30,80", help="population sizes")
    parser.add_argument("--units", type=int, default=80)
    parser.add_argument("--frames", type=int, default=450)
    parser.add_argument("--showings", type=int, default=5)
    parser.add_argument("--draws", type=int, default=3, help="random subsets of each size, as in neurrator evaluate")
    parser.add_argument("--moments", type=int, default=450, help="moments decoded at most, about")
    parser.add_argument("--option", action="append", default=[], help="KIND:NAME=VALUE, an option of a decoder")
    asked = parser.parse_args()
    asked.stimulus = "natural_movie_one"
    sizes = [int(size) for size in asked.sizes.split(",")]
    if max(sizes) > asked.units or len(asked.seeds) < 2 or asked.kinds[0] != OURS:
        parser.error(f"give two seeds at least, sizes up to --units, and {OURS} as the first of the kinds")
    found = {}
    for split in asked.splits:
        for kind in asked.kinds:
            found[split, kind] = sessions(asked, kind, split)
            print(f"{kind} on {split}: done", file=sys.stderr, flush=True)
    for score, name in SCORES.items():
        print(f"\n| {name} | decoder | {' | '.join(map(str, sizes))} |\n|---|---|{'---|' * len(sizes)}")
        for (split, kind), some in found.items():
            means = np.array([[one[f"{size}/{score}"].mean() for one in some] for size in sizes])
            ours = np.array([[one[f"{size}/{score}"].mean() for one in found[split, OURS]] for size in sizes])
            cells = [cell(*pair) for pair in zip(means, [None] * len(sizes) if kind == OURS else ours, strict=True)]
            print(f"| {split if kind == OURS else ''} | {kind} | {' | '.join(cells)} |")
            if kind == OURS and score == "patch_cosine":
                prior = np.mean([one[f"prior/{score}"].mean() for one in some])
                print(f"| | *mean grid* | {prior:.3f} |{' |' * (len(sizes) - 1)}")


if __name__ == "__main__":
    main()
