"""What a unit's cell type is: by its label, or by whether it answers to light in an animal whose genotype says which cells do (optotagging)."""

import re
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import NeurratorError
from .spikes import SpikeTrains

_CRE = re.compile(
    r"(?<![A-Za-z0-9])(?P<gene>[A-Za-z][A-Za-z0-9]*)(?:(?:[-_](?:ires2?|t2a|p2a|2a))*[-_:\s]+i?cre|<?tm[0-9.]*\(i?cre)",
    re.IGNORECASE,
)
_NO_GENE = ("wt", "no", "non", "het", "hom", "with", "and", "of", "the", "ires", "ires2")
_TYPES = {"sst": "SST", "som": "SST", "pvalb": "PV", "pv": "PV", "parv": "PV", "vip": "VIP"}
# Two rows that begin this close together (seconds) are one pulse.
_SAME_S = 1e-4


class OptotaggingRule(BaseModel):
    """When a unit counts as driven by light; by default Allen's rule.

    A unit is tagged where ``evoked / (baseline + 1 Hz) > 2``: `evoked` is its rate 1 to 9 ms after the onset of 10 ms pulses and `baseline` its rate 10 to
    2 ms before. The millisecond after onset and before offset is left out, since light makes artefacts there that look like spikes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pulse_s: float = Field(default=0.010, gt=0, description="length of the pulses that are used, seconds")
    tolerance_s: float = Field(default=0.001, ge=0, description="by how much a pulse may be longer or shorter, seconds")
    leave_out: tuple[str, ...] = Field(
        default=("fast", "train", "cosine", "sine", "ramp", "hz"),
        description="words in a stimulus's name or condition that mark other waveforms than a single square pulse",
    )
    level: Literal["all", "highest"] = Field(default="all", description="pulses of all intensities, or of the highest")
    min_pulses: int = Field(default=10, ge=1, description="fewer pulses say nothing")
    evoked_start_s: float = Field(default=0.001, description="after onset, seconds")
    evoked_stop_s: float = Field(default=0.009, description="after onset, seconds")
    baseline_start_s: float = Field(default=-0.010, description="after onset, so negative, seconds")
    baseline_stop_s: float = Field(default=-0.002, le=0, description="after onset, so negative, seconds")
    artefact_s: float = Field(
        default=0.001, ge=0, description="evoked spikes this close to on- and offset do not count, seconds"
    )
    ratio: float = Field(default=2.0, gt=0, description="evoked rate over baseline rate above which a unit is tagged")
    regulariser_hz: float = Field(default=1.0, ge=0, description="added to the baseline rate, Hz")
    max_p: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="also ask that so many evoked spikes are this unlikely by chance; with few pulses the ratio alone tags some units that do not answer",
    )

    @model_validator(mode="after")
    def _windows_run_forwards(self) -> "OptotaggingRule":
        if self.baseline_stop_s <= self.baseline_start_s:
            raise ValueError("the baseline window has to stop after it starts")
        if self.evoked_stop_s <= max(self.evoked_start_s, self.artefact_s):
            raise ValueError("the evoked window has to stop after it starts, and after the artefact at onset")
        return self

    def __str__(self) -> str:
        """Return the rule in words."""
        ms = [f"{1000 * value:g}" for value in (self.pulse_s, self.evoked_start_s, self.evoked_stop_s, self.baseline_start_s, self.baseline_stop_s)]  # fmt: skip
        which = "all levels" if self.level == "all" else "the highest level"
        return (
            f"{ms[0]} ms pulses of {which}, rate {ms[1]} to {ms[2]} ms after onset > {self.ratio:g} × (rate {ms[3]} to {ms[4]} ms"
            f" + {self.regulariser_hz:g} Hz)" + (f", p <= {self.max_p:g}" if self.max_p is not None else "")
        )


def chosen_pulses(optogenetics: pd.DataFrame, rule: OptotaggingRule | None = None) -> pd.DataFrame:
    """Return the light pulses that a rule uses, in order of time.

    Single pulses of the right length; not those whose baseline falls into other light, nor a second row for the same pulse.

    Parameters
    ----------
    optogenetics : pandas.DataFrame
        ``start_time``, ``stop_time`` (seconds), ``condition``, ``level``, ``stimulus_name``, ``duration`` (seconds); as in NWB's
        ``processing/optotagging/optogenetic_stimulation``. Only ``start_time`` and one of ``stop_time`` and ``duration`` are needed.
    rule : OptotaggingRule, optional
        The default rule if None.

    Raises
    ------
    NeurratorError
        There are fewer pulses than the rule asks for, or the table lacks its times.
    """
    rule = rule or OptotaggingRule()
    if "start_time" not in optogenetics or not {"stop_time", "duration"} & set(optogenetics):
        raise NeurratorError(
            "The table of light pulses needs the columns start_time and stop_time (or duration), in seconds."
        )
    table = optogenetics.copy()
    start = pd.to_numeric(table["start_time"], errors="coerce").astype(float)
    stop = _column(table, "stop_time")
    stop = stop.fillna(start + _column(table, "duration"))
    table["start_time"], table["stop_time"] = start, stop
    # What was meant by the condition; where only times are given, what was measured.
    table["duration"] = _column(table, "duration").fillna(stop - start)
    table = table[np.isfinite(start) & np.isfinite(table["duration"])].sort_values("start_time", kind="stable")
    table = table[table["start_time"].diff().fillna(np.inf) > _SAME_S]
    light_until = table["stop_time"].cummax().shift(1, fill_value=-np.inf) + rule.artefact_s
    dark = light_until <= table["start_time"] + rule.baseline_start_s
    named = _text(table, "stimulus_name") + " " + _text(table, "condition")
    single = ~np.array([any(word.lower() in text for word in rule.leave_out) for text in named], dtype=bool)
    lasting = (table["duration"] - rule.pulse_s).abs() <= rule.tolerance_s + 1e-9
    found = table[single & lasting & dark]
    if rule.level == "highest" and len(found):
        level = _column(found, "level")
        found = found[level >= level.max() - 1e-9] if level.notna().any() else found
    if len(found) < rule.min_pulses:
        lengths = sorted({round(1000 * value, 1) for value in table.loc[single, "duration"]})
        there = ", ".join(f"{length:g}" for length in lengths[:8]) or "none"
        raise NeurratorError(
            f"Optotagging needs at least {rule.min_pulses} single light pulses of {1000 * rule.pulse_s:g} ms, and the {len(table)} rows of the optogenetic "
            f"table hold {len(found)} (lengths of single pulses there, in ms: {there}): choose another pulse length."
        )
    return found


def optotag(spikes: SpikeTrains, optogenetics: pd.DataFrame, rule: OptotaggingRule | None = None) -> pd.DataFrame:
    """Tell which units answer to light.

    Parameters
    ----------
    spikes : SpikeTrains
        Of all units; read where they have not been.
    optogenetics : pandas.DataFrame
        Light pulses, as for `chosen_pulses`.
    rule : OptotaggingRule, optional
        The default rule if None.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``unit_id``: ``evoked_hz``, ``baseline_hz``, ``ratio`` (evoked over baseline plus the regulariser), ``tagged``, ``p`` (one-sided: how
        likely so many evoked spikes are of a unit whose rate does not change) and ``n_pulses``.

    Raises
    ------
    NeurratorError
        As for `chosen_pulses`, or nothing is left of the pulses between their artefacts.
    """
    from scipy.stats import binom

    rule = rule or OptotaggingRule()
    pulses = chosen_pulses(optogenetics, rule)
    onset = pulses["start_time"].to_numpy()
    lit = float((pulses["stop_time"] - pulses["start_time"]).where(lambda s: s > 0, pulses["duration"]).min())
    start = max(rule.evoked_start_s, rule.artefact_s)
    # After the offset there is an artefact too; a window that begins behind it looks at rebound, and may.
    after = rule.evoked_start_s >= lit + rule.artefact_s
    stop = rule.evoked_stop_s if after else min(rule.evoked_stop_s, lit - rule.artefact_s)
    if stop - start <= 1e-6:
        raise NeurratorError(
            f"Nothing is left of light pulses of {1000 * lit:.2f} ms between artefacts of {1000 * rule.artefact_s:g} ms at on- and offset: choose longer pulses."
        )
    evoked_s, baseline_s = stop - start, rule.baseline_stop_s - rule.baseline_start_s
    evoked = spikes.count(onset + start, 1, evoked_s).sum(axis=(0, 1), dtype=np.int64)
    before = spikes.count(onset + rule.baseline_start_s, 1, baseline_s).sum(axis=(0, 1), dtype=np.int64)
    evoked_hz, baseline_hz = evoked / (evoked_s * len(onset)), before / (baseline_s * len(onset))
    base = baseline_hz + rule.regulariser_hz
    ratio = np.divide(evoked_hz, base, out=np.where(evoked_hz > 0, np.inf, 0.0), where=base > 0)
    p = binom.sf(evoked - 1, evoked + before, evoked_s / (evoked_s + baseline_s))
    return pd.DataFrame(
        {
            "evoked_hz": evoked_hz,
            "baseline_hz": baseline_hz,
            "ratio": ratio,
            "tagged": (ratio > rule.ratio) & (p <= (1.0 if rule.max_p is None else rule.max_p)),
            "p": p,
            "n_pulses": len(onset),
        },
        index=pd.Index(spikes.unit_ids, name="unit_id"),
    )


def cell_type_of_genotype(genotype: str | None) -> str | None:
    """Return which cells the Cre driver of a genotype marks.

    Parameters
    ----------
    genotype : str or None
        Such as ``Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt``.

    Returns
    -------
    str or None
        "SST", "PV" or "VIP"; another driver's gene (``Cux2-CreERT2`` is "Cux2"); several joined by "+"; None where there is no Cre.
    """
    found = [match["gene"] for match in _CRE.finditer(genotype or "") if match["gene"].lower() not in _NO_GENE]
    types = list(dict.fromkeys(_TYPES.get(gene.lower(), gene) for gene in found))
    return "+".join(types) or None


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        return pd.Series(np.nan, index=table.index)
    return pd.to_numeric(table[name], errors="coerce").astype(float)


def _text(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        return pd.Series("", index=table.index)
    return table[name].astype(object).where(table[name].notna(), "").astype(str).str.lower()
