"""Draw on frames: a heatmap, a sentence."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..backend.narrations import Narration
from ..vision.geometry import PatchGeometry

_WHITE, _GREY = (255, 255, 255), (150, 150, 150)


@dataclass(frozen=True, eq=False)
class Overlay:
    """A heatmap and where it lies on the frame.

    Attributes
    ----------
    values : numpy.ndarray
        float (rows, columns).
    geometry : PatchGeometry
        Of these rows and columns on the frame.
    name : str
        What it shows.
    top, bottom : float
        The values that are brightest, and darkest: of those nothing is seen.
    """

    values: np.ndarray
    geometry: PatchGeometry
    name: str
    top: float
    bottom: float = 0.0

    @property
    def share(self) -> np.ndarray:
        """The values from 0 (darkest) to 1 (brightest)."""
        return np.clip((self.values - self.bottom) / max(self.top - self.bottom, 1e-9), 0, 1).astype(np.float32)


def greyed(narration: Narration) -> bool:
    """Whether a sentence is shown greyed: it was tested and is not more than chance."""
    return narration.evidence is not None and narration.evidence.better is False


def blend(frame: np.ndarray, overlay: Overlay, opacity: float = 0.75) -> np.ndarray:
    """Lay a heatmap on a frame, uint8 (height, width, 3): the brighter, the less of the frame is seen."""
    import matplotlib

    geometry = overlay.geometry
    share = overlay.share
    top, left, height, width = (round(number) for number in geometry.crop)
    resized = np.asarray(Image.fromarray(share).resize((max(width, 1), max(height, 1)), Image.Resampling.BICUBIC)).clip(
        0, 1
    )
    whole = np.zeros(frame.shape[:2], np.float32)
    part = whole[max(top, 0) : top + height, max(left, 0) : left + width]
    part[:] = resized[: part.shape[0], : part.shape[1]]
    colours = matplotlib.colormaps["inferno"](whole)[..., :3] * 255
    weight = (opacity * whole)[..., None]
    return (frame * (1 - weight) + colours * weight).round().astype(np.uint8)


def captioned(frame: np.ndarray, narration: Narration | None, overlay: Overlay | None, height: int) -> np.ndarray:
    """Return a frame of a captioned movie, of even size: enlarged to `height` at least, a sentence in a band below it."""
    picture = frame if overlay is None else blend(frame, overlay)
    scale = max(1, -(-height // picture.shape[0]))
    image = Image.fromarray(np.ascontiguousarray(picture))
    size = (image.width * scale // 2 * 2, image.height * scale // 2 * 2)
    image = image.resize(size, Image.Resampling.LANCZOS)
    letters = max(12, size[0] // 32)
    band = (letters * 4 + 1) // 2 * 2
    canvas = Image.new("RGB", (size[0], size[1] + band), (0, 0, 0))
    canvas.paste(image, (0, 0))
    if narration is not None:
        _write(canvas, narration, letters, band)
    return np.asarray(canvas)


def _write(canvas: Image.Image, narration: Narration, letters: int, band: int) -> None:
    draw = ImageDraw.Draw(canvas)
    font = _font(letters)
    lines = _wrapped(narration.text, font, canvas.width - 2 * letters)
    while len(lines) > 3 and letters > 9:
        letters -= 1
        font = _font(letters)
        lines = _wrapped(narration.text, font, canvas.width - 2 * letters)
    spacing = letters * 1.2
    y = canvas.height - band / 2 - spacing * (len(lines) - 1) / 2
    for line in lines:
        draw.text((canvas.width / 2, y), line, font=font, fill=_GREY if greyed(narration) else _WHITE, anchor="mm")
        y += spacing


def _wrapped(text: str, font: Any, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=32)
def _font(size: int) -> Any:
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
