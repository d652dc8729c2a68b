"""Asking back: which units carry what was decoded, what is lost without them, and what lies behind a patch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from ..attribution.asking import ask_back
from ..attribution.fields import UnitFields
from ..attribution.leaving import leave_out
from ..attribution.patches import inspect_patches, match_over_time, most_alike
from ..attribution.targets import Target, concept_target, patch_target
from ..concepts.gallery import apart_in
from ..decoding.store import StoredDecoder
from ..decoding.subset import SubsetBayes
from ..errors import NeurratorError, Stopped
from ..evaluation.comparison import compare_groups
from ..language.narrator import LanguageModel
from ..profiles import Profile
from ..vision.geometry import PatchGeometry
from . import protocol as p
from .concept_jobs import FramesSeen, look_at_frames, pieces

if TYPE_CHECKING:
    from ..concepts.dictionary import Dictionary
    from ..decoding.rows import Rows

Emit = Callable[[p.Event], None]
ShouldStop = Callable[[], bool]
SHARE = 0.8

AskingRequest = p.AskRequest | p.WithoutRequest | p.InspectRequest | p.MatchRequest | p.CompareRequest


@dataclass
class FieldsKept:
    """Where a decoder's units look, kept once it is worked out."""

    found: UnitFields | None = None


@dataclass(frozen=True)
class AskingBench:
    """What is needed to ask back; models are loaded only where they are asked.

    Attributes
    ----------
    stored : StoredDecoder
        The decoder.
    profile : Profile
        Its models.
    dictionary, language : callable
        Return the dictionary and the language model.
    true_grids : callable
        Returns the grids of frames, uint8 (frame, height, width, 3).
    fields : FieldsKept
        Of the decoder.
    seen : FramesSeen
        The frames that were looked at last.
    """

    stored: StoredDecoder
    profile: Profile
    dictionary: Callable[[], "Dictionary | None"]
    language: Callable[[], object]
    true_grids: Callable[[np.ndarray], torch.Tensor]
    fields: FieldsKept
    seen: FramesSeen


def run_asking_job(request: AskingRequest, bench: AskingBench, emit: Emit, should_stop: ShouldStop) -> None:
    """Do a request; raises `Stopped` where it was stopped."""
    if should_stop():
        raise Stopped
    if isinstance(request, p.AskRequest):
        _ask(request, bench, emit, should_stop)
    elif isinstance(request, p.WithoutRequest):
        _without(request, bench, emit)
    elif isinstance(request, p.CompareRequest):
        _compare(request, bench, emit, should_stop)
    elif isinstance(request, p.MatchRequest):
        _match(request, bench, emit, should_stop)
    else:
        inspect_region(request, bench, emit, should_stop)


def _ask(request: p.AskRequest, bench: AskingBench, emit: Emit, should_stop: ShouldStop) -> None:
    decoder, window = bench.stored.decoder, one_window(request)
    grid, prior = decoder.predict(window, request.unit_ids)[0].cpu(), decoder.prior_grid.cpu()
    target = _target(request, bench, grid, prior)
    fields = None
    if target.patches is not None and len(target.patches) < len(grid) and isinstance(decoder, SubsetBayes):
        fields = _fields(request.job_id, decoder, bench, emit, should_stop)
    if should_stop():
        raise Stopped
    found = ask_back(decoder, window, request.unit_ids, target, fields=fields)
    emit(
        p.Asked(
            job_id=request.job_id,
            unit=found.unit,
            method=found.method,
            carried=p.PackedArray.pack(found.carried.astype(np.float32)),
            covers=None if found.covers is None else p.PackedArray.pack(found.covers.astype(np.float32)),
            patches=target.patches,
            value=found.value,
            remainder=found.remainder,
            explained=found.explain(SHARE),
            share=SHARE,
        )
    )


def one_window(request: AskingRequest) -> np.ndarray:
    """Return the window of the moment, (1, bin, unit)."""
    window = request.windows.unpack()
    if window.ndim != 3 or len(window) != 1:
        raise NeurratorError(f"One moment is asked at a time, and the request holds windows of shape {window.shape}.")
    return window


