"""The report of a study: sections of words, tables and figures on a page, and everything in JSON."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..page import render
from ..report import FORMAT, strict


class Section(BaseModel):
    """One section of the page.

    Attributes
    ----------
    title, text : str
        Heading and words.
    head, rows
        A table, if any; cells are written as they are.
    svg : str
        A figure, if any; not written to JSON.
    caption : str
        Under the figure.
    """

    model_config = ConfigDict(extra="forbid")

    title: str
    text: str = ""
    head: list[str] = []
    rows: list[list[str]] = []
    svg: str = Field(default="", exclude=True)
    caption: str = ""


class StudyReport(BaseModel):
    """The contents of a study's ``report.json``."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    kind: str
    title: str
    simulated: bool
    summary: str
    sections: list[Section]
    findings: dict[str, Any]
    warnings: list[str]
    config: dict[str, Any]
    versions: dict[str, str]
    seconds: float


_BODY = """{% extends "page" %}{% block body %}<p>{{ summary }}</p>
{% for one in sections %}<h2>{{ one.title }}</h2>{% if one.text %}<p>{{ one.text }}</p>{% endif %}
{% if one.svg %}<figure>{{ one.svg | safe }}<figcaption>{{ one.caption }}</figcaption></figure>{% endif %}
{% if one.rows %}<div class="wide"><table><thead><tr>{% for cell in one.head %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in one.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>{% endif %}{% endfor %}
{% endblock %}"""


def study_page(report: StudyReport) -> str:
    """Return the page of a study."""
    return render(
        _BODY,
        title=report.title,
        simulated=report.simulated,
        summary=report.summary,
        sections=report.sections,
        warnings=report.warnings,
        config=json.dumps(strict({"study": report.config, "versions": report.versions}), indent=1, ensure_ascii=False),
        foot=f"Made by napari-neurrator {report.versions['napari-neurrator']} in {report.seconds:.0f} s.",
    )
