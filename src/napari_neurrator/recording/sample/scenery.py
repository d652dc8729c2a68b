"""Places for the film: layered landscapes drawn as SVG, seen by a drifting camera, by day and by night."""

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import resvg_py
from PIL import Image

from .objects import KINDS, sprite

PLACES: tuple[str, ...] = ("beach", "forest", "city", "mountains", "desert", "meadow")

# Drawing units: a picture is 200 high; a layer is 2.2 pictures of 4:3 wide, so that the camera can pan.
_HEIGHT = 200.0
_WIDTH = _HEIGHT * 4 / 3
_PANORAMA = 1.6 * _WIDTH
# How far each layer moves with the camera: far things move less.
_PARALLAX = {"sky": 0.0, "clouds": 0.15, "far": 0.35, "middle": 0.65, "ground": 1.0}
_NIGHT = np.array([0.36, 0.43, 0.66], dtype=np.float32)
_NIGHT_ACTOR = np.array([0.68, 0.72, 0.88], dtype=np.float32)


@dataclass(frozen=True)
class Actor:
    """An object in the picture.

    Attributes
    ----------
    kind : str
        A key of `objects.KINDS`.
    x : float
        Centre, share of the frame's width.
    y : float
        Share of the frame's height, from the top: where a ground object stands, or the centre of one in the air.
    height : float
        Share of the frame's height.
    flip : bool
        Mirrored.
    tilt : float
        Counter-clockwise turn, degrees.
    """

    kind: str
    x: float
    y: float
    height: float
    flip: bool = False
    tilt: float = 0.0


class Scenery:
    """One place at one time of day.

    Parameters
    ----------
    place : str
        One of `PLACES`.
    night : bool
        Night instead of day.
    seed : int
        Decides shapes and shades.
    size : tuple of int
        (width, height) of the frames, pixels.
    """

    def __init__(self, place: str, night: bool, seed: int, size: tuple[int, int]):
        self.place, self.night, self.size = place, night, size
        rng = np.random.default_rng([seed, PLACES.index(place), night])
        svgs = _LANDSCAPES[place](rng, night)
        self._layers = {name: self._rasterise(svg, name) for name, svg in svgs.items()}
        self._drift = rng.uniform(0.002, 0.006)

    def _rasterise(self, svg: str, layer: str) -> np.ndarray:
        width, height = self.size
        scale = height / _HEIGHT
        units = max(_WIDTH, width / scale) + _PARALLAX[layer] * (_PANORAMA - _WIDTH) + (60 if layer == "clouds" else 0)
        document = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {units:.2f} {_HEIGHT}" width="{units * scale:.0f}" '
            f'height="{height}">{svg}</svg>'
        )
        png = resvg_py.svg_to_bytes(svg_string=document, skip_system_fonts=True)
        picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.float32) / 255
        if self.night and layer != "sky":
            # Lit windows and lamps are drawn pure yellow and keep their light.
            lamp = (picture[..., 0] > 0.95) & (picture[..., 1] > 0.8) & (picture[..., 2] < 0.55)
            picture[..., :3] *= np.where(lamp[..., None], 1.0, _NIGHT)
        picture[..., :3] *= picture[..., 3:]
        return picture

    def render(self, camera: float, actors: Sequence[Actor], time_s: float = 0.0) -> np.ndarray:
        """Draw a frame.

        Parameters
        ----------
        camera : float
            Pan position, 0 (left end) to 1.
        actors : sequence of Actor
            Drawn in this order.
        time_s : float
            Seconds since the scene began: clouds move.

        Returns
        -------
        numpy.ndarray
            uint8 (height, width, 3).
        """
        width, height = self.size
        canvas = np.zeros((height, width, 3), dtype=np.float32)
        for name, layer in self._layers.items():
            room = layer.shape[1] - width
            offset = camera * room * (0.7 if name == "clouds" else 1.0)
            if name == "clouds":
                offset += min(time_s * self._drift * width, room * 0.3)
            window = _shifted(layer, float(np.clip(offset, 0, max(room, 0))), width)
            canvas *= 1 - window[..., 3:]
            canvas += window[..., :3]
        for actor in actors:
            self._place(canvas, actor)
        return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _place(self, canvas: np.ndarray, actor: Actor) -> None:
        height, width = canvas.shape[:2]
        picture = sprite(actor.kind, max(2, round(actor.height * height)), actor.flip, actor.tilt)
        grounded = KINDS[actor.kind].habitat == "ground"
        left = actor.x * width - picture.width / 2
        top = actor.y * height - (picture.height if grounded else picture.height / 2)
        if grounded:
            _shadow(canvas, actor.x * width, actor.y * height, picture.width * 0.46, picture.height * 0.06, 0.35)
        rgba = np.asarray(picture, dtype=np.float32) / 255
        if self.night:
            rgba = rgba * np.append(_NIGHT_ACTOR, 1).astype(np.float32)
        rgba = np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], axis=2)
        x, y = int(np.floor(left)), int(np.floor(top))
        rgba = _subpixel(rgba, left - x, top - y)
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + rgba.shape[1], width), min(y + rgba.shape[0], height)
        if x1 <= x0 or y1 <= y0:
            return
        part = rgba[y0 - y : y1 - y, x0 - x : x1 - x]
        canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - part[..., 3:]) + part[..., :3]


