"""Names of units as plain int or str."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...errors import NeurratorError
from .files import clean_text


def plain_ids(ids: Iterable[Any], source: str) -> list[int | str]:
    """Return unit ids as int, or str where they are no whole numbers.

    Raises
    ------
    NeurratorError
        An id is missing, or names two units.
    """
    plain: list[int | str] = []
    for unit in ids:
        value = unit.item() if isinstance(unit, np.generic) else unit
        if isinstance(value, float):
            if not np.isfinite(value):
                raise NeurratorError(
                    f"{source} has a unit without a name (its id is no number): unit ids have to be given."
                )
            value = int(value) if value.is_integer() else str(value)
        plain.append(int(value) if isinstance(value, int | bool) else clean_text(value))
    seen: set[int | str] = set()
    for unit_id in plain:
        if unit_id in seen:
            raise NeurratorError(f"{source} names the unit {unit_id!r} more than once: unit ids have to differ.")
        seen.add(unit_id)
    return plain
