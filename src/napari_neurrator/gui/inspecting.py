"""The patch inspector: from patches that were clicked to what is known of them."""

from dataclasses import replace
from typing import Any

import numpy as np
from cachetools import LRUCache

from ..backend import protocol as p
from ..errors import NeurratorError
from .asking import asked_moment, frame_at
from .backend_link import BackendLink
from .findings import GalleryPicture, Inspected
from .frame_tool import FrameTool
from .shown_frames import shown_frames
from .state import Session
from .waiting_job import WaitingJob

KEPT = 200


class Inspector:
    """Keeps ``session.inspected``; what is known is not asked for twice."""

    def __init__(self, session: Session, link: BackendLink, tool: FrameTool) -> None:
        self.session, self.tool = session, tool
        self._job = WaitingJob(session, link)
        self._known: LRUCache[tuple, Inspected] = LRUCache(KEPT)
        self._key: tuple = ()
        tool.chosen.connect(self._on_chosen)
        session.events.inspected.connect(self._on_inspected)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        self.tool.chosen.disconnect(self._on_chosen)
        self.session.events.inspected.disconnect(self._on_inspected)
        self._job.close()

    def _on_chosen(self, patches: tuple[int, ...]) -> None:
        if self.session.on_frame == "inspect":
            self.inspect(patches)

    def _on_inspected(self, inspected: Inspected | None) -> None:
        if inspected is None:
            self._job.stop()

    def inspect(self, patches: tuple[int, ...]) -> None:
        """Find out what is known of some patches; what is missing is said to the user."""
        session = self.session
        self._job.stop()
        try:
            units, windows = asked_moment(session)
        except NeurratorError as error:
            session.fail(str(error))
            return
        self._key = (session.source, session.decoder_folder, session.moment, units, patches)
        known = self._known.get(self._key)
        if known is not None:
            session.inspected = known
            return
        try:
            shown = shown_frames(session)
        except NeurratorError:
            # the backend cannot find the film: all the rest can be known
            shown = None
        session.inspected = Inspected(session.frame, session.repeat, units, patches, stage="Looking at the patches")
        self._job.start(
            p.InspectRequest(
                job_id="x",
                decoder=session.decoder_folder,
                unit_ids=list(units),
                windows=windows,
                frames=frame_at(session, session.frame, session.repeat),
                patches=list(patches),
                shown=shown,
            ),
            self._on_event,
        )

    def clear(self) -> None:
        """Take the outline off the frame, and go back to the usual mouse."""
        self.session.on_frame = ""
        self.session.inspected = None

    def _on_event(self, event: p.Event) -> None:
        session, now = self.session, self.session.inspected
        if now is None:
            return
        changes: dict[str, Any] = {}
        if isinstance(event, p.Progress):
            changes = {"stage": event.stage.capitalize(), "done": event.done, "total": event.total}
        elif isinstance(event, p.Inspected):
            changes = {
                "cosine": event.cosine, "prior_cosine": event.prior_cosine, "gain": event.gain, "null": event.null.unpack(), "p": event.p,
                "decoded": tuple((one.name, one.value) for one in event.decoded),
                "true": tuple((one.name, one.value) for one in event.true),
            }  # fmt: skip
        elif isinstance(event, p.Alike):
            changes = {"alike": tuple(self._picture(one) for one in event.patches)}
        elif isinstance(event, p.Done | p.Cancelled | p.Failed):
            changes = {"stage": "", "problem": getattr(event, "message", "")}
        if changes:
            session.inspected = replace(now, **changes)
        if isinstance(event, p.Done):
            self._known[self._key] = session.inspected  # type: ignore[assignment]

    def _picture(self, one: p.AlikePatch) -> GalleryPicture:
        geometry = self.session.geometry
        row, column = divmod(one.patch, geometry.columns)
        return GalleryPicture(
            one.frame, row, column, one.cosine, np.zeros((geometry.rows, geometry.columns), np.float32)
        )
