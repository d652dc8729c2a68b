"""Which units are good: Allen's default criteria and their equivalents in other sources."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from .regions import in_brain

# Labels, in the order in which they count: what a person said before what the sorter or a model said.
_LABELS = ("quality", "group", "curation_label", "decoder_label", "unit_type", "default_qc", "KSLabel", "kslabel", "ks_label", "kilosort2_label")  # fmt: skip
_UNSORTED = ("", "unsorted", "unlabeled", "unlabelled", "none", "nan", "<na>")
# IBL: the share of its three criteria that a unit meets, and which it fails as bits.
_IBL_LABELS = ("label", "ibl_quality_score")
_AMPLITUDE_CUTOFF = ("amplitude_cutoff",)
_PRESENCE_RATIO = ("presence_ratio",)
_ISI_VIOLATIONS = ("isi_violations", "isi_violations_ratio")
_VALID = ("valid_data", "valid_channel")


class QualityRule(BaseModel):
    """When a unit passes quality control; by default as in Allen's Visual Coding – Neuropixels. None or False leaves a criterion out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    good_labels: tuple[str, ...] | None = Field(
        default=("good", "sua", "single", "single unit", "pass", "true"),
        description="labels of good units, in any capitals: Allen's quality, phy's group, Kilosort's KSLabel",
    )
    max_amplitude_cutoff: float | None = Field(default=0.1, ge=0)
    min_presence_ratio: float | None = Field(default=0.95, ge=0)
    max_isi_violations: float | None = Field(default=0.5, ge=0, description="as a rate of contamination, 0.5 is a half")
    valid_channel: bool = Field(default=True, description="the unit's channel is marked as valid")
    in_brain: bool = Field(default=True, description="the unit lies in a region of the brain")


def criteria(units: pd.DataFrame, rule: QualityRule | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Check every criterion on every unit.

    A criterion whose column the source lacks, or has no value in, is left out and named. Where a column is there, a unit without a value fails, as
    it does at Allen's.

    Parameters
    ----------
    units : pandas.DataFrame
        The units table.
    rule : QualityRule, optional
        Allen's default if None.

    Returns
    -------
    passed : pandas.DataFrame
        bool (unit, criterion), the columns named by criterion, such as ``amplitude_cutoff <= 0.1``.
    missing : list of str
        Criteria that the source cannot answer.
    """
    rule = rule or QualityRule()
    passed: dict[str, pd.Series] = {}
    missing: list[str] = []
    if rule.good_labels is not None:
        good = _good_label(units, rule.good_labels)
        if good is None:
            missing.append("label is good")
        else:
            passed[f"{good[1]} is good"] = good[0]
    for columns, border, sign, test in (
        (_AMPLITUDE_CUTOFF, rule.max_amplitude_cutoff, "<=", np.less_equal),
        (_PRESENCE_RATIO, rule.min_presence_ratio, ">=", np.greater_equal),
        (_ISI_VIOLATIONS, rule.max_isi_violations, "<=", np.less_equal),
    ):
        if border is None:
            continue
        column = next((name for name in columns if name in units and _numbers(units[name]).notna().any()), None)
        if column is None:
            missing.append(f"{columns[0]} {sign} {border:g}")
        else:
            passed[f"{column} {sign} {border:g}"] = _compared(_numbers(units[column]), border, test)
    if rule.valid_channel:
        valid = next((name for name in _VALID if name in units and units[name].notna().any()), None)
        if valid is None:
            missing.append("channel is valid")
        else:
            passed["channel is valid"] = _yes(units[valid])
    if rule.in_brain:
        regions = units["region"].fillna("").astype(str) if "region" in units else pd.Series("", index=units.index)
        inside = regions.isin([name for name in regions.unique() if in_brain(name)])
        if not inside.any():
            missing.append("region is in the brain")
        else:
            passed["region is in the brain"] = inside
    return pd.DataFrame(passed, index=units.index, dtype=bool), missing


def passes_qc(units: pd.DataFrame, rule: QualityRule | None = None) -> tuple[pd.Series, list[str], list[str]]:
    """Tell which units pass all criteria that the source can answer.

    Parameters
    ----------
    units, rule
        As for `criteria`.

    Returns
    -------
    passes : pandas.Series
        bool, by unit; all True where the source can answer none.
    applied : list of str
        Criteria that were applied.
    missing : list of str
        Criteria that could not be: the source has no such column.
    """
    passed, missing = criteria(units, rule)
    return passed.all(axis=1).rename("passes_qc").astype(bool), list(passed.columns), missing


def _good_label(units: pd.DataFrame, good: tuple[str, ...]) -> tuple[pd.Series, str] | None:
    """Return which units are labelled good, and the columns that say so; None where there are no labels."""
    text = pd.Series("", index=units.index)
    used = []
    for column in _LABELS:
        if column not in units:
            continue
        own = units[column].astype(object).where(units[column].notna(), "").astype(str).str.strip().str.lower()
        own = own.where(~own.isin(_UNSORTED), "")
        fills = (text == "") & (own != "")
        if fills.any():
            text = text.where(~fills, own)
            used.append(column)
    if used:
        return text.isin([label.lower() for label in good]), " or ".join(used)
    for column in _IBL_LABELS:
        if column in units and _numbers(units[column]).notna().any():
            return _compared(_numbers(units[column]), 1.0, np.greater_equal), column
    if "bitwise_fail" in units and _numbers(units["bitwise_fail"]).notna().any():
        return _compared(_numbers(units["bitwise_fail"]), 0.0, np.equal), "bitwise_fail"
    return None


def _numbers(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype(float)


def _compared(values: pd.Series, border: float, test: Callable[[np.ndarray, float], np.ndarray]) -> pd.Series:
    with np.errstate(invalid="ignore"):
        return pd.Series(test(values.to_numpy(), border), index=values.index).astype(bool)


def _yes(column: pd.Series) -> pd.Series:
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()
    return text.isin(("true", "1", "1.0", "yes"))
