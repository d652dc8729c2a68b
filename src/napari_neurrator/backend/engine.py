"""Does what requests ask, with models that are loaded once and kept."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..concepts.dictionary import load_dictionary
from ..concepts.ranking import UsualActivation, concept_totals, top_concepts
from ..decoding.info import DecoderInfo
from ..decoding.store import StoredDecoder
from ..errors import NeurratorError, Stopped
from ..evaluation.measure import ReferenceFrames
from ..language.narrator import LanguageModel
from ..profiles import Profile, load_profile
from ..vision.fingerprint import weights_fingerprint
from ..vision.tower import VisionTower
from . import protocol as p
from .fitting import fit_decoder

Emit = Callable[[p.Event], None]
ShouldStop = Callable[[], bool]
_BATCH = 32


@dataclass
class _Models:
    """The frozen models of one profile, each loaded when first used."""

    profile: Profile
    device: str = "cpu"
    references: dict[tuple[str, str | None], str] = field(default_factory=dict)
    true_grids: dict[str, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def tower(self) -> VisionTower:
        return VisionTower(self.profile, self.device)

    @cached_property
    def language(self) -> LanguageModel:
        return LanguageModel(self.profile, self.device)

    @cached_property
    def dictionary(self):
        return load_dictionary(self.profile)

    @cached_property
    def patch_space(self) -> str:
        return weights_fingerprint(self.profile, self.profile.vision.model)


@dataclass
class _Fitted:
    """A decoder and what was worked out from it."""

    stored: StoredDecoder
    stamp: int
    usual_activation: UsualActivation | None = None
    references: ReferenceFrames | None = None
    prior_sentences: dict[str | None, str] = field(default_factory=dict)


class Engine:
    """Answers requests one at a time.

    Parameters
    ----------
    device : str, optional
        Where the models run; a GPU if there is one.
    """

    def __init__(self, device: str | None = None):
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._models: dict[str, _Models] = {}
        self._decoders: dict[str, _Fitted] = {}

    def run(self, request: p.NarrationRequest | p.FitRequest, emit: Emit, should_stop: ShouldStop) -> None:
        """Do a request, telling what happens through `emit`; ends with `Done`, `Cancelled` or `Failed`."""
        try:
            if request.protocol != p.PROTOCOL_VERSION:
                raise NeurratorError(
                    f"The request speaks protocol {request.protocol}, and this backend {p.PROTOCOL_VERSION}: update the older of the two."
                )
            if isinstance(request, p.FitRequest):
                self._fit(request, emit, should_stop)
            else:
                self._narrate(request, emit, should_stop)
            emit(p.Done(job_id=request.job_id))
        except Stopped:
            emit(p.Cancelled(job_id=request.job_id))
        except NeurratorError as error:
            emit(p.Failed(job_id=request.job_id, message=str(error)))
        except Exception as error:
            import traceback

            message = f"The backend met a fault of its own ({type(error).__name__}: {str(error)[:200]})."
            emit(p.Failed(job_id=request.job_id, message=message, details=traceback.format_exc()))

    def _fit(self, request: p.FitRequest, emit: Emit, should_stop: ShouldStop) -> None:
        def report(stage: str, done: int, total: int) -> None:
            if should_stop():
                raise Stopped
            emit(p.Progress(job_id=request.job_id, stage=stage, done=done, total=total))

        info = fit_decoder(request.config, request.out, report)
        emit(p.Fitted(job_id=request.job_id, decoder=request.out, metrics=info.metrics))

    def _narrate(self, request: p.NarrationRequest, emit: Emit, should_stop: ShouldStop) -> None:
        fitted = self._decoder(request.decoder)
        models = self._models_of(fitted.stored.info.profile)
        if fitted.stored.info.patch_space != models.patch_space:
            raise NeurratorError(
                f"The decoder in {request.decoder} was fitted on another version of the profile {models.profile.name!r}: fit it again."
            )
        windows = request.windows.unpack()
        frames = request.frames.unpack() if request.frames else None
        if frames is not None and len(frames) != len(windows):
            raise NeurratorError(f"The request holds {len(windows)} spike windows but {len(frames)} frames.")
        if frames is None and {"patches", "reference", "evidence"} & set(request.want):
            raise NeurratorError("The frames shown are needed for what was asked, and the request holds none.")
        for start in range(0, len(windows), _BATCH):
            if should_stop():
                raise Stopped
            part = slice(start, min(start + _BATCH, len(windows)))
            grids = fitted.stored.decoder.predict(windows[part], request.unit_ids)
            if "concepts" in request.want and request.n_concepts and models.dictionary is not None:
                self._emit_concepts(request, emit, fitted, models, grids, start)
            if frames is not None and "patches" in request.want:
                self._emit_patches(request, emit, fitted, models, grids, frames[part], start)
            if frames is not None and "evidence" in request.want:
                self._emit_evidence(request, emit, fitted, models, grids, frames[part], start)
            if "text" in request.want:
                self._emit_sentences(
                    request,
                    emit,
                    should_stop,
                    fitted,
                    models,
                    fitted.stored.spoken(grids),
                    None if frames is None else frames[part],
                    start,
                )
            emit(p.Progress(job_id=request.job_id, stage="narrating", done=part.stop, total=len(windows)))

    def _emit_concepts(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        fitted: _Fitted,
        models: _Models,
        grids: torch.Tensor,
        start: int,
    ) -> None:
        dictionary = models.dictionary
        usual = self._usual_activation(fitted, models)
        ranked = top_concepts(dictionary, dictionary.encode(grids), request.n_concepts, usual)
        shape = (models.tower.rows, models.tower.columns)
        for number, concepts in enumerate(ranked):
            described = [
                p.Concept(
                    feature=concept.feature,
                    name=concept.name,
                    strength=concept.strength,
                    heatmap=p.PackedArray.pack(concept.heatmap.reshape(shape).numpy()),
                )
                for concept in concepts
            ]
            emit(p.Concepts(job_id=request.job_id, moment=start + number, concepts=described))

    def _emit_patches(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        fitted: _Fitted,
        models: _Models,
        grids: torch.Tensor,
        frames: np.ndarray,
        start: int,
    ) -> None:
        true = self._true_grids(models, frames)
        cosine = F.cosine_similarity(grids, true, dim=-1)
        prior = F.cosine_similarity(fitted.stored.decoder.prior_grid[None], true, dim=-1)
        for number in range(len(grids)):
            emit(
                p.Patches(
                    job_id=request.job_id,
                    moment=start + number,
                    cosine=p.PackedArray.pack(cosine[number].reshape(models.tower.rows, models.tower.columns).numpy()),
                    mean_cosine=float(cosine[number].mean()),
                    prior_cosine=float(prior[number].mean()),
                )
            )

    def _emit_evidence(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        fitted: _Fitted,
        models: _Models,
        grids: torch.Tensor,
        frames: np.ndarray,
        start: int,
    ) -> None:
        references = self._reference_frames(fitted)
        if references is None:
            problem = no_evidence(fitted.stored.info)
            for number in range(len(grids)):
                emit(p.Judged(job_id=request.job_id, moment=start + number, evidence=None, problem=problem))
            return
        judged = references.judge(grids.cpu(), self._true_grids(models, frames))
        for number, evidence in enumerate(judged):
            emit(p.Judged(job_id=request.job_id, moment=start + number, evidence=evidence))

    def _emit_sentences(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        should_stop: ShouldStop,
        fitted: _Fitted,
        models: _Models,
        grids: torch.Tensor,
        frames: np.ndarray | None,
        start: int,
    ) -> None:
        def stream(number: int, piece: str) -> None:
            emit(p.Token(job_id=request.job_id, moment=start + number, text=piece))

        texts = models.language.narrate(grids, request.prompt, request.max_new_tokens, stream, should_stop)
        references: list[str | None] = [None] * len(texts)
        prior = None
        if "reference" in request.want and frames is not None:
            # The sentences come first: they are what the user waits for.
            for number, text in enumerate(texts):
                emit(p.Sentence(job_id=request.job_id, moment=start + number, text=text))
            references = list(self._references(models, frames, request.prompt, request.max_new_tokens, should_stop))
            prior = self._prior_sentence(fitted, models, request.prompt, request.max_new_tokens)
        for number, (text, reference) in enumerate(zip(texts, references, strict=True)):
            emit(p.Sentence(job_id=request.job_id, moment=start + number, text=text, reference=reference, prior=prior))

    def _references(
        self, models: _Models, frames: np.ndarray, question: str | None, length: int, should_stop: ShouldStop
    ) -> Iterable[str]:
        keys = [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]
        missing = {key: row for row, key in enumerate(keys) if (key, question) not in models.references}
        if missing:
            true = self._true_grids(models, frames[list(missing.values())])
            said = models.language.narrate(true, question, length, should_stop=should_stop)
            models.references.update({(key, question): text for key, text in zip(missing, said, strict=True)})
        return [models.references[key, question] for key in keys]

    def _true_grids(self, models: _Models, frames: np.ndarray) -> torch.Tensor:
        keys = [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]
        missing = {key: row for row, key in enumerate(keys) if key not in models.true_grids}
        if missing:
            if len(models.true_grids) > 256:
                models.true_grids.clear()
                missing = {key: row for row, key in enumerate(keys)}
            made = models.tower.grids(frames[list(missing.values())]).cpu()
            models.true_grids.update(zip(missing, made, strict=True))
        return torch.stack([models.true_grids[key] for key in keys])

    def _prior_sentence(self, fitted: _Fitted, models: _Models, question: str | None, length: int) -> str:
        if question not in fitted.prior_sentences:
            fitted.prior_sentences[question] = models.language.narrate(
                fitted.stored.decoder.prior_grid[None], question, length
            )[0]
        return fitted.prior_sentences[question]

    def _reference_frames(self, fitted: _Fitted) -> ReferenceFrames | None:
        kept = fitted.stored.references
        if fitted.references is None and kept is not None:
            fitted.references = ReferenceFrames(**kept, prior=fitted.stored.decoder.prior_grid.float().cpu())
        return fitted.references

    def _usual_activation(self, fitted: _Fitted, models: _Models) -> UsualActivation:
        if fitted.usual_activation is None:
            totals = [
                concept_totals(models.dictionary, models.dictionary.encode(part))
                for part in fitted.stored.typical_grids.split(8)
            ]
            fitted.usual_activation = UsualActivation.of(torch.cat(totals))
        return fitted.usual_activation

    def _models_of(self, profile: str) -> _Models:
        if profile not in self._models:
            self._models[profile] = _Models(load_profile(profile), self.device)
        return self._models[profile]

    def _decoder(self, folder: str) -> _Fitted:
        file = Path(folder).expanduser() / "decoder.safetensors"
        stamp = file.stat().st_mtime_ns if file.is_file() else 0
        known = self._decoders.get(folder)
        if known is None or known.stamp != stamp:
            known = self._decoders[folder] = _Fitted(StoredDecoder.load(folder), stamp)
        return known

    def warm_up(self, decoder: str) -> None:
        """Load everything that a narration with this decoder needs."""
        fitted = self._decoder(decoder)
        models = self._models_of(fitted.stored.info.profile)
        if models.dictionary is not None:
            self._usual_activation(fitted, models)
        models.language.narrate(fitted.stored.decoder.prior_grid[None], None, 2)
        _ = models.tower


def no_evidence(info: DecoderInfo) -> str:
    """Say why nothing can be said of how far to trust a decoder's sentences."""
    if info.config.split == "another-movie":
        return "No evidence: nothing of this stimulus was held out from fitting (another-movie)."
    return "No evidence was measured for this decoder: fit it again."
