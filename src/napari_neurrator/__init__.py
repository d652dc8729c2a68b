"""Lasso neurons in napari and read what their spikes say about the movie.

Importing this package costs nothing: torch, transformers and napari are imported where they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import evaluate, fit, narrate
    from .errors import NeurratorError
    from .recording import Recording, open_recording

__version__ = "0.1.0"
__all__ = ["NeurratorError", "Recording", "__version__", "evaluate", "fit", "narrate", "open_recording"]

_PUBLIC = {
    "NeurratorError": ".errors",
    "Recording": ".recording",
    "evaluate": ".api",
    "fit": ".api",
    "narrate": ".api",
    "open_recording": ".recording",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
