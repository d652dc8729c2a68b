"""One narration as a figure for a paper: the frame with its sentence, who speaks, and the evidence."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from ..backend.narrations import Narration
from ..errors import NeurratorError
from .files import written
from .pictures import Overlay, greyed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..recording import Recording
    from ..recording.stimulus import Stimulus

# Okabe and Ito's colours, told apart by all eyes.
_CYCLE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
_INK, _QUIET, _FAINT = "#1b1b1b", "#6b6b6b", "#d5d5d5"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    # Letters stay letters, so that they can be edited.
    "svg.fonttype": "none",
    "svg.hashsalt": "neurrator",
    "pdf.fonttype": 42,
}
_MM = 1 / 25.4


def write_figure(
    path: str | Path,
    narration: Narration,
    recording: "Recording",
    stimulus: "Stimulus",
    overlay: Overlay | None = None,
    contribution: Mapping[Any, float] | None = None,
    dpi: int = 300,
) -> Path:
    """Write a figure of one narration, two columns of a page wide (180 mm), at once or not at all.

    Parameters
    ----------
    path : path-like
        File to write: ``.png``, ``.svg`` or ``.pdf``.
    narration : Narration
        What is shown.
    recording, stimulus : Recording, Stimulus
        Where the units are, and the frames.
    overlay : Overlay, optional
        Heatmap on the frame.
    contribution : mapping, optional
        From unit id to its signed contribution, shown as colour; by default units are coloured by region.
    dpi : int
        Of a PNG.

    Raises
    ------
    NeurratorError
        Another kind of file, units that the recording does not have, or it cannot be written there.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise NeurratorError(f"{path.name} is no figure that can be written: let it end in .png, .svg or .pdf.")
    figure = narration_figure(narration, recording, stimulus, overlay, contribution)
    metadata = (
        {"Date": None}
        if path.suffix.lower() == ".svg"
        else {"CreationDate": None}
        if path.suffix.lower() == ".pdf"
        else {}
    )
    with written(path) as part, matplotlib.rc_context(_STYLE):
        figure.savefig(part, dpi=dpi, metadata=metadata, facecolor="white")
    return path


def narration_figure(
    narration: Narration,
    recording: "Recording",
    stimulus: "Stimulus",
    overlay: Overlay | None = None,
    contribution: Mapping[Any, float] | None = None,
) -> "Figure":
    """Return the figure of `write_figure`."""
    from matplotlib.figure import Figure

    known = set(recording.unit_ids)
    strange = [unit for unit in narration.unit_ids if unit not in known]
    if strange:
        raise NeurratorError(
            f"The unit {strange[0]!r} of the narration is not in {recording.name}: give the recording that was narrated."
        )
    if narration.frame >= stimulus.n_frames:
        raise NeurratorError(
            f"Frame {narration.frame} was narrated, and {stimulus.name} has {stimulus.n_frames}: give the frames that were shown."
        )
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(180 * _MM, 96 * _MM))
        _frame(figure, narration, stimulus, overlay)
        _probe(figure.add_axes((0.585, 0.52, 0.28, 0.4)), narration, recording, contribution)
        _evidence(figure.add_axes((0.585, 0.2, 0.28, 0.15)), narration)
        for letter, (x, y) in zip("abc", ((0.02, 0.965), (0.515, 0.965), (0.515, 0.39)), strict=True):
            figure.text(x, y, letter, fontsize=10, fontweight="bold", ha="left", va="center")
    return figure


def _frame(figure: "Figure", narration: Narration, stimulus: "Stimulus", overlay: Overlay | None) -> None:
    frame = stimulus.frame(narration.frame)
    axes = figure.add_axes((0.02, 0.28, 0.46, 0.645))
    axes.imshow(frame, interpolation="nearest")
    axes.set_anchor("NW")
    if overlay is not None:
        geometry = overlay.geometry
        top, left, height, width = geometry.crop
        drawn = axes.imshow(
            overlay.values, cmap="inferno", vmin=overlay.bottom, vmax=overlay.top, alpha=0.75 * overlay.share, interpolation="bicubic",
            extent=(left - 0.5, left + width - 0.5, top + height - 0.5, top - 0.5),
        )  # fmt: skip
        bar = figure.colorbar(drawn, cax=figure.add_axes((0.02, 0.245, 0.2, 0.016)), orientation="horizontal")
        if bar.solids is not None:
            bar.solids.set_alpha(1)
        bar.outline.set_linewidth(0.4)
        bar.ax.tick_params(length=2, labelsize=6)
        figure.text(0.232, 0.253, overlay.name, fontsize=7, va="center")
        axes.set_xlim(-0.5, frame.shape[1] - 0.5)
        axes.set_ylim(frame.shape[0] - 0.5, -0.5)
    axes.set_axis_off()
    about = (
        f"{narration.stimulus}, frame {narration.frame}, showing {narration.repeat + 1}, {narration.start_time:.2f} s"
    )
    figure.text(0.045, 0.965, about + (" (simulated)" if narration.simulated else ""), fontsize=7, va="center")
    quiet = greyed(narration)
    y = 0.255 if overlay is None else 0.19
    bold = "normal" if quiet else "bold"
    y = _lines(figure, y, f"“{narration.text}”", 8.5, 46, _QUIET if quiet else _INK, bold) - 0.01
    for label, text in (("Of the true frame: ", narration.reference), ("Of nothing: ", narration.prior)):
        if text:
            y = _lines(figure, y, label + text, 6.5, 66, _QUIET, "normal")


