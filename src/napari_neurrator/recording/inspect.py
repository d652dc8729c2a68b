"""A complete account of a session, for people and for machines."""

import math
from typing import Any

import numpy as np
import pandas as pd

from ..errors import NeurratorError
from .cell_types import chosen_pulses
from .describe_units import UnitRules
from .presentations import canonical_name
from .quality import criteria
from .recording import Recording, plain

_GREY = ("spontaneous", "gray", "grey", "blank", "gray_screen", "grey_screen")
# Columns of the units table in order of how much they are missed where the terminal is narrow.
_MOST_WANTED = (
    "unit_id", "probe", "shank", "region", "layer", "x_um", "y_um", "cell_type", "cell_type_source", "firing_rate_hz",
    "n_spikes", "waveform_class", "passes_qc", "depth_um", "opto_ratio", "opto_p", "quality", "KSLabel", "group", "amplitude_cutoff",
    "presence_ratio", "isi_violations", "isi_violations_ratio", "snr", "ccf_ap_um", "ccf_dv_um", "ccf_lr_um",
)  # fmt: skip
_MOST_PARENTS = 4


def summary(
    recording: Recording, rules: UnitRules | None = None, unit_ids: list[int | str] | None = None
) -> dict[str, Any]:
    """Return a complete account as plain Python objects: what JSON can hold, without NaN.

    Parameters
    ----------
    recording : Recording
        The session, its units described.
    rules : UnitRules, optional
        The rules by which they were; the default ones if None.
    unit_ids : list, optional
        The units that the account is of; all if None.

    Returns
    -------
    dict
        `Recording.to_dict`, with ``probes``, ``regions``, ``cell_types``, ``waveform_classes``, ``quality``, ``stimuli`` and ``optogenetics``.
    """
    rules = rules or UnitRules()
    units = recording.units if unit_ids is None else recording.units.loc[unit_ids]
    document = recording.to_dict()
    document |= {
        "n_units": len(units),
        "n_units_in_session": len(recording.units),
        "n_spikes": int(units["n_spikes"].sum()) if "n_spikes" in units else recording.spikes.n_spikes,
        "n_units_with_position": int(np.isfinite(units[["x_um", "y_um"]].to_numpy(float)).all(axis=1).sum()),
        "n_units_in_ccf": _in_ccf(units),
        "probes": _records(_probes(units)),
        "regions": _records(_regions(units)),
        "cell_types": _records(_cell_types(units)),
        "waveform_classes": _counts(units, "waveform_class"),
        "quality": _quality(recording.units, rules, units),
        "stimuli": _records(_stimuli(recording)),
        "optogenetics": _light(recording, units, rules),
        "rules": rules.model_dump(mode="json"),
        "units": _records(units.reset_index()),
    }
    return _strict(document)


def account(
    recording: Recording,
    rules: UnitRules | None = None,
    unit_ids: list[int | str] | None = None,
    width: int | None = None,
) -> str:
    """Describe a recording in plain text.

    Parameters
    ----------
    recording, rules, unit_ids
        As for `summary`.
    width : int, optional
        Characters of a line, where the text is read in a terminal: tables leave out what does not fit. All columns if None.
    """
    rules = rules or UnitRules()
    units = recording.units if unit_ids is None else recording.units.loc[unit_ids]
    title = recording.name + ("   SIMULATED, not recorded from a brain" if recording.simulated else "")
    lines = [title, "=" * len(title), *_head(recording, units), ""]
    lines += ["Probes", _table(_probes(units), width), "", "Where the units are", _table(_shown_regions(units), width)]
    lines += ["", *_kinds(recording.units, units, rules, width), ""]
    lines += ["What was shown"]
    stimuli = _stimuli(recording)
    if len(stimuli):
        lines.append(_table(_shown_stimuli(stimuli), width))
        lines += [f"- {row.stimulus}: {row.frames_missing}" for row in stimuli.itertuples() if row.frames_missing]
    else:
        lines.append("nothing: this source holds no presentations")
    lines += ["", *_light_lines(_light(recording, units, rules), width)]
    if recording.remarks:
        lines += ["", "Mind", *(f"- {warning}" for warning in recording.remarks)]
    table = units.reset_index()
    wanted = [column for column in _MOST_WANTED if column in table and _says_something(table[column])]
    rest = [] if width is not None else _other_columns(table, wanted)
    lines += ["", "Units", _table(table[wanted + rest], width)]
    return "\n".join(lines)


