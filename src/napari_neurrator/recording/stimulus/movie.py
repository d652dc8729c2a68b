"""Movie files of any container that PyAV reads."""

import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from cachetools import LRUCache

from ...errors import NeurratorError
from .base import MOST_PIXELS, Stimulus, check_claim

_KEPT = 64
_KEPT_BYTES = 128_000_000


class MovieFile(Stimulus):
    """A movie on disk; decodes forward from the last frame, or from the key frame before the one asked for.

    Containers whose times cannot be relied on (AVI with B-frames, MPEG program streams) are decoded from their beginning instead and the
    pictures counted, which is exact but slow to jump back in.

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
        self._decoder: Iterator[av.VideoFrame] | None = None
        self._position = -1
        self._times: list[int]
        self._keys: list[int]
        try:
            self._container = av.open(str(self.path))
            self._stream = self._container.streams.video[0]
            check_claim(self.path, 1, self._stream.height, self._stream.width)
            # Presentation times of all frames, from the packets alone: nothing is decoded.
            packets = [(p.pts, p.is_keyframe, p.is_discard) for p in self._container.demux(self._stream) if p.size]
            self._counted = any(pts is None for pts, _, _ in packets) or bool(
                self._container.format.name == "avi" and self._stream.codec_context.has_b_frames
            )
            if self._counted:
                self._restart()
                assert self._decoder is not None
                self._times = list(range(sum(1 for _ in self._decoder)))
                self._keys = [0]
            else:
                # Packets that an edit list hides are decoded but not shown.
                self._times = sorted(pts or 0 for pts, _, hidden in packets if not hidden)
                self._keys = sorted(pts or 0 for pts, key, _ in packets if key)
        except NeurratorError:
            raise
        except Exception as error:
            # PyAV raises what FFmpeg says, and other things where a stream has no codec.
            raise NeurratorError(
                f"{self.path} cannot be read as a movie: it is missing, damaged or of another kind."
            ) from error
        if not self._times or not self._keys:
            raise NeurratorError(f"{self.path} holds no pictures.")
        self._number = {pts: number for number, pts in enumerate(self._times)}
        self.n_frames = len(self._times)
        rate = self._stream.average_rate
        self.frame_rate_hz = float(rate) if rate else None
        self.frame_shape = (self._stream.height, self._stream.width, 3)
        most = max(min(_KEPT, _KEPT_BYTES // int(np.prod(self.frame_shape))), 1)
        self._kept: LRUCache[int, np.ndarray] = LRUCache(most)
        self._restart()

    def frame(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (height, width, 3)."""
        index = self.check(index)
        with self._lock:
            if index not in self._kept:
                self._decode_to(index)
            return self._kept[index]

    def _restart(self) -> None:
        self._container.close()
        self._container = av.open(str(self.path))
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        # Pictures may turn out larger than the container says.
        self._stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        self._decoder, self._position = self._container.decode(self._stream), -1

    def _decode_to(self, index: int) -> None:
        try:
            if not self._counted and not self._follow_times_to(index):
                self._counted = True
                self._kept.clear()
                self._decoder = None
            if self._counted:
                self._count_to(index)
        except NeurratorError:
            self._decoder = None
            raise
        except Exception as error:
            self._decoder = None
            raise NeurratorError(f"Frame {index} of {self.path} cannot be decoded: the movie is damaged.") from error
        if index not in self._kept:
            self._decoder = None
            raise NeurratorError(f"Frame {index} of {self.path} cannot be decoded: the movie is damaged.")

    def _follow_times_to(self, index: int) -> bool:
        """Decode up to a frame, from its key frame if need be; return False where pictures do not come in the order of their times."""
        key_time = self._keys[max(bisect_right(self._keys, self._times[index]) - 1, 0)]
        key = bisect_left(self._times, key_time)
        if self._decoder is None or not key <= self._position + 1 <= index:
            self._container.seek(key_time, stream=self._stream, backward=True)
            self._decoder = self._container.decode(self._stream)
            self._position = key - 1
        for picture in self._decoder:
            number = self._number.get(picture.pts, -1) if picture.pts is not None else -1
            if number < key and number <= self._position:
                # Shown before the key frame but stored after it: parts of it are missing.
                continue
            if number != self._position + 1:
                return False
            self._keep(number, picture)
            if number == index:
                return True
        return False

    def _count_to(self, index: int) -> None:
        if self._decoder is None or self._position >= index:
            self._restart()
        assert self._decoder is not None
        for picture in self._decoder:
            self._keep(self._position + 1, picture)
            if self._position == index:
                return

    def _keep(self, number: int, picture: av.VideoFrame) -> None:
        if (picture.height, picture.width) != self.frame_shape[:2]:
            height, width, _ = self.frame_shape
            raise NeurratorError(
                f"Frame {number} of {self.path} is {picture.width} × {picture.height} pixels, and the movie {width} × {height}: bring its frames to one size."
            )
        self._position = number
        self._kept[number] = picture.to_ndarray(format="rgb24")

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
