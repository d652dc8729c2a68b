"""The report of a study: sections of words, tables and figures on a page, and everything in JSON."""

import json
import re
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..html import LEAST, render
from ..report import FORMAT, strict


class Shot(BaseModel):
    """A frame with what was said of it.

    Attributes
    ----------
    title, text : str
        The sentence, and small print under it.
    picture : str
        Data address of the frame; not written to JSON.
    """

    model_config = ConfigDict(extra="forbid")

    title: str
    text: str
    picture: str = Field(default="", exclude=True)


class Section(BaseModel):
    """One section of the page.

    Attributes
    ----------
    title, text : str
        Heading and words.
    svg : str
        A figure, if any, as `figures.svg` gives it; not written to JSON.
    caption : str
        Under the figure.
    head, rows
        A table, if any; cells are written as they are.
    shots : list of Shot
        Frames and sentences.
    """

    model_config = ConfigDict(extra="forbid")

    title: str
    text: str = ""
    svg: str = Field(default="", exclude=True)
    caption: str = ""
    head: list[str] = []
    rows: list[list[str]] = []
    shots: list[Shot] = []


class Outcome(NamedTuple):
    """What the work of a study hands back: title, what was done, what came out in a few sentences, sections, and all numbers."""

    title: str
    summary: str
    headlines: list[str]
    sections: list[Section]
    findings: dict[str, Any]


class StudyReport(BaseModel):
    """The contents of a study's ``report.json``."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    kind: str
    title: str
    simulated: bool
    headlines: list[str]
    summary: str
    sections: list[Section]
    findings: dict[str, Any]
    warnings: list[str]
    config: dict[str, Any]
    versions: dict[str, str]
    seconds: float


_BODY = """{% extends "page" %}{% from "table" import table %}{% block body %}
<div class="verdict">{% for one in headlines %}<p class="lead">{{ one }}</p>{% endfor %}</div><p>{{ summary }}</p>
{% for one in sections %}<h2>{{ one.title }}</h2>{% if one.text %}<p>{{ one.text }}</p>{% endif %}
{% if one.svg %}<figure>{{ one.svg | safe }}<figcaption>{{ one.caption }}</figcaption></figure>{% endif %}
{% if one.rows %}{{ table(one.head, one.cells, one.words) }}{% endif %}
{% if one.shots %}<div class="examples">{% for shot in one.shots %}<div class="example"><img alt="" src="{{ shot.picture }}"><div><q>{{ shot.title }}</q><p class="note">{{ shot.text }}</p></div></div>{% endfor %}</div>{% endif %}{% endfor %}
{% endblock %}"""


def study_page(report: StudyReport) -> str:
    """Return the page of a study."""
    sections = [{**dict(one), **_cells(one)} for one in report.sections]
    return render(
        _BODY,
        title=report.title,
        simulated=report.simulated,
        headlines=report.headlines,
        summary=report.summary,
        sections=sections,
        warnings=report.warnings,
        config=json.dumps(strict({"study": report.config, "versions": report.versions}), indent=1, ensure_ascii=False),
        foot=f"Made by napari-neurrator {report.versions['napari-neurrator']} in {report.seconds:.0f} s.",
    )


def _cells(section: Section) -> dict[str, Any]:
    """Return a section's cells as (words, small print, class), and which columns hold words and not numbers."""
    words = [
        column
        for column in range(len(section.head))
        if not all(re.match(r"[-+−–\d]|p [=<]", row[column]) for row in section.rows)
    ]
    cells = [
        [(*_with_small_print(text), "words" if place in words else "") for place, text in enumerate(row)]
        for row in section.rows
    ]
    return {"cells": cells, "words": words}


def _with_small_print(text: str) -> tuple[str, str]:
    """Put an interval below its number, and what is said of a p-value."""
    value, bracket, bounds = text.partition(" [")
    if not bracket or not text.endswith("]"):
        return text, ""
    return value, LEAST if bounds == f"{LEAST}]" else f"[{bounds}"
