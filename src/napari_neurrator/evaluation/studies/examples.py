"""A starting file for every study, written from its configuration: what the example sets, and everything else as a comment with its default."""

import json
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ...errors import NeurratorError
from .config import AxesStudy, ClassifierStudy, GroupsStudy, MoviesStudy, StabilityStudy, UnseenStudy

_FIT: dict[str, Any] = {"stimulus": "natural_movie_one"}
# Enough for a first look; for a result take the defaults or more.
_QUICK: dict[str, Any] = {"moments": 200}
# What each example sets; names are those of the files in docs/studies.
EXAMPLES: dict[str, tuple[type[BaseModel], dict[str, Any], dict[str, Any]]] = {
    "regions": (GroupsStudy, {"column": "region", "control": ["CA1"], "sizes": [1, 3, 10, 30], **_QUICK}, _FIT),
    "cell-types": (GroupsStudy, {"column": "cell_type", "sizes": [1, 3, 10, 20], **_QUICK}, _FIT),
    "hippocampal-control": (
        GroupsStudy,
        {"column": "region", "groups": ["VISp", "CA1"], "control": ["CA1"], "sizes": [1, 3, 10, 30], **_QUICK},
        _FIT,
    ),
    "classifier": (ClassifierStudy, {"column": "cell_type", "sets": 2, "narrated": 30}, _FIT),
    "concept-stability": (StabilityStudy, {"column": "region", "resamples": 20, "narrated": 40}, _FIT),
    "concept-axes": (
        AxesStudy,
        {"axes": [["a beach", "a city"], ["by day", "by night"]], "column": "region"},
        _FIT,
    ),
    "unseen-images": (UnseenStudy, {"sizes": [10, 100, 400]}, {**_FIT, "split": "held-out-images"}),
    "movie-to-movie": (MoviesStudy, {"parts": [[0, 449], [450, 899]], "sizes": [10, 100, 400]}, _FIT),
}


def example(name: str) -> str:
    """Return a study's starting file, TOML; it runs on the sample session as it is.

    Raises
    ------
    NeurratorError
        There is no such example.
    """
    if name not in EXAMPLES:
        raise NeurratorError(f"There is no example {name!r}: choose one of {', '.join(EXAMPLES)}.")
    study, set_here, fit = EXAMPLES[name]
    lines = [
        f"# {study.__doc__}",
        f"# neurrator study {name}.toml --out report",
        "",
        f"kind = {_toml(study.model_fields['kind'].default)}",
    ]
    for field, info in study.model_fields.items():
        if field in ("kind", "sessions"):
            continue
        told = field in set_here
        value = set_here[field] if told else info.default
        if value is PydanticUndefined:
            continue
        shown = f"{field} = {_toml(value)}" if value is not None else f"{field} ="
        lines.append(f"{'' if told else '# '}{shown}  # {info.description}")
    lines += [
        "",
        "[[sessions]]",
        'recording = "sample"  # any recording that neurrator opens; more sessions as more [[sessions]]',
        '# name = "mouse 1"',
        '# decoder = "folder of a decoder"  # in place of fit',
        "",
        "[sessions.fit]  # the options of neurrator fit; done once, kept in the folder of the report",
        *[f"{field} = {_toml(value)}" for field, value in fit.items()],
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # TOML's strings, numbers and arrays are written as JSON's.
    return json.dumps(value, ensure_ascii=False)
