"""Narrations as one flat table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backend.narrations import Narration
from .files import written

if TYPE_CHECKING:
    import pandas as pd

_EVIDENCE = ("better", "p", "least", "gain", "usual", "split", "in_words")


def flat(narration: Narration) -> dict[str, Any]:
    """Return a narration as plain values by column; lists and the configuration as JSON."""
    evidence = narration.evidence
    row: dict[str, Any] = {
        "text": narration.text,
        "reference": narration.reference,
        "prior": narration.prior,
        "stimulus": narration.stimulus,
        "frame": narration.frame,
        "repeat": narration.repeat,
        "presentation": narration.presentation,
        "start_time_s": narration.start_time,
        "held_out": narration.held_out,
        "patch_cosine": narration.patch_cosine,
        "prior_patch_cosine": narration.prior_patch_cosine,
        **{name: None if evidence is None else getattr(evidence, name) for name in _EVIDENCE},
        "concepts": "; ".join(f"{one['name']} ({one['strength']:.2f})" for one in narration.concepts),
        "n_units": len(narration.unit_ids),
        "unit_ids": json.dumps(narration.unit_ids),
        "simulated": narration.simulated,
        **{f"condition_{name}": value for name, value in narration.condition.items()},
        "config": narration.config.model_dump_json(),
    }
    return row


def to_frame(narrations: Sequence[Narration]) -> "pd.DataFrame":
    """Return a table of narrations, one row each in their order."""
    import pandas as pd

    return pd.DataFrame([flat(narration) for narration in narrations])


def write_csv(path: str | Path, narrations: Sequence[Narration]) -> Path:
    """Write a table of narrations as CSV (UTF-8, RFC 4180), at once or not at all; returns where."""
    return write_table(path, to_frame(narrations), index=False)


def write_table(path: str | Path, table: "pd.DataFrame", index: bool = True) -> Path:
    """Write any table as CSV, at once or not at all: contributions by unit, for example; returns where."""
    with written(path) as part:
        table.to_csv(part, index=index, encoding="utf-8", lineterminator="\n")
    return Path(path).expanduser()
