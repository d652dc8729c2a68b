"""The command line: the same work without a window."""

from .app import main

__all__ = ["main"]
