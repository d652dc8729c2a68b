"""With how many units a score beats its null, in words that leave no size out."""

from collections.abc import Sequence

from .evidence import ALPHA


def beaten(sizes: Sequence[int], p: Sequence[float | None]) -> str:
    """Say with which population sizes a null is beaten.

    Parameters
    ----------
    sizes : sequence of int
        Population sizes, ascending.
    p : sequence of float or None
        p-value of each, corrected for their number; None where there is none.

    Returns
    -------
    str
        Such as "from 10 units on" or "with 1 unit, but not with 10 and 100 units"; empty where none is beaten.
    """
    where = [value is not None and value <= ALPHA for value in p]
    yes = [size for size, beats in zip(sizes, where, strict=True) if beats]
    if not yes:
        return ""
    if all(where[-len(yes) :]):
        return f"from {units(yes[:1])} on"
    return f"with {units(yes)}, but not with {units([size for size in sizes if size not in yes])}"


def units(sizes: Sequence[int]) -> str:
    """Return numbers of units in words, such as "1 and 10 units"."""
    *first, last = (f"{size:,}" for size in sizes)
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"{listed} unit{'s' * (list(sizes) != [1])}"