def bounding_box(actor: Actor, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return where `actor` lies on a frame of `size` (width, height): left, top, width, height in pixels, not clipped."""
    width, height = size
    picture = sprite(actor.kind, max(2, round(actor.height * height)), actor.flip, actor.tilt)
    grounded = KINDS[actor.kind].habitat == "ground"
    top = actor.y * height - (picture.height if grounded else picture.height / 2)
    return actor.x * width - picture.width / 2, top, float(picture.width), float(picture.height)


def _shifted(layer: np.ndarray, offset: float, width: int) -> np.ndarray:
    whole = int(offset)
    part = offset - whole
    first = layer[:, whole : whole + width]
    if part < 1e-3 or whole + width + 1 > layer.shape[1]:
        return first
    return first * (1 - part) + layer[:, whole + 1 : whole + 1 + width] * part


def _subpixel(rgba: np.ndarray, dx: float, dy: float) -> np.ndarray:
    padded = np.pad(rgba, ((1, 1), (1, 1), (0, 0)))
    rows = padded[1:] * (1 - dy) + padded[:-1] * dy
    return rows[:, 1:] * (1 - dx) + rows[:, :-1] * dx


def _shadow(canvas: np.ndarray, x: float, y: float, rx: float, ry: float, strength: float) -> None:
    height, width = canvas.shape[:2]
    x0, x1 = max(int(x - rx * 1.3), 0), min(int(x + rx * 1.3) + 1, width)
    y0, y1 = max(int(y - ry * 2), 0), min(int(y + ry * 2) + 1, height)
    if x1 <= x0 or y1 <= y0:
        return
    yy, xx = np.mgrid[y0:y1, x0:x1]
    far = ((xx - x) / max(rx, 1)) ** 2 + ((yy - y) / max(ry, 1)) ** 2
    canvas[y0:y1, x0:x1] *= (1 - strength * np.exp(-far * 1.5))[..., None]


# --- landscapes -------------------------------------------------------------------------------------------------------------


def _mix(a: str, b: str, share: float) -> str:
    one, two = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (a, b))
    return "#" + "".join(f"{int(v):02x}" for v in one + (two - one) * share)


def _sky(rng: np.random.Generator, night: bool, top: str, bottom: str, sun: bool = True) -> str:
    if night:
        top, bottom = "#060a24", "#27345f"
    parts = [
        f'<defs><linearGradient id="s" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{top}"/>'
        f'<stop offset="0.75" stop-color="{bottom}"/></linearGradient>'
        '<radialGradient id="g"><stop offset="0.3" stop-color="#fff" stop-opacity="0.55"/>'
        '<stop offset="1" stop-color="#fff" stop-opacity="0"/></radialGradient></defs>',
        f'<rect width="500" height="{_HEIGHT}" fill="url(#s)"/>',
    ]
    x, y = rng.uniform(0.15, 0.85) * _WIDTH, rng.uniform(18, 42)
    if night:
        for _ in range(70):
            sx, sy, r = rng.uniform(0, _WIDTH), rng.uniform(0, 110), rng.uniform(0.4, 1.2)
            parts.append(
                f'<circle cx="{sx:.1f}" cy="{sy:.1f}" r="{r:.2f}" fill="#fff" opacity="{rng.uniform(0.5, 1):.2f}"/>'
            )
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="26" fill="url(#g)" opacity="0.7"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="#f4f1de"/>')
        parts.append(f'<circle cx="{x + 4:.1f}" cy="{y - 3:.1f}" r="9" fill="{_mix(top, bottom, 0.2)}"/>')
    elif sun:
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="34" fill="url(#g)"/><circle cx="{x:.1f}" cy="{y:.1f}" r="12" fill="#fff3b0"/>'
        )
    return "".join(parts)


def _clouds(rng: np.random.Generator, night: bool, count: int) -> str:
    parts = []
    for _ in range(count):
        x, y, s = rng.uniform(0, _PANORAMA), rng.uniform(10, 60), rng.uniform(0.6, 1.3)
        for _ in range(5):
            parts.append(
                f'<ellipse cx="{x + rng.uniform(-22, 22) * s:.1f}" cy="{y + rng.uniform(-4, 4) * s:.1f}" rx="{rng.uniform(12, 22) * s:.1f}" '
                f'ry="{rng.uniform(5, 9) * s:.1f}" fill="#ffffff" opacity="{0.35 if night else 0.7}"/>'
            )
    return "".join(parts)


def _ridge(rng: np.random.Generator, base: float, height: float, step: float, rough: bool) -> list[tuple[float, float]]:
    xs = np.arange(-step, _PANORAMA + 2 * step, step)
    ys = base - height * rng.uniform(0.25, 1.0, xs.size)
    if not rough:
        ys = np.convolve(np.pad(ys, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _polygon(points: list[tuple[float, float]], fill: str, floor: float = _HEIGHT) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{points[0][0]:.1f},{floor} {path} {points[-1][0]:.1f},{floor}" fill="{fill}"/>'


def _hill(points: list[tuple[float, float]], fill: str) -> str:
    path = f"M {points[0][0]:.1f} {_HEIGHT} L {points[0][0]:.1f} {points[0][1]:.1f} "
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        path += f"Q {x0:.1f} {y0:.1f} {(x0 + x1) / 2:.1f} {(y0 + y1) / 2:.1f} "
    return f'<path d="{path} L {points[-1][0]:.1f} {_HEIGHT} Z" fill="{fill}"/>'


def _ground(top: float, light: str, dark: str, name: str = "gr") -> str:
    return (
        f'<defs><linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{light}"/>'
        f'<stop offset="1" stop-color="{dark}"/></linearGradient></defs>'
        f'<rect x="-5" y="{top}" width="{_PANORAMA + 10}" height="{_HEIGHT - top}" fill="url(#{name})"/>'
    )


def _tufts(rng: np.random.Generator, top: float, colours: list[str], count: int, shape: str = "grass") -> str:
    parts = []
    for _ in range(count):
        y = rng.uniform(top + 4, _HEIGHT)
        x, s = rng.uniform(0, _PANORAMA), 0.5 + (y - top) / 45
        colour = colours[rng.integers(len(colours))]
        if shape == "grass":
            parts.append(
                f'<path d="M{x:.1f} {y:.1f} l{-2 * s:.1f} {-5 * s:.1f} M{x:.1f} {y:.1f} l0 {-6 * s:.1f} M{x:.1f} {y:.1f} l{2 * s:.1f} {-5 * s:.1f}" '
                f'stroke="{colour}" stroke-width="{0.7 * s:.1f}" fill="none"/>'
            )
        elif shape == "flower":
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{1.3 * s:.1f}" fill="{colour}"/>')
        else:
            parts.append(f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{3.5 * s:.1f}" ry="{1.3 * s:.1f}" fill="{colour}"/>')
    return "".join(parts)


def _conifer(x: float, y: float, h: float, fill: str) -> str:
    parts = [
        f'<rect x="{x - h * 0.04:.1f}" y="{y - h * 0.2:.1f}" width="{h * 0.08:.1f}" height="{h * 0.2:.1f}" fill="#5b4030"/>'
    ]
    for level, share in enumerate((0.62, 0.46, 0.3)):
        base = y - h * (0.15 + 0.24 * level)
        parts.append(
            f'<polygon points="{x - h * share * 0.5:.1f},{base:.1f} {x + h * share * 0.5:.1f},{base:.1f} {x:.1f},{base - h * 0.42:.1f}" fill="{fill}"/>'
        )
    return "".join(parts)


def _leafy(rng: np.random.Generator, x: float, y: float, h: float, fill: str) -> str:
    trunk = f'<rect x="{x - h * 0.05:.1f}" y="{y - h * 0.5:.1f}" width="{h * 0.1:.1f}" height="{h * 0.5:.1f}" fill="#6b4a32"/>'
    crown = "".join(
        f'<circle cx="{x + rng.uniform(-0.2, 0.2) * h:.1f}" cy="{y - h * rng.uniform(0.6, 0.85):.1f}" r="{h * rng.uniform(0.18, 0.26):.1f}" '
        f'fill="{_mix(fill, "#d8f0a0", rng.uniform(0, 0.25))}"/>'
        for _ in range(7)
    )
    return trunk + crown


def _beach(rng: np.random.Generator, night: bool) -> dict[str, str]:
    sea = _mix("#1f86b5", "#2fb4c4", rng.uniform())
    sand = _mix("#ecd49a", "#f3dfb4", rng.uniform())
    waves = "".join(
        f'<path d="M{x:.1f} {y:.1f} q6 -2.5 12 0 q6 2.5 12 0" stroke="#ffffff" stroke-width="1" fill="none" opacity="0.55"/>'
        for x, y in zip(rng.uniform(0, _PANORAMA, 60), rng.uniform(96, 138, 60), strict=True)
    )
    island = (
        _hill(_ridge(rng, 96, 14, 60, False)[1:4], _mix("#4f8a6b", "#7a9a78", rng.uniform()))
        if rng.uniform() < 0.6
        else ""
    )
    shore = (
        f'<path d="M-5 140 q{_PANORAMA / 4:.1f} {rng.uniform(-8, 8):.1f} {_PANORAMA / 2:.1f} 0 t{_PANORAMA / 2 + 10:.1f} 0 L{_PANORAMA + 5:.1f} 200 L-5 200 Z" '
        f'fill="#fdf6e0"/>'
        f'<path d="M-5 144 q{_PANORAMA / 4:.1f} {rng.uniform(-8, 8):.1f} {_PANORAMA / 2:.1f} 0 t{_PANORAMA / 2 + 10:.1f} 0 L{_PANORAMA + 5:.1f} 200 L-5 200 Z" fill="{sand}"/>'
    )
    return {
        "sky": _sky(rng, night, "#3f9be0", "#cfeefb"),
        "clouds": _clouds(rng, night, 4),
        "far": island + f'<rect x="-5" y="94" width="{_PANORAMA + 10}" height="106" fill="{sea}"/>',
        "middle": waves,
        "ground": shore + _tufts(rng, 150, ["#d9bd80", "#fff4d8", "#c9a86a"], 40, "pebble"),
    }


def _forest(rng: np.random.Generator, night: bool) -> dict[str, str]:
    green = _mix("#2c5e38", "#3d7a46", rng.uniform())
    far = "".join(
        _conifer(x, 128, rng.uniform(50, 80), _mix(green, "#8fb8a8", 0.5))
        for x in np.arange(0, _PANORAMA, 13) + rng.uniform(-5, 5)
    )
    middle = "".join(
        _conifer(x, 146, rng.uniform(80, 118), _mix(green, "#1c3a26", rng.uniform(0, 0.4)))
        for x in np.arange(0, _PANORAMA, 30) + rng.uniform(-8, 8)
    )
    return {
        "sky": _sky(rng, night, "#8ec9e8", "#e8f6e4"),
        "clouds": _clouds(rng, night, 2),
        "far": far + _ground(126, _mix(green, "#8fb8a8", 0.4), green, "a"),
        "middle": middle + _ground(144, "#3f6d3a", "#37602f", "b"),
        "ground": _ground(150, "#56803f", "#2f5427") + _tufts(rng, 150, ["#2b4d22", "#79a350", "#406b30"], 110),
    }


def _city(rng: np.random.Generator, night: bool) -> dict[str, str]:
    def row(base: float, low: float, high: float, colours: list[str], windows: bool) -> str:
        parts, x = [], -10.0
        while x < _PANORAMA + 10:
            w, h = rng.uniform(18, 34), rng.uniform(low, high)
            parts.append(
                f'<rect x="{x:.1f}" y="{base - h:.1f}" width="{w:.1f}" height="{h + 60:.1f}" fill="{colours[rng.integers(len(colours))]}"/>'
            )
            if windows:
                for wx in np.arange(x + 3, x + w - 4, 6):
                    for wy in np.arange(base - h + 5, base - 5, 9):
                        lit = night and rng.uniform() < 0.55
                        parts.append(
                            f'<rect x="{wx:.1f}" y="{wy:.1f}" width="3.2" height="4.8" fill="{"#ffe27a" if lit else "#a9c6d8"}"/>'
                        )
            x += w + rng.uniform(0, 3)
        return "".join(parts)

    marks = "".join(
        f'<rect x="{x:.1f}" y="178" width="18" height="2.4" fill="#e8e4d0"/>' for x in np.arange(0, _PANORAMA, 36)
    )
    lamps = "".join(
        f'<rect x="{x:.1f}" y="112" width="1.6" height="40" fill="#3a3f47"/><circle cx="{x + 0.8:.1f}" cy="111" r="3" fill="{"#fff08a" if night else "#e9edf0"}"/>'
        for x in np.arange(25, _PANORAMA, 95) + rng.uniform(-10, 10)
    )
    return {
        "sky": _sky(rng, night, "#7db4dd", "#eef3f4"),
        "clouds": _clouds(rng, night, 3),
        "far": row(140, 50, 100, ["#a7b4c4", "#b5bfcb", "#98a8ba"], False),
        "middle": row(150, 34, 84, ["#b86f52", "#8d7b6a", "#6f7f8f", "#c9a27a", "#7a5a50"], True),
        "ground": f'<rect x="-5" y="146" width="{_PANORAMA + 10}" height="10" fill="#b9b6ae"/>'
        + lamps
        + _ground(155, "#6a6d72", "#4a4d52")
        + marks,
    }


def _mountains(rng: np.random.Generator, night: bool) -> dict[str, str]:
    peaks = _ridge(rng, 140, 105, 34, True)
    far = _polygon(peaks, _mix("#7d8fb3", "#94a3c0", rng.uniform()))
    for (xa, ya), (x, y), (xb, yb) in zip(peaks, peaks[1:], peaks[2:], strict=False):
        if y < ya and y < yb and y < 95:
            left, right = (x + (xa - x) * 0.35, y + (ya - y) * 0.35), (x + (xb - x) * 0.35, y + (yb - y) * 0.35)
            far += f'<polygon points="{x:.1f},{y:.1f} {left[0]:.1f},{left[1]:.1f} {x - 2:.1f},{left[1] - 3:.1f} {x + 3:.1f},{right[1] + 2:.1f} {right[0]:.1f},{right[1]:.1f}" fill="#ffffff"/>'
    middle = _hill(_ridge(rng, 150, 40, 50, False), "#6d86a0")
    trees = "".join(
        _conifer(x, rng.uniform(148, 154), rng.uniform(16, 28), "#33566a") for x in rng.uniform(0, _PANORAMA, 26)
    )
    return {
        "sky": _sky(rng, night, "#5ba7e6", "#e3f2fb"),
        "clouds": _clouds(rng, night, 3),
        "far": far,
        "middle": middle + trees,
        "ground": _ground(150, "#f4f8fc", "#cddced")
        + _tufts(rng, 152, ["#ffffff", "#b9cbe0", "#dfe9f4"], 60, "pebble"),
    }


def _desert(rng: np.random.Generator, night: bool) -> dict[str, str]:
    mesas = ""
    for x in np.arange(10, _PANORAMA, 110) + rng.uniform(-20, 20):
        w, h = rng.uniform(40, 70), rng.uniform(28, 55)
        mesas += f'<polygon points="{x:.1f},140 {x + w * 0.15:.1f},{140 - h:.1f} {x + w * 0.85:.1f},{140 - h:.1f} {x + w:.1f},140" fill="{_mix("#b8643c", "#cf8150", rng.uniform())}"/>'
    return {
        "sky": _sky(rng, night, "#e8a65e", "#fde6bd"),
        "clouds": "",
        "far": mesas + _hill(_ridge(rng, 142, 12, 70, False), "#d9985a"),
        "middle": _hill(_ridge(rng, 156, 26, 80, False), _mix("#e0a860", "#d89a50", rng.uniform())),
        "ground": _hill(_ridge(rng, 160, 12, 90, False), "#ecbf78")
        + _tufts(rng, 160, ["#d2a058", "#f5d596", "#b9894a"], 45, "pebble"),
    }


def _meadow(rng: np.random.Generator, night: bool) -> dict[str, str]:
    trees = "".join(
        _leafy(rng, x, 140, rng.uniform(26, 44), _mix("#4f8f3f", "#6aa84f", rng.uniform()))
        for x in rng.uniform(0, _PANORAMA, 8)
    )
    fence = "".join(
        f'<rect x="{x:.1f}" y="134" width="2.4" height="15" fill="#f3efe6"/>' for x in np.arange(0, _PANORAMA, 14)
    )
    fence += f'<rect x="-5" y="137" width="{_PANORAMA + 10}" height="2" fill="#f3efe6"/><rect x="-5" y="143" width="{_PANORAMA + 10}" height="2" fill="#f3efe6"/>'
    return {
        "sky": _sky(rng, night, "#4aa3ea", "#dff3fb"),
        "clouds": _clouds(rng, night, 5),
        "far": _hill(_ridge(rng, 128, 36, 80, False), "#8fc47a"),
        "middle": _hill(_ridge(rng, 142, 22, 90, False), "#79b85c") + trees + fence,
        "ground": _ground(146, "#8fcf5a", "#5ca63c")
        + _tufts(rng, 148, ["#4d9433", "#a6de70"], 60)
        + _tufts(rng, 150, ["#ffffff", "#ffd84d", "#f08fb5"], 40, "flower"),
    }


_LANDSCAPES: dict[str, Callable[[np.random.Generator, bool], dict[str, str]]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "mountains": _mountains,
    "desert": _desert,
    "meadow": _meadow,
}
