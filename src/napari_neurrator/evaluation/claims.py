"""With how many units a score beats its null, in words that leave no size out, and whether that can be told at all."""

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


def untold(least: float) -> str:
    """Say why it cannot be told whether something is more than chance; empty where it can.

    Parameters
    ----------
    least : float
        The least p-value that is possible, corrected as the finding is.
    """
    return f"no p-value below {least:.3f} is possible, corrected" if least > ALPHA else ""


def caveat(least: float, corrected_for: str, floor: float, draws: int, of: str = "") -> list[str]:
    """Return the warning that nothing can come out as more than chance; none where something can.

    Parameters
    ----------
    least : float
        The least p-value that is possible, corrected.
    corrected_for : str
        Such as "3 population sizes".
    floor : float
        The same, not corrected.
    draws : int
        Draws of the null that were asked for: where all were to be had, more of them help, and else only more frames.
    of : str
        What is tested, such as " of CA1"; everything by default.
    """
    if not untold(least):
        return []
    remedy = "take more draws of the null" if floor <= 1 / (1 + draws) else "test more frames"
    return [
        f"No p-value{of} can fall below {floor:.3f}, or {least:.3f} corrected for {corrected_for}, so it cannot be told whether anything is more than chance: "
        f"{remedy}, or compare less at once."
    ]
