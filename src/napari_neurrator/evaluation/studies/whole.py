"""What studies that evaluate whole decoders have in common: rows of scores, and curves."""

from collections.abc import Sequence

from ..figures import CYCLE, against_size, panels, svg
from ..html import bounds_text, is_least, number, p_cell
from ..report import Report, SizeResult
from ..tables import SCORES

# Scores of the tables, and those that are drawn.
SHOWN = ("two_way", "patch_cosine", "retrieval_top1", "label_accuracy", "sbert")
DRAWN = ("two_way", "patch_cosine", "sbert")
HEAD = ["score", "units", "mean", "above the prior", "p (corrected)", "null", "prior", "ceiling"]


def rows_of(report: Report, result: SizeResult) -> list[list[str]]:
    """Return a table's rows, one a score, for one size of an evaluation."""
    rows = []
    for name in SHOWN:
        if name not in result.by_draw:
            continue
        null = result.nulls[name].get(report.main_null)
        rows.append(
            [
                report.label_name if name == "label_accuracy" else SCORES[name],
                f"{result.size:,}",
                f"{number(getattr(result, name))} {bounds_text(result.ci[name])}".strip(),
                f"{number(result.above_prior[name], signed=True)} {bounds_text(result.above_prior_ci[name], signed=True)}".strip(),
                p_cell(result.p_holm.get(name), is_least(result.p.get(name), report.smallest_p)),
                number(null.mean) if null else "–",
                number(report.prior.get(name)),
                number(report.ceiling.get(name)),
            ]
        )
    return rows


def curves(reports: Sequence[tuple[str, Report]], label: str) -> str:
    """Draw scores against the number of units, one curve a report, as SVG."""
    names = [name for name in DRAWN if all(name in report.sizes[-1].by_draw for _, report in reports)]
    axes = panels(len(names), width=4.6, height=3.0)
    for one, name in zip(axes, names, strict=True):
        for place, (title, report) in enumerate(reports):
            against_size(
                one,
                [result.size for result in report.sizes],
                [result.by_draw[name] for result in report.sizes],
                [result.ci[name] for result in report.sizes],
                {},
                SCORES[name],
                CYCLE[place % len(CYCLE)],
                dots=False,
                label=title,
            )
        if len(reports) > 1:
            one.legend(frameon=False, fontsize=8)
    return svg(axes, label)
