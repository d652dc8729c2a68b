"""Finds the frames of the stimulus in which a concept is strongest, and the pictures of them."""

import uuid
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from ..backend import protocol as p
from ..errors import NeurratorError
from .backend_link import BackendLink
from .findings import Gallery, GalleryPicture
from .shown_frames import shown_frames
from .state import Session

KEPT = 30
N_PICTURES = 24


class GalleryFinder:
    """Fills ``session.gallery`` on demand; one search at a time, and what was found is kept."""

    def __init__(self, session: Session, link: BackendLink) -> None:
        self.session, self.link = session, link
        self._job_id = ""
        self._waiting: p.GalleryRequest | None = None
        self._found: LRUCache[tuple[str, str, str, str], Gallery] = LRUCache(KEPT)
        self._key = ("", "", "", "")
        session.events.gallery.connect(self._on_gallery)
        session.events.job.connect(self._on_job)

    def close(self) -> None:
        """Stop what runs."""
        self.session.events.gallery.disconnect(self._on_gallery)
        self.session.events.job.disconnect(self._on_job)
        self._stop()

    def show(self, concept: str) -> None:
        """Show the frames in which `concept` is strongest; what is missing for it is said to the user."""
        session = self.session
        self._stop()
        try:
            if session.decoder is None:
                raise NeurratorError("No decoder is chosen; it says which models look at the frames.")
            shown = shown_frames(session)
        except NeurratorError as error:
            session.fail(str(error))
            return
        self._key = (session.decoder_folder, session.source, session.stimulus_name, concept)
        found = self._found.get(self._key)
        if found is not None:
            session.gallery = found
            return
        self._waiting = p.GalleryRequest(
            job_id=uuid.uuid4().hex,
            decoder=session.decoder_folder,
            concept=concept,
            shown=shown,
            n=N_PICTURES,
        )
        session.gallery = Gallery(concept, session.stimulus_name, stage="Looking through the frames")
        self._on_job()

    def _stop(self) -> None:
        self._waiting = None
        if self._job_id:
            self.link.cancel(self._job_id, silently=True)
            self._job_id = ""

    def _on_job(self, *_: Any) -> None:
        """Begin once the models are free, and stand back while something else is asked of them."""
        if self.session.job.busy:
            if self._job_id and self._waiting is not None:
                self.link.cancel(self._job_id, silently=True)
                self._job_id = ""
        elif self._waiting is not None and not self._job_id:
            self._waiting = self._waiting.model_copy(update={"job_id": uuid.uuid4().hex})
            self._job_id = self._waiting.job_id
            self.link.submit(self._waiting, self._on_event)

    def _on_gallery(self, gallery: Gallery | None) -> None:
        # another stimulus, another recording: what is searched for is not wanted any more
        if gallery is None:
            self._stop()

    def _on_event(self, event: p.Event) -> None:
        now = self.session.gallery
        if event.job_id != self._job_id or now is None:
            return
        if isinstance(event, p.Progress):
            self.session.gallery = replace(now, stage=event.stage.capitalize(), done=event.done, total=event.total)
        elif isinstance(event, p.Gallery):
            pictures = tuple(
                GalleryPicture(f.frame, f.row, f.column, f.value, f.heatmap.unpack()) for f in event.frames
            )
            self.session.gallery = replace(
                now, pictures=pictures, finished=True, n_active=event.n_active, n_frames=event.n_frames
            )
        elif isinstance(event, p.Done | p.Cancelled | p.Failed):
            self._job_id, self._waiting = "", None
            if isinstance(event, p.Failed):
                self.session.gallery = replace(now, finished=True, problem=event.message)
            elif isinstance(event, p.Done):
                self._found[self._key] = now
