"""The frames that were shown, read when they are needed."""

from .base import Stimulus
from .open import open_stimulus

__all__ = ["Stimulus", "open_stimulus"]
