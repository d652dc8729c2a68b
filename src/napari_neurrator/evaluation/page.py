"""The page of an evaluation."""

import json
from typing import TYPE_CHECKING

from .claims import untold
from .evidence import ALPHA
from .figures import against_size, null_histogram, panels, svg
from .html import LEAST, bounds_text, is_least, number, p_text, percent, picture, render
from .report import Example, Report, SizeResult, strict
from .tables import EXPLAINED, SCORES
from .verdict import NULLS, verdict

if TYPE_CHECKING:
    from ..recording.stimulus import Stimulus

# What is drawn, at most four of them.
_DRAWN = ("label_accuracy", "two_way", "patch_cosine", "sbert", "retrieval_top1")
_PANELS = 4
Cell = tuple[str, str, str]

_BODY = """{% extends "page" %}{% from "table" import table %}{% block body %}
<div class="verdict{% if not more %} not{% endif %}">{% for one in verdict %}<p class="lead">{{ one }}</p>{% endfor %}</div>
<dl>{% for one in facts %}<dt>{{ one[0] }}</dt><dd>{{ one[1] }}</dd>{% endfor %}</dl>
<h2>Scores and what they are held against</h2>
{{ table(head, rows) }}
<p class="note">{{ table_note }}</p>
<details><summary class="note">What the scores are</summary><dl>{% for one in explained %}<dt>{{ one[0] }}</dt><dd>{{ one[1] }}</dd>{% endfor %}</dl></details>
<h2>Fidelity against the number of units</h2>
<figure>{{ size_figure }}<figcaption>{{ size_caption }}</figcaption></figure>
{{ table(size_head, size_rows) }}
<p class="note">{{ size_note }}</p>
{% if null_figure %}<h2>The null</h2><figure>{{ null_figure }}<figcaption>{{ null_caption }}</figcaption></figure>{% endif %}
{% if contrast %}<h2>Against as many random units</h2>{{ table(contrast_head, contrast) }}<p class="note">{{ contrast_note }}</p>{% endif %}
{% if halves %}<h2>What the neurons can know at best</h2>{% for one in halves %}<p>{{ one }}</p>{% endfor %}{% endif %}
{% if examples %}<h2>Sentences</h2><p class="note">{{ example_note }}</p><div class="examples">
{% for one in examples %}<div class="example"><img alt="frame {{ one.frame }}" src="{{ one.picture }}"><div><q>{{ one.text }}</q>
<p class="note">{% if one.worst %}<b>The worst of all narrated moments.</b> {% endif %}Frame {{ one.frame }}, shown at {{ one.time }} s. Reference: {{ one.reference }}</p><p class="note">{{ one.scores }}</p></div></div>{% endfor %}</div>{% endif %}
{% endblock %}"""


