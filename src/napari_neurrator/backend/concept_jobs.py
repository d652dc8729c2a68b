"""Concepts over time: their courses through moments and frames, and the frames in which one is strongest."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..concepts.dictionary import Dictionary
from ..concepts.gallery import apart_in, grids_key, index_of
from ..concepts.labels import Labels
from ..concepts.naming import METHOD
from ..concepts.ranking import UsualActivation, concept_totals
from ..decoding.interface import SubsetDecoder
from ..errors import NeurratorError, Stopped
from ..profiles import Profile
from ..vision.cache import patch_grids
from ..vision.geometry import PatchGeometry
from ..vision.grid_table import Grids
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
    stimulus : Stimulus or None
        Where they come from.
    grids : array_like or None
        Their patch grids, read from disk piece by piece, (frame, patch, width).
    totals : list of torch.Tensor
        Activation summed over patches, piece by piece: sparse (frame, concept).
    n_known : int
        Frames encoded so far.
    """

    key: p.ShownFrames | None = None
    stimulus: "Stimulus | None" = None
    grids: Grids | None = None
    totals: list[torch.Tensor] = field(default_factory=list)
    n_known: int = 0

    def totals_of(self, places: list[int]) -> torch.Tensor:
        """Return the totals of some concepts in the frames encoded so far, (frame, concept)."""
        which = torch.tensor(places)
        return torch.cat([part.index_select(1, which).to_dense() for part in self.totals])


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


ConceptRequest = p.CourseRequest | p.GalleryRequest | p.LabelRequest


def run_concept_job(request: ConceptRequest, bench: Bench, emit: Emit, should_stop: ShouldStop) -> None:
    """Do a request; raises `Stopped` between two pieces where it was stopped."""
    if isinstance(request, p.LabelRequest):
        _label(request, bench)
    elif isinstance(request, p.GalleryRequest):
        _gallery(request, bench, emit, should_stop)
    elif request.shown is not None:
        _course_of_frames(request, request.shown, bench, emit, should_stop)
    else:
        _course_of_units(request, bench, emit, should_stop)


def _label(request: p.LabelRequest, bench: Bench) -> None:
    """Write the user's own name; the dictionary that is loaded keeps the names that it has listed until it is loaded again."""
    (place,) = bench.places([request.concept])
    labels = Labels.of(bench.dictionary)
    for feature in (bench.dictionary.concept_of_feature == place).nonzero()[:, 0].tolist():
        labels.set(feature, request.label)
    labels.save()


def _course_of_units(request: p.CourseRequest, bench: Bench, emit: Emit, should_stop: ShouldStop) -> None:
    assert request.windows is not None
    windows, places = request.windows.unpack(), bench.places(request.concepts)
    for piece in pieces(0, len(windows), should_stop):
        grids = bench.decoder.predict(windows[piece], request.unit_ids)
        totals = concept_totals(bench.dictionary, bench.dictionary.encode(grids))[:, places]
        strengths = p.PackedArray.pack(bench.strengths(totals, places))
        emit(p.Course(job_id=request.job_id, start=piece.start, strengths=strengths))


def _course_of_frames(
    request: p.CourseRequest, shown: p.ShownFrames, bench: Bench, emit: Emit, should_stop: ShouldStop
) -> None:
    """Encode the frames that have not been yet; what is known stays where it is stopped."""
    places, seen = bench.places(request.concepts), bench.seen
    grids = look_at_frames(request.job_id, shown, seen, bench.profile, emit, should_stop)[1]

    def tell(first: int) -> None:
        strengths = bench.strengths(seen.totals_of(places)[first:], places)
        emit(p.Course(job_id=request.job_id, start=first, strengths=p.PackedArray.pack(strengths)))

    if seen.n_known:
        tell(0)
    for piece in pieces(seen.n_known, len(grids), should_stop):
        encoded = bench.dictionary.encode(_tensor(grids[piece]))
        seen.totals.append(concept_totals(bench.dictionary, encoded).to_sparse())
        seen.n_known = piece.stop
        tell(piece.start)


