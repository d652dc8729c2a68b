"""Where the simulated units sit: six Neuropixels 1.0 probes, one through each visual area."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

PROBES = {
    "probeA": "VISam",
    "probeB": "VISpm",
    "probeC": "VISp",
    "probeD": "VISl",
    "probeE": "VISal",
    "probeF": "VISrl",
}
# Depth of each structure along a probe, µm above the tip: cortex above hippocampus above thalamus.
CORTEX_UM, CA1_UM, LGD_UM = (2600.0, 3500.0), (1900.0, 2350.0), (500.0, 1150.0)
PROBES_WITH_CA1 = ("probeA", "probeC", "probeE")
PROBES_WITH_LGD = ("probeC", "probeD")
N_CHANNELS = 384
# Entry points in the Allen CCF, µm (AP, DV, LR): rough, and only for a picture.
_ENTRY_CCF = {
    "probeA": (7600, 700, 7300), "probeB": (8200, 700, 7600), "probeC": (8700, 900, 8600),
    "probeD": (8500, 1100, 9300), "probeE": (7900, 1000, 9100), "probeF": (7300, 900, 8600),
}  # fmt: skip


def electrode_table() -> pd.DataFrame:
    """Return the electrodes of all probes, indexed by channel id, with Allen's column names (positions in µm)."""
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    contacts = build_neuropixels_probe("NP1000").contact_positions[:N_CHANNELS]
    tables = []
    for number, (probe, area) in enumerate(PROBES.items()):
        depth = contacts[:, 1]
        location = np.full(N_CHANNELS, "None", dtype=object)
        location[(depth >= CORTEX_UM[0]) & (depth <= CORTEX_UM[1])] = area
        location[(depth >= CA1_UM[0]) & (depth <= CA1_UM[1])] = "CA1"
        location[(depth >= 1300) & (depth < CA1_UM[0])] = "DG"
        if probe in PROBES_WITH_LGD:
            location[(depth >= LGD_UM[0]) & (depth <= LGD_UM[1])] = "LGd"
        ap, dv, lr = _ENTRY_CCF[probe]
        down = CORTEX_UM[1] - depth
        tables.append(
            pd.DataFrame(
                {
                    "location": location,
                    "group_name": probe,
                    "probe_id": 1000 + number,
                    "probe_vertical_position": depth,
                    "probe_horizontal_position": contacts[:, 0],
                    "local_index": np.arange(N_CHANNELS),
                    "valid_data": True,
                    "x": ap + 0.15 * down,
                    "y": dv + 0.97 * down,
                    "z": lr - 0.18 * down,
                },
                index=pd.Index(850_000_000 + number * 1000 + np.arange(N_CHANNELS), name="id"),
            )
        )
    return pd.concat(tables)


@dataclass(frozen=True)
class Population:
    """Units of one area.

    Attributes
    ----------
    region : str
        Acronym as in the Allen CCF.
    share : float
        Of all units.
    latency_s : float
        From the frame to the response.
    """

    region: str
    share: float
    latency_s: float


# Latencies near those of Siegle et al. 2021 (Nature 592:86), median first spike after a flash.
POPULATIONS = (
    Population("VISp", 0.225, 0.045),
    Population("VISl", 0.1125, 0.055),
    Population("VISrl", 0.1125, 0.055),
    Population("VISal", 0.1125, 0.060),
    Population("VISpm", 0.1125, 0.065),
    Population("VISam", 0.1125, 0.070),
    Population("LGd", 0.1125, 0.030),
    Population("CA1", 0.1, 0.0),
)


def place_units(n_units: int, rng: np.random.Generator) -> pd.DataFrame:
    """Share units out over areas and channels: ``region``, ``peak_channel_id``, ``latency_s``, in order of areas."""
    electrodes = electrode_table()
    shares = np.array([population.share for population in POPULATIONS])
    counts = np.maximum(np.floor(shares * n_units).astype(int), 1)
    counts[0] += n_units - counts.sum()
    rows = []
    for population, count in zip(POPULATIONS, counts, strict=True):
        channels = electrodes.index[electrodes["location"] == population.region].to_numpy()
        if population.region == "CA1":
            channels = electrodes.index[
                (electrodes["location"] == "CA1") & electrodes["group_name"].isin(PROBES_WITH_CA1)
            ].to_numpy()
        for channel in np.sort(rng.choice(channels, count, replace=count > len(channels))):
            rows.append(
                {"region": population.region, "peak_channel_id": int(channel), "latency_s": population.latency_s}
            )
    return pd.DataFrame(rows)
