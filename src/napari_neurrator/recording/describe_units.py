"""Say of each unit what it is: region and parents, layer, cell type, kind of waveform, whether it passes quality control."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ..errors import NeurratorError
from .cell_types import OptotaggingRule, cell_type_of_genotype, optotag
from .quality import QualityRule, passes_qc
from .regions import in_brain, line_of_parents, region_and_layer
from .spikes import SpikeTrains
from .waveforms import NARROW_BELOW_MS, durations_ms, waveform_class

UNKNOWN_REGION = "unknown"
_LAYERS = ("layer", "cortical_layer", "brain_layer")
# Names that say that depth counts from the surface of the brain; all other depths are places on the probe (y_um).
_DEPTHS = ("depth_from_surface_um", "depth_from_surface", "depth_below_surface", "distance_from_surface", "cortical_depth", "cortical_depth_um")  # fmt: skip
_MOUSE = ("mus musculus", "mouse", "ncbitaxon_10090", "ncbitaxon:10090", "10090", "house mouse", "")
_OPTO_COLUMNS = {"ratio": "opto_ratio", "p": "opto_p", "evoked_hz": "opto_evoked_hz", "baseline_hz": "opto_baseline_hz", "tagged": "optotagged"}  # fmt: skip


class UnitRules(BaseModel):
    """The rules by which units are called what they are."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    quality: QualityRule = Field(default_factory=QualityRule)
    optotagging: OptotaggingRule = Field(default_factory=OptotaggingRule)
    narrow_below_ms: float = Field(default=NARROW_BELOW_MS, gt=0, description="trough to peak of narrow spikes, ms")


