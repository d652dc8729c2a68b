"""The patch grids of a stimulus, worked out once and kept on disk."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..paths import cache_folder
from ..profiles import Profile
from .fingerprint import weights_fingerprint

if TYPE_CHECKING:
    from ..recording.stimulus import Stimulus

OnProgress = Callable[[str, int, int], None]


def patch_grids(
    stimulus: "Stimulus",
    frames: np.ndarray,
    profile: Profile,
    on_progress: OnProgress | None = None,
    batch: int = 16,
) -> np.ndarray:
    """Return the patch grids of some frames of a stimulus, from the cache or from the tower.

    Parameters
    ----------
    stimulus : Stimulus
        Where the frames come from.
    frames : numpy.ndarray
        Numbers of the frames, (n,).
    profile : Profile
        Which tower, layer and fit.
    on_progress : callable, optional
        Called with (stage, done, total).
    batch : int
        Frames that go through the tower at once.

    Returns
    -------
    numpy.ndarray
        float16 (n, patches, width), memory-mapped read-only: the table of a movie is never held whole in memory.
    """
    frames = np.asarray(frames, dtype=np.int64)
    key = hashlib.sha256(
        json.dumps(
            [
                stimulus.fingerprint(),
                weights_fingerprint(profile, profile.vision.model),
                profile.vision.model_dump(),
                hashlib.sha256(frames.tobytes()).hexdigest(),
            ]
        ).encode()
    ).hexdigest()[:24]
    file = cache_folder("patches") / f"{key}.npy"
    if not file.is_file():
        _fill(file, stimulus, frames, profile, on_progress, batch)
    return np.load(file, mmap_mode="r", allow_pickle=False)


def _fill(
    file: Path,
    stimulus: "Stimulus",
    frames: np.ndarray,
    profile: Profile,
    on_progress: OnProgress | None,
    batch: int,
) -> None:
    from .tower import VisionTower

    tower = VisionTower(profile)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.part")
    try:
        table = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.float16, shape=(len(frames), tower.n_patches, tower.width)
        )
        for start in range(0, len(frames), batch):
            stop = min(start + batch, len(frames))
            table[start:stop] = tower.grids(stimulus.frames(frames[start:stop])).cpu().numpy()
            if on_progress:
                on_progress("looking at the frames", stop, len(frames))
        table.flush()
        del table
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
