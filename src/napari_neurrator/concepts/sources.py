"""The frames that concepts are looked for in: those of a recording's stimulus, or a movie or pictures by themselves."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NeurratorError

if TYPE_CHECKING:
    from ..recording.stimulus import Stimulus


def open_source(source: str, stimulus: str | None, frames: str | None = None) -> tuple["Stimulus", str]:
    """Open frames and say what they are called.

    Parameters
    ----------
    source : str
        A recording, where `stimulus` names one of its stimuli; else a movie, array or folder of pictures.
    stimulus : str, optional
        A stimulus by name, or the file with its frames.
    frames : str, optional
        File or folder of frames, where `stimulus` is a name.

    Raises
    ------
    NeurratorError
        There is nothing of the kind.
    """
    from ..recording import open_recording, open_stimulus
    from ..recording.stimulus.open import open_frames

    if stimulus is not None:
        return open_stimulus(open_recording(source), stimulus, frames=frames)
    if frames is not None:
        raise NeurratorError(
            "--frames needs --stimulus: name the stimulus whose frames these are, or give the frames in the place of the recording."
        )
    path = Path(source).expanduser()
    if source == "sample" or path.suffix.lower() in (".nwb", ".hdf5nwb"):
        raise NeurratorError(f"{source} is a recording: name the stimulus whose frames are meant with --stimulus.")
    opened = open_frames(path)
    return opened, opened.name
