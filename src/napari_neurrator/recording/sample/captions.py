"""The sentences that say what a picture of the film shows."""

from collections.abc import Sequence

from .objects import KINDS
from .scenery import Actor

_WHERE = {
    "beach": "on the beach",
    "forest": "in the forest",
    "city": "in the city",
    "mountains": "in the mountains",
    "desert": "in the desert",
    "meadow": "in the meadow",
}
STRIPES = {0: "vertical", 45: "leaning left", 90: "horizontal", 135: "leaning right"}


def with_article(noun: str) -> str:
    """Return the noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def side(x: float) -> str:
    """Return the third of the picture in which `x` (share of the width) lies: left, middle or right."""
    return "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"


def caption(actors: Sequence[Actor], place: str, night: bool) -> str:
    """Describe a picture: its objects from left to right, the place and the time of day.

    Parameters
    ----------
    actors : sequence of Actor
        The visible objects, at most two.
    place : str
        A key of `scenery.PLACES`.
    night : bool
        Night instead of day.

    Returns
    -------
    str
        For example ``a dog on the left and a car on the right, on the beach at night.``
    """
    ordered = sorted(actors, key=lambda actor: actor.x)
    scene = f"{_WHERE[place]} {'at night' if night else 'by day'}."
    if not ordered:
        return f"nothing {scene}"
    if len(ordered) == 1:
        return f"{with_article(ordered[0].kind)} in the {side(ordered[0].x)}, {scene}".replace(
            "in the left", "on the left"
        ).replace("in the right", "on the right")
    return f"{with_article(ordered[0].kind)} and {with_article(ordered[1].kind)}, {scene}"


def stripes_caption(direction_deg: float) -> str:
    """Describe a grating by the lie of its stripes, which is across its direction of drift (degrees, counter-clockwise from right)."""
    nearest = round((direction_deg % 180) / 45) % 4 * 45
    name = STRIPES[nearest]
    return f"{name} stripes." if name in ("vertical", "horizontal") else f"stripes {name}."


def named_objects(text: str) -> set[str]:
    """Return the kinds of objects that a sentence names."""
    words = set(text.lower().replace(".", " ").replace(",", " ").split())
    return words & set(KINDS)
