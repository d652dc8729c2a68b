"""Follows the concept that lies on the frame through the whole stimulus, in the background and only while nothing else is asked of the models."""

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from ..backend import protocol as p
from ..errors import NeurratorError, in_words
from .backend_link import BackendLink
from .findings import Course, CourseKey
from .narrator import pack_counts
from .shown_frames import shown_frames
from .state import PATCHES, Session
from .threads import Background

REST_MS = 350
"""How long the hand has to rest before a course is begun or gone on with."""
CHUNK = 64
"""Moments a request: so few that their spikes are counted and sent in a blink."""
KEPT = 300


def coarse_to_fine(n: int) -> np.ndarray:
    """Return 0 … n-1 in an order that shows the whole early: every 16th, then those between, and so on."""
    order: list[int] = []
    step = 16
    seen: set[int] = set()
    while step:
        new = [i for i in range(0, n, step) if i not in seen]
        seen.update(new)
        order += new
        step //= 2
    return np.array(order, dtype=int)


class CourseFollower:
    """Keeps ``session.course`` and ``session.ceiling`` those of the shown concept; what is known is not asked for twice.

    A narration goes first: it stops the request under way, and the course is gone on with when the models are free.
    """

    def __init__(self, session: Session, link: BackendLink, background: Background) -> None:
        self.session, self.link, self.background = session, link, background
        self._known: OrderedDict[CourseKey, Course] = OrderedDict()
        self._job_id = ""
        self._closed = False
        self._asked: tuple[tuple[CourseKey, ...], np.ndarray] = ((), np.zeros(0, int))
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._go_on)
        events = session.events
        self._links: list[tuple[Any, Any]] = [
            (signal, self._retarget)
            for signal in (
                events.shown, events.selected, events.decoder, events.repeat, events.course_open, session.scene_changed
            )
        ] + [(events.job, self._on_job), (events.spikes_ready, self._on_job)]  # fmt: skip
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening and stop what runs."""
        # what was put off until the window's thread is free may still come
        self._closed = True
        self._timer.stop()
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        self._stop()

    # -- what is wanted --------------------------------------------------------------------------------------------------------------
    def _units(self) -> tuple:
        known = set(self.session.decoder.unit_ids)
        return tuple(unit for unit in self.session.selected if unit in known)

    def _keys(self) -> tuple[CourseKey, CourseKey] | None:
        """Return the keys of the course and of its ceiling, or None where there is nothing to follow."""
        session = self.session
        if session.shown in (None, PATCHES) or session.decoder is None or session.moments is None:
            return None
        if session.stimulus is None or not session.course_open:
            return None
        units = self._units()
        if not units:
            return None
        frames = CourseKey(session.source, session.stimulus_name, session.decoder_folder, str(session.shown))
        return replace(frames, repeat=session.repeat, units=units), frames

    def _retarget(self, *_: Any) -> None:
        session = self.session
        keys = self._keys()
        asked = self._asked[0]
        if asked and (keys is None or (keys[0] if asked[0].units else keys[1]) not in asked):
            self._stop()
        session.course = None if keys is None else self._course(keys[0])
        session.ceiling = None if keys is None else self._course(keys[1])
        if keys is None:
            self._timer.stop()
        elif not self._job_id:
            self._timer.start(REST_MS)

    def _on_job(self, *_: Any) -> None:
        if self.session.job.busy:
            self._timer.stop()
            self._stop()
        elif self._keys() is not None and not self._job_id:
            self._timer.start(REST_MS)

    def _course(self, key: CourseKey) -> Course:
        found = self._known.get(key)
        if found is None:
            found = Course(key, np.full(self.session.stimulus.n_frames, np.nan, np.float32), len(self._frames(key)[0]))
            self._keep(found)
        return found

    def _keep(self, course: Course) -> None:
        self._known[course.key] = course
        self._known.move_to_end(course.key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def _frames(self, key: CourseKey) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames of a course and the row of the moment of each; of the true frames the row means nothing."""
        moments = self.session.moments
        assert moments is not None
        if key.units:
            return moments.rows(key.repeat)
        frames = np.unique(moments.table["frame"].to_numpy())
        frames = frames[frames >= 0]
        return frames, np.arange(len(frames))

    # -- the jobs --------------------------------------------------------------------------------------------------------------------
    def _go_on(self) -> None:
        """Ask for the next piece of what is not known yet: first of the units, then of the true frames."""
        session = self.session
        keys = self._keys()
        if self._closed or keys is None or self._job_id or session.job.busy or not session.spikes_ready:
            return
        for key in keys:
            course = self._course(key)
            frames, rows = self._frames(key)
            missing = np.flatnonzero(~np.isfinite(course.strengths[frames]))
            if course.problem or not len(missing):
                continue
            self._job_id = uuid.uuid4().hex
            if key.units:
                order = coarse_to_fine(len(frames))
                some = order[np.isin(order, missing)][:CHUNK]
                self._ask_of_units(key, frames[some], rows[some])
            else:
                self._ask_of_frames(key, frames)
            return

    def _together(self, key: CourseKey, frames: np.ndarray) -> tuple[CourseKey, ...]:
        """Return the keys of all that is worked out at once, for all concepts that are listed cost no more than one."""
        session = self.session
        listed = () if session.result is None else session.result.concepts
        others = (replace(key, concept=concept.name) for concept in listed if concept.name != key.concept)
        return (key, *(other for other in others if not np.isfinite(self._course(other).strengths[frames]).all()))

    def _ask_of_units(self, key: CourseKey, frames: np.ndarray, rows: np.ndarray) -> None:
        session = self.session
        assert session.moments is not None
        window, recording = session.decoder.window, session.recording
        starts = session.moments.table["time"].to_numpy()[rows] + window.lag_s
        keys, job_id = self._together(key, frames), self._job_id
        self._asked = (keys, frames)

        def count() -> p.CourseRequest:
            counts = recording.spikes.count(starts, window.n_bins, window.bin_s, list(key.units))
            return p.CourseRequest(
                job_id=job_id,
                decoder=key.decoder,
                concepts=[one.concept for one in keys],
                unit_ids=list(key.units),
                windows=pack_counts(np.asarray(counts)),
            )

        self.background.run(count, self._submit, self._failed(job_id))

    def _ask_of_frames(self, key: CourseKey, frames: np.ndarray) -> None:
        keys, job_id = self._together(key, frames), self._job_id
        self._asked = (keys, frames)
        try:
            shown = shown_frames(self.session)
        except NeurratorError as error:
            self._failed(job_id)(error)
            return
        self._submit(
            p.CourseRequest(
                job_id=job_id,
                decoder=self.session.decoder_folder,
                concepts=[one.concept for one in keys],
                shown=shown,
            )
        )

    def _submit(self, request: p.CourseRequest) -> None:
        if request.job_id == self._job_id:
            self.link.submit(request, self._on_event)

    def _failed(self, job_id: str) -> Any:
        def failed(error: BaseException) -> None:
            self._on_event(p.Failed(job_id=job_id, message=in_words(error)))

        return failed

    def _stop(self) -> None:
        if self._job_id:
            self.link.cancel(self._job_id, silently=True)
            self._job_id, self._asked = "", ((), np.zeros(0, int))

    def _on_event(self, event: p.Event) -> None:
        if event.job_id != self._job_id:
            return
        keys, frames = self._asked
        if isinstance(event, p.Course):
            values = event.strengths.unpack()
            self._fill(keys, frames[event.start : event.start + len(values)], values)
        elif isinstance(event, p.Done | p.Cancelled | p.Failed):
            self._job_id, self._asked = "", ((), np.zeros(0, int))
            if isinstance(event, p.Failed):
                course = self._course(keys[0])
                self._keep(replace(course, problem=event.message))
                self._show()
            # the slider's own events come first
            QTimer.singleShot(0, self._go_on)

    def _fill(self, keys: Sequence[CourseKey], frames: np.ndarray, values: np.ndarray) -> None:
        for i, key in enumerate(keys):
            course = self._course(key)
            strengths = course.strengths.copy()
            strengths[frames] = values[:, i]
            self._keep(replace(course, strengths=strengths))
        self._show()

    def _show(self) -> None:
        keys = self._keys()
        if keys is not None:
            self.session.course, self.session.ceiling = self._course(keys[0]), self._course(keys[1])
