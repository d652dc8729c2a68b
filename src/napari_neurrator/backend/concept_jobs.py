"""Concepts over time: their courses through moments and frames, and the frames in which one is strongest."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..concepts.dictionary import Dictionary
from ..concepts.ranking import UsualActivation, concept_totals
from ..decoding.interface import SubsetDecoder
from ..errors import NeurratorError, Stopped
from ..profiles import Profile
from ..vision.cache import patch_grids
from ..vision.geometry import PatchGeometry
from . import protocol as p

if TYPE_CHECKING:
    from ..recording.stimulus import Stimulus

Emit = Callable[[p.Event], None]
ShouldStop = Callable[[], bool]

# Seconds that a piece of a course takes: what a narration that comes in between waits at most, give or take.
_PIECE_S = 0.15
_MOST = 256


@dataclass
class FramesSeen:
    """What the dictionary finds in the frames of a stimulus, kept from request to request as far as it is known.

    Attributes
    ----------
    key : ShownFrames or None
        Which frames.
    grids : numpy.ndarray or None
        Their patch grids, memory-mapped, (frame, patch, width).
    geometry : PatchGeometry or None
        Rows and columns of the grids.
    totals, peaks : list of torch.Tensor
        Sparse (frame, concept), piece by piece: activation summed over patches, and that of the strongest patch.
    n_known : int
        Frames looked at so far.
    """

    key: p.ShownFrames | None = None
    grids: np.ndarray | None = None
    geometry: PatchGeometry | None = None
    totals: list[torch.Tensor] = field(default_factory=list)
    peaks: list[torch.Tensor] = field(default_factory=list)
    n_known: int = 0

    def column(self, parts: list[torch.Tensor], concept: int) -> torch.Tensor:
        """Return one concept's values, (frame,), of the frames looked at so far."""
        return torch.cat([part.index_select(1, torch.tensor([concept])).to_dense()[:, 0] for part in parts])


@dataclass(frozen=True)
class Bench:
    """What the jobs of one decoder work with."""

    decoder: SubsetDecoder
    profile: Profile
    dictionary: Dictionary
    usual: UsualActivation
    seen: FramesSeen

    def places(self, concepts: list[str]) -> list[int]:
        """Return where concepts stand in the dictionary.

        Raises
        ------
        NeurratorError
            One is not there.
        """
        place = {name: number for number, name in enumerate(self.dictionary.concepts)}
        missing = [name for name in concepts if name not in place]
        if missing:
            raise NeurratorError(
                f"The dictionary of the profile {self.profile.name!r} has no concept {missing[0]!r}: it was listed by another one."
            )
        return [place[name] for name in concepts]

    def strengths(self, totals: torch.Tensor, places: list[int]) -> np.ndarray:
        """Say of totals (moment, concept at `places`) how far they stand above what is usual, standard deviations, float32."""
        usual = self.usual
        return ((totals - usual.mean[places]) / usual.deviation[places]).float().cpu().numpy()


def run_concept_job(
    request: p.CourseRequest | p.GalleryRequest, bench: Bench, emit: Emit, should_stop: ShouldStop
) -> None:
    """Do a request; raises `Stopped` between two pieces where it was stopped."""
    if isinstance(request, p.GalleryRequest):
        _gallery(request, bench, emit, should_stop)
    elif request.shown is not None:
        _course_of_frames(request, request.shown, bench, emit, should_stop)
    else:
        _course_of_units(request, bench, emit, should_stop)


def _course_of_units(request: p.CourseRequest, bench: Bench, emit: Emit, should_stop: ShouldStop) -> None:
    assert request.windows is not None
    windows, places = request.windows.unpack(), bench.places(request.concepts)
    for piece in _pieces(0, len(windows), should_stop):
        grids = bench.decoder.predict(windows[piece], request.unit_ids)
        totals = concept_totals(bench.dictionary, bench.dictionary.encode(grids))[:, places]
        strengths = p.PackedArray.pack(bench.strengths(totals, places))
        emit(p.Course(job_id=request.job_id, start=piece.start, strengths=strengths))


def _course_of_frames(
    request: p.CourseRequest, shown: p.ShownFrames, bench: Bench, emit: Emit, should_stop: ShouldStop
) -> None:
    places = bench.places(request.concepts)
    told = 0
    for known in _look(request.job_id, shown, bench, emit, should_stop):
        totals = torch.stack([bench.seen.column(bench.seen.totals, place) for place in places], 1)[told:known]
        strengths = p.PackedArray.pack(bench.strengths(totals, places))
        emit(p.Course(job_id=request.job_id, start=told, strengths=strengths))
        told = known


def _gallery(request: p.GalleryRequest, bench: Bench, emit: Emit, should_stop: ShouldStop) -> None:
    (place,) = bench.places([request.concept])
    for _ in _look(request.job_id, request.shown, bench, emit, should_stop):
        pass
    seen, numbers = bench.seen, np.array(request.shown.numbers)
    assert seen.grids is not None
    assert seen.geometry is not None
    peaks = seen.column(seen.peaks, place).numpy()
    chosen = strongest_apart(numbers, peaks, request.n, request.apart)
    frames = []
    of_concept = bench.dictionary.concept_of_feature == place
    for row in chosen.tolist():
        if should_stop():
            raise Stopped
        heat = bench.dictionary.encode(_grids(seen.grids[row : row + 1])).heatmap(of_concept)[0]
        top = int(heat.argmax())
        frames.append(
            p.GalleryFrame(
                frame=int(numbers[row]),
                row=top // seen.geometry.columns,
                column=top % seen.geometry.columns,
                value=float(heat[top]),
                heatmap=p.PackedArray.pack(
                    heat.reshape(seen.geometry.rows, seen.geometry.columns).float().cpu().numpy()
                ),
            )
        )
    emit(
        p.Gallery(job_id=request.job_id, frames=frames, n_active=int((peaks > 0).sum()), n_frames=len(numbers))
    )


