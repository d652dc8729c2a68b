"""Small NWB files in Allen's layout, written with pynwb."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.epoch import TimeIntervals

TRAINS = {950: [0.1, 0.20000123, 1.5], 20: [0.3], 33: []}
PEAKS = {950: 101, 20: 102, 33: 103}
LOCATIONS = ("root", "VISp", "None", "LGd")


def write(path: Path, nwb: NWBFile) -> Path:
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def empty(description: str = "a session") -> NWBFile:
    return NWBFile(description, "id", datetime(2026, 1, 1, tzinfo=UTC))


def presentations(nwb: NWBFile, name: str, **columns: list) -> None:
    table = TimeIntervals(f"{name}_presentations", "what was shown")
    for column in columns:
        if column not in ("start_time", "stop_time"):
            table.add_column(column, column)
    for row in zip(*columns.values(), strict=True):
        table.add_row(**dict(zip(columns, row, strict=True)))
    nwb.add_time_intervals(table)


def allen_session(path: Path, description: str = "a session") -> Path:
    """Three units whose ids do not ascend on one probe; scenes with a blank, gratings with text columns, Gabors."""
    nwb = empty(description)
    group = nwb.create_electrode_group("probeA", "d", "l", nwb.create_device("probeA"))
    for column in ("probe_vertical_position", "probe_horizontal_position", "probe_id", "local_index"):
        nwb.add_electrode_column(column, column)
    for i, location in enumerate(LOCATIONS):
        nwb.add_electrode(
            id=100 + i,
            x=1.0 + i,
            y=2.0 + i,
            z=3.0 + i,
            location=location,
            group=group,
            probe_vertical_position=20 * i,
            probe_horizontal_position=11,
            probe_id=5,
            local_index=i,
        )
    for column in ("peak_channel_id", "quality"):
        nwb.add_unit_column(column, column)
    for unit, train in TRAINS.items():
        nwb.add_unit(
            id=unit,
            spike_times=np.array(train),
            peak_channel_id=PEAKS[unit],
            quality="good",
            waveform_mean=np.zeros((10, 4)),
        )
    presentations(
        nwb,
        "natural_scenes",
        start_time=[1.0, 2.0, 3.0, 4.0],
        stop_time=[2.0, 3.0, 4.0, 5.0],
        frame=[3.0, -1.0, 3.0, 0.0],
        stimulus_name=["natural_scenes"] * 4,
    )
    presentations(
        nwb,
        "drifting_gratings",
        start_time=[10.0, 13.0, 16.0, 19.0],
        stop_time=[12.0, 15.0, 18.0, 21.0],
        orientation=["0.0", "45.0", "null", "0.0"],
        temporal_frequency=["2.0", "2.0", "null", "2.0"],
        phase=["[5308.9, 5308.9]"] * 4,
    )
    presentations(
        nwb,
        "gabors",
        start_time=[30.0, 31.0],
        stop_time=[30.25, 31.25],
        orientation=[0.0, 45.0],
        x_position=[0.0, 10.0],
        y_position=[0.0, 0.0],
    )
    return write(path, nwb)
