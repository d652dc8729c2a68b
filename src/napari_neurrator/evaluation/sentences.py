"""Grids into words, each distinct grid once."""

from collections.abc import Callable
from typing import Protocol

import torch

from ..profiles import Profile


class Language(Protocol):
    """What puts grids into words: a `LanguageModel`, or a backend that has one."""

    def narrate(self, grids: torch.Tensor, question: str | None = None, max_new_tokens: int = 60) -> list[str]:
        """Return one sentence a grid, (grid, patch, width)."""


MakeLanguage = Callable[[Profile], Language]


def own_language(profile: Profile) -> Language:
    """Load the language model of a profile into this process."""
    from ..language.narrator import LanguageModel

    return LanguageModel(profile)


class Narrator:
    """A language model that remembers what it said of which grid.

    Parameters
    ----------
    language : Language
        Narrates.
    prompt : str, optional
        The question.
    max_new_tokens : int
        Length at most.
    batch : int
        Grids at once.
    """

    def __init__(self, language: Language, prompt: str | None = None, max_new_tokens: int = 60, batch: int = 32):
        self._language, self._prompt, self._length, self._batch = language, prompt, max_new_tokens, batch
        self._said: dict[bytes, str] = {}

    def __call__(self, grids: torch.Tensor, on_batch: Callable[[int], None] | None = None) -> list[str]:
        """Return one sentence a grid, (grid, patches, width); grids that are the same in half precision are narrated once."""
        import hashlib

        keys = [hashlib.blake2b(grid.half().numpy().tobytes(), digest_size=16).digest() for grid in grids.cpu()]
        new = {key: row for row, key in enumerate(keys) if key not in self._said}
        rows = list(new.values())
        for start in range(0, len(rows), self._batch):
            some = rows[start : start + self._batch]
            texts = self._language.narrate(grids[some], self._prompt, self._length)
            self._said.update(zip((keys[row] for row in some), texts, strict=True))
            if on_batch:
                on_batch(start + len(some))
        return [self._said[key] for key in keys]
