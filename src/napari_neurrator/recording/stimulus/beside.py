"""Where the frames of a stimulus lie: in the session itself, or beside it."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..presentations import canonical_name
from .base import Stimulus
from .pictures import image_files

if TYPE_CHECKING:
    from ..recording import Recording

MOVIE_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif", ".apng")
ARRAY_ENDINGS = (".npy", ".tif", ".tiff", ".zarr", ".zarr.zip", ".h5", ".hdf5")
# Folders beside a session that hold stimuli; the second and third are those of AllenSDK's cache.
_FOLDERS = ("stimuli", "natural_movie_templates", "natural_scene_templates", "stimulus")
# A stimulus that shows another one's frames, in another order or more often.
_VARIANTS = ("_more_repeats", "_shuffled", "_presentations", "_stimulus")
# Images lie in folders of other names.
_OTHER_NAMES = {"natural_scenes": ("natural_scene_templates", "natural_scene", "natural_images", "scenes")}


def frame_names(name: str) -> list[str]:
    """Return the names, in one spelling, under which a stimulus's frames may lie: its own first, then that of the stimulus it is a variant of."""
    names = [canonical_name(name)]
    for _ in _VARIANTS:
        shorter = next((names[-1].removesuffix(end) for end in _VARIANTS if names[-1].endswith(end)), None)
        if shorter:
            names.append(shorter)
    return names + [other for own in list(names) for other in _OTHER_NAMES.get(own, ())]


def own_frames(recording: "Recording", name: str) -> Stimulus | None:
    """Return the frames that lie in the session's own file, or None."""
    series = getattr(recording, "image_series", None) or {}
    for wanted in frame_names(name):
        for own, stimulus in series.items():
            if canonical_name(own) == wanted:
                return stimulus
    return None


def file_beside(recording: "Recording", name: str) -> Path | None:
    """Return the file or folder of a stimulus's frames beside the session, or None."""
    source = Path(recording.source)
    try:
        folder = source if source.is_dir() else source.parent
        if not folder.is_dir():
            return None
        # A folder may hold its frames or stand beside them; AllenSDK keeps them one folder above its sessions.
        around = [folder, folder.parent] if source.is_dir() else [folder]
        places = around + [place / inner for place in (folder, folder.parent) for inner in _FOLDERS]
        there = [path for place in places if place.is_dir() for path in sorted(place.iterdir())]
    except OSError:
        return None
    for wanted in frame_names(name):
        for path in there:
            if canonical_name(_stem(path)) == wanted and _holds_frames(path):
                return path
    return None


def _stem(path: Path) -> str:
    name = path.name
    return next(
        (name[: -len(end)] for end in (".zarr.zip", *MOVIE_ENDINGS, *ARRAY_ENDINGS) if name.lower().endswith(end)), name
    )


def is_zarr(path: Path) -> bool:
    """Tell whether a folder or file is a Zarr store."""
    if path.is_dir():
        return path.suffix.lower() == ".zarr" or any(
            (path / mark).is_file() for mark in (".zarray", ".zgroup", "zarr.json")
        )
    return path.name.lower().endswith((".zarr.zip", ".zarr", ".zip"))


def _holds_frames(path: Path) -> bool:
    if path.is_dir():
        return is_zarr(path) or bool(image_files(path))
    return path.name.lower().endswith((*MOVIE_ENDINGS, *ARRAY_ENDINGS))