def one_frame(request: p.WithoutRequest | p.InspectRequest) -> np.ndarray:
    """Return the frame of the moment, (1, height, width, 3)."""
    frames = request.frames.unpack()
    if len(frames) != 1:
        raise NeurratorError(f"One moment is asked at a time, and the request holds {len(frames)} frames.")
    return frames


def _target(request: p.AskRequest, bench: AskingBench, grid: torch.Tensor, prior: torch.Tensor) -> Target:
    if request.patches is not None:
        return patch_target(grid, prior, request.patches)
    if request.concept is not None:
        dictionary = bench.dictionary()
        if dictionary is None:
            raise NeurratorError(f"The profile {bench.profile.name!r} names no dictionary, so there are no concepts.")
        return concept_target(dictionary, request.concept, grid, prior)
    assert request.word is not None
    language = bench.language()
    if not isinstance(language, LanguageModel):
        raise NeurratorError("A word can be followed back only where the language model runs beside the decoder: a language server gives no gradients.")  # fmt: skip
    from ..attribution.words import word_target

    spoken = bench.stored.spoken(grid[None])[0]
    target = word_target(language, spoken, prior, request.word.sentence, request.word.place, request.word.prompt)
    # The sentence was said of the decoded grid at the contrast of true pictures; what units say is measured at the decoded one.
    louder = float((spoken - prior).norm() / (grid - prior).norm().clamp(min=1e-12))
    return replace(target, weights=target.weights * louder)


def _fields(job_id: str, decoder: SubsetBayes, bench: AskingBench, emit: Emit, should_stop: ShouldStop) -> UnitFields:
    if bench.fields.found is None:
        geometry = PatchGeometry.of(bench.profile, 64, 64)

        def report(done: int, total: int) -> None:
            if should_stop():
                raise Stopped
            emit(p.Progress(job_id=job_id, stage="finding where units look", done=done, total=total))

        bench.fields.found = UnitFields.of(decoder, geometry.rows, geometry.columns, report)
    return bench.fields.found


def _without(request: p.WithoutRequest, bench: AskingBench, emit: Emit) -> None:
    frames = one_frame(request)
    loss = leave_out(
        bench.stored.decoder, one_window(request), request.unit_ids, request.group, bench.true_grids(frames), request.patches, draws=request.draws
    )  # fmt: skip
    chosen = slice(None) if request.patches is None else request.patches
    emit(
        p.Without(
            job_id=request.job_id,
            whole=float(loss.whole[:, chosen].mean()),
            rest=float(loss.rest[:, chosen].mean()),
            alone=float(loss.alone[:, chosen].mean()),
            lost=loss.lost,
            random=p.PackedArray.pack(loss.random.astype(np.float32)),
            p=loss.p,
        )
    )


def _compare(request: p.CompareRequest, bench: AskingBench, emit: Emit, should_stop: ShouldStop) -> None:
    window, place = one_window(request), {unit: row for row, unit in enumerate(request.unit_ids)}
    for name, units in request.groups.items():
        strange = next((unit for unit in units if unit not in place), None)
        if strange is not None:
            raise NeurratorError(f"The group {name!r} holds {strange!r}, whose spikes are not in the request.")

    def decode(units: list) -> torch.Tensor:
        rows = [place[unit] for unit in units]
        return bench.stored.decoder.predict(np.ascontiguousarray(window[:, :, rows]), units).cpu()

    def report(stage: str, done: int, total: int) -> None:
        if should_stop():
            raise Stopped
        emit(p.Progress(job_id=request.job_id, stage=stage, done=done, total=total))

    for one in compare_groups(request.groups, decode, request.draws, on_progress=report):
        emit(
            p.Difference(
                job_id=request.job_id, first=one.first, second=one.second, distance=one.distance,
                random=p.PackedArray.pack(one.null.astype(np.float32)), p=one.p, p_adjusted=one.p_adjusted,
            )
        )  # fmt: skip


