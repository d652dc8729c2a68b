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
from .nulls import halves, matched_units, spearman_brown
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
    """Say how far two halves of the units, and two halves of the showings, decode the same: what the neurons can know at best.

    Returns
    -------
    dict or None
        ``truth``: the mean cosine, of the deviations from the mean grid, of what all units decode with the frame shown. ``units`` and ``showings``:
        the agreement of the halves by the same measure (``agreement``, ``by_split``), and the reliability of the whole by Spearman and Brown
        (``reliability``). By classical test theory the cosine with the truth can hardly exceed the square root of the reliability (``bound``).
        None for a single unit.
    """
    if len(material.unit_ids) < 2:
        return None
    rng = np.random.default_rng([material.config.seed, 16])
    by_units = []
    for number, pair in enumerate(halves(material.unit_ids, _DIVISIONS, rng)):
        progress("decoding halves of the units", number, _DIVISIONS)
        rows = material.narrated
        parts = zip(material.decode(pair[0], rows), material.decode(pair[1], rows), strict=True)
        by_units.append(float(torch.cat([_cosine(material, a, b) for a, b in parts]).mean()))
    progress("decoding halves of the units", _DIVISIONS, _DIVISIONS)
    by_showings = _showings(material, rng)
    centred = draw(material, material.unit_ids, bench.narrator, cache).centred
    return {
        "truth": float(truth(centred, material.course.frame).mean()),
        "units": {"size": len(material.unit_ids) // 2, **_reliability(by_units)},
        "showings": None if by_showings is None else _reliability(by_showings),
    }


def _showings(material: Material, rng: np.random.Generator) -> list[float] | None:
    """Decode the showings of some frames, divide them at random, and return how far the halves' means agree, by division."""
    frame = material.course.frame
    chosen = np.unique(frame[material.narrated])
    rows = [np.flatnonzero(frame == one) for one in chosen]
    rows = [some for some in rows if len(some) > 1]
    if not rows:
        return None
    found = []
    for some in rows:
        grids = torch.cat(list(material.decode(material.unit_ids, some)))
        pairs = halves(list(range(len(some))), _DIVISIONS, rng)
        a, b = (torch.stack([grids[half].mean(0) for half in side]) for side in zip(*pairs, strict=True))
        found.append(_cosine(material, a, b).numpy())
    return [float(value) for value in np.mean(found, axis=0)]


def _cosine(material: Material, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = ((grids - material.pool.prior).flatten(1) for grids in (a, b))
    return torch.nn.functional.cosine_similarity(a, b, dim=1, eps=1e-6)


def _reliability(by_split: list[float]) -> dict[str, Any]:
    agreement = float(np.mean(by_split))
    reliability = spearman_brown(agreement)
    return {
        "agreement": agreement,
        "by_split": by_split,
        "reliability": reliability,
        "bound": float(np.sqrt(max(reliability, 0.0))),
    }
