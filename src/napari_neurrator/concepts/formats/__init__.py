"""Which family a dictionary is of, told by its files."""

from pathlib import Path
from typing import Any

from ...errors import NeurratorError
from . import clip_scope, dictionary_learning, msae, patchsae, prisma, saelens
from .description import Description, Space
from .files import WEIGHT_ENDINGS, read_config, read_weights

__all__ = ["Description", "Space", "read_dictionary"]

_SAELENS = "sae_weights.safetensors"


def read_dictionary(source: str | Path) -> Description:
    """Read a dictionary of any family in docs/concepts.md, without unpickling anything.

    Parameters
    ----------
    source : path-like
        A folder that holds one, or its file of weights.

    Raises
    ------
    NeurratorError
        There is none, it is damaged, pickled, or of no family that is read.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path = _weights_in(path)
    elif not path.is_file():
        raise NeurratorError(f"There is no dictionary at {path}: give a folder that holds one, or its file of weights.")
    name = str(path.parent if path.name == _SAELENS else path)
    settings = path.parent / "cfg.json"
    if path.suffix == ".safetensors" and settings.is_file():
        return saelens.describe(read_config(settings), read_weights(path), name)
    if path.name == _SAELENS:
        raise NeurratorError(f"The dictionary {name} lacks cfg.json, which says what its weights mean: fetch it whole.")
    saved = read_weights(path)
    if not isinstance(saved, dict) or not saved:
        raise NeurratorError(f"The dictionary {path} does not hold weights by name: it is of no family that is read.")
    return _describe(saved, read_config(path.parent / "config.json"), path)


def _describe(saved: dict[str, Any], config: dict[str, Any], path: Path) -> Description:
    name = str(path)
    if clip_scope.recognised(saved):
        return clip_scope.describe(saved, path, name)
    if msae.recognised(saved):
        return msae.describe(saved, path, name)
    if prisma.recognised(config):
        return prisma.describe(config, saved, name)
    if patchsae.recognised(saved):
        return patchsae.describe(saved, name)
    return dictionary_learning.describe(config, saved, name)


def _weights_in(folder: Path) -> Path:
    """Return the one file of weights in a folder."""
    if (folder / _SAELENS).is_file():
        return folder / _SAELENS
    found = sorted(file for file in folder.iterdir() if file.is_file() and file.name.endswith(WEIGHT_ENDINGS))
    for usual in ("ae.pt", "weights.pt"):
        if folder / usual in found:
            return folder / usual
    if len(found) == 1:
        return found[0]
    if not found:
        raise NeurratorError(
            f"There is no dictionary in {folder}: it needs cfg.json and {_SAELENS} as SAELens writes them, or a file of weights (.pt, .pth, .safetensors)."
        )
    listed = ", ".join(file.name for file in found[:5]) + (", …" if len(found) > 5 else "")
    raise NeurratorError(
        f"The folder {folder} holds {len(found)} files of weights ({listed}): give the one that is meant."
    )
