"""Which patches of a stimulus drive each feature most."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..paths import cache_folder
from ..writing import written
from .dictionary import Dictionary

OnProgress = Callable[[str, int, int], None]
# Frames that are encoded at once.
_BATCH = 8


@dataclass(frozen=True)
class TopPatches:
    """The patches that drive each feature most, at most one from each stretch of frames.

    Attributes
    ----------
    rows : numpy.ndarray
        Row of the table of grids, int32 (feature, n); −1 where fewer are active. Strongest first.
    patches : numpy.ndarray
        Patch within the grid, int32 (feature, n).
    values : numpy.ndarray
        Activation, float32 (feature, n).
    frames_active : numpy.ndarray
        In how many frames the feature is active anywhere, int32 (feature,).
    n_frames : int
        Frames that were looked at.
    """

    rows: np.ndarray
    patches: np.ndarray
    values: np.ndarray
    frames_active: np.ndarray
    n_frames: int

    def of(self, feature: int, n: int | None = None) -> list[tuple[int, int, float]]:
        """Return (row, patch, value) of a feature's best patches, strongest first."""
        rows = self.rows[feature][:n]
        kept = rows >= 0
        return list(
            zip(
                rows[kept].tolist(),
                self.patches[feature][:n][kept].tolist(),
                self.values[feature][:n][kept].tolist(),
                strict=True,
            )
        )


def top_patches(
    dictionary: Dictionary,
    grids_rows: Any,
    features: Sequence[int],
    n: int,
    apart: int = 1,
    on_progress: OnProgress | None = None,
) -> list[list[tuple[int, int, float]]]:
    """Find the patches that drive some features most.

    Parameters
    ----------
    dictionary : Dictionary
        Whose features.
    grids_rows : array_like
        Patch grids (frame, patch, width): anything that is sliced by frames, such as what `patch_grids` returns.
    features : sequence of int
        Which features.
    n : int
        Patches a feature at most.
    apart : int
        At most one from each stretch of so many frames (neighbouring frames of a movie look alike); 1: one a frame.
    on_progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    list of list of tuple
        For each of `features`: (row of `grids_rows`, patch, activation), strongest first; fewer where it is active in fewer.
    """
    found = find_top_patches(dictionary, grids_rows, n, apart, on_progress)
    return [found.of(int(feature)) for feature in features]


