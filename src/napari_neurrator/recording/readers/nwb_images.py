"""Frames that lie in an NWB file, or beside it where the file names them."""

import hashlib
import re
import threading
from typing import Any

import numpy as np
import pandas as pd
from cachetools import LRUCache

from ...errors import NeurratorError
from ..stimulus.base import Stimulus, as_rgb
from .nwb_intervals import own_name
from .store import Store, is_group, kind_of, linked, referred, texts, values

_BLOCK = 16 << 20
_BLOCKS_KEPT = 4
# A presentation that is a series has one row a frame; more are a camera's.
_MOST_SHOWN = 2_000_000


class NwbFrames(Stimulus):
    """Frames of an array, or of several single images, in an NWB file; read in blocks of which a few are kept.

    Parameters
    ----------
    store : Store
        The file.
    paths : list of str
        One array (frame, height, width[, colour]), or one array (height, width[, colour]) a frame.
    stacked : bool
        Whether `paths` is one array of all frames.
    name : str
        What it is called.
    frame_rate_hz : float, optional
        Frames a second.

    Raises
    ------
    NeurratorError
        The arrays are no pictures, or differ in size.
    """

    def __init__(self, store: Store, paths: list[str], stacked: bool, name: str, frame_rate_hz: float | None = None):
        self._store, self._paths, self._stacked = store, paths, stacked
        self.name, self.frame_rate_hz = name, frame_rate_hz
        self._blocks: LRUCache[int, np.ndarray] = LRUCache(_BLOCKS_KEPT)
        self._lock = threading.Lock()
        with store.open() as root:
            first = root[paths[0]]
            shape = tuple(first.shape) if stacked else (len(paths), *first.shape)
            if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (3, 4)) or 0 in shape:
                raise NeurratorError(
                    f"The frames {paths[0]} in {store.source} have shape {shape}: they have to be (frame, height, width) or (frame, height, width, 3)."
                )
            if first.dtype.kind not in "fiub":
                raise NeurratorError(f"The frames {paths[0]} in {store.source} hold {first.dtype} and not grey levels.")
            odd = next((path for path in paths if tuple(root[path].shape) != tuple(first.shape)), None)
            if odd is not None:
                raise NeurratorError(
                    f"The images {paths[0]} and {odd} in {store.source} differ in size: bring them to one size."
                )
            bytes_a_frame = int(np.prod(shape[1:], dtype=np.float64)) * first.dtype.itemsize
            if bytes_a_frame > 1 << 30:
                raise NeurratorError(f"The frames {paths[0]} in {store.source} have shape {shape}: that is no picture.")
            chunk = first.chunks[0] if stacked and first.chunks else 1
            self._step = max(chunk, 1) if chunk * bytes_a_frame <= _BLOCK else 1
            self._mark = f"{shape} {first.dtype} {first.attrs.get('object_id', '')}"
        self.n_frames = shape[0]
        self.frame_shape = (shape[1], shape[2], 3)
        sampled = np.stack([self._raw(index) for index in sorted({0, self.n_frames // 2, self.n_frames - 1})])
        # Some files hold grey levels 0 to 255 as numbers with a point.
        self._levels = bool(sampled.dtype.kind == "f" and sampled.max() > 1)
        self.frame(0)

    def _raw(self, index: int) -> np.ndarray:
        block = index // self._step
        with self._lock:
            held = self._blocks.get(block)
            if held is None:
                with self._store.open() as root:
                    if self._stacked:
                        held = np.asarray(root[self._paths[0]][block * self._step : (block + 1) * self._step])
                    else:
                        held = np.asarray(root[self._paths[index]][()])[None]
                self._blocks[block] = held
        return held[index - block * self._step]

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""
        frame = self._raw(self.check(index))
        if self._levels:
            frame = np.clip(np.nan_to_num(frame), 0, 255).round().astype(np.uint8)
        return as_rgb(frame)

    def fingerprint(self) -> str:
        """Return the SHA-256 of shape, type and numbers; of a remote file, of what identifies its version."""
        digest = hashlib.sha256(f"{self._paths} {self._mark}".encode())
        if self._store.remote:
            digest.update(f"{self._store.source} {self._store.mark()}".encode())
        else:
            for index in range(self.n_frames):
                digest.update(np.ascontiguousarray(self._raw(index)).tobytes())
        return digest.hexdigest()


def read_image_series(
    store: Store, root: Any, shown: list[str]
) -> tuple[dict[str, Stimulus], pd.DataFrame | None, list[str]]:
    """Find the frames in a file's stimulus groups, and when they were shown where no table of intervals says so.

    Parameters
    ----------
    store : Store
        The file.
    root
        The same, opened.
    shown : list of str
        Stimuli that the tables of intervals name.

    Returns
    -------
    stimuli : dict of Stimulus
        By the name of the stimulus that they show.
    presentations : pandas.DataFrame or None
        Of the stimuli that only the series time.
    warnings : list of str
        What could not be read.
    """
    stimuli: dict[str, Stimulus] = {}
    tables, warnings = [], []
    for place in ("templates", "presentation"):
        path = f"stimulus/{place}"
        if path not in root or not is_group(root[path]):
            continue
        for name in root[path]:
            group = root[path][name]
            if not is_group(group):
                continue
            stimulus_name = own_name(name, shown)
            try:
                target = _indexed(group)
                frames = group if target is None else target
                if stimulus_name not in stimuli:
                    stimulus = _frames_of(store, root, frames, stimulus_name)
                    if stimulus is not None:
                        stimuli[stimulus_name] = stimulus
                if place == "presentation" and stimulus_name not in shown:
                    table = _shown_by(group, target is not None, stimuli.get(stimulus_name))
                    if table is not None:
                        tables.append(table.assign(stimulus=stimulus_name))
            except NeurratorError as error:
                warnings.append(str(error))
    return stimuli, pd.concat(tables, ignore_index=True) if tables else None, warnings


def _indexed(group: Any) -> Any | None:
    """Return what an IndexSeries picks its frames from."""
    if "IndexSeries" not in kind_of(group):
        return None
    for name in ("indexed_images", "indexed_timeseries"):
        target = linked(group, name)
        if target is not None:
            return target
    return None


def _frames_of(store: Store, root: Any, group: Any, name: str) -> Stimulus | None:
    """Return the frames of an ImageSeries or of a container of images; None where there are none."""
    path = group.name.lstrip("/")
    if "data" in group:
        data = group["data"]
        if data.ndim in (3, 4) and data.shape[0] > 0 and "IndexSeries" not in kind_of(group):
            return NwbFrames(store, [f"{path}/data"], True, name, _rate(group))
    if "external_file" in group:
        return _external(store, values(group["external_file"]), name, _rate(group))
    if kind_of(group) == "Images" or any(
        "Image" in kind_of(group[item]) for item in group if not is_group(group[item])
    ):
        images = _ordered_images(group, root)
        if images:
            return NwbFrames(store, images, False, name)
    return None


def _ordered_images(group: Any, root: Any) -> list[str]:
    if "order_of_images" in group and not is_group(group["order_of_images"]):
        order = group["order_of_images"]
        images = [referred(order, position, root) for position in range(order.shape[0])]
        if images and all(image is not None for image in images):
            return [image.name.lstrip("/") for image in images if image is not None]
    names = [item for item in group if not is_group(group[item]) and group[item].ndim in (2, 3)]
    return [f"{group.name.lstrip('/')}/{item}" for item in sorted(names, key=_natural)]


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Order names as a person would: image2 before image10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name.lower()) if part]


def _external(store: Store, files: np.ndarray, name: str, rate: float | None) -> Stimulus | None:
    """Open the file that a series names, beside the NWB file."""
    from ..stimulus.open import open_frames

    named = [file for file in texts(files) if file]
    if not named:
        return None
    if store.folder is None:
        raise NeurratorError(
            f"The frames of {name!r} lie in {named[0]} beside {store.source}, which is remote: download that file and give it as the frames."
        )
    if len(named) > 1:
        raise NeurratorError(
            f"The frames of {name!r} lie in {len(named)} files ({named[0]}, …): join them into one and give it as the frames."
        )
    path = next(
        (
            p
            for p in (store.folder / named[0], store.folder / named[0].replace("\\", "/").rsplit("/", 1)[-1])
            if p.is_file()
        ),
        None,
    )
    if path is None:
        raise NeurratorError(
            f"The frames of {name!r} should lie in {named[0]} beside {store.source}, but are not there."
        )
    stimulus = open_frames(path, name)
    if stimulus.frame_rate_hz is None:
        stimulus.frame_rate_hz = rate
    return stimulus


def _rate(group: Any) -> float | None:
    if "starting_time" not in group:
        return None
    try:
        rate = float(group["starting_time"].attrs.get("rate", np.nan))
    except (TypeError, ValueError):
        return None
    return rate if np.isfinite(rate) and rate > 0 else None


def _shown_by(group: Any, indexed: bool, stimulus: Stimulus | None) -> pd.DataFrame | None:
    """Return when the frames of a series were on, from its own times."""
    if indexed:
        data = group.get("data")
        if data is None or data.ndim != 1 or data.dtype.kind not in "iuf" or not 0 < data.shape[0] <= _MOST_SHOWN:
            return None
        frames = values(data).astype(float)
    elif stimulus is not None:
        frames = np.arange(stimulus.n_frames, dtype=float)
    else:
        return None
    rate = _rate(group)
    if "timestamps" in group and group["timestamps"].shape == frames.shape:
        starts = values(group["timestamps"]).astype(float)
        length = float(np.median(np.diff(starts))) if len(starts) > 1 else 0.0
    elif rate is not None:
        first = values(group["starting_time"])
        starts, length = float(first) + np.arange(len(frames)) / rate, 1 / rate
    else:
        return None
    # The next frame ends one, unless there is a pause; the last stays as long as the others.
    following = np.append(starts[1:], np.inf)
    return pd.DataFrame(
        {
            "start_time": starts,
            "stop_time": np.minimum(following, starts + 1.5 * length if length else starts),
            "frame": frames,
        }
    )
