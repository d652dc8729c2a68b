"""One session: its units, their spikes, and what was shown when."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .presentations import canonical_name, tidy_presentations
from .spikes import SpikeTrains
from .unit_query import select

if TYPE_CHECKING:
    from spikeinterface.core import BaseSorting

UNKNOWN_REGION = "unknown"


@dataclass(eq=False)
class Recording:
    """A spike-sorted session.

    Attributes
    ----------
    name : str
        Short name: the stem of the file or folder.
    source : str
        Where it was opened from.
    sorting : spikeinterface.core.BaseSorting
        The units and spikes as SpikeInterface sees them.
    units : pandas.DataFrame
        Indexed by ``unit_id``: ``x_um``, ``y_um`` (position on the probe, 0 at the tip; NaN where unknown), ``probe``, ``region``,
        ``cell_type``, ``firing_rate_hz``, and whatever quality metrics and CCF coordinates the source holds.
    presentations : pandas.DataFrame
        Indexed ``0 … n-1`` in order of ``start_time``: ``stimulus``, ``start_time``, ``stop_time`` (seconds), ``frame`` (−1 is blank),
        ``repeat``, and the stimulus's own columns.
    simulated : bool
        Made by a program, not by a brain.
    warnings : list of str
        What the user should know about the data.
    subject : dict
        What the source says of the animal.
    spike_times_s : sequence of numpy.ndarray or None
        Spike times of each unit, where the source holds seconds; else they are worked out from the sorting's samples.
    """

    name: str
    source: str
    sorting: "BaseSorting"
    units: pd.DataFrame
    presentations: pd.DataFrame
    simulated: bool = False
    warnings: list[str] = field(default_factory=list)
    subject: dict[str, str] = field(default_factory=dict)
    spike_times_s: Sequence[np.ndarray] | None = field(default=None, repr=False)

    @classmethod
    def from_sorting(
        cls,
        sorting: "BaseSorting",
        presentations: pd.DataFrame | None = None,
        units: pd.DataFrame | None = None,
        *,
        name: str = "sorting",
        source: str = "memory",
        simulated: bool = False,
        subject: dict[str, str] | None = None,
        spike_times_s: Sequence[np.ndarray] | None = None,
    ) -> "Recording":
        """Make a recording of any SpikeInterface sorting.

        Parameters
        ----------
        sorting : BaseSorting
            With one segment.
        presentations : pandas.DataFrame, optional
            With ``stimulus``, ``start_time``, ``stop_time`` (seconds) and, where frames were shown, ``frame``.
        units : pandas.DataFrame, optional
            Indexed by unit id; missing columns are filled with what "unknown" is for them.
        name, source, simulated, subject
            See the attributes.
        spike_times_s : sequence of numpy.ndarray, optional
            Spike times of each unit in seconds, where the source holds them: exact, while the sorting's are rounded to samples.

        Raises
        ------
        NeurratorError
            The sorting holds no units or several segments, or the tables do not fit it.
        """
        unit_ids = [plain(unit) for unit in sorting.unit_ids]
        if not unit_ids:
            raise NeurratorError(f"{source} holds no units: open a spike-sorted session.")
        if len(set(unit_ids)) != len(unit_ids):
            twice = next(unit for unit in unit_ids if unit_ids.count(unit) > 1)
            raise NeurratorError(f"{source} names the unit {twice!r} more than once: unit ids have to differ.")
        if sorting.get_num_segments() != 1:
            raise NeurratorError(
                f"{source} holds {sorting.get_num_segments()} segments: concatenate them into one first."
            )
        table = tidy_units(
            pd.DataFrame(index=pd.Index(unit_ids, name="unit_id")) if units is None else units, unit_ids, source
        )
        shown, warnings = tidy_presentations(presentations, source)
        recording = cls(name, source, sorting, table, shown, simulated, warnings, dict(subject or {}), spike_times_s)
        if "firing_rate_hz" not in recording.units:
            recording.units["firing_rate_hz"] = recording.spikes.counts_by_unit() / max(recording.duration_s, 1e-9)
        lost = int((~np.isfinite(table[["x_um", "y_um"]]).all(axis=1)).sum())
        if lost:
            recording.warnings.append(
                f"{lost} of {len(table)} units have no position: they are shown in a grid beside the probes."
            )
        return recording

    @property
    def unit_ids(self) -> list[int | str]:
        """Names of the units, as plain int or str."""
        return list(self.units.index)

    @cached_property
    def spikes(self) -> SpikeTrains:
        """All spike times, in seconds."""
        trains = self.spike_times_s or [
            self.sorting.get_unit_spike_train(unit, segment_index=0, return_times=True)
            for unit in self.sorting.unit_ids
        ]
        spikes = SpikeTrains(self.unit_ids, trains)
        if spikes.dropped:
            self.warnings.append(f"{spikes.dropped} spike times are not numbers and were left out.")
        return spikes

    @property
    def duration_s(self) -> float:
        """From time 0 to the last spike or presentation, seconds."""
        last_shown = self.presentations["stop_time"].max() if len(self.presentations) else 0.0
        return float(max(self.spikes.span()[1], last_shown))

    def select_units(self, query: str | None) -> list[int | str]:
        """Return the units that a pandas query on the units table finds; all of them for None.

        Raises
        ------
        NeurratorError
            The query cannot be read, names a column that is not there, does more than compare, or finds nothing.
        """
        if query is None or not query.strip():
            return self.unit_ids
        return select(self.units, query)

    def stimuli(self) -> pd.DataFrame:
        """Return one row a stimulus: ``stimulus``, ``presentations``, ``frames`` (distinct, blanks apart), ``repeats``, ``start_time``, ``stop_time``."""
        rows = []
        for name, group in self.presentations.groupby("stimulus", sort=False):
            shown = group[group["frame"] >= 0]
            rows.append(
                {
                    "stimulus": name,
                    "presentations": len(group),
                    "frames": int(shown["frame"].nunique()),
                    "repeats": int(shown["repeat"].max() + 1) if len(shown) else 0,
                    "start_time": float(group["start_time"].min()),
                    "stop_time": float(group["stop_time"].max()),
                }
            )
        return pd.DataFrame(rows, columns=["stimulus", "presentations", "frames", "repeats", "start_time", "stop_time"])

    def stimulus_name(self, name: str) -> str:
        """Return the recording's own spelling of a stimulus (``natural_movie_1`` is ``natural_movie_one``).

        Raises
        ------
        NeurratorError
            It was not shown; says which were.
        """
        names = list(self.presentations["stimulus"].unique())
        for own in names:
            if canonical_name(own) == canonical_name(name):
                return own
        shown = f"it shows {', '.join(names)}" if names else "it shows none"
        raise NeurratorError(f"There is no stimulus {name!r} in {self.name}: {shown}.")

    def presentations_of(self, stimulus: str) -> pd.DataFrame:
        """Return the rows of `presentations` of one stimulus.

        Raises
        ------
        NeurratorError
            It was not shown.
        """
        return self.presentations[self.presentations["stimulus"] == self.stimulus_name(stimulus)]

    def to_dict(self) -> dict[str, Any]:
        """Return a complete account as plain Python objects, for JSON."""
        units = self.units.assign(n_spikes=self.spikes.counts_by_unit()).reset_index()
        return {
            "name": self.name,
            "source": self.source,
            "simulated": self.simulated,
            "subject": self.subject,
            "duration_s": self.duration_s,
            "n_units": len(self.units),
            "n_spikes": self.spikes.n_spikes,
            "n_presentations": len(self.presentations),
            "stimuli": [{key: plain(value) for key, value in row.items()} for row in self.stimuli().to_dict("records")],
            "warnings": self.warnings,
            "units": [{str(key): plain(value) for key, value in row.items()} for row in units.to_dict("records")],
        }


def plain(value: Any) -> Any:
    """Return a numpy scalar as a Python one; no number (NaN) as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def tidy_units(units: pd.DataFrame, unit_ids: list, source: str) -> pd.DataFrame:
    """Bring a units table into the shape that `Recording` promises."""
    table = units.copy()
    table.index = pd.Index([plain(unit) for unit in table.index], name="unit_id")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise NeurratorError(f"The units table of {source} names the unit {twice!r} more than once.")
    missing = [unit for unit in unit_ids if unit not in table.index]
    if missing:
        raise NeurratorError(
            f"The units table of {source} lacks {len(missing)} of its units, for example {missing[0]!r}."
        )
    table = table.loc[unit_ids]
    for column in ("x_um", "y_um"):
        table[column] = pd.to_numeric(table[column], errors="coerce").astype(float) if column in table else np.nan
    for column, default in (("probe", "probe"), ("region", UNKNOWN_REGION), ("cell_type", "")):
        values = table[column] if column in table else pd.Series(default, index=table.index)
        text = values.astype(object).where(values.notna(), default).astype(str)
        table[column] = text.replace({"None": default, "nan": default, "": default})
    first = ["probe", "region", "x_um", "y_um", "cell_type"]
    return table[first + [column for column in table.columns if column not in first]]
