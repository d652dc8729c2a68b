"""Write the sample session as NWB in the layout of the Allen Visual Coding Neuropixels files."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from .light import GENOTYPE
from .neurons import SpikeTable
from .probes import PROBES, electrode_table

DESCRIPTION = "SIMULATED by napari-neurrator: a rendered film shown to simulated units; no animal was involved."
# Share of units that lose too many spikes below the threshold.
_LOSING_SPIKES = 0.06
_PRESENCE_BIN_S = 5.0
_START = datetime(2026, 1, 1, tzinfo=UTC)


def write_allen_nwb(
    path: Path,
    spikes: SpikeTable,
    presentations: pd.DataFrame,
    grey: list[tuple[float, float]],
    seed: int,
    pulses: pd.DataFrame,
    lit: list[np.ndarray],
) -> None:
    """Write the file.

    Parameters
    ----------
    path : pathlib.Path
        Where to.
    spikes : SpikeTable
        Units and spike times.
    presentations : pandas.DataFrame
        ``start_time``, ``stop_time`` (seconds), ``frame``, ``stimulus_block``.
    grey : list of tuple
        Start and stop of the times with a grey screen, seconds.
    seed : int
        Written into the identifiers.
    pulses : pandas.DataFrame
        Light pulses after the film: ``start_time``, ``stop_time`` (seconds), ``condition``, ``level``, ``stimulus_name``, ``duration``.
    lit : list of numpy.ndarray
        Spike times of each unit in that part, seconds.
    """
    from hdmf.common import VectorData
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.file import Subject

    nwb = NWBFile(
        session_description=DESCRIPTION,
        identifier=f"napari-neurrator-sample-{seed}",
        session_start_time=_START,
        file_create_date=_START,
        session_id=f"simulated-{seed}",
        institution="none: simulated",
        stimulus_notes="simulated",
        keywords=["simulated", "Neuropixels", "napari-neurrator"],
    )
    nwb.subject = Subject(
        subject_id="simulated",
        species="Mus musculus",
        genotype=f"{GENOTYPE} (simulated)",
        sex="U",
        age="P100D",
        description="Simulated: no animal.",
    )
    electrodes = electrode_table()
    groups = {}
    for number, probe in enumerate(PROBES):
        device = nwb.create_device(name=probe, description="Neuropixels 1.0 (simulated)", manufacturer="imec")
        groups[probe] = nwb.create_electrode_group(
            name=probe, description=f"{probe}, simulated", location=PROBES[probe], device=device
        )
        del number
    own = [c for c in electrodes.columns if c not in ("location", "group_name", "x", "y", "z")]
    for column in own:
        nwb.add_electrode_column(name=column, description=f"{column.replace('_', ' ')} (µm where a position)")
    for row in electrodes.itertuples():
        nwb.add_electrode(
            id=int(row.Index), x=float(row.x), y=float(row.y), z=float(row.z), location=row.location, group=groups[row.group_name],
            group_name=row.group_name, **{column: getattr(row, column) for column in own},
        )  # fmt: skip
    _add_units(nwb, spikes, lit, electrodes, seed)

    from pynwb.epoch import TimeIntervals

    columns = {
        "start_time": presentations["start_time"].to_numpy(float),
        "stop_time": presentations["stop_time"].to_numpy(float),
        "stimulus_name": np.array(["natural_movie_one"] * len(presentations)),
        "stimulus_block": presentations["stimulus_block"].to_numpy(float),
        "frame": presentations["frame"].to_numpy(float),
    }
    nwb.add_time_intervals(
        TimeIntervals(
            name="natural_movie_one_presentations",
            description="Presentations of the (rendered) film, one row a frame.",
            columns=[
                VectorData(name=name, description=name.replace("_", " "), data=data) for name, data in columns.items()
            ],
            id=np.arange(len(presentations)),
        )
    )
    silent = TimeIntervals(name="spontaneous_presentations", description="Grey screen.")
    silent.add_column(name="stimulus_name", description="stimulus name")
    silent.add_column(name="stimulus_block", description="stimulus block")
    for number, (start, stop) in enumerate(grey):
        silent.add_row(start_time=start, stop_time=stop, stimulus_name="spontaneous", stimulus_block=float(number))
    nwb.add_time_intervals(silent)
    light = TimeIntervals(name="optogenetic_stimulation", description="Light pulses (simulated).")
    for column in ("condition", "level", "stimulus_name", "duration"):
        light.add_column(
            name=column, description=column.replace("_", " ") + (", seconds" if column == "duration" else "")
        )
    for row in pulses.to_dict("records"):
        light.add_row(**row)
    nwb.create_processing_module("optotagging", "light pulses and what they were (simulated)").add(light)
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def _add_units(nwb: object, spikes: SpikeTable, lit: list[np.ndarray], electrodes: pd.DataFrame, seed: int) -> None:
    rng, spoiling = np.random.default_rng([seed, 9]), np.random.default_rng([seed, 10])
    units = spikes.units
    # Allen's ids do not ascend: a reader must never take them for row numbers.
    ids = 950_000_000 + rng.permutation(len(units)) * 3
    duration = max(float(train[-1]) for train in spikes.trains if len(train))
    described = {
        "peak_channel_id": "channel with the largest waveform",
        "quality": "label after sorting",
        "isi_violations": "violation of the refractory period (share of spikes closer than 1.5 ms)",
        "amplitude_cutoff": "share of spikes lost below the threshold (simulated)",
        "presence_ratio": "share of the session in which the unit fires",
        "firing_rate": "mean rate, Hz",
        "snr": "signal to noise (simulated)",
        "isolation_distance": "distance from other clusters (simulated)",
        "waveform_duration": "trough to peak, ms (simulated)",
        "cell_type": "simulated label; empty where none",
        "local_index": "row among the units of its probe",
    }
    # A hundredth of the session, as at Allen's; in the short sessions of tests at least some seconds.
    bins = min(100, max(int(duration / _PRESENCE_BIN_S), 1))
    for name, description in described.items():
        nwb.add_unit_column(name=name, description=description)  # type: ignore[attr-defined]
    probe_of = electrodes["group_name"]
    seen: dict[str, int] = {}
    for row, train in enumerate(spikes.trains):
        unit = units.iloc[row]
        probe = probe_of.loc[unit["peak_channel_id"]]
        seen[probe] = seen.get(probe, -1) + 1
        narrow = unit["cell_type"] == "PV"
        amplitude_cutoff = float(rng.uniform(0, 0.08))
        if spoiling.uniform() < _LOSING_SPIKES:
            # Such units fail quality control, as some do in every recording.
            amplitude_cutoff = float(spoiling.uniform(0.12, 0.4))
        nwb.add_unit(  # type: ignore[attr-defined]
            id=int(ids[row]),
            spike_times=np.concatenate([train, lit[row]]),
            peak_channel_id=int(unit["peak_channel_id"]),
            quality="good",
            isi_violations=float(np.mean(np.diff(train) < 0.0015)) if len(train) > 1 else 0.0,
            amplitude_cutoff=amplitude_cutoff,
            presence_ratio=float(np.mean(np.histogram(train, bins=bins, range=(0, duration))[0] > 0)),
            firing_rate=float(len(train) / duration),
            snr=float(rng.uniform(1.5, 6)),
            isolation_distance=float(rng.uniform(30, 150)),
            waveform_duration=float(rng.uniform(0.2, 0.32) if narrow else rng.uniform(0.42, 0.75)),
            cell_type=str(unit["cell_type"]),
            local_index=seen[probe],
        )
