"""Find the frames of a stimulus."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...errors import NeurratorError
from ..presentations import canonical_name, condition_columns
from ..showings import movie_steps
from .arrays import ArrayStimulus
from .base import Stimulus
from .beside import file_beside, frame_names, is_zarr, own_frames
from .gratings import GratingStimulus
from .movie import MovieFile
from .pictures import IMAGE_ENDINGS, ImageFolder, PictureSequence, opened

if TYPE_CHECKING:
    from ..recording import Recording


def open_stimulus(recording: "Recording", name_or_file: str, frames: str | Path | None = None) -> tuple[Stimulus, str]:
    """Open the frames of one of a recording's stimuli.

    Parameters
    ----------
    recording : Recording
        Holds the presentations.
    name_or_file : str
        A stimulus by name, or a file or folder of frames: then the stimulus is the one of that name, or the only one with as many frames.
    frames : path-like, optional
        File or folder of frames, where `name_or_file` is a name.

    Returns
    -------
    stimulus : Stimulus
        The frames.
    name : str
        The stimulus as the recording spells it.

    Raises
    ------
    NeurratorError
        No such stimulus, no frames, or as many frames as do not fit what was shown.
    """
    known = {canonical_name(name) for name in recording.presentations["stimulus"].unique()}
    if canonical_name(name_or_file) in known:
        name = recording.stimulus_name(name_or_file)
        own = own_frames(recording, name)
        if frames is not None:
            stimulus = open_frames(frames, name)
        elif own is not None:
            stimulus = own
        elif _is_rendered(recording.presentations_of(name)) and file_beside(recording, name) is None:
            return GratingStimulus(recording.presentations_of(name), name), name
        else:
            path = _found_beside(recording, name)
            _refuse_shuffled(recording, name, path)
            stimulus = open_frames(path, name)
    elif (given := _existing(name_or_file)) is not None:
        stimulus = open_frames(given)
        name = _name_for(recording, stimulus, given)
        stimulus.name = name
    else:
        # Neither a stimulus nor a file: the message names the stimuli that are there.
        name = recording.stimulus_name(name_or_file)
        raise AssertionError(name)
    _check_length(recording, stimulus, name)
    return stimulus, name


def open_frames(path: str | Path, name: str | None = None) -> Stimulus:
    """Open a movie file, a NumPy, Zarr or HDF5 array, a TIFF stack or a folder of images; nothing is read whole.

    Raises
    ------
    NeurratorError
        There is nothing, something of another kind, or something that claims to be absurdly large.
    """
    found = _existing(path)
    if found is None:
        raise NeurratorError(
            f"There are no frames at {path}: give a movie file, a .npy, .zarr or .h5 array, a TIFF stack or a folder of images."
        )
    path, ending = found, found.suffix.lower()
    if is_zarr(path):
        from .stores import open_zarr

        return open_zarr(path, name)
    if path.is_dir():
        return ImageFolder(path, name)
    if ending == ".npy":
        return ArrayStimulus.from_npy(path, name)
    if ending in (".tif", ".tiff"):
        from .tiff import open_tiff

        return open_tiff(path, name)
    if ending in (".h5", ".hdf5"):
        from .stores import open_hdf5

        return open_hdf5(path, name)
    if ending == ".webp":
        # PyAV does not decode animated ones.
        return PictureSequence(path, name)
    if ending in (*IMAGE_ENDINGS, ".gif", ".apng"):
        # What the header claims; the movie reader is not told of it.
        with opened(path):
            pass
    return MovieFile(path, name)


def _existing(path: str | Path) -> Path | None:
    """Return a path that exists, or None: also where it could not be one."""
    try:
        path = Path(path).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _is_rendered(presentations: pd.DataFrame) -> bool:
    """Tell whether the whole screen showed gratings or flashes: patches at several places (Gabors) cannot be rendered as such."""
    told = condition_columns(presentations)
    flashes = "color" in told and pd.to_numeric(presentations["color"], errors="coerce").notna().any()
    if "orientation" not in told and not flashes:
        return False
    places = [column for column in ("x_position", "y_position") if column in presentations]
    return all(pd.to_numeric(presentations[column], errors="coerce").nunique() <= 1 for column in places)


def _found_beside(recording: "Recording", name: str) -> Path:
    path = file_beside(recording, name)
    if path is None:
        also = frame_names(name)[1:]
        raise NeurratorError(
            f"The frames of {name!r} are not beside {recording.source} (looked for {name}.mp4, .avi, .mov, .mkv, .npy, .tif, .zarr, .h5 or a folder {name}"
            f"{', also under the name ' + ' or '.join(also) if also else ''}): put them there or give them with --frames."
        )
    return path


def _refuse_shuffled(recording: "Recording", name: str, path: Path) -> None:
    """Refuse another movie's frames for a shuffled one whose frame numbers count its own order, as those of Allen's sessions do."""
    if not canonical_name(name).endswith("_shuffled") or canonical_name(path.name.split(".")[0]) == canonical_name(
        name
    ):
        return
    frames = recording.presentations_of(name)["frame"].to_numpy()
    if movie_steps(np.zeros(len(frames), dtype=np.int64), frames, np.array([True]))[0] > 0:
        raise NeurratorError(
            f"The frame numbers of {name!r} count up as they were shown, so they number the shuffled movie, and {path.name} has its frames in another order: "
            "give the shuffled movie with --frames."
        )


def _name_for(recording: "Recording", stimulus: Stimulus, path: Path) -> str:
    summary = recording.stimuli()
    for name in summary["stimulus"]:
        if canonical_name(name) == canonical_name(path.stem):
            return str(name)
    fitting = summary[(summary["frames"] == stimulus.n_frames) & (summary["frames"] > 1)]
    if len(fitting) == 1:
        return str(fitting["stimulus"].iloc[0])
    listed = ", ".join(f"{row.stimulus} ({row.frames} frames)" for row in summary.itertuples()) or "none"
    raise NeurratorError(
        f"It is not clear which stimulus {path} ({stimulus.n_frames} frames) shows; the recording has {listed}: name one with --stimulus and give the file with --frames."
    )


def _check_length(recording: "Recording", stimulus: Stimulus, name: str) -> None:
    """Refuse fewer frames than were shown; more are fine, for a session may show a part of a movie."""
    last = int(recording.presentations_of(name)["frame"].max())
    if last + 1 > stimulus.n_frames:
        raise NeurratorError(
            f"The frames of {name!r} do not fit: there are {stimulus.n_frames}, and the presentations show {last + 1} (up to number {last}): give the frames that were shown."
        )