def find_top_patches(
    dictionary: Dictionary, grids_rows: Any, n: int, apart: int = 1, on_progress: OnProgress | None = None
) -> TopPatches:
    """Find the patches that drive every feature most, in one pass; see `top_patches`."""
    total, size = len(grids_rows), dictionary.n_features
    best = _Best(size, n)
    active = torch.zeros(size, dtype=torch.int32)
    for start in range(0, total, apart):
        stretch = _BestOfStretch(size)
        for first in range(start, min(start + apart, total), _BATCH):
            last = min(first + _BATCH, start + apart, total)
            encoded = dictionary.encode(torch.from_numpy(np.asarray(grids_rows[first:last])))
            rows = encoded.rows.cpu()
            features, values = encoded.features.cpu(), encoded.values.cpu()
            stretch.add(features, values, rows // encoded.n_patches + first, rows % encoded.n_patches)
            pairs = torch.unique(rows // encoded.n_patches * size + features) % size
            active.index_add_(0, pairs, torch.ones(len(pairs), dtype=torch.int32))
            if on_progress:
                on_progress("encoding frames", last, total)
        best.add(*stretch.found())
    return TopPatches(best.rows.numpy(), best.patches.numpy(), best.values.numpy(), active.numpy(), total)


class _BestOfStretch:
    """The strongest patch of each feature among those that were added."""

    def __init__(self, n_features: int):
        self.values = torch.full((n_features,), -torch.inf)
        self.rows = torch.full((n_features,), -1, dtype=torch.int32)
        self.patches = torch.zeros(n_features, dtype=torch.int32)

    def add(self, features: torch.Tensor, values: torch.Tensor, rows: torch.Tensor, patches: torch.Tensor) -> None:
        # Weakest first, so that of what is written to one place the strongest stays.
        order = torch.argsort(values, stable=True)
        f, v, r, p = (part[order].numpy() for part in (features, values, rows, patches))
        # The last of each feature.
        last = len(f) - 1 - np.unique(f[::-1], return_index=True)[1]
        better = last[v[last] > self.values.numpy()[f[last]]]
        where = torch.from_numpy(f[better])
        self.values[where] = torch.from_numpy(v[better])
        self.rows[where] = torch.from_numpy(r[better].astype(np.int32))
        self.patches[where] = torch.from_numpy(p[better].astype(np.int32))

    def found(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        where = (self.rows >= 0).nonzero()[:, 0]
        return where, self.values[where], self.rows[where], self.patches[where]


class _Best:
    """The n best patches of each feature so far, strongest first."""

    def __init__(self, n_features: int, n: int):
        self.values = torch.full((n_features, n), -torch.inf)
        self.rows = torch.full((n_features, n), -1, dtype=torch.int32)
        self.patches = torch.zeros(n_features, n, dtype=torch.int32)

    def add(self, features: torch.Tensor, values: torch.Tensor, rows: torch.Tensor, patches: torch.Tensor) -> None:
        better = values > self.values[features, -1]
        features = features[better]
        if not len(features):
            return
        merged = torch.cat([self.values[features], values[better][:, None]], 1)
        order = merged.argsort(dim=1, descending=True, stable=True)[:, :-1]
        self.values[features] = merged.gather(1, order)
        for mine, new in ((self.rows, rows), (self.patches, patches)):
            mine[features] = torch.cat([mine[features], new[better][:, None]], 1).gather(1, order)


def index_of(
    dictionary: Dictionary,
    grids_rows: Any,
    key: Iterable[str],
    n: int = 16,
    apart: int = 1,
    on_progress: OnProgress | None = None,
) -> TopPatches:
    """Return the best patches of every feature, from the dictionary's cache or found now and kept there.

    Parameters
    ----------
    dictionary, grids_rows, n, apart, on_progress
        As in `find_top_patches`.
    key : iterable of str
        What tells these grids from others: `grids_key`.
    """
    said = json.dumps([list(key), n, apart, len(grids_rows)])
    file = (
        cache_folder("concepts")
        / dictionary.content_hash
        / f"{hashlib.sha256(said.encode()).hexdigest()[:24]}.safetensors"
    )
    try:
        kept = load_file(file)
        return TopPatches(**{name: kept[name] for name in _KEPT}, n_frames=len(grids_rows))
    except (OSError, SafetensorError, KeyError, ValueError):
        # Not there, or damaged: found again.
        pass
    found = find_top_patches(dictionary, grids_rows, n, apart, on_progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written(file) as part:
        save_file({name: np.ascontiguousarray(getattr(found, name)) for name in _KEPT}, part)
    return found


_KEPT = ("rows", "patches", "values", "frames_active")


def grids_key(stimulus: Any, frames: np.ndarray, profile: Any) -> list[str]:
    """Return what tells the grids of these frames, seen by this profile, from others."""
    from ..vision.fingerprint import weights_fingerprint

    return [
        stimulus.fingerprint(),
        weights_fingerprint(profile, profile.vision.model),
        json.dumps(profile.vision.model_dump(), sort_keys=True),
        hashlib.sha256(np.ascontiguousarray(frames, dtype=np.int64).tobytes()).hexdigest(),
    ]


def top_frames(
    dictionary: Dictionary,
    stimulus: Any,
    profile: Any,
    features: Sequence[int],
    n: int = 8,
    frames: np.ndarray | None = None,
    on_progress: OnProgress | None = None,
) -> list[list[tuple[int, int, float]]]:
    """Find the frames of a stimulus that drive some features most, from the caches of grids and of best patches.

    Parameters
    ----------
    dictionary : Dictionary
        Whose features.
    stimulus : Stimulus
        Where the frames come from; of a movie at most one frame a second is taken for a feature.
    profile : Profile
        Which vision model.
    features : sequence of int
        Which features.
    n : int
        Frames a feature, 16 at most.
    frames : numpy.ndarray, optional
        Numbers of the frames to look at; all.
    on_progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    list of list of tuple
        For each of `features`: (frame, patch, activation), strongest first.
    """
    from ..vision.cache import patch_grids

    frames = np.arange(stimulus.n_frames) if frames is None else np.asarray(frames, dtype=np.int64)
    grids = patch_grids(stimulus, frames, profile, on_progress)
    index = index_of(
        dictionary, grids, grids_key(stimulus, frames, profile), apart=apart_in(stimulus), on_progress=on_progress
    )
    return [
        [(int(frames[row]), patch, value) for row, patch, value in index.of(int(feature), n)] for feature in features
    ]


def apart_in(stimulus: Any) -> int:
    """Return how many frames count as one look: a second of a movie, one picture of a set."""
    return max(1, round(stimulus.frame_rate_hz or 1))
