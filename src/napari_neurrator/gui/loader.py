"""Opens recordings and stimuli beside the window's thread and puts them into the session; counts spikes for the slider."""

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError, Stopped
from .moments import Moments
from .state import Job, OpenRecording, Session
from .threads import Background

DEFAULT_WINDOW_S, DEFAULT_LAG_S = 20 / 120, 0.05


@dataclass(frozen=True)
class Opened:
    """What opening a stimulus gave; without frames, `problem` says why."""

    name: str
    stimulus: Any = None
    moments: Moments | None = None
    file: str | None = None
    problem: str = ""


def import_readers() -> None:
    """Import what opening a recording needs, while the user still looks for the file."""
    import av  # noqa: F401
    import dask.array  # noqa: F401
    import pynwb  # noqa: F401
    import spikeinterface.extractors.nwbextractors  # noqa: F401


def read_recording(source: str, presentations: str | None = None) -> Any:
    """Open a recording from a path, an address or the word ``sample``."""
    from ..recording import open_recording

    # tagging by light reads spike times, which here are read once the units are on screen
    return open_recording(source, presentations=presentations, optotag=False)


def read_stimulus(recording: Any, name: str, frames: str | None = None) -> Opened:
    """Open a stimulus of `recording` by name; a stimulus whose frames are not found is told apart, not refused."""
    from ..recording import moments, open_stimulus

    try:
        stimulus, name = open_stimulus(recording, name, frames)
        table = moments(recording, name, stimulus)
    except NeurratorError as error:
        return Opened(name, problem=str(error))
    return Opened(name, stimulus, Moments(table, stimulus.frame_rate_hz), frames)


def stimulus_names(recording: Any) -> list[str]:
    """Names of the stimuli that were shown, in order."""
    return [str(name) for name in recording.stimuli()["stimulus"]]


def first_stimulus(recording: Any, frames: str | None = None, wanted: str | None = None) -> Opened:
    """Open the stimulus `wanted`, or else the first whose frames are at hand; where there are none, say of the first why not."""
    names = stimulus_names(recording)
    if wanted is not None:
        names = [recording.stimulus_name(wanted)]
    tried = []
    for name in names:
        tried.append(read_stimulus(recording, name, frames))
        if tried[-1].stimulus is not None:
            return tried[-1]
    return tried[0] if tried else Opened("")


def spikes_loaded(recording: Any) -> bool:
    """Whether all spike times of a recording are in memory."""
    return recording is None or bool(getattr(recording.spikes, "loaded", True))


def is_remote(recording: Any) -> bool:
    """Whether reading all spike times of a recording means fetching them from elsewhere."""
    return "://" in str(getattr(recording, "source", ""))


def tagging_is_due(recording: Any) -> bool:
    """Whether light pulses could tell more of the units' cell types than has been said."""
    return (
        getattr(recording, "optogenetics", None) is not None
        and "optotagged" not in recording.units
        and not is_remote(recording)
    )


COUNT_S = 0.1
"""While the film plays, spikes are counted this often: their window is longer still."""


