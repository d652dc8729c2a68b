"""Tells a backend which frames were shown and where they are."""

import numpy as np

from ..backend.protocol import ShownFrames
from ..errors import NeurratorError
from .keeping import is_source
from .state import Session


def shown_frames(session: Session) -> ShownFrames:
    """Return the frames of the stimulus that is shown, as a request names them.

    Raises
    ------
    NeurratorError
        There are none, or the recording was handed over from Python, so that nobody else could open it.
    """
    entry = session.current
    if entry is None or session.stimulus is None or session.moments is None:
        raise NeurratorError("There are no frames to look through; choose a stimulus whose frames are known.")
    source = entry.pooled[0] if entry.pooled else entry.source
    if session.stimulus_file is None and not is_source(source):
        raise NeurratorError(
            f"{entry.recording.name} was not opened from a file, so that its frames cannot be looked through: save it as a SortingAnalyzer or NWB first."
        )
    numbers = np.unique(session.moments.table["frame"].to_numpy())
    numbers = numbers[numbers >= 0]
    if not len(numbers):
        raise NeurratorError(f"No frame of {session.stimulus_name} was shown.")
    return ShownFrames(
        recording=source,
        stimulus=session.stimulus_name,
        file=session.stimulus_file,
        presentations=entry.presentations,
        numbers=numbers.tolist(),
    )
