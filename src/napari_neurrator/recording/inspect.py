"""A readable account of a session."""

import numpy as np
import pandas as pd

from .recording import Recording


def account(recording: Recording) -> str:
    """Describe a recording in plain text: what, where, how much, what was shown, and every unit.

    Parameters
    ----------
    recording : Recording
        The session.
    """
    spikes = recording.spikes
    units = recording.units.assign(spikes=spikes.counts_by_unit())
    title = recording.name + ("   SIMULATED, not recorded from a brain" if recording.simulated else "")
    lines = [title, "=" * len(title), f"source      {recording.source}"]
    if recording.subject:
        lines.append("subject     " + ", ".join(f"{key} {value}" for key, value in recording.subject.items()))
    lines.append("simulated   " + ("yes" if recording.simulated else "no, as far as the source says"))
    lines.append(f"duration    {recording.duration_s:.1f} s")
    lines.append(f"units       {len(units)} with {spikes.n_spikes:,} spikes")
    placed = np.isfinite(units[["x_um", "y_um"]]).all(axis=1).sum()
    lines.append(f"positions   {placed} of {len(units)} units have one")
    lines += ["", "Where the units are", _table(_by_place(units))]
    types = units["cell_type"][units["cell_type"] != ""]
    if len(types):
        lines += ["", "Cell types  " + ", ".join(f"{name} {count}" for name, count in types.value_counts().items())]
    quality = next((column for column in ("quality", "KSLabel", "group") if column in units), None)
    if quality is not None:
        lines += [
            "",
            f"Quality     ({quality}) "
            + ", ".join(f"{name} {count}" for name, count in units[quality].value_counts().items()),
        ]
    lines += [
        "",
        "What was shown",
        _table(recording.stimuli()) if len(recording.presentations) else "nothing: this source holds no presentations",
    ]
    if recording.warnings:
        lines += ["", "Mind", *(f"- {warning}" for warning in recording.warnings)]
    columns = [
        c
        for c in ("probe", "region", "x_um", "y_um", "cell_type", "firing_rate_hz", "spikes", quality)
        if c is not None and c in units
    ]
    lines += ["", "Units", _table(units[columns].reset_index())]
    return "\n".join(lines)


def _by_place(units: pd.DataFrame) -> pd.DataFrame:
    groups = units.groupby(["probe", "region"], sort=True)
    rates = groups["firing_rate_hz"].median() if "firing_rate_hz" in units else groups.size() * np.nan
    return pd.DataFrame(
        {
            "units": groups.size(),
            "lowest_um": groups["y_um"].min(),
            "highest_um": groups["y_um"].max(),
            "median_rate_hz": rates,
            "spikes": groups["spikes"].sum(),
        }
    ).reset_index()


def _table(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.1f}")