def page(report: Report, stimulus: "Stimulus") -> str:
    """Return the page of an evaluation; frames of its examples are read from the stimulus."""
    whole = report.sizes[-1]
    names = [name for name in SCORES if name in whole.by_draw]
    tested = [name for name in names if name in whole.p]
    drawn = [name for name in _DRAWN if name in whole.by_draw][:_PANELS]
    main = NULLS[report.main_null]
    shots = [name for name in drawn if report.null_draws.get(name)]
    return render(
        _BODY,
        title=report.title,
        simulated=report.simulated,
        verdict=report.headlines,
        more=verdict(report)[1],
        facts=_facts(report),
        head=[
            "score", f"{whole.size:,} unit{'s' * (whole.size > 1)}", "above the prior", "p", main, "chance", "prior", "unrelated caption",
            "word salad", "ceiling",
        ],
        rows=[_row(report, whole, name) for name in names],
        table_note=_table_note(report, main),
        explained=[(_name(report, name), EXPLAINED.get(name) or report.label) for name in names],
        size_figure=_size_figure(report, drawn, main),
        size_caption=f"Dots: random subsets of units; line: their mean; band: its 95 % interval over {report.resampled} and subsets. "
        "Dashed: ceiling (true patches, and what is said of them), prior (the mean grid, and what is said of it), and chance where it is known. "
        f"Dotted: mean of the null ({main}). One decoder serves all sizes; nothing is retrained.",
        size_head=["units", "subsets", *[_name(report, name) for name in tested]],
        size_rows=[_size_row(one, tested, report.least_p) for one in report.sizes],
        size_note="Mean and 95 % interval, which takes in both the moments and which subset was drawn. The p-value asks less – whether these very subsets do better on the frames shown "
        f"than on others – so a score can beat its null while the interval still holds chance. Bold: beats the null ({main}) at 0.05 after Holm's correction over sizes; grey: does not."
        + f" Here it cannot be told ({untold(report.least_p)})." * bool(untold(report.least_p)),
        null_figure=_null_figure(report, whole, shots, main) if shots else "",
        null_caption=_null_caption(report, whole, main),
        contrast_head=["score", "chosen units", "random units", "difference", "p"],
        contrast=_contrast(report),
        contrast_note=_contrast_note(report),
        halves=_halves(report),
        example_note=f"{len(report.examples) - 1} moments drawn at random (seed {report.config['seed']}), not chosen by eye, and the one whose picture was found worst; narrated from {whole.size:,} units.",
        examples=[_example(one, stimulus) for one in report.examples],
        warnings=report.warnings,
        config=json.dumps(
            strict({"evaluate": report.config, "decoder": report.decoder_config, "versions": report.versions}),
            indent=1,
            ensure_ascii=False,
        ),
        foot=f"Made by napari-neurrator {report.versions['napari-neurrator']} in {report.seconds:.0f} s.",
    )  # fmt: skip


def _name(report: Report, score: str) -> str:
    return report.label_name if score == "label_accuracy" else SCORES[score]


def _facts(report: Report) -> list[tuple[str, str]]:
    fitted = "" if report.decoder_stimulus == report.stimulus else f" (fitted on {report.decoder_stimulus})"
    tested = f"{report.n:,} ({report.n_frames:,} frames, {report.repeats} showing{'s' * (report.repeats > 1)})"
    return [
        ("Decoder", f"{report.decoder_kind}{fitted}, profile {report.profile}; one for all subsets of units"),
        ("Split", report.split),
        (
            "Moments tested",
            f"{tested}, worth about {report.effective_moments:,.0f} independent ones by the autocorrelation of their scores",
        ),
        ("Put into words", f"{report.n_narrated:,} of them, for every subset of units"),
        ("Found among", f"{report.n_pictures:,} different pictures; frames that look alike count as one"),
        ("Sentences against", report.references),
        (report.label_name.capitalize(), report.label),
    ]


def _row(report: Report, whole: SizeResult, name: str) -> list[Cell]:
    null = whole.nulls.get(name, {}).get(report.main_null)
    p = whole.p.get(name)
    return [
        (_name(report, name), "", ""),
        _judged(getattr(whole, name), whole.ci.get(name), p, report.smallest_p),
        (
            number(whole.above_prior.get(name), signed=True),
            bounds_text(whole.above_prior_ci.get(name), signed=True),
            "",
        ),
        (p_text(p) or "–", LEAST if is_least(p, report.smallest_p) else "", ""),
        (number(null.mean) if null else "–", f"± {null.sd:.3f}" if null else "", ""),
        *[
            (number(level.get(name)), "", "")
            for level in (report.chance, report.prior, report.unrelated_caption, report.word_salad, report.ceiling)
        ],
    ]


def _size_row(result: SizeResult, names: list[str], least: float) -> list[Cell]:
    return [
        (f"{result.size:,}", "", ""),
        (str(result.draws), "", ""),
        *[_judged(getattr(result, name), result.ci.get(name), result.p_holm.get(name), least) for name in names],
    ]


def _judged(value: float, bounds: tuple[float, float] | None, p: float | None, least: float) -> Cell:
    """Return a score in bold or grey, by its p-value, and in neither where the least that is possible is too large to tell."""
    look = "" if p is None or untold(least) else "better" if p <= ALPHA else "not"
    return number(value), bounds_text(bounds), look


