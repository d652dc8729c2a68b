"""Opens recordings and stimuli beside the window's thread and puts them into the session; counts spikes for the slider."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NeurratorError
from .state import Job, Moments, Session
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


def read_recording(source: str) -> Any:
    """Open a recording from a path or the word ``sample``."""
    from ..recording import open_recording

    return open_recording(source)


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


class Loader:
    """Opens things for one session."""

    def __init__(self, session: Session, background: Background) -> None:
        self.session, self.background = session, background
        for signal in (session.events.frame, session.events.repeat, session.events.decoder, session.scene_changed):
            signal.connect(self.count)

    def close(self) -> None:
        """Stop listening."""
        session = self.session
        for signal in (session.events.frame, session.events.repeat, session.events.decoder, session.scene_changed):
            signal.disconnect(self.count)

    def open(
        self,
        source: str | Path | Any,
        frames: str | None = None,
        stimulus: str | None = None,
        and_then: Callable[[], Any] = lambda: None,
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
        """
        session = self.session
        name = (
            str(source)
            if isinstance(source, str | Path)
            else str(getattr(source, "source", getattr(source, "name", "")))
        )
        session.job = Job("opening", f"Opening {Path(name).name}")

        def work() -> tuple[Any, Opened]:
            recording = read_recording(name) if isinstance(source, str | Path) else source
            return recording, first_stimulus(recording, frames, stimulus)

        def then(got: tuple[Any, Opened]) -> None:
            recording, opened = got
            session.job = Job()
            session.open(name, recording)
            self._show(opened)
            session.status = f"{len(recording.units)} units opened. Draw a lasso round some of them."
            and_then()

        self.background.run(work, then, self._failed)

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

    def count(self) -> None:
        """Count every unit's spikes in the window of the present moment."""
        session = self.session
        row = session.moment
        if session.recording is None or session.moments is None or row is None:
            session.counts = None
            return
        window = None if session.decoder is None else session.decoder.window
        lag, width = (
            (DEFAULT_LAG_S, DEFAULT_WINDOW_S) if window is None else (window.lag_s, window.n_bins * window.bin_s)
        )
        start = np.array([session.moments.time(row) + lag])
        counts = session.recording.spikes.count(start, 1, width, list(session.unit_ids))
        session.counts = np.asarray(counts).reshape(-1)
