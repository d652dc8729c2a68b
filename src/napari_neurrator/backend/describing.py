"""Patch grids into words through a backend: the language model of evaluations and studies, where it runs elsewhere."""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..profiles import Profile
from . import protocol as p
from .client import Backend
from .narrations import events_of

if TYPE_CHECKING:
    import torch


class BackendLanguage:
    """Says of grids what a profile's `LanguageModel` says, by asking a backend.

    Parameters
    ----------
    profile : Profile
        Whose language model; the backend has to have it.
    backend : Backend
        Runs it.
    """

    def __init__(self, profile: Profile, backend: Backend):
        self.profile, self._backend = profile, backend

    def narrate(self, grids: "torch.Tensor", question: str | None = None, max_new_tokens: int = 60) -> list[str]:
        """Describe patch grids; see `LanguageModel.narrate`.

        Raises
        ------
        NeurratorError
            The backend refused, or is gone.
        """
        if not len(grids):
            return []
        request = p.DescribeRequest(
            job_id=uuid.uuid4().hex,
            profile=self.profile.reference,
            grids=p.PackedArray.pack(grids.float().cpu().numpy()),
            prompt=question,
            max_new_tokens=max_new_tokens,
        )
        said = {
            event.moment: event.text for event in events_of(self._backend, request) if isinstance(event, p.Sentence)
        }
        return [said[number] for number in range(len(grids))]


def language_of(backend: Backend) -> Callable[[Profile], BackendLanguage]:
    """Return what makes the language model of a profile, for `evaluate` and `run_study`."""
    return lambda profile: BackendLanguage(profile, backend)
