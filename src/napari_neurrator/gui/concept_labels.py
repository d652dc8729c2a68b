"""The user's own names for concepts: read when a dictionary shows up, written with every change."""

from ..concepts.labels import Labels
from ..errors import NeurratorError
from .state import Result, Session


class ConceptLabels:
    """Keeps ``session.labels`` those of the dictionary that the present result is of."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._labels: Labels | None = None
        session.events.result.connect(self._on_result)

    def close(self) -> None:
        """Stop listening."""
        self.session.events.result.disconnect(self._on_result)

    def _on_result(self, result: Result | None) -> None:
        if result is None or not result.dictionary:
            return
        if self._labels is not None and self._labels.dictionary == result.dictionary:
            return
        try:
            self._labels = Labels.load(result.dictionary)
        except NeurratorError as error:
            self._labels = Labels(result.dictionary)
            self.session.fail(str(error))
        self.session.labels = self._labels.names

    def rename(self, concept: str, label: str) -> None:
        """Call a concept what the user wants; an empty label brings its own name back."""
        if self._labels is None:
            self.session.fail("Narrate some units first: names are kept with the dictionary that they are of.")
            return
        try:
            self._labels.set(concept, label)
            self._labels.save()
        except NeurratorError as error:
            self.session.fail(str(error))
        self.session.labels = self._labels.names