def _lines(figure: "Figure", y: float, text: str, size: float, width: int, colour: str, weight: str) -> float:
    """Write some lines from `y` downwards; return where they end."""
    wrapped = textwrap.wrap(text, width)[:3]
    figure.text(0.02, y, "\n".join(wrapped), fontsize=size, color=colour, fontweight=weight, va="top", linespacing=1.25)
    # Points to the figure's height of 96 mm.
    return y - len(wrapped) * size * 1.4 / 72 * 25.4 / 96


def _probe(axes: Any, narration: Narration, recording: "Recording", contribution: Mapping[Any, float] | None) -> None:
    units = recording.units
    placed = units[np.isfinite(units[["x_um", "y_um"]]).all(axis=1)]
    probes = list(dict.fromkeys(placed["probe"]))
    wide = float(placed.groupby("probe")["x_um"].agg(lambda x: x.max() - x.min()).max()) if len(placed) else 0.0
    # Probes stand side by side; the distance between them is not that in the brain.
    step = 4 * max(wide, 16.0)
    shift = {probe: step * number for number, probe in enumerate(probes)}
    x = placed["x_um"] - placed.groupby("probe")["x_um"].transform("min") + placed["probe"].map(shift)
    # Units on one contact would hide each other.
    x = x + np.random.default_rng(0).uniform(-0.22, 0.22, len(x)) * step
    speaks = placed.index.isin(set(narration.unit_ids))
    axes.scatter(x[~speaks], placed["y_um"][~speaks], s=3, color=_FAINT, linewidths=0)
    if contribution is not None:
        values = np.array([contribution.get(unit, 0.0) for unit in placed.index[speaks]])
        limit = max(float(np.abs(values).max(initial=0.0)), 1e-9)
        order = np.argsort(np.abs(values))
        drawn = axes.scatter(
            x[speaks].to_numpy()[order],
            placed["y_um"][speaks].to_numpy()[order],
            s=9,
            c=values[order],
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            edgecolors=_QUIET,
            linewidths=0.2,
        )
        bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.04, 0.1, 0.035, 0.8)))
        bar.set_label("contribution", fontsize=7)
        bar.outline.set_linewidth(0.4)
    else:
        regions = placed["region"][speaks].value_counts().index
        for number, region in enumerate(regions):
            here = speaks & (placed["region"] == region).to_numpy()
            colour = _CYCLE[number] if number < len(_CYCLE) else _QUIET
            axes.scatter(
                x[here], placed["y_um"][here], s=8, color=colour, linewidths=0, label=f"{region} ({here.sum()})"
            )
        if len(regions):
            axes.legend(
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
                frameon=False,
                fontsize=6.5,
                handletextpad=0.1,
                labelspacing=0.25,
                borderaxespad=0.2,
                markerscale=1.3,
            )
    axes.set_xticks(
        [shift[probe] + wide / 2 for probe in probes],
        [str(probe).removeprefix("probe") or str(probe) for probe in probes],
    )
    axes.set_xlabel("probe")
    axes.set_ylabel("position (µm)")
    axes.set_title(f"{len(narration.unit_ids):,} units speak", fontweight="normal", pad=4)
    axes.tick_params(length=2)


def _evidence(axes: Any, narration: Narration) -> None:
    evidence = narration.evidence
    cosine = evidence.patch_cosine if evidence is not None else narration.patch_cosine
    prior = evidence.prior_cosine if evidence is not None else narration.prior_patch_cosine
    axes.set_title("Evidence", fontweight="normal", pad=4)
    if cosine is None or prior is None:
        axes.text(0, 0.5, "none was measured", transform=axes.transAxes, color=_QUIET)
        axes.set_axis_off()
        return
    names, values = ["decoded", "mean grid"], [cosine, prior]
    if evidence is not None and evidence.usual is not None:
        # What an unrelated frame scores: the prior's cosine and the usual gain.
        names, values = ["decoded", "other frames", "mean grid"], [cosine, prior + evidence.usual, prior]
    colours = [_QUIET if greyed(narration) else _CYCLE[0], "#9c9c9c", _FAINT]
    places = np.arange(len(values))[::-1]
    axes.barh(places, values, color=[colours[0], *colours[-(len(values) - 1) :]], height=0.65)
    for place, value in zip(places, values, strict=True):
        axes.text(max(value, 0) + 0.01, place, f"{value:.3f}", va="center", fontsize=7)
    axes.set_yticks(places, names)
    axes.set_xlim(min(0.0, *values), 1.12)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("cosine with the true patches")
    axes.tick_params(length=2)
    if evidence is not None:
        axes.text(
            -0.2,
            -0.72,
            "\n".join(textwrap.wrap(evidence.in_words, 58)[:3]),
            transform=axes.transAxes,
            va="top",
            fontsize=6.5,
            color=_QUIET,
        )
