"""Every decoder on every split, by ``neurrator fit`` and ``neurrator evaluate``: the table in docs/decoding.md.

    python benchmarks/compare_decoders.py OUT RECORDING STIMULUS [--kinds …] [--splits …] [--sizes …] [--epochs N]

What was done before is not done again. The network of the paper takes hours on a processor; ``--epochs`` cuts its training short, and the
table then says so.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

KINDS = ("subset", "ridge", "cebra", "retrieval", "paper")
SPLITS = ("held-out-repeats", "contiguous-middle", "front-only", "held-out-images")
# The network that retrieves takes as long as the paper's.
OPTIONS = {"retrieval": ["--option", "classifier=logistic"]}
SCORES = {
    "patch_cosine": "patch cosine",
    "two_way": "two-way identification",
    "retrieval_top1": "retrieval, first of all",
}


def neurrator(*arguments: str) -> None:
    """Run one command; its own sentence tells what went wrong."""
    program = "from napari_neurrator.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.DEVNULL)


def evaluate(options: argparse.Namespace, kind: str, split: str) -> dict:
    """Fit and evaluate one decoder, unless that was done before."""
    folder = options.out / f"{kind}-{split}"
    report = folder / "report.json"
    if not report.is_file():
        decoder = str(options.out / f"{kind}-{split}-decoder")
        extra = OPTIONS.get(kind, []) + (
            ["--option", f"epochs={options.epochs}"] if kind == "paper" and options.epochs else []
        )
        fit = ["--decoder", kind, "--split", split, "--stimulus", options.stimulus, "--out", decoder, *extra]
        neurrator("fit", options.recording, *fit)
        few = ["--draws", "4", "--narrated", "10", "--permutations", "199", "--sentence-model", ""]
        sizes = ["--sizes", options.sizes] if options.sizes else []
        neurrator("evaluate", options.recording, "--decoder", decoder, "--out", str(folder), *few, *sizes)
    return json.loads(report.read_text(encoding="utf-8"))


def main() -> None:
    """Evaluate what is asked and print a table for each score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("recording")
    parser.add_argument("stimulus")
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--splits", nargs="+", default=SPLITS)
    parser.add_argument("--sizes")
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, str], dict] = {}
    for split in options.splits:
        for kind in options.kinds:
            try:
                found[split, kind] = evaluate(options, kind, split)
            except subprocess.CalledProcessError as error:
                print(f"{kind} on {split}: not evaluated ({error.returncode})", file=sys.stderr, flush=True)
    for score, name in SCORES.items():
        print(f"\n{name}\n")
        sizes = sorted({row["size"] for one in found.values() for row in one["sizes"]})
        print("| split | decoder | " + " | ".join(map(str, sizes)) + " |\n|---|---|" + "---|" * len(sizes))
        for (split, kind), report in found.items():
            by_size = {row["size"]: row for row in report["sizes"]}
            values = [f"{by_size[size][score]:.3f}" if size in by_size else "" for size in sizes]
            print(f"| {split} | {kind} | " + " | ".join(values) + " |")
            if kind == options.kinds[0] and score == "patch_cosine":
                print(f"| | mean grid | {report['prior'][score]:.3f}" + " |" * len(sizes))


if __name__ == "__main__":
    main()
