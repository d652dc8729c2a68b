"""The patch grids of a stimulus, worked out once and kept on disk."""

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..paths import cache_folder
from ..profiles import Profile
from .fingerprint import weights_fingerprint
from .grid_store import GridStore
from .grid_table import GridTable

if TYPE_CHECKING:
    from ..recording.stimulus import Stimulus
    from .tower import VisionTower

OnProgress = Callable[[str, int, int], None]


def patch_grids(
    stimulus: "Stimulus",
    frames: np.ndarray,
    profile: Profile,
    on_progress: OnProgress | None = None,
    batch: int | None = None,
    device: str | None = None,
) -> GridTable:
    """Return the patch grids of some frames of a stimulus, from the cache or from the tower.

    Each frame of each stimulus goes through each tower once: what is finished stays on disk when the work is stopped, killed or runs out of
    space, and serves every session that showed the same frames.

    Parameters
    ----------
    stimulus : Stimulus
        Where the frames come from.
    frames : numpy.ndarray
        Numbers of the frames, (n,).
    profile : Profile
        Which tower, layer and fit.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    batch : int, optional
        Frames that are read and go through the tower at once; as the profile says by default.
    device : str, optional
        Where the tower runs; by default on a GPU where there is one.

    Returns
    -------
    GridTable
        float16 (n, patches, width), read from disk row by row: the table of a movie is never held whole in memory.

    Raises
    ------
    NeurratorError
        The model is not there or damaged, or the disk is full.
    """
    frames = np.asarray(frames, dtype=np.int64)
    report = on_progress or (lambda stage, done, total: None)
    tower: VisionTower | None = None
    store = _known_store(stimulus, profile, device)
    if store is None:
        tower = _load(profile, device)
        store = _store(stimulus, profile, device, (tower.n_patches, tower.width))
    chunks = store.chunks_of(frames)
    missing = store.unfinished(chunks)
    if missing:
        store.check_room(len(missing))
        if tower is None:
            tower = _load(profile, device)

        def waiting() -> None:
            left = len(store.unfinished(chunks))
            report("waiting for another process that looks at the frames", len(chunks) - left, len(chunks))

        with store.filling(waiting):
            _fill(store, store.unfinished(chunks), len(chunks), tower, stimulus, batch or profile.vision.batch, report)
    return store.table(frames)


def _fill(
    store: GridStore,
    missing: list[int],
    total: int,
    tower: "VisionTower",
    stimulus: "Stimulus",
    batch: int,
    report: OnProgress,
) -> None:
    """Work chunks out, as many at a time as make a batch."""
    together = max(batch // store.chunk, 1)
    done = total - len(missing)
    for start in range(0, len(missing), together):
        chunks = missing[start : start + together]
        report("looking at the frames", done + start, total)
        frames = [store.frames_of(chunk) for chunk in chunks]
        grids = tower.grids(stimulus.frames(np.concatenate(frames))).half().cpu().numpy()
        ends = np.cumsum([len(one) for one in frames])
        for chunk, part in zip(chunks, np.split(grids, ends[:-1]), strict=True):
            store.write(chunk, part)
    report("looking at the frames", total, total)


def _load(profile: Profile, device: str | None) -> "VisionTower":
    from .tower import VisionTower

    return VisionTower(profile, device)


def _known_store(stimulus: "Stimulus", profile: Profile, device: str | None) -> GridStore | None:
    """Return the store where the tower's configuration tells the size of its grids, so that nothing is loaded where all is there."""
    from .shape import TowerShape

    shape = (
        TowerShape.of(profile)
        if profile.folder_of(profile.vision.model) or profile.vision.library == "open_clip"
        else None
    )
    if shape is None or shape.channels is None:
        return None
    return _store(stimulus, profile, device, (shape.rows * shape.columns, shape.channels))


def _store(stimulus: "Stimulus", profile: Profile, device: str | None, grid: tuple[int, int]) -> GridStore:
    from .devices import usable_device, usable_dtype

    spec = profile.vision
    about = {
        "stimulus": stimulus.fingerprint(),
        "weights": weights_fingerprint(profile, spec.model),
        "library": spec.library,
        "model": spec.model,
        "layer": spec.layer,
        "fit": spec.fit,
        "computed_in": str(usable_dtype(spec.precision, usable_device(device))).removeprefix("torch."),
        "format": 1,
    }
    decides = {key: value for key, value in about.items() if key not in ("model", "layer")}
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:24]
    return GridStore(cache_folder("patches") / key, (stimulus.n_frames, *grid), about)