def _head(recording: Recording, units: pd.DataFrame) -> list[str]:
    whole = len(recording.units)
    of = "" if len(units) == whole else f" of {whole}"
    spikes = int(units["n_spikes"].sum()) if "n_spikes" in units else recording.spikes.n_spikes
    placed = int(np.isfinite(units[["x_um", "y_um"]].to_numpy(float)).all(axis=1).sum())
    rows = {"source": recording.source}
    if recording.subject:
        rows["subject"] = ", ".join(f"{key} {value}" for key, value in recording.subject.items())
    if recording.pseudo_population:
        rows["sessions"] = f"{len(recording.sessions)} pooled into a pseudo-population, whose units never fired together: " + ", ".join(recording.sessions)  # fmt: skip
    rows |= {
        "simulated": "yes" if recording.simulated else "no, as far as the source says",
        "duration": f"{recording.duration_s:.1f} s",
        "units": f"{len(units)}{of} with {spikes:,} spikes",
        "positions": f"{placed} of {len(units)} units have one; {_in_ccf(units)} have coordinates in the Allen CCF",
    }
    return [f"{key:<11} {value}" for key, value in rows.items()]


def _kinds(everything: pd.DataFrame, units: pd.DataFrame, rules: UnitRules, width: int | None) -> list[str]:
    """Return what the units are and how good."""
    lines = []
    types = _cell_types(units)
    if len(types):
        listed = ", ".join(f"{row.cell_type} {row.units} ({row.source})" for row in types.itertuples())
        unknown = len(units) - int(types["units"].sum())
        lines.append(f"Cell types  {listed}" + (f", not known {unknown}" if unknown else ""))
    else:
        lines.append("Cell types  not known: no labels, and no optotagging")
    waveforms = _counts(units, "waveform_class")
    if waveforms:
        listed = ", ".join(f"{name} {count}" for name, count in waveforms.items())
        lines.append(f"Waveforms   {listed} (border {rules.narrow_below_ms:g} ms from trough to peak)")
    quality = _quality(everything, rules, units)
    if quality["criteria"]:
        lines += [f"Quality     {quality['passed']} of {len(units)} units pass", _table(pd.DataFrame(quality["criteria"]), width)]  # fmt: skip
    else:
        lines.append("Quality     not known: the source has none of the columns that the criteria need")
    if quality["not_in_source"]:
        lines.append("not asked, since the source does not say: " + ", ".join(quality["not_in_source"]))
    for column, counts in quality["labels"].items():
        lines.append(f"labels ({column}): " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    return lines


def _probes(units: pd.DataFrame) -> pd.DataFrame:
    """Return one row a probe and shank, where units lie along it (µm)."""
    keys = ["probe"] + (["shank"] if "shank" in units and _says_something(units["shank"]) else [])
    groups = units.assign(**{key: units[key].astype(str) for key in keys}).groupby(keys, sort=True)
    return groups.agg(
        units=("y_um", "size"),
        lowest_um=("y_um", "min"),
        highest_um=("y_um", "max"),
        regions=("region", lambda column: ", ".join(map(str, column.value_counts().index[:12]))),
    ).reset_index()


def _regions(units: pd.DataFrame) -> pd.DataFrame:
    """Return one row a probe, region and layer."""
    keys = ["probe", "region"] + (["layer"] if "layer" in units and _says_something(units["layer"]) else [])
    table = units.assign(**{key: units[key].astype(str) for key in keys})
    table = table.assign(within=_within(table), n_spikes=table.get("n_spikes", 0))
    groups = table.groupby(keys, sort=True)
    return groups.agg(
        units=("y_um", "size"),
        lowest_um=("y_um", "min"),
        highest_um=("y_um", "max"),
        median_rate_hz=("firing_rate_hz", "median"),
        spikes=("n_spikes", "sum"),
        within=("within", "first"),
    ).reset_index()


def _within(units: pd.DataFrame) -> pd.Series:
    """Return the parents of each unit's region, without the region itself."""
    if "region_parents" not in units:
        return pd.Series("", index=units.index)
    pairs = pd.Series(list(zip(units["region_parents"].astype(str), units["region"].astype(str), strict=True)), index=units.index)  # fmt: skip
    lines = {}
    for line, region in pairs.unique():
        parts = line.split(" < ") if line else []
        lines[line, region] = " < ".join(parts[parts.index(region) + 1 :] if region in parts else parts[1:])
    return pairs.map(lines)


def _shown_regions(units: pd.DataFrame) -> pd.DataFrame:
    table = _regions(units)
    parents = table["within"].str.split(" < ")
    more = parents.str.len() > _MOST_PARENTS
    short = parents.str[:_MOST_PARENTS].str.join(" < ")
    table["within"] = short.where(~more, short + " < …")
    return table if _says_something(table["within"]) else table.drop(columns="within")


def _cell_types(units: pd.DataFrame) -> pd.DataFrame:
    known = units[units["cell_type"].astype(str) != ""]
    source = known["cell_type_source"] if "cell_type_source" in known else pd.Series("label", index=known.index)
    table = pd.DataFrame({"cell_type": known["cell_type"].astype(str), "source": source.astype(str)})
    return table.value_counts(sort=True).rename("units").reset_index()


def _quality(everything: pd.DataFrame, rules: UnitRules, units: pd.DataFrame) -> dict[str, Any]:
    # What the source can answer is a matter of the whole session, not of the units that were picked.
    passed, missing = criteria(everything, rules.quality)
    passed = passed.loc[units.index]
    labels = [column for column in ("quality", "KSLabel", "group", "curation_label", "unit_type") if column in units]
    return {
        "passed": int(passed.all(axis=1).sum()) if passed.shape[1] else None,
        "criteria": [
            {"criterion": name, "pass": int(passed[name].sum()), "fail": int((~passed[name]).sum())} for name in passed
        ],
        "not_in_source": missing,
        "labels": {column: _counts(units, column) for column in labels},
    }


def _stimuli(recording: Recording) -> pd.DataFrame:
    """Return one row a stimulus: how often it was shown, how fast, with which gaps, and whether its frames were found."""
    rows = []
    for name, group in recording.presentations.groupby("stimulus", sort=False):
        shown = group[group["frame"] >= 0]
        starts = group["start_time"].to_numpy(float)
        steps, same_block = np.diff(starts), np.diff(group["block"].to_numpy()) == 0
        usual = float(np.median(steps[same_block])) if same_block.any() else math.nan
        gaps = steps[same_block & (steps > 1.5 * usual)]
        by_repeat = shown.groupby("repeat")["frame"].nunique()
        found, missing = _frames(recording, str(name), shown)
        rows.append(
            {
                "stimulus": str(name),
                "presentations": len(group),
                "frames": int(shown["frame"].nunique()),
                "blanks": len(group) - len(shown),
                "repeats": len(by_repeat),
                "partial_repeats": int((by_repeat < by_repeat.max()).sum()) if len(by_repeat) else 0,
                "blocks": int(group["block"].nunique()),
                "rate_hz": 1 / usual if usual > 0 else None,
                "gaps": len(gaps),
                "gaps_s": float((gaps - usual).sum()) if len(gaps) else 0.0,
                "start_time": float(starts.min()),
                "stop_time": float(group["stop_time"].max()),
                "frames_found": found,
                "frames_missing": missing,
            }
        )
    return pd.DataFrame(rows)


def _frames(recording: Recording, name: str, shown: pd.DataFrame) -> tuple[str | None, str | None]:
    """Return what the frames of a stimulus were found as, or why they were not; neither for a grey screen."""
    if canonical_name(name) in _GREY or shown.empty:
        return None, None
    from .stimulus import open_stimulus

    try:
        stimulus, _ = open_stimulus(recording, name)
    except NeurratorError as error:
        return None, str(error)
    height, width, *_ = stimulus.frame_shape
    return f"{stimulus.n_frames} of {width} × {height}", None


def _shown_stimuli(stimuli: pd.DataFrame) -> pd.DataFrame:
    table = stimuli.drop(columns=["frames_found", "frames_missing"])
    found = stimuli["frames_found"].astype(object).where(stimuli["frames_found"].notna(), "")
    table["found"] = found.where(stimuli["frames_missing"].isna(), "no")
    quiet = [c for c in ("blanks", "partial_repeats", "gaps", "gaps_s") if not (table[c] != 0).any()]
    return table.drop(columns=quiet)


def _light(recording: Recording, units: pd.DataFrame, rules: UnitRules) -> dict[str, Any] | None:
    """Return what light there was and how many units answer to it; None where there was none."""
    table = recording.optogenetics
    if table is None or not len(table):
        return None
    keys = [column for column in ("stimulus_name", "condition", "duration") if column in table]
    kinds = table.assign(**{key: table[key].round(4) if key == "duration" else table[key] for key in keys})
    grouped = kinds.groupby(keys, sort=False, dropna=False).size().rename("pulses").reset_index()
    try:
        used, problem = len(chosen_pulses(table, rules.optotagging)), None
    except NeurratorError as error:
        used, problem = 0, str(error)
    tagged = units.get("optotagged")
    return {
        "pulses": len(table),
        "kinds": _records(grouped),
        "start_time": float(table["start_time"].min()),
        "stop_time": float(table["stop_time"].max()) if "stop_time" in table else None,
        "rule": str(rules.optotagging),
        "used_pulses": used,
        "problem": problem,
        "tagged_units": None if tagged is None else int(tagged.sum()),
        "tagged_of_cell_type": {} if tagged is None else _counts(units[tagged.astype(bool)], "cell_type"),
    }


def _light_lines(light: dict[str, Any] | None, width: int | None) -> list[str]:
    if light is None:
        return ["Light       none: this source holds no table of optogenetic stimulation"]
    lines = [f"Light       {light['pulses']} times", _table(pd.DataFrame(light["kinds"]), width)]
    lines.append(f"rule: {light['rule']}; {light['used_pulses']} pulses are used")
    if light["problem"]:
        lines.append(light["problem"])
    elif light["tagged_units"] is None:
        lines.append("not asked which units answer: that needs their spike times (--optotag)")
    else:
        kinds = ", ".join(f"{kind} {count}" for kind, count in light["tagged_of_cell_type"].items())
        lines.append(f"{light['tagged_units']} units answer to light" + (f" ({kinds})" if kinds else ""))
    return lines


def _in_ccf(units: pd.DataFrame) -> int:
    axes = [axis for axis in ("ccf_ap_um", "ccf_dv_um", "ccf_lr_um") if axis in units]
    return int(units[axes].notna().all(axis=1).sum()) if len(axes) == 3 else 0


def _counts(units: pd.DataFrame, column: str) -> dict[str, int]:
    if column not in units:
        return {}
    text = units[column].astype(object).where(units[column].notna(), "").astype(str)
    return {str(name): int(count) for name, count in text[text != ""].value_counts().items()}


def _other_columns(table: pd.DataFrame, wanted: list[str]) -> list[str]:
    """Return the source's own columns, those with one value a unit."""
    others = [column for column in table if column not in wanted and column not in ("region_parents", *_MOST_WANTED)]
    return [column for column in others if _says_something(table[column])]


def _says_something(column: pd.Series) -> bool:
    text = column.astype(object).where(column.notna(), "").astype(str)
    return bool((text != "").any())


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _strict(value: Any) -> Any:
    """Return what JSON can hold: no NaN or infinity, no numpy types, nothing but plain objects."""
    value = plain(value)
    if isinstance(value, dict):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [_strict(inner) for inner in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value is pd.NA or value is pd.NaT else str(value)


def _table(frame: pd.DataFrame, width: int | None = None) -> str:
    """Lay a table out; columns from the right that do not fit `width` are left out, and named."""
    if not frame.shape[1]:
        return ""
    columns = [_column(str(name), frame[name]) for name in frame]
    kept: list[list[str]] = []
    used = 0
    for column in columns:
        if width is not None and kept and used + len(column[0]) + 2 > width:
            break
        kept.append(column)
        used += len(column[0]) + 2
    text = "\n".join("  ".join(cells).rstrip() for cells in zip(*kept, strict=True))
    left_out = [str(name) for name in list(frame)[len(kept) :]]
    return text + (f"\n(too narrow for: {', '.join(left_out)})" if left_out else "")


def _column(name: str, values: pd.Series) -> list[str]:
    """Return a column's title and cells, all of one width."""
    number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if number and pd.api.types.is_float_dtype(values):
        whole = values.dropna()
        digits = 1 if not len(whole) or whole.abs().max() >= 10 else 3
        cells = ["-" if not math.isfinite(value) else f"{value:.{digits}f}" for value in values.astype(float)]
    else:
        cells = ["-" if value is None or value is pd.NA or value != value else str(value) for value in values]
    width = max(len(name), *map(len, cells)) if cells else len(name)
    return [cell.rjust(width) if number else cell.ljust(width) for cell in (name, *cells)]
