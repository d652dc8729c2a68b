"""What one subset of units decodes and says, worked out once and kept in the report's folder."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..writing import written
from .material import Material
from .sentences import Narrator


@dataclass(frozen=True, eq=False)
class Draw:
    """One subset of units on the tested moments.

    Attributes
    ----------
    units : list
        The units.
    patch, centred : numpy.ndarray
        Similarities to every frame, (moment, frame); see `Pool.similarities`.
    texts : list of str
        Sentences of the narrated moments.
    """

    units: list
    patch: np.ndarray
    centred: np.ndarray
    texts: list[str]


def draw(material: Material, units: list, narrator: Narrator, cache: Path) -> Draw:
    """Decode and narrate the tested moments from some units, or read it from the cache.

    Parameters
    ----------
    material : Material
        What is decoded.
    units : list
        The subset.
    narrator : Narrator
        Puts grids into words.
    cache : pathlib.Path
        Folder of what was worked out before; a file that cannot be read is made again.
    """
    file = cache / f"{material.key(units)}.npz"
    try:
        with np.load(file, allow_pickle=False) as kept:
            return Draw(units, kept["patch"], kept["centred"], [str(text) for text in kept["texts"]])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        pass
    patch = np.empty((len(material.moments), len(material.pool)), dtype=np.float32)
    centred = np.empty_like(patch)
    wanted = np.zeros(len(material.moments), dtype=bool)
    wanted[material.narrated] = True
    texts: list[str] = []
    start = 0
    for grids in material.decode(units):
        part = slice(start, start + len(grids))
        patch[part], centred[part] = material.pool.similarities(grids)
        texts += narrator(material.stored.spoken(grids[wanted[part]]))
        start = part.stop
    cache.mkdir(parents=True, exist_ok=True)
    with written(file) as partial:
        np.savez(partial, patch=patch, centred=centred, texts=np.array(texts, dtype=np.str_))
    return Draw(units, patch, centred, texts)
