"""The decoders that ours is compared with: the paper's network, its retrieval variant, ridge regression and CEBRA."""

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import NeurratorError

if TYPE_CHECKING:
    from ..interface import SubsetDecoder

# Imported when asked for: lightning, himalaya and CEBRA take seconds to import.
_CLASSES = {
    "paper": ("paper", "PaperDecoder"),
    "ridge": ("ridge", "RidgeDecoder"),
    "cebra": ("cebra", "CebraDecoder"),
    "retrieval": ("retrieval", "RetrievalDecoder"),
}
BASELINES: tuple[str, ...] = tuple(_CLASSES)


def baseline_class(kind: str) -> "type[SubsetDecoder]":
    """Return the class of a baseline decoder.

    Raises
    ------
    NeurratorError
        There is no such kind.
    """
    if kind not in _CLASSES:
        raise NeurratorError(f"There is no baseline decoder {kind!r}: choose one of {', '.join(_CLASSES)}.")
    module, name = _CLASSES[kind]
    return getattr(import_module(f".{module}", __name__), name)


__all__ = ["BASELINES", "baseline_class"]
