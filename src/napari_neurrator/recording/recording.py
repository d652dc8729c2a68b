"""One session: its units, their spikes, and what was shown when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .describe_units import UnitRules, describe_units
from .presentations import canonical_name, tidy_presentations
from .spikes import SpikeTrains
from .unit_query import select

if TYPE_CHECKING:
    from spikeinterface.core import BaseSorting

    from .stimulus import Stimulus

UNKNOWN_REGION = "unknown"
# Names that pynapple keeps for itself.
_OF_PYNAPPLE = ("rate", "index", "unit_id")


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
    spikes : SpikeTrains
        All spike times, in seconds; read from the source when they are asked for.
    simulated : bool
        Made by a program, not by a brain.
    warnings : list of str
        What the user should know about the data.
    subject : dict
        What the source says of the animal.
    optogenetics : pandas.DataFrame or None
        Light pulses, one row each: ``start_time``, ``stop_time`` (seconds), ``condition``, ``level``, ``stimulus_name``, ``duration``.
    image_series : dict
        Stimuli whose frames lie in the source itself, by name.
    sessions : tuple of str
        Names of the sessions whose units are pooled here; one where it is a single session.
    """

    name: str
    source: str
    sorting: "BaseSorting"
    units: pd.DataFrame
    presentations: pd.DataFrame
    spikes: SpikeTrains = field(repr=False)
    simulated: bool = False
    warnings: list[str] = field(default_factory=list)
    subject: dict[str, str] = field(default_factory=dict)
    optogenetics: pd.DataFrame | None = field(default=None, repr=False)
    image_series: Mapping[str, "Stimulus"] = field(default_factory=dict, repr=False)
    sessions: tuple[str, ...] = ()

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
        spikes: SpikeTrains | None = None,
        optogenetics: pd.DataFrame | None = None,
        image_series: Mapping[str, "Stimulus"] | None = None,
        sessions: Sequence[str] = (),
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
        spikes : SpikeTrains, optional
            Spike times of the sorting's units in its order, where the source holds seconds: exact, while the sorting's are rounded to samples.
        name, source, simulated, subject, optogenetics, image_series, sessions
            See the attributes.

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
        recording = cls(
            name, source, sorting, table, shown, _spikes_of(sorting, unit_ids) if spikes is None else spikes, simulated,
            warnings, dict(subject or {}), optogenetics, dict(image_series or {}), tuple(sessions) or (name,),
        )  # fmt: skip
        recording._describe(None, None)
        recording.units["n_spikes"] = recording.spikes.counts_by_unit()
        if "firing_rate_hz" not in recording.units:
            recording.units["firing_rate_hz"] = recording.units["n_spikes"] / max(recording.duration_s, 1e-9)
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

    @property
    def remarks(self) -> list[str]:
        """What the user should know: `warnings`, and what was found while spike times were read."""
        spikes, found = self.spikes, []
        if spikes.dropped:
            found.append(f"{spikes.dropped} spike times are not numbers and were left out.")
        if spikes.reordered:
            found.append(f"The spike times of {spikes.reordered} units were out of order and have been sorted.")
        if spikes.before_zero:
            found.append(
                f"{spikes.before_zero} spikes lie before time 0: check that spikes and presentations share a clock."
            )
        return self.warnings + found

    @property
    def pseudo_population(self) -> bool:
        """Whether units of several sessions are pooled here, which never fired together."""
        return len(self.sessions) > 1

    def describe_units(self, rules: UnitRules | None = None) -> None:
        """Say again what the units are, by other rules, with optotagging where there were light pulses: reads their spike times.

        Fills in `units` (see `describe_units.describe_units` for the columns) and adds to `warnings` what could not be said.
        """
        self._describe(self.spikes, rules)

    def _describe(self, spikes: SpikeTrains | None, rules: UnitRules | None) -> None:
        self.units, notes = describe_units(self.units, spikes, self.optogenetics, self.subject, rules)
        self.warnings += [note for note in notes if note not in self.warnings]

    def with_presentations(self, presentations: pd.DataFrame) -> "Recording":
        """Return the same session with other presentations: ``stimulus``, ``start_time``, ``stop_time`` (seconds), ``frame``.

        Raises
        ------
        NeurratorError
            The table lacks a column or runs backwards.
        """
        shown, warnings = tidy_presentations(presentations, self.source)
        return replace(self, presentations=shown, warnings=self.warnings + warnings)

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

    def to_pynapple(self, units: Sequence | None = None) -> Any:
        """Return the spike trains as a pynapple ``TsGroup``, with the units table as its metadata.

        Parameters
        ----------
        units : sequence, optional
            These units only.

        Returns
        -------
        pynapple.TsGroup
            Trains numbered ``0 … n-1`` in the order of the units, times in seconds; the column ``unit_id`` says which is which.

        Raises
        ------
        NeurratorError
            pynapple is not installed, or there is no such unit.
        """
        try:
            import pynapple
        except ImportError as error:
            raise NeurratorError("pynapple is not installed: run 'pip install pynapple'.") from error
        chosen = self.unit_ids if units is None else [plain(unit) for unit in units]
        known = set(self.unit_ids)
        strange = [unit for unit in chosen if unit not in known]
        if strange or not chosen:
            raise NeurratorError(
                f"There is no unit {strange[0]!r} in {self.name}." if strange else "No units are chosen."
            )
        # What has no number or text in it is no metadata.
        table = self.units.loc[chosen].dropna(axis=1, how="all").reset_index(drop=True)
        table = table.loc[:, [column for column in table if str(column).isidentifier() and column not in _OF_PYNAPPLE]]
        trains = {
            number: pynapple.Ts(t=np.asarray(self.spikes.times(unit), dtype=float))
            for number, unit in enumerate(chosen)
        }
        span = pynapple.IntervalSet(start=min(0.0, self.spikes.span()[0]), end=self.duration_s)
        return pynapple.TsGroup(trains, time_support=span, metadata=table.assign(unit_id=chosen))

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
        units = self.units.reset_index()
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
            "warnings": self.remarks,
            "sessions": list(self.sessions),
            "pseudo_population": self.pseudo_population,
            "units": [{str(key): plain(value) for key, value in row.items()} for row in units.to_dict("records")],
        }


def _spikes_of(sorting: "BaseSorting", unit_ids: list) -> SpikeTrains:
    trains = [sorting.get_unit_spike_train(unit, segment_index=0, return_times=True) for unit in sorting.unit_ids]
    return SpikeTrains(unit_ids, trains)


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