def _table_note(report: Report, main: str) -> str:
    return (
        f"Mean and 95 % interval over {report.resampled}; bold where the score beats the null at 0.05. {main.capitalize()}: mean ± standard deviation of the null. Chance: of sentences, always saying the most frequent one. Prior: the mean grid, of which the language model says "
        f"“{report.prior_sentence}” Unrelated caption: true sentences of other frames. Word salad: words at their frequency in the references. Ceiling: the true patches and what is said of them. "
        "A null lies below the prior where a decoder commits itself: held against another frame, a definite picture is worse than none."
    )


def _size_figure(report: Report, names: list[str], main: str) -> str:
    axes = panels(len(names))
    for one, name in zip(axes, names, strict=True):
        levels = {"prior": report.prior, "ceiling": report.ceiling, "chance": report.chance}
        found = [result.nulls.get(name, {}).get(report.main_null) for result in report.sizes]
        means = [null.mean for null in found if null is not None]
        against_size(
            one,
            [result.size for result in report.sizes],
            [result.by_draw[name] for result in report.sizes],
            [result.ci.get(name) for result in report.sizes],
            {level: values[name] for level, values in levels.items() if name in values},
            _name(report, name),
            null=(main, means) if len(means) == len(found) else None,
        )
    return svg(axes, "Score against the number of units")


def _null_figure(report: Report, whole: SizeResult, names: list[str], main: str) -> str:
    axes = panels(len(names), height=2.2)
    for one, name in zip(axes, names, strict=True):
        null_histogram(one, report.null_draws[name], getattr(whole, name), _name(report, name), main)
    return svg(axes, "Score under the null, and the one observed")


def _null_caption(report: Report, whole: SizeResult, main: str) -> str:
    n = len(next(iter(report.null_draws.values()), []))
    how = (
        f"The film was shifted circularly against what was decoded, by the same lag in every showing, so that both keep their autocorrelation; shown are lags of {report.config['gap_s']:g} s "
        "and more. P-values count the smaller lags too, without which they would come out too small."
        if report.main_null == "circular_shift"
        else "Frames were renamed at random, the same in all showings."
    )
    return f"Grey: the score with {whole.size:,} units under {n:,} draws of the null ({main}). {how}"


def _contrast(report: Report) -> list[list[Cell]]:
    found = report.size_matched
    if not found:
        return []
    return [
        [
            (_name(report, name), "", ""),
            (number(value), "", ""),
            (number(found["mean"][name]), "", ""),
            (number(value - found["mean"][name], signed=True), "", ""),
            (p_text(found["p_two_sided"][name]), "", ""),
        ]
        for name, value in found["observed"].items()
    ]


def _contrast_note(report: Report) -> str:
    found = report.size_matched
    if not found:
        return ""
    return (
        f"The {found['size']:,} units that were chosen, against {found['draws']} random sets of as many from all {found['pool']:,} units of the decoder (the chosen ones among them). "
        f"P-values are two-sided and not corrected; with so few sets none can fall below {2 / (1 + found['draws']):.3f}."
    )


def _halves(report: Report) -> list[str]:
    found = report.split_half
    if not found:
        return []
    units, showings = found["units"], found["showings"]
    sentences = [
        f"What all units decode deviates from the mean grid as the truth does with a cosine of {number(found['truth'])}. "
        f"Two random halves of the units ({units['size']:,} each) agree at the same moment by {number(units['agreement'])} on the same scale."
    ]
    if showings:
        sentences.append(
            f"What all units decode at two showings of the same frame agrees by {number(showings['agreement'])}. With that much change from showing to showing, the cosine with the truth "
            f"cannot be above the square root of the agreement, {number(showings['ceiling'])}, on average."
        )
    sentences.append("Agreement is no proof of truth: all of it rests on the same decoder.")
    return sentences


def _example(example: Example, stimulus: "Stimulus") -> dict:
    scores = f"Patch cosine {example.patch_cosine:.3f}; nearer to the true picture than to {percent(example.rank)} of the others"
    if example.sbert is not None:
        scores += f"; SBERT {example.sbert:.3f}"
    return {
        "frame": example.frame,
        "text": example.text,
        "worst": example.worst,
        "time": f"{example.time:.2f}",
        "reference": " / ".join(example.references[:2]),
        "scores": scores,
        "picture": picture(stimulus.frame(example.frame)),
    }
