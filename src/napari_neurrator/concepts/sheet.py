"""A contact sheet: for each feature the frames that drive it most, as one HTML file."""

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..errors import NeurratorError
from ..vision.geometry import PatchGeometry
from ..writing import written
from .dictionary import Dictionary

_HEIGHT = 120
_STYLE = (
    "body{font:14px sans-serif;margin:24px;background:#111;color:#ddd}h2{font-size:15px;margin:18px 0 4px}"
    "img{height:120px;margin-right:4px;border-radius:3px}small{color:#999;font-weight:normal}p{max-width:60em;color:#aaa}"
)


def contact_sheet(
    dictionary: Dictionary,
    stimulus: Any,
    geometry: PatchGeometry,
    found: dict[int, list[tuple[int, int, float]]],
    out: str | Path,
) -> None:
    """Write the sheet; the patch is framed on every picture.

    Parameters
    ----------
    dictionary : Dictionary
        Names the features.
    stimulus : Stimulus
        Gives the frames.
    geometry : PatchGeometry
        Where patches lie on them.
    found : dict
        For each feature (frame, patch, activation), as `top_frames` returns them.
    out : path-like
        File to write.

    Raises
    ------
    NeurratorError
        The file cannot be written.
    """
    rows = []
    for feature, looks in found.items():
        entry = dictionary.names[feature]
        pictures = "".join(
            f'<img title="frame {frame}, activation {value:.3g}" alt="frame {frame}" src="data:image/jpeg;base64,{_thumbnail(stimulus.frame(frame), geometry, patch)}">'
            for frame, patch, value in looks
        )
        name = html.escape(entry["name"] or "no name")
        rows.append(
            f"<h2>{name} <small>feature {feature}, score {entry['score']:.2f}</small></h2>{pictures or '<p>active nowhere</p>'}"
        )
    title = f"What drives the features of {html.escape(dictionary.source.name)} in {html.escape(str(stimulus.name))}"
    note = "The frame marks the patch. A name is what CLIP finds most alike in these pictures; it is a guess, and the pictures are the evidence."
    page = f"<!doctype html><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><p>{note}</p>{''.join(rows)}\n"
    target = Path(out).expanduser()
    try:
        with written(target) as part:
            part.write_text(page, encoding="utf-8")
    except OSError as error:
        raise NeurratorError(f"The contact sheet cannot be written to {target}: {error.strerror or error}.") from error


def _thumbnail(frame: np.ndarray, geometry: PatchGeometry, patch: int) -> str:
    """Return a small JPEG of a frame with the patch framed, in base64."""
    factor = _HEIGHT / frame.shape[0]
    small = Image.fromarray(frame).resize((max(1, round(frame.shape[1] * factor)), _HEIGHT))
    row, column = divmod(patch, geometry.columns)
    top = (geometry.crop[0] + row * geometry.scale[0]) * factor
    left = (geometry.crop[1] + column * geometry.scale[1]) * factor
    box = (left, top, left + geometry.scale[1] * factor, top + geometry.scale[0] * factor)
    ImageDraw.Draw(small).rectangle(box, outline=(255, 210, 0), width=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
