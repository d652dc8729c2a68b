"""Follows the concept that lies on the frame through the whole stimulus."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..backend import protocol as p
from .backend_link import BackendLink
from .findings import Course, CourseKey
from .following import CHUNK, FilmFollower, coarse_to_fine
from .narrator import pack_counts
from .shown_frames import shown_frames
from .state import PATCHES, Session
from .threads import Background


class CourseFollower(FilmFollower[CourseKey, Course]):
    """Keeps ``session.course`` and ``session.ceiling`` those of the shown concept."""

    kept: ClassVar[int] = 300

    def __init__(self, session: Session, link: BackendLink, background: Background) -> None:
        super().__init__(session, link, background, (session.events.shown, session.events.course_open))

    # -- what is wanted --------------------------------------------------------------------------------------------------------------
    def _keys(self) -> tuple[CourseKey, CourseKey] | None:
        """Return the keys of the course and of its ceiling, or None where there is nothing to follow."""
        session = self.session
        if session.shown in (None, PATCHES) or session.decoder is None or session.moments is None:
            return None
        if session.stimulus is None or not session.course_open:
            return None
        units = self.units()
        if not units:
            return None
        frames = CourseKey(session.source, session.stimulus_name, session.decoder_folder, str(session.shown))
        return replace(frames, repeat=session.repeat, units=units), frames

    def retarget(self) -> bool:
        """Show the course of the shown concept and its ceiling."""
        keys = self._keys()
        if self._asked is not None:
            asked = self._asked[0]
            if keys is None or (keys[0] if asked[0].units else keys[1]) not in asked:
                self.drop()
        self._show()
        return keys is not None

    def _show(self) -> None:
        keys = self._keys()
        self.session.course = None if keys is None else self.known(keys[0])
        self.session.ceiling = None if keys is None else self.known(keys[1])

    def nothing_yet(self, key: CourseKey) -> Course:
        """Return a course without a strength."""
        return Course(key, np.full(self.session.stimulus.n_frames, np.nan, np.float32), len(self._frames(key)[0]))

    def _frames(self, key: CourseKey) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames of a course and the row of the moment of each; of the true frames the row means nothing."""
        moments = self.session.moments
        assert moments is not None
        if key.units:
            return moments.rows(key.repeat)
        frames = np.unique(moments.table["frame"].to_numpy())
        frames = frames[frames >= 0]
        return frames, np.arange(len(frames))

    # -- the pieces ------------------------------------------------------------------------------------------------------------------
    def go_on(self) -> None:
        """Ask first for what is not known of the units, then of the true frames."""
        for key in self._keys() or ():
            course = self.known(key)
            frames, rows = self._frames(key)
            missing = np.flatnonzero(~np.isfinite(course.strengths[frames]))
            if course.problem or not len(missing):
                continue
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
        return (key, *(other for other in others if not np.isfinite(self.known(other).strengths[frames]).all()))

    def _ask_of_units(self, key: CourseKey, frames: np.ndarray, rows: np.ndarray) -> None:
        session = self.session
        assert session.moments is not None
        window, recording = session.decoder.window, session.recording
        starts = session.moments.table["time"].to_numpy()[rows] + window.lag_s
        keys = self._together(key, frames)

        def count() -> p.CourseRequest:
            counts = recording.spikes.count(starts, window.n_bins, window.bin_s, list(key.units))
            return p.CourseRequest(
                job_id="x",
                decoder=key.decoder,
                concepts=[one.concept for one in keys],
                unit_ids=list(key.units),
                windows=pack_counts(np.asarray(counts)),
            )

        self.ask((keys, frames), lambda: count)

    def _ask_of_frames(self, key: CourseKey, frames: np.ndarray) -> None:
        keys = self._together(key, frames)

        def prepare() -> Callable[[], p.CourseRequest]:
            shown, concepts = shown_frames(self.session), [one.concept for one in keys]
            return lambda: p.CourseRequest(job_id="x", decoder=key.decoder, concepts=concepts, shown=shown)

        self.ask((keys, frames), prepare)

    def hear(self, event: p.Event) -> None:
        """Take in strengths, or why there are none."""
        keys, frames = self._asked
        if isinstance(event, p.Course):
            values = event.strengths.unpack()
            self._fill(keys, frames[event.start : event.start + len(values)], values)
        elif isinstance(event, p.Failed):
            self.keep(keys[0], replace(self.known(keys[0]), problem=event.message))
            self._show()

    def _fill(self, keys: Sequence[CourseKey], frames: np.ndarray, values: np.ndarray) -> None:
        for i, key in enumerate(keys):
            course = self.known(key)
            strengths = course.strengths.copy()
            strengths[frames] = values[:, i]
            self.keep(key, replace(course, strengths=strengths))
        self._show()
