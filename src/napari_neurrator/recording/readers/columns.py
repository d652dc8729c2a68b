"""Columns of a units table under the names that `Recording` uses, whatever the source calls them."""

from typing import Any

import numpy as np
import pandas as pd

X = ("x_um", "unit_x", "estimated_x", "probe_horizontal_position", "rel_x")
Y = ("y_um", "unit_y", "estimated_y", "depth_um", "depth", "probe_vertical_position", "rel_y")
REGION = (
    "region",
    "location",
    "brain_area",
    "brain_region",
    "ecephys_structure_acronym",
    "structure_acronym",
    "acronym",
)
CELL_TYPE = ("cell_type", "celltype", "neuron_type", "putative_cell_type")
PROBE = ("probe", "probe_name", "group_name", "electrode_group", "probe_id", "device")
SHANK = ("shank", "shank_id", "shank_ids", "shank_index", "probe_shank")
# What sources call the place of a unit as one column of two or three numbers.
PLACES = (
    "unit_locations",
    "unit_location",
    "estimated_unit_locations",
    "spatial_location",
    "gt_unit_locations",
    "position",
)


def rename_known(units: pd.DataFrame) -> pd.DataFrame:
    """Give region, cell type, probe, shank and rate their names."""
    renamed = {"firing_rate": "firing_rate_hz"} if "firing_rate" in units and "firing_rate_hz" not in units else {}
    for target, candidates in (("region", REGION), ("cell_type", CELL_TYPE), ("probe", PROBE), ("shank", SHANK)):
        own = next((column for column in candidates if column in units), None)
        if own is not None and own != target:
            renamed[own] = target
    return units.rename(columns=renamed)


def numbers(column: Any) -> pd.Series:
    """Return a column as floats, NaN where it is no number."""
    return pd.to_numeric(pd.Series(column), errors="coerce").astype(float)


def own_place(units: pd.DataFrame, properties: dict[str, np.ndarray]) -> bool:
    """Fill ``x_um`` and ``y_um`` from what the source says of the units themselves; return whether it does."""
    for name in PLACES:
        place = properties.get(name)
        if (
            place is not None
            and place.ndim == 2
            and place.shape[1] >= 2
            and place.dtype.kind in "fiu"
            and np.isfinite(place[:, :2]).any()
        ):
            units["x_um"], units["y_um"] = place[:, 0].astype(float), place[:, 1].astype(float)
            if place.shape[1] > 2:
                units["z_um"] = place[:, 2].astype(float)
            return True
    x, y = (next((c for c in names if c in units and numbers(units[c]).notna().any()), None) for names in (X, Y))
    if y is None:
        return False
    units["y_um"] = numbers(units[y])
    if x is not None:
        units["x_um"] = numbers(units[x])
    return x is not None
