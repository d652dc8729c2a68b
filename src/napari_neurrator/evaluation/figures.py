"""Figures of a report, as SVG that a page can hold. Colours are CSS variables of the page, so that figures follow its light or dark scheme."""

import html
import io
import re
import textwrap
import zlib
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg", force=False)

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by all eyes.
BLUE, ORANGE, GREEN, PURPLE, RED, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#666666",
)  # fmt: skip
INK, PAPER, STRIP = "#1b1b1b", "#fefefe", "#c4c4c4"
# The page's CSS variables.
_VARIABLES = {
    INK: "ink", PAPER: "paper", STRIP: "strip", GREY: "quiet", BLUE: "blue", ORANGE: "orange", GREEN: "green", PURPLE: "purple", RED: "red",
    SKY: "sky",
}  # fmt: skip
# Left, bottom, width and height of axes with names at their right end, as shares of the figure, and letters in a line of such a name.
_BOX, _NAME_WIDTH = (0.135, 0.155, 0.635, 0.745), 16
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY, INK)
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "neurrator",
}


def panels(number: int, width: float = 4.9, height: float = 3.0) -> list[Axes]:
    """Return the axes of `number` figures of one panel each: the page sets them side by side, or below each other where it is narrow."""
    with matplotlib.rc_context(_STYLE):
        axes = [Figure(figsize=(width, height), layout="constrained").add_subplot() for _ in range(number)]
    for one in axes:
        one.figure.set_facecolor("none")
        one.set_facecolor("none")
    return axes


def svg(panels: Sequence[Axes], label: str) -> str:
    """Return panels as ``<svg>`` elements in a ``<div>``; `label` says to those who cannot see them what they show."""
    parts = []
    for number, axes in enumerate(panels):
        stream = io.StringIO()
        figure = axes.get_figure(root=True)
        assert isinstance(figure, Figure)
        with matplotlib.rc_context(_STYLE):
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        text = stream.getvalue()
        text = text[text.index("<svg") :]
        # One page holds many of these: names of parts must not meet, and only those that are referred to are needed.
        mark = f"f{zlib.crc32(text.encode()):08x}{number}-"
        text = re.sub(r'<g id="[^"]*">', "<g>", text)
        text = re.sub(r'\bid="', f'id="{mark}', text)
        text = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{mark}", text)
        for colour, name in _VARIABLES.items():
            text = re.sub(colour, f"var(--{name}, {colour})", text, flags=re.IGNORECASE)
        name = html.escape(f"{label}: {axes.get_title(loc='left') or axes.get_xlabel()}", quote=True)
        parts.append(text.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1))
    return f'<div class="panels">{"".join(parts)}</div>'


def against_size(
    axes: Axes,
    sizes: Sequence[int],
    by_draw: Sequence[Sequence[float]],
    intervals: Sequence[tuple[float, float] | None],
    lines: dict[str, float],
    title: str,
    color: str = BLUE,
    dots: bool = True,
    null: tuple[str, Sequence[float]] | None = None,
    label: str | None = None,
) -> None:
    """Draw a score against the number of units.

    Parameters
    ----------
    axes : Axes
        Where.
    sizes : sequence of int
        Numbers of units, ascending.
    by_draw : sequence of sequences
        The score of each subset, for each size: all are drawn as dots, and their mean as a line.
    intervals : sequence
        Confidence interval of the mean for each size, or None.
    lines : dict
        Levels to compare with, labelled at the line.
    title : str
        What the score is.
    color : str
        Of dots, line and band.
    dots : bool
        Whether single subsets are drawn.
    null : tuple of str and sequence, optional
        Name and mean of a null, for each size.
    label : str, optional
        Name of the curve in a legend.
    """
    with matplotlib.rc_context(_STYLE):
        mean = [float(np.mean(values)) for values in by_draw]
        known = [place for place, bounds in enumerate(intervals) if bounds is not None]
        if known:
            bounds = np.array([intervals[place] for place in known], dtype=float)
            at = np.array([sizes[place] for place in known], dtype=float)
            if len(at) == 1:
                axes.vlines(at, bounds[:, 0], bounds[:, 1], color=color, alpha=0.5, lw=2)
            else:
                axes.fill_between(at, bounds[:, 0], bounds[:, 1], color=color, alpha=0.18, lw=0)
        if dots:
            for size, values in zip(sizes, by_draw, strict=True):
                axes.plot([size] * len(values), values, "o", ms=3, mfc=color, mec="none", alpha=0.45)
        axes.plot(sizes, mean, "-o", color=color, lw=1.6, ms=4.5, mec=PAPER, mew=0.7, label=label)
        if null is not None:
            axes.plot(sizes, null[1], color=GREY, lw=1.1, ls=(0, (1, 1.5)))
            lines = {**lines, null[0]: float(null[1][-1])}
        if len(sizes) > 1:
            axes.set_xscale("log")
        # Labels of neighbours would lie on each other.
        shown = [size for size in sizes[:-1] if sizes[-1] / size > 1.6] + [sizes[-1]]
        axes.set_xticks(shown, [f"{size:,}" for size in shown])
        axes.xaxis.minorticks_off()
        axes.set_xlabel("number of units")
        axes.set_ylabel("share" if _is_share(title) else "cosine" if "cosine" in title.lower() else "score")
        axes.set_title(title)
        axes.margins(y=0.08)
        level_lines(axes, lines, null[0] if null is not None else None)


