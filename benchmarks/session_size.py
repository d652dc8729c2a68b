"""How opening, counting and memory grow with a session: 1/16, 1/4 and the whole of an Allen session (2,500 units, 60 million spikes).

Each measurement is a process of its own, so that its peak memory is its own; part of ``make benchmark``.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PARTS = (1 / 16, 1 / 4, 1.0)


def peak_mb() -> float:
    """Return the largest memory that this process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: str) -> dict[str, float]:
    """Open a session, read its spikes, count them round every frame of both films."""
    began = time.perf_counter()
    from napari_neurrator import open_recording

    recording = open_recording(path)
    opened = time.perf_counter()
    result = {"units": len(recording.units), "open_s": opened - began, "open_peak_mb": peak_mb()}
    recording.spikes.load()
    read = time.perf_counter()
    result |= {"spikes": recording.spikes.n_spikes, "read_s": read - opened, "read_peak_mb": peak_mb()}
    films = recording.presentations[recording.presentations["stimulus"].str.startswith("natural_movie")]
    starts = np.sort(films["start_time"].to_numpy()) + 0.05
    recording.spikes.count(starts[:1], 20, 1 / 120)
    single = []
    for start in starts[:: len(starts) // 101]:
        began = time.perf_counter()
        recording.spikes.count(np.array([start]), 20, 1 / 120)
        single.append(time.perf_counter() - began)
    spent, counted = 0.0, 0
    pieces = recording.spikes.count_in_pieces(starts, 20, 1 / 120)
    while True:
        began = time.perf_counter()
        piece = next(pieces, None)
        spent += time.perf_counter() - began
        if piece is None:
            break
        counted += int(piece[1].sum())
    result |= {"window_s": float(np.median(single)), "windows": len(starts), "count_s": spent, "counted": counted}
    result["peak_mb"] = peak_mb()
    return result


def main() -> None:
    """Write the sessions, measure each, print the table."""
    rows = []
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        for part, compression in [*((part, None) for part in PARTS), (1.0, "gzip")]:
            path = Path(folder) / f"session-{part:.4f}-{compression}.nwb"
            extra = ["--compression", compression] if compression else []
            subprocess.run(
                [sys.executable, here / "session_file.py", path, "--part", str(part), *extra],
                check=True,
                capture_output=True,
            )
            out = subprocess.run([sys.executable, __file__, path], check=True, capture_output=True, text=True).stdout
            rows.append((part, compression, json.loads(out.splitlines()[-1])))
            path.unlink()
    base = rows[0][2]
    print(
        "\n| session | units | spikes | open | spikes read | peak memory | × spike times | one window | counting both films | per second |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for part, compression, r in rows:
        size_mb = r["spikes"] * 8 / 1e6
        print(
            f"| {part / PARTS[0]:.0f} ×{' ' + compression if compression else ''} | {r['units']} | {r['spikes'] / 1e6:.1f} M "
            f"| {r['open_s']:.2f} s | {r['read_s']:.2f} s ({r['read_s'] / base['read_s']:.1f} ×) | {r['peak_mb']:.0f} MB | {r['peak_mb'] / size_mb:.2f} "
            f"| {r['window_s'] * 1e3:.2f} ms | {r['count_s']:.2f} s ({r['count_s'] / base['count_s']:.1f} ×) "
            f"| {r['counted'] / r['count_s'] / 1e6:.0f} M spikes |"
        )
    print(
        f"Counting: {rows[-1][2]['windows']} windows of 20 bins at 120 Hz round every frame of both films; a spike counts in each window that it lies in. "
        "Peak memory includes the interpreter and all libraries."
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
