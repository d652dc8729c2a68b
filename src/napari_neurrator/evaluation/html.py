"""The look of a report: one HTML page that needs nothing else, light and dark, wide and narrow, on paper."""

import base64
import io

import numpy as np

from .report import GENERATOR

# What is written beside the least p-value that can come out.
LEAST = "the least possible"
STYLE = """
:root { color-scheme: light dark; --paper: #fefefe; --ink: #1b1b1b; --quiet: #5c5c5c; --rule: #dedede; --strip: #c4c4c4; --panel: #f5f5f5;
  --blue: #0072B2; --orange: #B97A00; --green: #00805E; --purple: #B4568A; --red: #C04F00; --sky: #2D8FC7; --badge: #FFF1D0; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e6e6e6; --quiet: #a3a9b0; --rule: #343a42; --strip: #59616b; --panel: #1e2329;
  --blue: #56B4E9; --orange: #F0B93A; --green: #2CC79B; --purple: #E39CC4; --red: #FF8A4C; --sky: #9AD7FF; --badge: #46330c; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 66rem; margin: 2.2rem auto; padding: 0 1.25rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .8rem; max-width: 48rem; text-wrap: balance; }
.word { display: inline-block; max-width: 100%; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; break-after: avoid; }
p { max-width: 48rem; margin: .5rem 0; } .note, figcaption, footer { color: var(--quiet); font-size: .88rem; } figcaption, .note { max-width: 52rem; }
.lead { font-size: 1.06rem; } .verdict { border-left: 4px solid var(--blue); padding: .1rem 0 .1rem 1rem; margin: 1rem 0; }
.verdict.not { border-color: var(--strip); }
.badge { display: inline-block; background: var(--badge); border: 1px solid var(--orange); border-radius: 4px; padding: 0 .5em; font-size: .8rem;
  vertical-align: middle; font-weight: 600; white-space: nowrap; }
.wide { overflow-x: auto; margin: .4rem 0; } table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: top; overflow-wrap: normal; }
td { white-space: nowrap; } td:first-child { white-space: normal; min-width: 7rem; } th { font-weight: 600; vertical-align: bottom; border-bottom: 1.5px solid var(--quiet); }
th:first-child, td:first-child, td.words, th.words { text-align: left; } td.words { white-space: normal; min-width: 6rem; }
td small { color: var(--quiet); font-weight: 400; display: block; } .better { font-weight: 600; } td.not { color: var(--quiet); }
dl { font-size: .88rem; display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .8rem 0; max-width: 56rem; }
dt { color: var(--quiet); } dd { margin: 0; }
figure { margin: .6rem 0 1.4rem; break-inside: avoid; } .panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: .4rem 1.2rem; }
.panels svg { width: 100%; height: auto; max-width: 36rem; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
.example { display: flex; gap: .8rem; border: 1px solid var(--rule); border-radius: 6px; padding: .6rem; font-size: .9rem; break-inside: avoid; }
.example img { width: 112px; height: auto; align-self: flex-start; border-radius: 3px; } .example q { font-weight: 600; } .example p { margin: .2rem 0; }
.warnings li { margin: .2rem 0; max-width: 48rem; } code { font-size: .88em; } summary { cursor: pointer; }
details pre { font-size: .78rem; overflow-x: auto; background: var(--panel); padding: .8rem; border-radius: 4px; }
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 .8rem; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; } .example img { width: 84px; } }
@media print { :root { --paper: #fff; --ink: #000; --quiet: #444; --rule: #ccc; --strip: #c4c4c4; --blue: #0072B2; --orange: #B97A00; --green: #00805E;
  --purple: #B4568A; --red: #C04F00; --sky: #2D8FC7; --badge: #FFF1D0; } @page { margin: 14mm; } body { font-size: 10.5pt; margin: 0; max-width: none; padding: 0; }
  .wide { overflow: visible; } table { font-size: 8pt; } th, td { padding: .2rem .35rem; } .panels { grid-template-columns: 1fr 1fr; } tr { break-inside: avoid; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">{{ generator }}
<title>{{ title }}{% if simulated %} (simulated data){% endif %}</title><style>{{ style }}</style></head><body>
<h1>{% for word in title.split() %}<span class="word">{{ word }}</span> {% endfor %}{% if simulated %} <span class="badge">simulated data</span>{% endif %}</h1>
{% block body %}{% endblock %}
{% if warnings %}<h2>What to know about these numbers</h2><ul class="warnings">{% for one in warnings %}<li>{{ one }}</li>{% endfor %}</ul>{% endif %}
<h2>How to make this page again</h2>
<p class="note">The configuration below, with the same versions, gives the same numbers; all of them are in <code>report.json</code> beside this page.</p>
<details><summary class="note">Configuration and versions</summary><pre>{{ config }}</pre></details>
<footer><p>{{ foot }}</p></footer></body></html>"""

# A table: head, and rows of cells (words, small print, class); the first column is words.
_TABLE = """{% macro table(head, rows, words) %}<div class="wide"><table><thead><tr>{% for one in head %}<th scope="col"{% if loop.index0 in (words or ()) %} class="words"{% endif %}>{{ one }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td{% if cell[2] %} class="{{ cell[2] }}"{% endif %}>{{ cell[0] }}{% if cell[1] %} <small>{{ cell[1] }}</small>{% endif %}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endmacro %}"""


def render(template: str, **fields: object) -> str:
    """Fill a template that extends ``page`` and may import ``table``; everything but fields whose name ends in ``figure`` is escaped."""
    from jinja2 import DictLoader, Environment
    from markupsafe import Markup

    environment = Environment(loader=DictLoader({"page": _PAGE, "table": _TABLE, "own": template}), autoescape=True)
    figures = {name: Markup(value) for name, value in fields.items() if name.endswith("figure") and value}
    return environment.get_template("own").render(
        **{**fields, **figures}, style=Markup(STYLE), generator=Markup(GENERATOR)
    )


def picture(frame: np.ndarray, width: int = 224) -> str:
    """Return a frame as a data address, PNG at most `width` pixels wide."""
    from PIL import Image

    image = Image.fromarray(frame)
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def number(value: float | None, signed: bool = False) -> str:
    """Write a score."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:+.3f}".replace("-", "−") if signed else f"{value:.3f}".replace("-", "−")


def bounds_text(bounds: tuple[float, float] | None, signed: bool = False) -> str:
    """Write an interval, or nothing where there is none."""
    return f"[{number(bounds[0], signed)}, {number(bounds[1], signed)}]" if bounds else ""


def percent(value: float) -> str:
    """Write a share as per cent, so that what is nearly all or nearly none does not read as all or none."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{100 * value:.0f} %" if value in (0, 1) else f"{100 * value:.1f} %"


def percents(bounds: tuple[float, float] | None) -> str:
    """Write the interval of a share in brackets after a blank, or nothing where there is none."""
    return f" (95 % interval {percent(bounds[0])} to {percent(bounds[1])})" if bounds else ""


def p_text(p: float | None) -> str:
    """Write a p-value."""
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def is_least(p: float | None, floor: float) -> bool:
    """Tell whether a p-value is the least that can come out; both not corrected."""
    return p is not None and p <= floor * (1 + 1e-9)


def p_cell(p: float | None, least: bool) -> str:
    """Write a p-value in the table of a study, and whether it is the least possible."""
    return f"{p_text(p) or '–'}{f' [{LEAST}]' * least}"
