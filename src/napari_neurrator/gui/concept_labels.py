"""The user's own names for concepts: shown at once, and kept by the backend beside the dictionary."""

import uuid
from collections.abc import Mapping
from functools import partial

from ..backend.protocol import Event, Failed, LabelRequest
from .backend_link import BackendLink
from .findings import Result
from .state import Session


class ConceptLabels:
    """Keeps ``session.labels`` those of the dictionary that the present result is of.

    A backend goes on listing a concept under the name that it had when its dictionary was loaded; what the user has called it since is in
    ``session.labels``, by that name.
    """

    def __init__(self, session: Session, link: BackendLink) -> None:
        self.session, self.link = session, link
        self._dictionary = ""
        self._of: dict[str, Mapping[str, str]] = {}
        session.events.result.connect(self._on_result)

    def close(self) -> None:
        """Stop listening."""
        self.session.events.result.disconnect(self._on_result)

    def _on_result(self, result: Result | None) -> None:
        if result is not None and result.concepts and result.dictionary != self._dictionary:
            self._dictionary = result.dictionary
            self.session.labels = self._of.get(result.dictionary, {})

    def rename(self, concept: str, given: str, label: str) -> None:
        """Call a concept what the user wants.

        Parameters
        ----------
        concept : str
            The name that the backend lists it under.
        given : str
            What the dictionary itself calls it.
        label : str
            Its new name; empty brings back the dictionary's own.
        """
        label = " ".join(label.split())
        before = self.session.labels
        self._set({**before, concept: label or given})
        request = LabelRequest(
            job_id=uuid.uuid4().hex,
            decoder=self.session.decoder_folder,
            concept=concept,
            label="" if label == given else label,
        )
        self.link.submit(request, partial(self._on_event, before))

    def _set(self, labels: Mapping[str, str]) -> None:
        self._of[self._dictionary] = labels
        self.session.labels = labels

    def _on_event(self, before: Mapping[str, str], event: Event) -> None:
        if isinstance(event, Failed):
            self._set(before)
            self.session.fail(event.message)
