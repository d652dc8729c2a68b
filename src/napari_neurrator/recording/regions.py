"""Regions of the mouse brain, what they are part of, and cortical layers, from acronyms of the Allen CCF."""

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

_OUTSIDE = frozenset(
    {"", "none", "nan", "na", "n/a", "null", "unknown", "void", "out", "outside", "out of brain", "no_area", "<na>"}
)
# Retinotopic visual areas (Garrett et al. 2014, J Neurosci 34:12587; Zhuang et al. 2017, eLife 6:e18372) that the CCF puts with their neighbours.
_VISUAL = {"VISrl": "VIS", "VISa": "VIS", "VISrll": "VIS", "VISlla": "VIS", "VISm": "VIS", "VISmma": "VIS", "VISmmp": "VIS"}  # fmt: skip
_CORTEX = ("Isocortex", "OLF", "RHP")
_CORTICAL = r"1|2/3|2a|2b|2|3|4/5|4|5/6|5|6a|6b|6"
_LAYER = re.compile(rf"(?P<region>.+?)(?P<layer>{_CORTICAL})")
_SPELT_LAYER = re.compile(rf"(?P<region>.+?)[\s_,-]*(?:layer|l)?[\s_]*(?P<layer>{_CORTICAL}|23|2-3)", re.IGNORECASE)
_STRATUM = re.compile(r"(?P<region>(?:CA[123]|DG(?:cr|lb|mb)?|SUB[dv]?|ProS[dv]?))-?(?P<layer>slm|slu|so|sp|sr|mo|po|sgz|sg|m)")  # fmt: skip


@cache
def _tree() -> dict[str, tuple[str, ...]]:
    """Return the ancestors of every structure, the nearest first."""
    text = resources.files(__package__).joinpath("ccf_structures.txt").read_text(encoding="utf-8")
    path: list[str] = []
    tree = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        acronym = line.lstrip(" ")
        path = [*path[: len(line) - len(acronym)], acronym]
        tree[acronym] = tuple(reversed(path[:-1]))
    return tree


@cache
def _lower() -> dict[str, str | None]:
    """Return acronyms by their small letters; None where two structures differ in capitals only."""
    found: dict[str, str | None] = {}
    for acronym in _tree():
        found[acronym.lower()] = None if acronym.lower() in found else acronym
    return found


@cache
def structure(name: str) -> str | None:
    """Return a structure's acronym as the CCF spells it; None where the CCF has none such.

    Parameters
    ----------
    name : str
        An acronym, in any capitals where that is clear.
    """
    name = name.strip()
    return name if name in _tree() else _lower().get(name.lower())


@cache
def parents(name: str) -> tuple[str, ...]:
    """Return what a structure is part of, the nearest first, without the root; empty where the CCF has no such structure.

    Parameters
    ----------
    name : str
        An acronym such as ``VISp``, ``VISp2/3`` or ``CA1``.
    """
    acronym = structure(name)
    if acronym is None:
        region, layer = region_and_layer(name)
        return (region, *parents(region)) if layer else ()
    return tuple(parent for parent in _tree()[acronym] if parent != "root")


def is_within(name: str, ancestor: str) -> bool:
    """Tell whether a structure is another or a part of it.

    The CCF puts some visual areas with their neighbours (VISrl and VISa with the parietal cortex, PTLp); here they are within VIS as well.

    Parameters
    ----------
    name, ancestor : str
        Acronyms; names that the CCF does not know are only within themselves.
    """
    wanted = structure(ancestor)
    if wanted is None:
        return name.strip().lower() == ancestor.strip().lower()
    if wanted == "root":
        return in_brain(name)
    line = (structure(name) or name.strip(), *parents(name))
    return wanted in line or any(_VISUAL.get(part) == wanted for part in line)


def in_brain(name: str) -> bool:
    """Tell whether a region lies in the brain: whether the source names any (Allen's files say ``None`` or nothing for outside, IBL's ``void``)."""
    return name.strip().lower() not in _OUTSIDE


@cache
def region_and_layer(name: str) -> tuple[str, str]:
    """Split an acronym into the region and the layer of cortex or hippocampus in it.

    ``VISp2/3`` is ``("VISp", "2/3")``, ``CA1sp`` is ``("CA1", "sp")``; what has no layer comes back as it is, with "".

    Parameters
    ----------
    name : str
        An acronym.
    """
    name = name.strip()
    acronym = structure(name)
    if acronym is None:
        # Spellings that the CCF does not have: VISp6, VISp-L5, "VISp layer 2/3".
        match = _SPELT_LAYER.fullmatch(name)
        region = structure(match["region"]) if match else None
        if match is None or region is None or not any(is_within(region, cortex) for cortex in _CORTEX):
            return name, ""
        return region, "2/3" if match["layer"] in ("23", "2-3") else match["layer"].lower()
    own = _tree()[acronym]
    match = _LAYER.fullmatch(acronym) if set(_CORTEX) & set(own) else None
    match = match or _STRATUM.fullmatch(acronym)
    if match is None or not own or match["region"] != own[0]:
        return name, ""
    return own[0], match["layer"]


def line_of_parents(name: str) -> str:
    """Return a structure and its parents as one text, ``VISp < VIS < Isocortex < CTXpl < CTX < CH < grey``; "" where the CCF does not know it."""
    own = structure(name) or structure("".join(region_and_layer(name))) or name.strip()
    line = parents(name)
    return " < ".join((own, *line)) if line or structure(own) else ""


def known_within(names: Iterable[str], ancestor: str) -> bool:
    """Tell whether an ancestor can be asked for: the CCF has it, or one of the names is spelt so."""
    return structure(ancestor) is not None or any(name.strip().lower() == ancestor.strip().lower() for name in names)
