"""Movie files of any container that PyAV reads."""

import hashlib
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from ...errors import NeurratorError
from .base import Stimulus

_KEPT = 64


class MovieFile(Stimulus):
    """A movie on disk; decodes forward from the last frame, or from the key frame before the one asked for.

    Parameters
    ----------
    path : path-like
        The file.
    name : str, optional
        What it is called; the file's stem by default.

    Raises
    ------
    NeurratorError
        The file is missing, damaged, or holds no pictures.
    """

    def __init__(self, path: str | Path, name: str | None = None):
        self.path = Path(path)
        self.name = name or self.path.stem
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        try:
            self._container = av.open(str(self.path))
            self._stream = self._container.streams.video[0]
            # Presentation times of all frames, from the packets alone: nothing is decoded.
            packets = [(p.pts, p.is_keyframe) for p in self._container.demux(self._stream) if p.pts is not None]
        except (OSError, av.error.FFmpegError, IndexError, ValueError) as error:
            raise NeurratorError(
                f"{self.path} cannot be read as a movie: it is missing, damaged or of another kind."
            ) from error
        self._times = sorted(pts for pts, _ in packets)
        self._keys = sorted(pts for pts, key in packets if key)
        if not self._times or not self._keys:
            raise NeurratorError(f"{self.path} holds no pictures.")
        self._number = {pts: number for number, pts in enumerate(self._times)}
        self.n_frames = len(self._times)
        rate = self._stream.average_rate
        self.frame_rate_hz = float(rate) if rate else None
        self.frame_shape = (self._stream.height, self._stream.width, 3)
        self._stream.thread_type = "AUTO"
        self._position = -1
        self._decoder: Iterator[av.VideoFrame] | None = None

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""
        index = self.check(index)
        with self._lock:
            if index not in self._kept:
                self._decode_to(index)
            self._kept.move_to_end(index)
            return self._kept[index]

    def _decode_to(self, index: int) -> None:
        key = self._keys[max(bisect_right(self._keys, self._times[index]) - 1, 0)]
        if self._decoder is None or not self._number[key] <= self._position + 1 <= index:
            self._container.seek(key, stream=self._stream, backward=True)
            self._decoder = self._container.decode(self._stream)
        assert self._decoder is not None
        try:
            for picture in self._decoder:
                number = self._number.get(picture.pts if picture.pts is not None else -1, -1)
                self._position = number
                self._kept[number] = picture.to_ndarray(format="rgb24")
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
                if number >= index:
                    break
            else:
                self._decoder = None
        except av.error.FFmpegError as error:
            self._decoder = None
            raise NeurratorError(f"Frame {index} of {self.path} cannot be decoded: the movie is damaged.") from error
        if index not in self._kept:
            raise NeurratorError(f"Frame {index} of {self.path} cannot be decoded: the movie is damaged.")

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