def _is_share(title: str) -> bool:
    return any(word in title for word in ("identification", "retrieval", "named", "different", "same sentence"))


def level_lines(axes: Axes, lines: dict[str, float], curve: str | None = None) -> None:
    """Draw horizontal levels and name each at its right end; levels that lie together share a label, and `curve` is named but not drawn."""
    if not lines:
        return
    axes.autoscale_view()
    low, high = axes.get_ylim()
    low, high = min(low, *lines.values()), max(high, *lines.values())
    span = max(high - low, 1e-6)
    low, high = low - 0.04 * span, high + 0.04 * span
    span = high - low
    axes.set_ylim(low, high)
    groups: list[tuple[list[str], float]] = []
    for name, value in sorted(lines.items(), key=lambda pair: pair[1]):
        if groups and value - groups[-1][1] < 0.015 * span:
            groups[-1][0].append(name)
        else:
            groups.append(([name], value))
    # The same place for all panels of a row, however long the names are.
    axes.get_figure(root=True).set_layout_engine("none")  # type: ignore[union-attr]
    axes.set_position(_BOX)
    place, below = -np.inf, 0
    for names, value in groups:
        if names != [curve]:
            axes.axhline(value, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=0)
        lines_here = _wrapped(names).count("\n") + 1
        place = max(value, place + 0.0425 * (below + lines_here) * span)
        below = lines_here
        axes.annotate(
            _wrapped(names), xy=(1, value), xytext=(1.02, place), xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"), va="center", ha="left", fontsize=7.5, color=GREY, annotation_clip=False,
        )  # fmt: skip


def _wrapped(names: Sequence[str]) -> str:
    return textwrap.fill(", ".join(names), _NAME_WIDTH)


def null_histogram(axes: Axes, null: Sequence[float], observed: float, title: str, null_name: str) -> None:
    """Draw the distribution of a score under a null, and where the observed one lies."""
    with matplotlib.rc_context(_STYLE):
        bins = min(30, max(5, int(np.sqrt(len(null)) * 1.5)))
        least, most = float(np.min(null)), float(np.max(null))
        # A null that is nearly one value would otherwise be drawn much wider than it is.
        thin = max(max(most, observed) - min(least, observed), 1e-6) / 40
        span = (least, most) if most - least > thin else ((least + most - thin) / 2, (least + most + thin) / 2)
        axes.hist(null, bins=bins if most - least > thin else 1, range=span, color=STRIP, edgecolor=PAPER, lw=0.4)
        axes.axvline(observed, color=RED, lw=1.8)
        axes.margins(x=0.06)
        top = axes.get_ylim()[1]
        axes.set_ylim(0, top * 1.22)
        low, high = axes.get_xlim()
        right = observed > (low + high) / 2
        axes.annotate(
            f"observed {observed:.3f}", xy=(observed, top * 1.14), xytext=(-5 if right else 5, 0), textcoords="offset points",
            ha="right" if right else "left", va="center", color=RED, fontsize=8,
        )  # fmt: skip
        middle = float(np.mean(null))
        axes.annotate(
            f"{null_name}, mean {middle:.3f}", xy=(middle, top * 1.02), ha="left" if middle < (low + high) / 2 else "right", va="center",
            color=GREY, fontsize=8,
        )  # fmt: skip
        axes.set_xlabel(title)
        axes.set_ylabel("number of draws")


def bars_with_dots(
    axes: Axes,
    names: Sequence[str],
    by_draw: Sequence[Sequence[float]],
    nulls: Sequence[Sequence[float]],
    title: str,
    control: Sequence[str] = (),
) -> None:
    """Draw groups beside each other: every draw a dot, the mean a mark, the null as a grey strip of its middle 95 %; controls in grey."""
    crowded = sum(map(len, names)) > 60
    with matplotlib.rc_context(_STYLE):
        for place, (values, null) in enumerate(zip(by_draw, nulls, strict=True)):
            if len(null):
                low, high = np.quantile(null, [0.025, 0.975])
                axes.add_patch(matplotlib.patches.Rectangle((place - 0.32, low), 0.64, high - low, color=STRIP, lw=0))
            # Spread evenly, in an order of no meaning.
            spread = 0.36 * ((np.arange(len(values)) * 0.618034) % 1.0 - 0.5) if len(values) > 1 else np.zeros(1)
            color = GREY if names[place] in control else CYCLE[place % len(CYCLE)]
            axes.plot(place + spread, values, "o", ms=3.2, mfc=color, mec="none", alpha=0.55)
            axes.plot([place - 0.25, place + 0.25], [np.mean(values)] * 2, color=color, lw=2.2)
        axes.set_xticks(
            range(len(names)),
            names,
            rotation=30 if crowded else 0,
            ha="right" if crowded else "center",
        )
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_title(title)
        axes.margins(y=0.1)
