"""Find the frames of a stimulus."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...errors import NeurratorError
from ..presentations import canonical_name, condition_columns
from .arrays import IMAGE_ENDINGS, ArrayStimulus, ImageFolder
from .base import Stimulus
from .gratings import GratingStimulus
from .movie import MovieFile

if TYPE_CHECKING:
    from ..recording import Recording

MOVIE_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


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
    given = Path(name_or_file).expanduser()
    if canonical_name(name_or_file) in known:
        name = recording.stimulus_name(name_or_file)
        if frames is not None:
            stimulus = open_frames(frames, name)
        elif _is_grating(recording.presentations_of(name)) and _beside(recording, name) is None:
            return GratingStimulus(recording.presentations_of(name), name), name
        else:
            stimulus = open_frames(_found_beside(recording, name), name)
    elif given.exists():
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
    """Open a movie file, a .npy array, a TIFF stack or a folder of images.

    Raises
    ------
    NeurratorError
        There is nothing, or something of another kind.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return ImageFolder(path, name)
    if not path.is_file():
        raise NeurratorError(
            f"There are no frames at {path}: give a movie file, a .npy array, a TIFF stack or a folder of images."
        )
    ending = path.suffix.lower()
    if ending == ".npy":
        return ArrayStimulus.from_npy(path, name)
    if ending in (".tif", ".tiff"):
        return ArrayStimulus.from_tiff(path, name)
    return MovieFile(path, name)


def _is_grating(presentations: pd.DataFrame) -> bool:
    """Tell whether the whole screen showed gratings: patches at several places (Gabors) cannot be rendered as such."""
    if "orientation" not in condition_columns(presentations):
        return False
    places = [column for column in ("x_position", "y_position") if column in presentations]
    return all(pd.to_numeric(presentations[column], errors="coerce").nunique() <= 1 for column in places)


def _beside(recording: "Recording", name: str) -> Path | None:
    folder = Path(recording.source)
    folder = folder if folder.is_dir() else folder.parent
    if not folder.is_dir():
        return None
    for path in sorted(folder.iterdir()):
        if canonical_name(path.stem) != canonical_name(name):
            continue
        if path.suffix.lower() in (*MOVIE_ENDINGS, ".npy", ".tif", ".tiff"):
            return path
        if path.is_dir() and any(file.suffix.lower() in IMAGE_ENDINGS for file in path.iterdir()):
            return path
    return None


def _found_beside(recording: "Recording", name: str) -> Path:
    path = _beside(recording, name)
    if path is None:
        raise NeurratorError(
            f"The frames of {name!r} are not beside {recording.source} (looked for {name}.mp4, .avi, .mov, .mkv, .npy, .tif or a folder {name}): "
            "put them there or give them with --frames."
        )
    return path


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
    shown = recording.presentations_of(name)["frame"]
    last, distinct = int(shown.max()), int(shown[shown >= 0].nunique())
    if last + 1 > stimulus.n_frames or (isinstance(stimulus, MovieFile) and stimulus.n_frames != last + 1):
        raise NeurratorError(
            f"The frames of {name!r} do not fit: there are {stimulus.n_frames}, and the presentations show frames up to number {last} ({distinct} different ones): "
            "give the frames that were shown."
        )