def describe_units(
    units: pd.DataFrame,
    spikes: SpikeTrains | None = None,
    optogenetics: pd.DataFrame | None = None,
    subject: Mapping[str, str] | None = None,
    rules: UnitRules | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Fill in what can be said of the units.

    Describing what has been described changes nothing, apart from what the rules change.

    Parameters
    ----------
    units : pandas.DataFrame
        As of `Recording`.
    spikes : SpikeTrains, optional
        For optotagging, which reads them; without them that is left out, so that opening a session reads no spike times.
    optogenetics : pandas.DataFrame, optional
        Light pulses.
    subject : mapping, optional
        What the source says of the animal; ``species`` and ``genotype`` are used.
    rules : UnitRules, optional
        The default rules if None.

    Returns
    -------
    units : pandas.DataFrame
        With ``region`` and ``layer`` (taken apart where the source writes both as one, as in ``VISp2/3``), ``region_parents``
        (``VISp < VIS < Isocortex < CTXpl < CTX < CH < grey``; "" for what the mouse atlas does not know), ``depth_um`` (below the surface, NaN unless the
        source says so), ``cell_type``, ``cell_type_source`` ("label", "optotagging" or ""), ``waveform_duration_ms``, ``waveform_class``, ``passes_qc``,
        and after optotagging ``opto_ratio``, ``opto_p``, ``opto_evoked_hz``, ``opto_baseline_hz``, ``optotagged``.
    notes : list of str
        What could not be said, and why.
    """
    rules, subject = rules or UnitRules(), subject or {}
    table, notes = units.copy(), []
    notes += _regions(table, str(subject.get("species", "")))
    depth = next((name for name in _DEPTHS if name in table), None)
    if depth is not None:
        table["depth_um"] = pd.to_numeric(table[depth], errors="coerce").astype(float)
    elif "depth_um" not in table:
        table["depth_um"] = np.nan
    durations, _ = durations_ms(table)
    table["waveform_duration_ms"] = durations
    table["waveform_class"] = waveform_class(durations, rules.narrow_below_ms)
    table["passes_qc"], applied, _ = passes_qc(table, rules.quality)
    if not applied:
        notes.append("The source says nothing of the units' quality, so that all of them pass quality control.")
    table, more = tag_cell_types(table, spikes, optogenetics, subject, rules.optotagging)
    return table, notes + more


def tag_cell_types(
    units: pd.DataFrame,
    spikes: SpikeTrains | None,
    optogenetics: pd.DataFrame | None,
    subject: Mapping[str, str] | None = None,
    rule: OptotaggingRule | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Fill in cell types: the source's labels first, then the type of the animal's Cre line for units that answer to light.

    Parameters
    ----------
    units, spikes, optogenetics, subject
        As for `describe_units`.
    rule : OptotaggingRule, optional
        The default rule if None.

    Returns
    -------
    units : pandas.DataFrame
        With ``cell_type``, ``cell_type_source`` and, where there were light pulses and spikes, the columns of optotagging.
    notes : list of str
        Why there was no optotagging, where there were light pulses.
    """
    table = units.copy()
    if "cell_type" not in table:
        table["cell_type"] = ""
    table["cell_type"] = table["cell_type"].astype(object).where(table["cell_type"].notna(), "").astype(str)
    if optogenetics is None or not len(optogenetics) or spikes is None:
        earlier = table["cell_type_source"] if "cell_type_source" in table else pd.Series("", index=table.index)
        table["cell_type_source"] = np.where(
            table["cell_type"] == "", "", np.where(earlier == "optotagging", "optotagging", "label")
        )
        return table, []
    if "cell_type_source" in table:
        table.loc[table["cell_type_source"] == "optotagging", "cell_type"] = ""
    table["cell_type_source"] = np.where(table["cell_type"] == "", "", "label")
    try:
        tags = optotag(spikes, optogenetics, rule).reindex(table.index)
    except NeurratorError as error:
        return table, [str(error)]
    for name, column in _OPTO_COLUMNS.items():
        table[column] = tags[name]
    table["optotagged"] = tags["tagged"].fillna(False).astype(bool)
    kind = cell_type_of_genotype((subject or {}).get("genotype"))
    if kind is None:
        genotype = (subject or {}).get("genotype") or "not said"
        return table, [
            f"{int(table['optotagged'].sum())} units answer to light, but the genotype ({genotype}) does not say of what type they are."
        ]
    found = table["optotagged"] & (table["cell_type"] == "")
    table.loc[found, "cell_type"] = kind
    table.loc[found, "cell_type_source"] = "optotagging"
    return table, []


def _regions(table: pd.DataFrame, species: str) -> list[str]:
    """Fill in ``region``, ``region_parents`` and ``layer``."""
    own = next((name for name in _LAYERS if name in table), None)
    layers = pd.Series("", index=table.index, dtype=object)
    if own is not None:
        layers = table[own].astype(object).where(table[own].notna(), "").map(_layer_text)
    mouse = species.strip().lower() in _MOUSE or "mus musculus" in species.lower()
    if "region" not in table or not mouse:
        table["layer"] = layers
        table["region_parents"] = ""
        return (
            [f"The regions have no parents: the atlas is of the mouse, and the animal is {species}."]
            if not mouse
            else []
        )
    # pandas keeps what is missing as missing when it makes text of a column.
    given = table["region"].astype(object).where(table["region"].notna(), UNKNOWN_REGION).map(str).astype(object)
    split = {name: region_and_layer(name) for name in given.unique()}
    # Described before: what was one acronym is the first of its parents.
    earlier = table["region_parents"].astype(str) if "region_parents" in table else pd.Series("", index=table.index)
    lines = {name: line_of_parents(name) for name in split}
    fresh = given.map(lines)
    pairs = pd.Series(list(zip(earlier, given, strict=True)), index=table.index)
    keeps = pairs.map({pair: _is_layer_of(*pair) for pair in pairs.unique()})
    table["region_parents"] = fresh.where(~keeps.astype(bool), earlier)
    table["region"] = given.map({name: region for name, (region, _) in split.items()})
    table["layer"] = layers.where(layers != "", given.map({name: layer for name, (_, layer) in split.items()})).astype(
        object
    )
    strange = sorted(name for name, line in lines.items() if not line and in_brain(name))
    if strange and any(lines.values()):
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        return [
            f"The Allen mouse atlas has no region {', '.join(strange[:5])}{more}, so that no parents are known of it."
        ]
    return []


def _is_layer_of(line: str, region: str) -> bool:
    """Tell whether a line of parents begins with a layer of a region."""
    first = line.split(" < ")[0]
    return first != region and region_and_layer(first)[0] == region


def _layer_text(value: object) -> str:
    """Return a layer as text: ``4.0`` is ``4``, ``L2/3`` is ``2/3``."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    for prefix in ("layer", "L"):
        rest = text.removeprefix(prefix).strip()
        if rest[:1].isdigit():
            text = rest
    return "" if text.lower() in ("none", "nan", "unknown", "<na>") else text.removesuffix(".0")
