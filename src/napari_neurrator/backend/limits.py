"""What a server takes, and what it refuses with which status and sentence."""

import time

import numpy as np
from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict, Field

from ..decoding.info import DecoderInfo
from ..errors import NeurratorError
from . import protocol as p


class Refused(Exception):
    """A request that is not taken.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        One sentence for the user.
    retry_after_s : float, optional
        When to try again.
    """

    def __init__(self, status: int, message: str, retry_after_s: float | None = None):
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s


class Limits(BaseModel):
    """The largest of everything."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    body_bytes: int = Field(default=512 << 20, gt=0, description="of a request for work")
    decoder_bytes: int = Field(default=4 << 30, gt=0, description="of one decoder")
    store_bytes: int = Field(default=50 << 30, gt=0, description="of all decoders that are kept")
    moments: int = Field(default=1024, gt=0, description="in one request; of several questions each counts")
    units: int = Field(default=50_000, gt=0, description="in one request")
    frame_side: int = Field(default=4096, gt=0, description="height and width of a frame, pixels")
    prompt_characters: int = Field(default=4000, gt=0)
    new_tokens: int = Field(default=1024, gt=0)
    concepts: int = Field(default=1000, gt=0)
    waiting: int = Field(default=256, gt=0, description="jobs in the queue")
    batch: int = Field(default=32, gt=0, description="moments that are narrated side by side")
    requests_per_s: float = Field(
        default=20.0, gt=0, description="of one client, on average; 0.1 is one in ten seconds"
    )
    burst: int = Field(default=200, gt=0, description="requests of one client at once")
    quiet_s: float = Field(
        default=120.0, gt=0, description="a worker that gives no sign of life for so long is restarted"
    )
    stall_s: float = Field(default=1800.0, gt=0, description="a job of which nothing is heard for so long is given up")


class Rate:
    """A bucket of tokens for every client."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(10_000)

    def take(self, client: str) -> float:
        """Take one token of a client's; return how long to wait where none is left, seconds, else 0."""
        now = time.monotonic()
        left, at = self._buckets.get(client, (float(self._limits.burst), now))
        left = min(left + (now - at) * self._limits.requests_per_s, float(self._limits.burst))
        wait = 0.0 if left >= 1 else (1 - left) / self._limits.requests_per_s
        self._buckets[client] = (left if wait else left - 1, now)
        return wait


def check_version(protocol: object) -> None:
    """Refuse a request of another protocol than ours."""
    if protocol != p.PROTOCOL_VERSION:
        raise Refused(
            400,
            f"The request speaks protocol {str(protocol)[:20]}, and this server {p.PROTOCOL_VERSION}: update the older of the two.",
        )


def check_description(request: p.DescribeRequest, profiles: list[str], limits: Limits) -> None:
    """Refuse to describe grids where that asks too much or cannot be.

    Raises
    ------
    Refused
        404 where the profile is not one of `profiles`, 413 where there is too much of something, 422 where something is wrong.
    """
    if request.profile not in profiles:
        raise Refused(
            404,
            f"This server has no profile {request.profile[:80]!r}, only {', '.join(profiles)}: evaluate there where it is.",
        )
    grids = request.grids
    for what, number, most in (
        ("grids", grids.shape[0] if grids.shape else 0, limits.moments),
        ("new tokens", request.max_new_tokens, limits.new_tokens),
        ("characters of the prompt", len(request.prompt or ""), limits.prompt_characters),
    ):
        _check_number(what, number, most)
    if grids.dtype != "float32" or len(grids.shape) != 3 or min(grids.shape) < 1:
        raise Refused(
            422,
            f"The grids are {grids.dtype} of shape {tuple(grids.shape)}; they have to be float32 (grid, patch, width).",
        )
    if not np.isfinite(grids.unpack()).all():
        raise Refused(422, "The grids hold what is no number.")


def _check_number(what: str, number: int, most: int) -> None:
    if number > most:
        raise Refused(413, f"The request asks for {number} {what}, and this server takes {most} at most: ask for less.")


def check_narration(request: p.NarrationRequest, info: DecoderInfo, limits: Limits) -> None:
    """Refuse a narration that asks too much or cannot be.

    Raises
    ------
    Refused
        413 where there is too much of something, 422 where something is wrong.
    """
    windows, frames = request.windows, request.frames
    n_units = len(request.unit_ids)
    for what, number, most in (
        ("units", n_units, limits.units),
        ("moments", (windows.shape[0] if windows.shape else 0) * len(request.questions), limits.moments),
        ("new tokens", request.max_new_tokens, limits.new_tokens),
        ("concepts", request.n_concepts, limits.concepts),
        ("characters of the prompt", max(len(one or "") for one in request.questions), limits.prompt_characters),
    ):
        _check_number(what, number, most)
    if len(windows.shape) != 3 or windows.shape[0] < 1 or windows.shape[1:] != [info.window.n_bins, n_units]:
        raise Refused(
            422,
            f"The spike windows have shape {tuple(windows.shape)}, and this decoder expects (moments, {info.window.n_bins}, {n_units}).",
        )
    counts = windows.unpack()
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise Refused(422, "The spike windows hold counts that are negative or not numbers.")
    if len(set(request.unit_ids)) != n_units:
        raise Refused(422, "The request names a unit twice.")
    try:
        info.positions(list(request.unit_ids))
    except NeurratorError as error:
        raise Refused(422, str(error)) from error
    if frames is None:
        if {"patches", "reference", "evidence"} & set(request.want):
            raise Refused(422, "The frames shown are needed for what was asked, and the request holds none.")
        return
    good = frames.dtype == "uint8" and len(frames.shape) == 4 and frames.shape[3] == 3
    if not good or frames.shape[0] != windows.shape[0] or min(frames.shape[1:]) < 1:
        raise Refused(
            422,
            f"The frames are {frames.dtype} of shape {tuple(frames.shape)}; they have to be uint8 ({windows.shape[0]}, height, width, 3).",
        )
    if max(frames.shape[1:3]) > limits.frame_side:
        raise Refused(
            413, f"The frames are larger than {limits.frame_side} pixels, which is the most this server takes."
        )
