"""A report as one HTML page that needs nothing else."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from .figures import against_size, null_histogram, panels, svg
from .report import Report, SizeResult
from .tables import EXPLAINED, SCORES

if TYPE_CHECKING:
    from ..recording.stimulus import Stimulus
    from .material import Material

_NULLS = {
    "circular_shift": "circular shifts",
    "shuffled": "shuffled frames",
    "unrelated": "frames that are not related",
}
_DRAWN = ("label_accuracy", "two_way", "patch_cosine", "sbert", "retrieval_top1")

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #1b1b1b; background: #fff;
  max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p { max-width: 46rem; } .note, figcaption, footer { color: #555; font-size: .88rem; }
.simulated { display: inline-block; background: #FFF1D0; border: 1px solid #E69F00; border-radius: 4px; padding: 0 .5em; font-size: .8rem;
  vertical-align: middle; font-weight: 600; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { padding: .28rem .6rem; text-align: right; border-bottom: 1px solid #e3e3e3; vertical-align: top; } td { white-space: nowrap; }
th { font-weight: 600; border-bottom: 1.5px solid #999; } th:first-child, td:first-child { text-align: left; }
td small { color: #666; font-weight: 400; display: block; } .better { font-weight: 600; } .not { color: #888; }
figure { margin: .6rem 0 1.4rem; } figure svg { width: 100%; height: auto; } dl { font-size: .86rem; color: #444; display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; } dt { font-weight: 600; } dd { margin: 0; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
.example { display: flex; gap: .8rem; border: 1px solid #e3e3e3; border-radius: 6px; padding: .6rem; font-size: .9rem; }
.example img { width: 112px; height: auto; align-self: flex-start; border-radius: 3px; } .example q { font-weight: 600; }
.warnings li { margin: .2rem 0; } code { font-size: .85em; } details pre { font-size: .78rem; overflow-x: auto; background: #f6f6f6; padding: .8rem; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}{% if simulated %} (simulated data){% endif %}</title><style>{{ style }}</style></head><body>
<h1>{{ title }}{% if simulated %} <span class="simulated">simulated data</span>{% endif %}</h1>
{% block body %}{% endblock %}
{% if warnings %}<h2>What to know about these numbers</h2><ul class="warnings">{% for one in warnings %}<li>{{ one }}</li>{% endfor %}</ul>{% endif %}
<h2>How to make this page again</h2>
<p class="note">The configuration below, in the same versions, gives the same numbers; they are in <code>report.json</code> beside this page.</p>
<details><summary>Configuration and versions</summary><pre>{{ config }}</pre></details>
<footer><p>{{ foot }}</p></footer></body></html>"""

_BODY = """{% extends "page" %}{% block body %}
<p>{{ summary }}</p>
<h2>Scores and what they are held against</h2>
<div class="wide"><table><thead><tr>{% for one in head %}<th>{{ one }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td{% if cell[2] %} class="{{ cell[2] }}"{% endif %}>{{ cell[0] }}{% if cell[1] %} <small>{{ cell[1] }}</small>{% endif %}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
<p class="note">{{ table_note }}</p>
<details><summary class="note">What the scores are</summary><dl>{% for one in explained %}<dt>{{ one[0] }}</dt><dd>{{ one[1] }}</dd>{% endfor %}</dl></details>
<h2>Fidelity against the number of units</h2>
<figure>{{ size_figure }}<figcaption>{{ size_caption }}</figcaption></figure>
<div class="wide"><table><thead><tr>{% for one in size_head %}<th>{{ one }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in size_rows %}<tr>{% for cell in row %}<td{% if cell[2] %} class="{{ cell[2] }}"{% endif %}>{{ cell[0] }}{% if cell[1] %} <small>{{ cell[1] }}</small>{% endif %}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
<p class="note">{{ size_note }}</p>
{% if null_figure %}<h2>Is it more than chance?</h2><figure>{{ null_figure }}<figcaption>{{ null_caption }}</figcaption></figure>{% endif %}
{% if contrast %}<h2>Against as many random units</h2><p>{{ contrast }}</p>{% endif %}
{% if reliability %}<h2>How far two halves of the units agree</h2><p>{{ reliability }}</p>{% endif %}
{% if examples %}<h2>Sentences</h2><p class="note">{{ example_note }}</p><div class="examples">
{% for one in examples %}<div class="example"><img alt="frame {{ one.frame }}" src="{{ one.picture }}"><div><q>{{ one.text }}</q><br>
<span class="note">{% if one.worst %}The worst of all narrated moments. {% endif %}Frame {{ one.frame }}, {{ one.time }} s. True: {{ one.reference }}<br>{{ one.scores }}</span></div></div>{% endfor %}</div>{% endif %}
{% endblock %}"""


