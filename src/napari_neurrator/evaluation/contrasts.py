"""The chosen units against as many random ones, and how far two halves of the evidence agree."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..decoding.windows import spike_windows
from .draws import Draw, draw
from .judging import Bench
from .material import Material, OnProgress
from .nulls import halves, matched_units
from .scores import truth
from .statistics import two_sided_p
from .tables import Judge

_MATCHED, _DIVISIONS = 20, 5


def size_matched(material: Material, bench: Bench, cache: Path, progress: OnProgress) -> dict[str, Any] | None:
    """Hold the chosen units against as many drawn from all units of the decoder; None where none were chosen."""
    known = set(material.recording.unit_ids)
    everyone = [unit for unit in material.stored.info.unit_ids if unit in known]
    size = len(material.unit_ids)
    if len(everyone) == size:
        return None
    observed = _scores(material, bench.judge, draw(material, material.unit_ids, bench.narrator, cache))
    window = material.stored.info.window
    wide = replace(
        material, unit_ids=everyone, windows=spike_windows(material.recording, material.moments, window, everyone)
    )
    drawn: dict[str, list[float]] = {name: [] for name in observed}
    rng = np.random.default_rng([material.config.seed, 15])
    for number, units in enumerate(matched_units(everyone, size, _MATCHED, rng)):
        progress("decoding as many random units", number, _MATCHED)
        for name, value in _scores(material, bench.judge, draw(wide, units, bench.narrator, cache)).items():
            drawn[name].append(value)
    progress("decoding as many random units", _MATCHED, _MATCHED)
    return {
        "size": size,
        "pool": len(everyone),
        "draws": _MATCHED,
        "observed": observed,
        "mean": {name: float(np.mean(values)) for name, values in drawn.items()},
        "by_draw": drawn,
        "p_two_sided": {name: two_sided_p(value, np.array(drawn[name])) for name, value in observed.items()},
    }


def _scores(material: Material, judge: Judge, drawn: Draw) -> dict[str, float]:
    grids, texts = judge.tables(drawn)
    frame = material.course.frame
    return {
        **{name: float(truth(table, frame).mean()) for name, table in grids.items()},
        **{name: float(truth(table, frame[material.narrated]).mean()) for name, table in texts.items()},
    }


def split_half(material: Material, bench: Bench, cache: Path, progress: OnProgress) -> dict[str, Any] | None:
    """Say how far two halves of the units, and two showings of a frame, decode the same: what the neurons can know at best.

    All are cosines of deviations from the mean grid.

    Returns
    -------
    dict or None
        ``truth``: of what all units decode with the frame shown, mean over moments. ``units``: ``agreement`` of two random halves of the units at the
        same moment, its values ``by_split``, and the ``size`` of a half. ``showings``: ``agreement`` of what all units decode at two showings of the
        same frame, and ``ceiling``, its square root; None where frames were shown once. None for a single unit.

    Notes
    -----
    Let d be the direction decoded at a showing of a frame, m its mean over showings, and t that of the true grid, with |d| = |t| = 1. Two showings agree by
    E[d·d'] = |m|², and E[d·t] = m·t ≤ |m|: nothing decoded with this spread can be nearer to the truth, on average, than the root of the agreement.
    """
    if len(material.unit_ids) < 2:
        return None
    centred = draw(material, material.unit_ids, bench.narrator, cache).centred
    rng = np.random.default_rng([material.config.seed, 16])
    by_units = []
    for number, pair in enumerate(halves(material.unit_ids, _DIVISIONS, rng)):
        progress("decoding halves of the units", number, _DIVISIONS)
        rows = material.narrated
        parts = zip(material.decode(pair[0], rows), material.decode(pair[1], rows), strict=True)
        by_units.append(
            float(torch.cat([(_directions(material, a) * _directions(material, b)).sum(1) for a, b in parts]).mean())
        )
    progress("decoding halves of the units", _DIVISIONS, _DIVISIONS)
    agreement = _between_showings(material)
    return {
        "truth": float(truth(centred, material.course.frame).mean()),
        "units": {
            "size": len(material.unit_ids) // 2,
            "agreement": float(np.mean(by_units)),
            "by_split": by_units,
        },
        "showings": None
        if agreement is None
        else {"agreement": agreement, "ceiling": float(np.sqrt(max(agreement, 0.0)))},
    }


def _between_showings(material: Material) -> float | None:
    """Return the mean cosine of what is decoded at two different showings of a frame, over frames that were narrated."""
    frame = material.course.frame
    found = []
    for one in np.unique(frame[material.narrated]):
        rows = np.flatnonzero(frame == one)
        if len(rows) > 1:
            directions = torch.cat([_directions(material, part) for part in material.decode(material.unit_ids, rows)])
            # Over all pairs, from the length of the sum.
            pairs = float(directions.sum(0).square().sum() - directions.square().sum())
            found.append(pairs / (len(rows) * (len(rows) - 1)))
    return float(np.mean(found)) if found else None


def _directions(material: Material, grids: torch.Tensor) -> torch.Tensor:
    """Return deviations from the mean grid at length 1 (grid, number); 0 where nothing deviates."""
    return torch.nn.functional.normalize((grids - material.pool.prior).flatten(1), dim=1, eps=1e-6)
