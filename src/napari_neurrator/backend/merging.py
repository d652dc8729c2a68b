"""Several narrations as one: their moments go through the language model side by side."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import protocol as p

if TYPE_CHECKING:
    import torch

    from ..decoding.interface import SubsetDecoder

Emit = Callable[[p.Event], None]


def batch_key(request: p.Request) -> tuple | None:
    """Return what has to be the same in requests that are run as one; None for a request that runs alone."""
    if not isinstance(request, p.NarrationRequest):
        return None
    frames = None if request.frames is None else tuple(request.frames.shape[1:])
    want = tuple(sorted(request.want))
    asked = (tuple(request.questions), request.max_new_tokens, request.speaking)
    return request.decoder, want, asked, request.n_concepts, frames


class MergedWindows:
    """Spike windows of several requests, each with units of its own, that can be cut like one array."""

    def __init__(self, parts: Sequence[tuple[np.ndarray, list]]):
        self.parts = [(windows, units) for windows, units in parts if len(windows)]

    def __len__(self) -> int:
        return sum(len(windows) for windows, _ in self.parts)

    def __getitem__(self, rows: slice) -> "MergedWindows":
        start, stop, _ = rows.indices(len(self))
        chosen, before = [], 0
        for windows, units in self.parts:
            chosen.append((windows[max(start - before, 0) : max(stop - before, 0)], units))
            before += len(windows)
        return MergedWindows(chosen)


def decode(decoder: "SubsetDecoder", windows: "np.ndarray | MergedWindows", unit_ids: list) -> "torch.Tensor":
    """Return the decoded grids of some windows, float32 (moment, patches, width); of merged ones, each with its own units.

    Each is decoded by itself: products of several at once would differ in their last digits from those of one.
    """
    import torch

    return torch.cat([decoder.predict(window[None], units) for window, units in rows_of(windows, unit_ids)])


def rows_of(windows: "np.ndarray | MergedWindows", unit_ids: list) -> Iterator[tuple[np.ndarray, list]]:
    """Yield each window, (bin, unit), with the units of its last axis."""
    parts = windows.parts if isinstance(windows, MergedWindows) else [(windows, unit_ids)]
    for part, units in parts:
        for window in part:
            yield window, units


@dataclass(frozen=True)
class _Unpacked:
    array: Any

    @property
    def shape(self) -> list[int]:
        return [len(self.array)]

    def unpack(self) -> Any:
        return self.array


class MergedRequest:
    """Looks to the engine like one `NarrationRequest`, and says of each event whose it is.

    Parameters
    ----------
    requests : sequence of NarrationRequest
        With the same `batch_key`.
    """

    kind = "narrate"

    def __init__(self, requests: Sequence[p.NarrationRequest]):
        first = requests[0]
        self.requests = list(requests)
        self.protocol, self.job_id, self.decoder = first.protocol, first.job_id, first.decoder
        self.want, self.n_concepts = first.want, first.n_concepts
        self.questions, self.max_new_tokens, self.speaking = first.questions, first.max_new_tokens, first.speaking
        self.unit_ids: list = []
        arrays = [request.windows.unpack() for request in requests]
        self.windows = _Unpacked(MergedWindows([(a, r.unit_ids) for a, r in zip(arrays, requests, strict=True)]))
        self.frames = None
        if first.frames is not None:
            self.frames = _Unpacked(np.concatenate([r.frames.unpack() for r in requests if r.frames is not None]))
        self._sizes = [len(array) for array in arrays]
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]]).tolist()

    def shares(self, event: p.Event) -> Iterator[tuple[p.NarrationRequest, p.Event]]:
        """Yield what an event means to whom."""
        if isinstance(event, p.Progress):
            for request, start, size in zip(self.requests, self._starts, self._sizes, strict=True):
                done = int(np.clip(event.done - start, 0, size))
                yield request, event.model_copy(update={"job_id": request.job_id, "done": done, "total": size})
        elif isinstance(event, p.Concepts | p.Patches | p.Judged | p.Token | p.Sentence):
            number = bisect_right(self._starts, event.moment) - 1
            request = self.requests[number]
            moment = event.moment - self._starts[number]
            yield request, event.model_copy(update={"job_id": request.job_id, "moment": moment})
        else:
            for request in self.requests:
                yield request, event.model_copy(update={"job_id": request.job_id})


def run_together(engine: Any, requests: Sequence[p.Request], emit: Emit, is_stopped: Callable[[str], bool]) -> None:
    """Run requests as one, and those of them alone that fail together before they have said a word.

    Parameters
    ----------
    engine : Engine
        Does the work.
    requests : sequence
        One of any kind, or several narrations with the same `batch_key`.
    emit : callable
        Gets every event; a request that was stopped says nothing more than `Cancelled`.
    is_stopped : callable
        Tells of a job whether it was cancelled; the work ends once all are.
    """
    live = []
    for request in requests:
        if is_stopped(request.job_id):
            emit(p.Cancelled(job_id=request.job_id))
        else:
            live.append(request)
    if len(live) < 2:
        for request in live:
            engine.run(request, emit, lambda job_id=request.job_id: is_stopped(job_id))
        return
    merged = MergedRequest([request for request in live if isinstance(request, p.NarrationRequest)])
    said: set[str] = set()
    again: list[p.NarrationRequest] = []

    def share(event: p.Event) -> None:
        for request, own in merged.shares(event):
            stopped = is_stopped(request.job_id)
            if isinstance(own, p.Failed) and request.job_id not in said and not stopped:
                again.append(request)
            elif stopped and isinstance(own, p.Done | p.Failed):
                emit(p.Cancelled(job_id=request.job_id))
            elif not stopped or isinstance(own, p.Cancelled):
                said.add(request.job_id)
                emit(own)

    engine.run(merged, share, lambda: all(is_stopped(request.job_id) for request in live))
    for request in again:
        run_together(engine, [request], emit, is_stopped)