class Loader:
    """Opens things for one session, and reads spike times while the units are on screen already.

    Parameters
    ----------
    session : Session
        The hub.
    background : Background
        Opens recordings and stimuli.
    reading : Background
        Reads spike times, so that a long read keeps nothing else waiting.
    """

    def __init__(self, session: Session, background: Background, reading: Background) -> None:
        self.session, self.background, self.reading = session, background, reading
        self._queued: weakref.WeakSet[Any] = weakref.WeakSet()
        self._read: weakref.WeakKeyDictionary[Any, set] = weakref.WeakKeyDictionary()
        self._closed = False
        self._counted_s = 0.0
        events = session.events
        self._links: list[tuple[Any, Callable]] = [
            (signal, self.count)
            for signal in (
                events.frame,
                events.repeat,
                events.decoder,
                events.playing,
                session.scene_changed,
                events.spikes_ready,
            )
        ]
        self._links += [(events.recording, self._read_spikes), (events.selected, self._read_selected)]
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Stop listening, and stop reading."""
        self._closed = True
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []

    def open(
        self,
        source: str | Path | Any,
        frames: str | None = None,
        stimulus: str | None = None,
        and_then: Callable[[], Any] = lambda: None,
        presentations: str | None = None,
        otherwise: Callable[[], Any] = lambda: None,
    ) -> None:
        """Open a recording: a path, the word ``sample``, or a `Recording` that is open already.

        Parameters
        ----------
        source : path, str or Recording
            What to open.
        frames : str, optional
            File or folder with the frames of the stimulus.
        stimulus : str, optional
            Which stimulus to show; by default the first whose frames are at hand.
        and_then : callable
            Is called when all is open.
        presentations : str, optional
            File that says what was shown when, in place of the source.
        otherwise : callable
            Is called after the user has been told that it could not be opened.
        """
        session = self.session
        name = (
            str(source)
            if isinstance(source, str | Path)
            else str(getattr(source, "source", getattr(source, "name", "")))
        )
        session.job = Job("opening", f"Opening {Path(name).name}")

        self._open(
            name,
            lambda: read_recording(name, presentations) if isinstance(source, str | Path) else source,
            frames,
            stimulus,
            and_then,
            presentations=presentations,
            otherwise=otherwise,
        )

    def pool(self, entries: Sequence[OpenRecording], stimulus: str | None = None) -> None:
        """Pool open recordings into a pseudo-population and show it beside them."""
        recordings = [entry.recording for entry in entries]
        self._pool([entry.source for entry in entries], lambda: recordings, stimulus, None, stimulus, lambda: None)

    def open_pool(
        self,
        sources: Sequence[str],
        by: str | None,
        frames: str | None = None,
        stimulus: str | None = None,
        and_then: Callable[[], Any] = lambda: None,
        otherwise: Callable[[], Any] = lambda: None,
    ) -> None:
        """Pool recordings by the stimulus `by` (None: by all that they share); those that are not open yet are opened, but not shown."""
        here = {entry.source: entry.recording for entry in self.session.opened}
        self._pool(
            sources,
            lambda: [here[source] if source in here else read_recording(source) for source in sources],
            by,
            frames,
            stimulus,
            and_then,
            otherwise,
        )

    def _pool(
        self,
        sources: Sequence[str],
        recordings: Callable[[], list[Any]],
        by: str | None,
        frames: str | None,
        stimulus: str | None,
        and_then: Callable[[], Any],
        otherwise: Callable[[], Any] = lambda: None,
    ) -> None:
        self.session.job = Job("opening", f"Pooling {len(sources)} sessions")

        def work() -> Any:
            from ..recording.pool import pool

            return pool(recordings(), by)

        name = " + ".join(sources) + (f" ({by})" if by else "")
        self._open(name, work, frames, stimulus, and_then, tuple(sources), by, otherwise=otherwise)

    def attach_presentations(self, path: str | Path) -> None:
        """Say anew what was shown when, from a table or a TOML file, for the recording that is open."""
        session = self.session
        recording = session.recording
        if recording is None:
            session.fail(f"Open a recording before its presentations ({Path(path).name}).")
            return
        session.job = Job("opening", f"Reading {Path(path).name}")

        def work() -> tuple[Any, Opened]:
            from ..recording.presentation_files import load_presentations

            changed = recording.with_presentations(load_presentations(path))
            return changed, first_stimulus(changed)

        def then(got: tuple[Any, Opened]) -> None:
            session.job = Job()
            if session.recording is not recording:
                session.warn(f"Another recording was opened while {Path(path).name} was read; it was left out.")
                return
            session.replace_recording(got[0], str(path))
            self._show(got[1])
            session.status = f"{len(got[0].presentations)} presentations from {Path(path).name}."

        self.background.run(work, then, self._failed)

    def _open(
        self,
        name: str,
        read: Callable[[], Any],
        frames: str | None,
        stimulus: str | None,
        and_then: Callable[[], Any],
        pooled: tuple[str, ...] = (),
        pooled_stimulus: str | None = None,
        presentations: str | None = None,
        otherwise: Callable[[], Any] = lambda: None,
    ) -> None:
        session = self.session

        def work() -> tuple[Any, Opened]:
            recording = read()
            return recording, first_stimulus(recording, frames, stimulus)

        def then(got: tuple[Any, Opened]) -> None:
            recording, opened = got
            session.job = Job()
            session.open(name, recording, pooled, pooled_stimulus, presentations)
            self._show(opened)
            session.status = f"{len(recording.units)} units opened. Draw a lasso round some of them."
            and_then()

        def failed(error: BaseException) -> None:
            self._failed(error)
            otherwise()

        self.background.run(work, then, failed)

    def show(self, stimulus_name: str, frames: str | None = None) -> None:
        """Show another stimulus of the recording, with its frames from a file or folder if need be."""
        session = self.session
        recording = session.recording
        if recording is None or (stimulus_name == session.stimulus_name and frames is None):
            return
        session.job = Job("opening", f"Opening {stimulus_name}")

        def then(opened: Opened) -> None:
            session.job = Job()
            if frames is not None and opened.stimulus is None:
                session.fail(opened.problem)
            else:
                self._show(opened)

        self.background.run(lambda: read_stimulus(recording, stimulus_name, frames), then, self._failed)

    def _show(self, opened: Opened) -> None:
        self.session.show_stimulus(opened.name, opened.stimulus, opened.moments, opened.file)
        if opened.problem:
            self.session.warn(opened.problem)

    def _failed(self, error: BaseException) -> None:
        self.session.job = Job()
        known = isinstance(error, NeurratorError | OSError)
        self.session.fail(str(error) if known else f"Opening failed: {type(error).__name__}: {error}")

    # -- spikes ----------------------------------------------------------------------------------------------------------------------
    def _read_spikes(self) -> None:
        """Begin to read the spike times of the recording that is shown, and what they say of its units."""
        session = self.session
        recording = session.recording
        session.spikes_ready = spikes_loaded(recording)
        if recording is None or is_remote(recording) or recording in self._queued:
            return
        if session.spikes_ready and not tagging_is_due(recording):
            return
        self._queued.add(recording)

        def on_progress(_stage: str, done: int, total: int) -> None:
            if self._closed:
                raise Stopped
            self.reading.tell(lambda: self._say(recording, f"Reading spike times: {done / max(total, 1):.0%}"))

        def work() -> bool:
            if not spikes_loaded(recording):
                recording.spikes.load(on_progress)
            due = tagging_is_due(recording)
            self.reading.tell(lambda: self._spikes_are_in(recording))
            if due:
                recording.describe_units()
            return due

        def then(described: bool) -> None:
            if described and session.recording is recording:
                session.units_described.emit()

        self.reading.run(work, then, self._reading_failed)

    def _read_selected(self) -> None:
        """Read the spike times of the selected units of a recording that lies elsewhere, and only theirs."""
        session = self.session
        recording, units = session.recording, session.selected
        if recording is None or spikes_loaded(recording) or not is_remote(recording):
            return
        have = self._read.setdefault(recording, set())
        missing = [unit for unit in units if unit not in have]
        session.spikes_ready = not missing
        if not missing:
            return

        def work() -> None:
            for n, unit in enumerate(missing):
                if self._closed or session.selected != units:
                    return
                recording.spikes.times(unit)
                have.add(unit)
                words = f"Fetching spike times: unit {n + 1} of {len(missing)}"
                self.reading.tell(partial(self._say, recording, words))

        def then(_: None) -> None:
            if session.recording is recording and session.selected == units:
                self._spikes_are_in(recording)

        self.reading.run(work, then, self._reading_failed)

    def _say(self, recording: Any, words: str) -> None:
        if self.session.recording is recording and not self.session.spikes_ready:
            self.session.status = words

    def _spikes_are_in(self, recording: Any) -> None:
        session = self.session
        if session.recording is recording:
            if session.status.startswith(("Reading spike times", "Fetching spike times")):
                session.status = ""
            session.spikes_ready = True

    def _reading_failed(self, error: BaseException) -> None:
        if not isinstance(error, Stopped):
            known = isinstance(error, NeurratorError | OSError)
            self.session.fail(str(error) if known else f"Reading spikes failed: {type(error).__name__}: {error}")

    def count(self) -> None:
        """Count every unit's spikes in the window of the present moment."""
        session = self.session
        if session.playing and time.perf_counter() - self._counted_s < COUNT_S:
            return
        self._counted_s = time.perf_counter()
        row = session.moment
        if session.recording is None or session.moments is None or row is None or not spikes_loaded(session.recording):
            session.counts = None
            return
        window = None if session.decoder is None else session.decoder.window
        lag, width = (
            (DEFAULT_LAG_S, DEFAULT_WINDOW_S) if window is None else (window.lag_s, window.n_bins * window.bin_s)
        )
        start = np.array([session.moments.time(row) + lag])
        counts = session.recording.spikes.count(start, 1, width, list(session.unit_ids))
        session.counts = np.asarray(counts).reshape(-1)
