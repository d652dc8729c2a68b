"""How results show themselves in a notebook."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .backend.narrations import Narration
from .decoding.info import DecoderInfo

if TYPE_CHECKING:
    from .recording.stimulus import Stimulus

_THUMBNAIL = 160
_CARD = (
    "display:flex;gap:14px;align-items:flex-start;margin:0 0 12px;font:13px/1.45 system-ui,sans-serif;max-width:760px"
)
_QUIET = "opacity:.62;font-size:12px"


def narration_cards(lines: Sequence[Narration], stimulus: "Stimulus", total: int) -> str:
    """Return sentences with frame, evidence and concepts as HTML; `total` is how many there are with those that are not shown."""
    more = f'<div style="{_QUIET}">and {total - len(lines):,} more</div>' if total > len(lines) else ""
    return "".join(narration_card(one, stimulus) for one in lines) + more


def narration_card(one: Narration, stimulus: "Stimulus") -> str:
    """Return one sentence with its frame, evidence and concepts as HTML."""
    say = html.escape
    grey = one.evidence is not None and one.evidence.better is False
    style = "font-size:15px;opacity:.5" if grey else "font-size:15px;font-weight:600"
    about = f"{one.stimulus}, frame {one.frame}, showing {one.repeat + 1}, {len(one.unit_ids):,} units"
    parts = [
        f'<div style="{style}">{say(one.text)}</div>',
        f'<div style="{_QUIET}">{say(about)}{" (simulated)" if one.simulated else ""}</div>',
        _bars(one),
    ]
    if one.evidence is not None:
        parts.append(f'<div style="{_QUIET}">{say(one.evidence.in_words)}</div>')
    if one.reference:
        parts.append(f'<div style="{_QUIET}">Of the true frame: {say(one.reference)}</div>')
    if one.concepts:
        chips = "".join(
            f'<span style="border:1px solid #8886;border-radius:9px;padding:0 7px;margin:0 4px 2px 0;display:inline-block">{say(str(c["name"]))} {c["strength"]:.1f}</span>'
            for c in one.concepts
        )
        parts.append(
            f'<div style="font-size:12px;margin-top:3px" title="standard deviations above what is usual">{chips}</div>'
        )
    return f'<div style="{_CARD}"><img alt="frame {one.frame}" width="{_THUMBNAIL}" src="{_thumbnail(one, stimulus)}"><div>{"".join(parts)}</div></div>'


def _bars(one: Narration) -> str:
    """Return patch cosine beside that of the mean grid."""
    rows = [("decoded", one.patch_cosine, "#0072B2"), ("mean grid", one.prior_patch_cosine, "#9c9c9c")]
    return "".join(
        f'<div style="display:flex;align-items:center;gap:6px;font-size:12px"><span style="width:66px">{name}</span>'
        f'<span style="background:{colour};height:8px;width:{100 * max(value, 0):.0f}px"></span><span>{value:.3f}</span></div>'
        for name, value, colour in rows
        if value is not None
    )


def _thumbnail(one: Narration, stimulus: "Stimulus") -> str:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(stimulus.frame(one.frame)))
    picture.thumbnail((2 * _THUMBNAIL, 2 * _THUMBNAIL))
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def decoder_card(info: DecoderInfo, folder: Path) -> str:
    """Return what a decoder is as HTML."""
    say, scores = html.escape, info.metrics
    rows = [
        ("recording", info.recording),
        ("stimulus", info.stimulus),
        ("units", f"{len(info.unit_ids):,}"),
        ("kind", info.kind),
        ("profile", info.profile),
        ("held out", info.config.split),
        ("folder", str(folder)),
    ]
    if scores:
        rows.insert(
            6,
            (
                "frame found",
                f"{scores['frame_accuracy']:.1%} of {scores['moments']:.0f} held-out moments (chance {scores['chance']:.1%})",
            ),
        )
        rows.insert(7, ("patch cosine", f"{scores['patch_cosine']:.3f} (mean grid {scores['prior_cosine']:.3f})"))
    body = "".join(
        f'<tr><td style="text-align:left;opacity:.62">{say(name)}</td><td style="text-align:left">{say(str(value))}</td></tr>'
        for name, value in rows
    )
    return f'<table style="font:13px system-ui,sans-serif">{body}</table>'
