"""Pictures in the formats that Pillow reads: one a file in a folder, or several in one file."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import NeurratorError
from ..natural_order import natural_key
from .base import Stimulus, as_rgb, check_claim

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
# Pillow warns of less than it refuses, and what it warns of is already more than `check_claim` lets through.
_FAULTS = (OSError, SyntaxError, ValueError, EOFError, TypeError, OverflowError, MemoryError, UnidentifiedImageError)


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """Open a picture, its size checked before anything is decoded.

    Parameters
    ----------
    file : pathlib.Path
        Where it lies.

    Raises
    ------
    NeurratorError
        It cannot be read, or claims to be absurdly large.
    """
    try:
        with Image.open(file) as picture:
            check_claim(file, 1, picture.size[1], picture.size[0])
            yield picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        size = f"{int(pixels.group()):,} pixels" if pixels else "far more pixels than a stimulus has"
        raise NeurratorError(f"{file} claims to be an image of {size}: take it out, or make it smaller.") from error
    except _FAULTS as error:
        raise NeurratorError(f"{file} cannot be read as an image: take it out of the folder or mend it.") from error


def rgb(picture: Image.Image) -> np.ndarray:
    """Return an opened picture, uint8 (height, width, 3)."""
    # Modes I and F hold more than 8 bits, which convert() would cut off.
    return as_rgb(np.asarray(picture)) if picture.mode[0] in "IF" else np.asarray(picture.convert("RGB"))


class ImageFolder(Stimulus):
    """The images of a folder, of 8 bits a colour, in order of their names (numbers count as numbers: 2 before 10).

    Raises
    ------
    NeurratorError
        The folder holds no images, or they differ in size.
    """

    def __init__(self, folder: str | Path, name: str | None = None):
        self.folder = Path(folder)
        self.name, self.frame_rate_hz = name or self.folder.name, None
        self.files = image_files(self.folder)
        if not self.files:
            raise NeurratorError(f"The folder {self.folder} holds no images ({', '.join(IMAGE_ENDINGS)}).")
        self.n_frames = len(self.files)
        sizes: dict[tuple[int, int], Path] = {}
        for file in self.files:
            with opened(file) as picture:
                sizes.setdefault(picture.size, file)
        if len(sizes) > 1:
            (one, first), (two, second) = list(sizes.items())[:2]
            raise NeurratorError(
                f"The images of {self.folder} differ in size ({first.name} is {one[0]} × {one[1]}, {second.name} is {two[0]} × {two[1]}): bring them to one size."
            )
        width, height = next(iter(sizes))
        self.frame_shape = (height, width, 3)

    def frame(self, index: int) -> np.ndarray:
        """Return one image, uint8 (height, width, 3)."""
        with opened(self.files[self.check(index)]) as picture:
            return rgb(picture)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all files."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()


class PictureSequence(Stimulus):
    """Several pictures in one file (animated WebP, compressed TIFF), decoded one at a time.

    Raises
    ------
    NeurratorError
        The file cannot be read.
    """

    def __init__(self, path: str | Path, name: str | None = None):
        self.path = Path(path)
        self.name, self.frame_rate_hz = name or self.path.stem, None
        self._lock = threading.Lock()
        with opened(self.path) as picture:
            self.n_frames = int(getattr(picture, "n_frames", 1))
            width, height = picture.size
            check_claim(self.path, self.n_frames, height, width)
            # Known once a picture is decoded.
            picture.load()
            duration = picture.info.get("duration")
        if duration:
            self.frame_rate_hz = 1000 / float(duration)
        self.frame_shape = (height, width, 3)
        self.frame(0)

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""
        index = self.check(index)
        with self._lock, opened(self.path) as picture:
            picture.seek(index)
            check_claim(self.path, 1, picture.size[1], picture.size[0])
            frame = rgb(picture)
        if frame.shape != self.frame_shape:
            raise NeurratorError(f"The pictures of {self.path} differ in size: bring them to one size.")
        return frame

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder, in natural order of their names; hidden files are none."""
    try:
        files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_ENDINGS and not f.name.startswith(".")]
    except OSError as error:
        raise NeurratorError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    return sorted(files, key=lambda file: natural_key(file.name))
