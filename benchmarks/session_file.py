"""A session file of any size in the layout of the Allen Visual Coding sessions, for benchmarks: random spikes, real NWB on disk."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

DURATION_S = 9_600.0
# Begin (seconds), frames and showings of the films, as in a brain_observatory_1.1 session.
FILMS = {
    "natural_movie_one": (900, [(1_000.0, 10), (5_500.0, 10)]),
    "natural_movie_three": (3_600, [(2_000.0, 5), (7_000.0, 5)]),
}
REGIONS = ("VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl", "LGd", "LP", "CA1", "CA3", "DG", "APN")
UNITS, SPIKES = 2_500, 60_000_000


def write_session(path: Path, part: float = 1.0, compression: str | None = None, seed: int = 0) -> None:
    """Write a session with `part` of an Allen session's units and spikes."""
    from hdmf.backends.hdf5.h5_utils import H5DataIO
    from hdmf.common import VectorData, VectorIndex
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.epoch import TimeIntervals
    from pynwb.misc import Units

    rng = np.random.default_rng(seed)
    n_units, n_spikes = round(UNITS * part), round(SPIKES * part)
    weights = rng.lognormal(0, 1, n_units)
    counts = np.floor(weights / weights.sum() * n_spikes).astype(np.int64)
    ends = np.cumsum(counts)
    times = np.empty(int(ends[-1]))
    for begin, end in zip(ends - counts, ends, strict=True):
        times[begin:end] = np.sort(rng.uniform(0, DURATION_S, end - begin))
    nwb = NWBFile("random spikes for a benchmark; simulated", "benchmark", datetime(2026, 1, 1, tzinfo=UTC))
    n_probes, channels = 6, 374
    for column in ("probe_vertical_position", "probe_horizontal_position", "local_index"):
        nwb.add_electrode_column(column, column)
    for probe in range(n_probes):
        device = nwb.create_device(f"probe{'ABCDEF'[probe]}")
        group = nwb.create_electrode_group(device.name, device.name, "VIS", device)
        for channel in range(channels):
            nwb.add_electrode(
                id=850_000_000 + probe * 1_000 + channel, x=2_000.0 + 800 * probe, y=500.0 + 10 * channel, z=7_500.0 + 3 * channel,
                location=REGIONS[(channel // 63 + probe) % len(REGIONS)], group=group, group_name=device.name,
                probe_vertical_position=20.0 * (channel // 2), probe_horizontal_position=16.0 * (channel % 4),
                local_index=channel,
            )  # fmt: skip
    peak = 850_000_000 + rng.integers(n_probes, size=n_units) * 1_000 + rng.integers(channels, size=n_units)
    data = H5DataIO(times, compression=compression, chunks=True) if compression else times
    spike_times = VectorData(name="spike_times", description="seconds", data=data)
    columns = [
        spike_times,
        VectorIndex(name="spike_times_index", target=spike_times, data=ends),
        VectorData(name="peak_channel_id", description="electrode", data=peak),
        VectorData(name="quality", description="label", data=["good"] * n_units),
        VectorData(name="amplitude_cutoff", description="share", data=rng.uniform(0, 0.2, n_units)),
        VectorData(name="presence_ratio", description="share", data=rng.uniform(0.9, 1, n_units)),
        VectorData(name="isi_violations", description="share", data=rng.uniform(0, 1, n_units)),
        VectorData(name="waveform_duration", description="ms", data=rng.uniform(0.2, 0.8, n_units)),
    ]
    nwb.units = Units(name="units", columns=columns, id=950_000_000 + rng.permutation(n_units))
    for name, (frames, blocks) in FILMS.items():
        starts = np.concatenate([begin + np.arange(frames * shown) / 30 for begin, shown in blocks])
        values = {
            "start_time": starts,
            "stop_time": starts + 1 / 30,
            "frame": np.tile(np.arange(frames, dtype=float), sum(shown for _, shown in blocks)),
            "stimulus_block": np.repeat(np.arange(len(blocks), dtype=float), [frames * shown for _, shown in blocks]),
        }
        nwb.add_time_intervals(
            TimeIntervals(
                name=f"{name}_presentations",
                description="one row a frame",
                columns=[VectorData(name=key, description=key, data=value) for key, value in values.items()],
                id=np.arange(len(starts)),
            )
        )
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def write_film(path: Path, n_frames: int = 900) -> None:
    """Write a film of 608 × 304 pixels at 30 frames a second: drifting blobs."""
    import av

    y, x = np.mgrid[0:304, 0:608]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 608, 304, "yuv420p"
        for number in range(n_frames):
            level = 127 + 80 * np.sin(x / 40 + number / 9) * np.cos(y / 30 - number / 13)
            frame = av.VideoFrame.from_ndarray(np.repeat(level.astype(np.uint8)[..., None], 3, 2), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--compression")
    arguments = parser.parse_args()
    write_session(arguments.path, arguments.part, arguments.compression)