def render(template: str, **fields: object) -> str:
    """Fill a page's template; everything but figures is escaped."""
    from jinja2 import DictLoader, Environment
    from markupsafe import Markup

    environment = Environment(loader=DictLoader({"page": _PAGE, "own": template}), autoescape=True)
    figures = {name: Markup(value) for name, value in fields.items() if name.endswith("figure") and value}
    return environment.get_template("own").render(**{**fields, **figures}, style=Markup(STYLE))


def picture(frame: np.ndarray, width: int = 224) -> str:
    """Return a frame as a data address, PNG at most `width` pixels wide."""
    from PIL import Image

    image = Image.fromarray(frame)
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def number(value: float | None) -> str:
    """Write a score."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def p_text(p: float | None) -> str:
    """Write a p-value."""
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def page(report: Report, material: "Material") -> str:
    """Return the page of an evaluation."""
    import json

    from .report import strict

    whole = report.sizes[-1]
    names = [name for name in SCORES if name in whole.by_draw]
    drawn = [name for name in _DRAWN if name in whole.by_draw][:4]
    main = _NULLS[report.main_null]
    shots = [name for name in drawn if report.null_draws.get(name)]
    return render(
        _BODY,
        title=report.title,
        simulated=report.simulated,
        summary=_summary(report),
        head=["score", f"{whole.size} units", "ceiling", "prior", main, "unrelated caption", "word salad", "chance", "p"],
        rows=[_row(report, whole, name) for name in names],
        table_note=_table_note(report),
        explained=[(SCORES[name], EXPLAINED.get(name) or report.label) for name in names],
        size_figure=_size_figure(report, drawn),
        size_caption=f"Dots are random subsets of units; the line is their mean and the band its 95 % interval over {report.resampled} and subsets. "
        "Dashed: the narration of the true patches (ceiling), the mean grid and what is said of it (prior), and chance where it is known; dotted: the mean of the null. "
        "One decoder serves all sizes: nothing is retrained.",
        size_head=["units", "subsets", *[SCORES[name] for name in names if name in whole.p]],
        size_rows=[_size_row(one, [name for name in names if name in whole.p]) for one in report.sizes],
        size_note=f"Mean and 95 % interval, which is that of any such subset at any such moments; bold where the score beats the null ({main}) at 0.05 after Holm's correction over sizes, grey where it does not.",
        null_figure=_null_figure(report, whole, shots, main) if shots else "",
        null_caption=f"Grey: the score with {whole.size} units under {len(next(iter(report.null_draws.values()), []))} draws of the null ({main}). "
        + (
            f"The film was shifted circularly against what was decoded, by the same lag in every showing, so that both keep their autocorrelation; shown are lags of {report.config['gap_s']:g} s "
            "and more. P-values count the smaller lags too, without which they would come out too small."
            if report.main_null == "circular_shift"
            else "Frames were renamed at random, the same in all showings."
        ),
        contrast=_contrast(report),
        reliability=_reliability(report),
        example_note=f"{len(report.examples) - 1} moments drawn at random (seed {report.config['seed']}), not chosen by eye, and the one narrated worst; narrated from {whole.size} units.",
        examples=[_example(one, material.stimulus) for one in report.examples],
        warnings=report.warnings,
        config=json.dumps(
            strict(
                {"evaluate": report.config, "decoder": report.decoder_config, "versions": report.versions}
            ),
            indent=1,
            ensure_ascii=False,
        ),
        foot=f"Made by napari-neurrator {report.versions['napari-neurrator']} in {report.seconds:.0f} s.",
    )  # fmt: skip


def _summary(report: Report) -> str:
    return (
        f"A decoder ({report.decoder_kind}) turned the spikes of up to {report.n_units} units into patch grids of the profile {report.profile}, and its frozen language model "
        f"narrated them. Tested were {report.n:,} moments ({report.n_frames:,} frames, {report.repeats} showings) that the split {report.split} kept from fitting; "
        f"{report.n_narrated:,} of them were put into words for every subset of units. Their scores are worth about {report.effective_moments:.0f} independent "
        f"moments. Retrieval and identification are among {report.n_pictures:,} different pictures; frames that look alike count as one. Sentences are held against "
        f"{report.references}. “Named right”: {report.label}."
        + (
            " The session was simulated by a program: nothing here says anything about a brain."
            if report.simulated
            else ""
        )
    )


def _row(report: Report, whole: SizeResult, name: str) -> list[tuple[str, str, str]]:
    null = whole.nulls.get(name, {}).get(report.main_null)
    p = whole.p.get(name)
    bounds = whole.ci.get(name)
    return [
        (SCORES[name], "", ""),
        (
            number(getattr(whole, name)),
            f"[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "",
            "" if p is None else "better" if p <= 0.05 else "not",
        ),
        (number(report.ceiling.get(name)), "", ""),
        (number(report.prior.get(name)), "", ""),
        (number(null.mean) if null else "–", f"± {null.sd:.3f}" if null else "", ""),
        (number(report.unrelated_caption.get(name)), "", ""),
        (number(report.word_salad.get(name)), "", ""),
        (number(report.chance.get(name)), "", ""),
        (p_text(p) or "–", "", ""),
    ]


def _size_row(result: SizeResult, names: list[str]) -> list[tuple[str, str, str]]:
    cells = [(f"{result.size:,}", "", ""), (str(result.draws), "", "")]
    for name in names:
        bounds = result.ci.get(name)
        p = result.p_holm.get(name)
        cells.append(
            (
                number(getattr(result, name)),
                f"[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "",
                "" if p is None else "better" if p <= 0.05 else "not",
            )
        )
    return cells


def _table_note(report: Report) -> str:
    return (
        f"Mean and 95 % interval over {report.resampled}; bold where the score beats the null ({_NULLS[report.main_null]}) at 0.05. Ceiling: narration of the true patches. Prior: the mean grid, of "
        f"which the language model says “{report.prior_sentence}” Unrelated caption: true sentences of other frames. Word salad: words at their frequency in the references."
    )


def _size_figure(report: Report, names: list[str]) -> str:
    figure, axes = panels(len(names))
    for one, name in zip(axes, names, strict=True):
        lines = {"prior": report.prior[name]} if name in report.prior else {}
        if name in report.ceiling:
            lines["ceiling"] = report.ceiling[name]
        if name in report.chance:
            lines["chance"] = report.chance[name]
        found = [result.nulls.get(name, {}).get(report.main_null) for result in report.sizes]
        means = [one.mean for one in found if one is not None]
        null = (_NULLS[report.main_null], means) if len(means) == len(found) else None
        against_size(
            one, [result.size for result in report.sizes], [result.by_draw[name] for result in report.sizes],
            [result.ci.get(name) for result in report.sizes], lines, SCORES[name], null=null,
        )  # fmt: skip
    return svg(figure)


def _null_figure(report: Report, whole: SizeResult, names: list[str], main: str) -> str:
    figure, axes = panels(len(names), height=2.2)
    for one, name in zip(axes, names, strict=True):
        null_histogram(one, report.null_draws[name], getattr(whole, name), SCORES[name], main)
    return svg(figure)


def _contrast(report: Report) -> str:
    found = report.size_matched
    if not found or not found["observed"]:
        return ""
    parts = [
        f"{SCORES[name]} {found['observed'][name]:.3f} against {found['mean'][name]:.3f} ({p_text(found['p_two_sided'][name])})"
        for name in _DRAWN
        if name in found["observed"]
    ]
    return (
        f"The {found['size']} units that were chosen, held against {found['draws']} random sets of as many from all {found['pool']} units of the decoder: "
        + "; ".join(parts) + "; two-sided, not corrected."
    )  # fmt: skip


def _reliability(report: Report) -> str:
    found = report.split_half
    if not found:
        return ""
    return (
        f"What two random halves ({found['size']} units each) decode at the same moment agrees by {found['agreement']:.3f} (cosine of the deviations from the mean grid, "
        f"mean of {len(found['by_split'])} divisions); Spearman and Brown's formula puts the reliability of all units at {found['spearman_brown']:.3f}. "
        "Agreement is no proof of truth: both halves rest on the same decoder."
    )


def _example(example: object, stimulus: "Stimulus") -> dict:
    fields = example.model_dump()  # type: ignore[attr-defined]
    scores = f"patch cosine {fields['patch_cosine']:.3f}, nearer than {fields['rank']:.0%} of other pictures"
    if fields["sbert"] is not None:
        scores += f", SBERT {fields['sbert']:.3f}"
    return {
        **fields,
        "time": f"{fields['time']:.2f}",
        "reference": " / ".join(fields["references"][:2]),
        "scores": scores,
        "picture": picture(stimulus.frame(fields["frame"])),
    }