def strongest_apart(numbers: np.ndarray, values: np.ndarray, n: int, apart: int) -> np.ndarray:
    """Choose the strongest frames, none nearer than `apart` to a stronger one.

    Parameters
    ----------
    numbers : numpy.ndarray
        Numbers of the frames, (frame,).
    values : numpy.ndarray
        How strong each is, (frame,); only those above 0 count.
    n : int
        Frames at most.
    apart : int
        Least distance between two of them, frames; 1 takes any.

    Returns
    -------
    numpy.ndarray
        Rows of the chosen ones, strongest first.
    """
    chosen: list[int] = []
    free = values > 0
    for row in np.argsort(-values, kind="stable"):
        if len(chosen) == n:
            break
        if free[row]:
            chosen.append(int(row))
            free &= np.abs(numbers - numbers[row]) >= apart
    return np.array(chosen, dtype=np.int64)


def _look(
    job_id: str, shown: p.ShownFrames, bench: Bench, emit: Emit, should_stop: ShouldStop
) -> Iterator[int]:
    """Encode the frames that have not been yet, and tell after each piece how many are known; what is known stays where it is stopped."""
    seen = bench.seen
    if seen.key != shown:
        _open(job_id, shown, bench, emit, should_stop)
    assert seen.grids is not None
    if seen.n_known:
        yield seen.n_known
    dictionary = bench.dictionary
    for piece in _pieces(seen.n_known, len(shown.numbers), should_stop):
        totals, peaks = totals_and_peaks(dictionary, dictionary.encode(_grids(seen.grids[piece])))
        seen.totals.append(totals)
        seen.peaks.append(peaks)
        seen.n_known = piece.stop
        emit(p.Progress(job_id=job_id, stage="looking through the frames", done=piece.stop, total=len(shown.numbers)))
        yield piece.stop


def _open(job_id: str, shown: p.ShownFrames, bench: Bench, emit: Emit, should_stop: ShouldStop) -> None:
    """Find the frames and their grids, from the cache where a decoder was fitted on them."""

    def report(stage: str, done: int, total: int) -> None:
        if should_stop():
            raise Stopped
        emit(p.Progress(job_id=job_id, stage=stage, done=done, total=total))

    stimulus, seen = _stimulus(shown), bench.seen
    numbers = np.array(shown.numbers)
    if numbers.min() < 0 or numbers.max() >= stimulus.n_frames or (np.diff(numbers) <= 0).any():
        raise NeurratorError(
            f"The frames {numbers.min()} to {numbers.max()} were asked for, and {shown.stimulus} has {stimulus.n_frames}."
        )
    grids = patch_grids(stimulus, numbers, bench.profile, report)
    height, width = stimulus.frame_shape[:2]
    seen.key, seen.grids, seen.geometry = shown, grids, PatchGeometry.of(bench.profile, height, width)
    seen.totals, seen.peaks, seen.n_known = [], [], 0


def _stimulus(shown: p.ShownFrames) -> "Stimulus":
    from ..recording import open_recording, open_stimulus
    from ..recording.stimulus.open import open_frames

    if shown.file is not None:
        return open_frames(shown.file, shown.stimulus)
    # Its units are not looked at, so nothing is spent on describing them.
    recording = open_recording(shown.recording, presentations=shown.presentations, optotag=False)
    return open_stimulus(recording, shown.stimulus)[0]


def totals_and_peaks(dictionary: Dictionary, activations) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN001
    """Sum each concept over patches, and find its strongest patch, without the zeros between.

    Parameters
    ----------
    dictionary : Dictionary
        Says which features belong to a concept.
    activations : SparseActivations
        Of some frames.

    Returns
    -------
    totals, peaks : torch.Tensor
        Sparse float32 (frame, concept), coalesced.
    """
    n_concepts = len(dictionary.concepts)
    concept = dictionary.concept_of_feature[activations.features.cpu()]
    named = concept >= 0
    rows, concept, values = activations.rows.cpu()[named], concept[named], activations.values.cpu().float()[named]
    # a concept may have several features: first its activation in each patch, then over patches
    place, inverse = torch.unique(rows * n_concepts + concept, return_inverse=True)
    heat = torch.zeros(len(place)).index_add_(0, inverse, values)
    frame, concept = place // n_concepts // activations.n_patches, place % n_concepts
    place, inverse = torch.unique(frame * n_concepts + concept, return_inverse=True)
    index = torch.stack([place // n_concepts, place % n_concepts])
    size = (activations.n_frames, n_concepts)
    totals = torch.zeros(len(place)).index_add_(0, inverse, heat)
    peaks = torch.zeros(len(place)).scatter_reduce_(0, inverse, heat, "amax")
    return (
        torch.sparse_coo_tensor(index, totals, size, is_coalesced=True),
        torch.sparse_coo_tensor(index, peaks, size, is_coalesced=True),
    )


def _grids(part: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(part, dtype=np.float32))


def _pieces(start: int, stop: int, should_stop: ShouldStop) -> Iterator[slice]:
    """Cut work into pieces that take about as long as a user does not notice, whatever the model; stops between them."""
    size = 4
    while start < stop:
        if should_stop():
            raise Stopped
        began = time.perf_counter()
        end = min(start + size, stop)
        yield slice(start, end)
        took = max(time.perf_counter() - began, 1e-4)
        size = int(np.clip(round((end - start) * _PIECE_S / took), 1, min(2 * size, _MOST)))
        start = end