def _match(request: p.MatchRequest, bench: AskingBench, emit: Emit, should_stop: ShouldStop) -> None:
    windows = request.windows.unpack()
    if windows.ndim != 3 or len(windows) != len(request.frames):
        raise NeurratorError(f"There are {len(request.frames)} frames and windows of shape {windows.shape}: give one window a frame.")  # fmt: skip
    place = {frame: row for row, frame in enumerate(request.shown.numbers)}
    strange = next((frame for frame in request.frames if frame not in place), None)
    if strange is not None:
        raise NeurratorError(f"Frame {strange} is asked for, and it is not among the frames that are shown.")
    _, grids = look_at_frames(request.job_id, request.shown, bench.seen, bench.profile, emit, should_stop)
    rows = np.array([place[frame] for frame in request.frames])
    decoder, references = bench.stored.decoder, bench.stored.references
    prior = decoder.prior_grid.cpu()
    others = np.zeros((0, *prior.shape), np.float32) if references is None else references["grids"].numpy()
    weights = None if references is None else references["weights"].numpy()
    patches = None if request.patches is None else sorted(set(request.patches))
    for piece in pieces(0, len(windows), should_stop):
        true = torch.from_numpy(np.stack([np.asarray(grids[int(row)], dtype=np.float32) for row in rows[piece]]))
        decoded = decoder.predict(windows[piece], request.unit_ids).cpu()
        found = match_over_time(decoded, true, prior, patches, others, weights)
        emit(
            p.Matches(
                job_id=request.job_id, start=piece.start, cosine=p.PackedArray.pack(found.cosine), prior=p.PackedArray.pack(found.prior),
                low=p.PackedArray.pack(found.low), high=p.PackedArray.pack(found.high),
            )
        )  # fmt: skip


def inspect_region(request: p.InspectRequest, bench: AskingBench, emit: Emit, should_stop: ShouldStop) -> None:
    """Say what is known of some patches; what they look like in the stimulus comes last, for it has to be read."""
    decoder = bench.stored.decoder
    grid, prior = decoder.predict(one_window(request), request.unit_ids)[0].cpu(), decoder.prior_grid.cpu()
    true = bench.true_grids(one_frame(request))[0]
    references = bench.stored.references
    others = np.zeros((0, *grid.shape), np.float32) if references is None else references["grids"].numpy()
    weights = None if references is None else references["weights"].numpy()
    # Without frames to compare with, the true one stands in so that the arithmetic has one; nothing is said of it.
    report = inspect_patches(
        grid, true, prior, request.patches, others if len(others) else true[None].numpy(), weights, bench.dictionary(), request.n_concepts
    )  # fmt: skip
    emit(
        p.Inspected(
            job_id=request.job_id,
            cosine=report.cosine,
            prior_cosine=report.prior_cosine,
            gain=report.gain,
            null=p.PackedArray.pack(report.null.astype(np.float32)),
            p=report.p if len(others) else None,
            decoded=[p.Activation(name=name, value=value) for name, value in report.decoded_concepts],
            true=[p.Activation(name=name, value=value) for name, value in report.true_concepts],
        )
    )
    if request.shown is None:
        return
    stimulus, grids = look_at_frames(request.job_id, request.shown, bench.seen, bench.profile, emit, should_stop)

    def on_progress(done: int, total: int) -> None:
        if should_stop():
            raise Stopped
        emit(p.Progress(job_id=request.job_id, stage="looking through the frames", done=done, total=total))

    # Rows of the table are the frames asked for, which of a film are neighbours.
    numbers = request.shown.numbers
    found = most_alike(
        grid[report.patches].mean(0), cast("Rows", grids), request.n_alike, apart_in(stimulus), on_progress
    )
    alike = [p.AlikePatch(frame=numbers[one.frame], patch=one.patch, cosine=one.cosine) for one in found]
    emit(p.Alike(job_id=request.job_id, patches=alike))