def _gallery(request: p.GalleryRequest, bench: Bench, emit: Emit, should_stop: ShouldStop) -> None:
    (place,) = bench.places([request.concept])
    stimulus, grids = look_at_frames(request.job_id, request.shown, bench.seen, bench.profile, emit, should_stop)
    numbers, apart = np.array(request.shown.numbers), apart_in(stimulus)
    index = index_of(
        bench.dictionary,
        grids,
        grids_key(stimulus, numbers, bench.profile),
        apart=apart,
        on_progress=_reporter(request.job_id, emit, should_stop),
    )
    of_concept = bench.dictionary.concept_of_feature == place
    features = of_concept.nonzero()[:, 0].numpy()
    best: dict[int, float] = {}
    for feature in features.tolist():
        for row, _, value in index.of(feature):
            best[row] = max(value, best.get(row, value))
    rows, values = np.array(list(best), dtype=np.int64), np.array(list(best.values()))
    geometry = PatchGeometry.of(bench.profile, *stimulus.frame_shape[:2])
    frames = []
    for row in rows[strongest_apart(numbers[rows], values, request.n, apart)].tolist():
        if should_stop():
            raise Stopped
        heat = bench.dictionary.encode(_tensor(grids[row : row + 1])).heatmap(of_concept)[0].float().cpu()
        top = int(heat.argmax())
        frames.append(
            p.GalleryFrame(
                frame=int(numbers[row]),
                row=top // geometry.columns,
                column=top % geometry.columns,
                value=float(heat[top]),
                heatmap=p.PackedArray.pack(heat.reshape(geometry.rows, geometry.columns).numpy()),
            )
        )
    # A patch may drive several features of one name, which the index has apart.
    frames.sort(key=lambda frame: -frame.value)
    n_active = int(index.frames_active[features].max(initial=0))
    emit(p.Gallery(job_id=request.job_id, frames=frames, n_active=n_active, n_frames=len(numbers)))


def strongest_apart(numbers: np.ndarray, values: np.ndarray, n: int, apart: int) -> np.ndarray:
    """Choose the strongest frames, none nearer than `apart` to a stronger one.

    Parameters
    ----------
    numbers : numpy.ndarray
        Numbers of the frames, (frame,).
    values : numpy.ndarray
        How strong each is, (frame,).
    n : int
        Frames at most.
    apart : int
        Least distance between two of them, frames; 1 takes any.

    Returns
    -------
    numpy.ndarray
        Places of the chosen ones, strongest first.
    """
    chosen: list[int] = []
    free = np.ones(len(numbers), bool)
    for place in np.argsort(-values, kind="stable"):
        if len(chosen) == n:
            break
        if free[place]:
            chosen.append(int(place))
            free &= np.abs(numbers - numbers[place]) >= apart
    return np.array(chosen, dtype=np.int64)


def naming_words(dictionary: Dictionary) -> str:
    """Say how the features of a dictionary got their names; nothing where they have none but numbers."""
    names = dictionary.given_names
    if names is None:
        return ""
    method = str(names.about.get("method") or "named when the dictionary was made")
    # Ours takes a paragraph, which is for the file; a score means something only with its scale.
    return "named by CLIP text against its strongest patches (0.5 is luck, 1 the best)" if method == METHOD else method


def given_name(dictionary: Dictionary, feature: int) -> tuple[str, float | None]:
    """Return what the dictionary itself calls a feature, and how well that fits; no score where it has only a number."""
    names = dictionary.given_names
    if names is None:
        return f"feature {feature}", None
    entry = names.entries[feature]
    return entry["name"] or f"feature {feature}", float(entry["score"])


def look_at_frames(
    job_id: str, shown: p.ShownFrames, seen: FramesSeen, profile: Profile, emit: Emit, should_stop: ShouldStop
) -> tuple["Stimulus", Grids]:
    """Return a stimulus and the grids of its frames: those of the last request, or from the cache where a decoder was fitted on them."""
    if seen.key != shown or seen.stimulus is None or seen.grids is None:
        stimulus, numbers = _stimulus(shown), np.array(shown.numbers)
        if numbers.min() < 0 or numbers.max() >= stimulus.n_frames or (np.diff(numbers) <= 0).any():
            raise NeurratorError(
                f"The frames {numbers.min()} to {numbers.max()} were asked for, and {shown.stimulus} has {stimulus.n_frames}."
            )
        seen.grids = patch_grids(stimulus, numbers, profile, _reporter(job_id, emit, should_stop))
        seen.key, seen.stimulus, seen.totals, seen.n_known = shown, stimulus, [], 0
    return seen.stimulus, seen.grids


def _stimulus(shown: p.ShownFrames) -> "Stimulus":
    from ..recording import open_recording, open_stimulus
    from ..recording.stimulus.open import open_frames

    if shown.file is not None:
        return open_frames(shown.file, shown.stimulus)
    # Its units are not looked at, so nothing is spent on describing them.
    recording = open_recording(shown.recording, presentations=shown.presentations, optotag=False)
    return open_stimulus(recording, shown.stimulus)[0]


def _reporter(job_id: str, emit: Emit, should_stop: ShouldStop) -> Callable[[str, int, int], None]:
    def report(stage: str, done: int, total: int) -> None:
        if should_stop():
            raise Stopped
        emit(p.Progress(job_id=job_id, stage=stage, done=done, total=total))

    return report


def _tensor(grids: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(grids, dtype=np.float32))


def pieces(start: int, stop: int, should_stop: ShouldStop) -> Iterator[slice]:
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
