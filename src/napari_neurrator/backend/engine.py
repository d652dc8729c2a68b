"""Does what requests ask, with models that are loaded once and kept."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..concepts.dictionary import load_dictionary
from ..concepts.ranking import UsualActivation, concept_totals, top_concepts
from ..config import RunningConfig
from ..decoding.info import DecoderInfo
from ..decoding.store import StoredDecoder
from ..errors import NeurratorError, Stopped
from ..evaluation.measure import ReferenceFrames
from ..language.devices import choose_device
from ..language.kept import KeptSentences
from ..language.narrator import LanguageModel
from ..language.vllm import VllmLanguage
from ..paths import cache_folder
from ..profiles import Profile, load_profile
from ..vision.fingerprint import weights_fingerprint
from ..vision.tower import VisionTower
from . import protocol as p
from .asking_jobs import AskingBench, AskingRequest, FieldsKept, run_asking_job
from .concept_jobs import Bench, ConceptRequest, FramesSeen, given_name, naming_words, run_concept_job
from .fitting import fit_decoder
from .merging import MergedWindows, decode, rows_of

Emit = Callable[[p.Event], None]
ShouldStop = Callable[[], bool]
_BATCH = 32
_MOST = 64


@dataclass
class _Models:
    """The frozen models of one profile, each loaded when first used."""

    profile: Profile
    device: str = "cpu"
    running: RunningConfig = field(default_factory=RunningConfig)
    language_server: str | None = None
    said: dict[str, str] = field(default_factory=dict)
    true_grids: dict[str, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def tower(self) -> VisionTower:
        return VisionTower(self.profile, self.device)

    @cached_property
    def language(self) -> LanguageModel | VllmLanguage:
        if self.language_server:
            return VllmLanguage(self.profile, self.language_server)
        running = self.running
        return LanguageModel(
            self.profile, self.device, dtype=running.dtype, quantise=running.quantise, batch=running.batch
        )

    @cached_property
    def dictionary(self):
        return load_dictionary(self.profile)

    @cached_property
    def patch_space(self) -> str:
        return weights_fingerprint(self.profile, self.profile.vision.model)

    @cached_property
    def voice(self) -> str:
        """Whatever changes what is said of a true frame: models, patches, precision."""
        model = weights_fingerprint(self.profile, self.profile.language.model)
        kind = str(self.device).partition(":")[0]
        running = [self.running.dtype, self.running.quantise, kind, self.language_server]
        spec = [self.profile.vision.model_dump(), self.profile.language.model_dump()]
        return json.dumps([model, self.patch_space, spec, running])

    @cached_property
    def kept(self) -> KeptSentences:
        return KeptSentences(cache_folder("sentences") / "said.sqlite")


@dataclass
class _Fitted:
    """A decoder and what was worked out from it."""

    stored: StoredDecoder
    stamp: int
    usual_activation: UsualActivation | None = None
    references: ReferenceFrames | None = None
    frames_seen: FramesSeen = field(default_factory=FramesSeen)
    fields: FieldsKept = field(default_factory=FieldsKept)


class Engine:
    """Answers requests one at a time.

    Parameters
    ----------
    running : RunningConfig, optional
        Where and how the models run.
    language : str, optional
        Address of a vLLM server that speaks in place of the profile's own language model.
    """

    def __init__(self, running: RunningConfig | None = None, language: str | None = None):
        self._running = running or RunningConfig()
        self._language_server = language
        self._models: dict[str, _Models] = {}
        self._decoders: dict[str, _Fitted] = {}

    @cached_property
    def device(self) -> str:
        """Where the models run.

        Raises
        ------
        NeurratorError
            There is no such device.
        """
        return str(choose_device(self._running.device))

    def run(self, request: p.Request, emit: Emit, should_stop: ShouldStop) -> None:
        """Do a request, telling what happens through `emit`; ends with `Done`, `Cancelled` or `Failed`."""
        try:
            if request.protocol != p.PROTOCOL_VERSION:
                raise NeurratorError(
                    f"The request speaks protocol {request.protocol}, and this backend {p.PROTOCOL_VERSION}: update the older of the two."
                )
            if isinstance(request, p.FitRequest):
                self._fit(request, emit, should_stop)
            elif isinstance(request, p.DescribeRequest):
                self._describe(request, emit, should_stop)
            elif isinstance(request, ConceptRequest):
                run_concept_job(request, self._bench(request.decoder), emit, should_stop)
            elif isinstance(request, AskingRequest):
                run_asking_job(request, self._asking_bench(request.decoder), emit, should_stop)
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

    def _describe(self, request: p.DescribeRequest, emit: Emit, should_stop: ShouldStop) -> None:
        language = self._models_of(request.profile).language
        grids = torch.from_numpy(request.grids.unpack().copy())
        batch = language.batch(request.max_new_tokens)
        for start in range(0, len(grids), batch):
            part = grids[start : start + batch]
            texts = language.narrate(part, request.prompt, request.max_new_tokens, should_stop=should_stop)
            for number, text in enumerate(texts, start):
                emit(p.Sentence(job_id=request.job_id, moment=number, text=text))
            emit(p.Progress(job_id=request.job_id, stage="narrating", done=start + len(part), total=len(grids)))

    def _bench(self, decoder: str) -> Bench:
        fitted = self._decoder(decoder)
        models = self._models_of(fitted.stored.info.profile)
        if models.dictionary is None:
            raise NeurratorError(f"The profile {models.profile.name!r} names no dictionary, so there are no concepts.")
        usual = self._usual_activation(fitted, models)
        return Bench(fitted.stored.decoder, models.profile, models.dictionary, usual, fitted.frames_seen)

    def _asking_bench(self, decoder: str) -> AskingBench:
        fitted, models = self._fitting_models(decoder)
        return AskingBench(
            fitted.stored,
            models.profile,
            lambda: models.dictionary,
            lambda: models.language,
            lambda frames: self._true_grids(models, frames),
            fitted.fields,
            fitted.frames_seen,
        )

    def _fitting_models(self, decoder: str) -> tuple[_Fitted, _Models]:
        """Return a decoder and the models that it was fitted on.

        Raises
        ------
        NeurratorError
            The models are others by now.
        """
        fitted = self._decoder(decoder)
        models = self._models_of(fitted.stored.info.profile)
        if fitted.stored.info.patch_space != models.patch_space:
            raise NeurratorError(
                f"The decoder in {decoder} was fitted on another version of the profile {models.profile.name!r}: fit it again."
            )
        return fitted, models

    def _narrate(self, request: p.NarrationRequest, emit: Emit, should_stop: ShouldStop) -> None:
        fitted, models = self._fitting_models(request.decoder)
        windows = request.windows.unpack()
        frames = request.frames.unpack() if request.frames else None
        if frames is not None and len(frames) != len(windows):
            raise NeurratorError(f"The request holds {len(windows)} spike windows but {len(frames)} frames.")
        if frames is None and {"patches", "reference", "evidence"} & set(request.want):
            raise NeurratorError("The frames shown are needed for what was asked, and the request holds none.")
        batch = _BATCH
        if "text" in request.want and len(windows) > 1:
            # One moment has its heatmaps before the language model is even loaded; many are done in full batches of it.
            at_once = models.language.batch(request.max_new_tokens, request.speaking)
            batch = max(_MOST // at_once, 1) * at_once
        for start in range(0, len(windows), batch):
            if should_stop():
                raise Stopped
            part = slice(start, min(start + batch, len(windows)))
            grids = decode(fitted.stored.decoder, windows[part], request.unit_ids)
            # Each moment by itself: what is said of it has the same last digits whatever else was asked for with it.
            for moment, grid in enumerate(grids, start):
                if "concepts" in request.want and request.n_concepts and models.dictionary is not None:
                    self._emit_concepts(request, emit, fitted, models, grid[None], moment)
                if frames is None:
                    continue
                shown = frames[moment : moment + 1]
                if "patches" in request.want:
                    self._emit_patches(request, emit, fitted, models, grid[None], shown, moment)
                if "evidence" in request.want:
                    self._emit_evidence(request, emit, fitted, models, grid[None], shown, moment)
            if "text" in request.want:
                self._emit_sentences(
                    request,
                    emit,
                    should_stop,
                    fitted,
                    models,
                    torch.cat([fitted.stored.spoken(grid[None]) for grid in grids]),
                    windows[part],
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
        grid: torch.Tensor,
        moment: int,
    ) -> None:
        dictionary = models.dictionary
        usual = self._usual_activation(fitted, models)
        (ranked,) = top_concepts(dictionary, dictionary.encode(grid), request.n_concepts, usual)
        shape = (models.tower.rows, models.tower.columns)
        described = [
            p.Concept(
                feature=concept.feature,
                name=concept.name,
                strength=concept.strength,
                heatmap=p.PackedArray.pack(concept.heatmap.reshape(shape).numpy()),
                given=given_name(dictionary, concept.feature)[0],
                score=given_name(dictionary, concept.feature)[1],
            )
            for concept in ranked
        ]
        emit(
            p.Concepts(
                job_id=request.job_id,
                moment=moment,
                concepts=described,
                dictionary=dictionary.content_hash,
                naming=naming_words(dictionary),
            )
        )

    def _emit_patches(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        fitted: _Fitted,
        models: _Models,
        grid: torch.Tensor,
        frame: np.ndarray,
        moment: int,
    ) -> None:
        true = self._true_grids(models, frame)
        (cosine,) = F.cosine_similarity(grid, true, dim=-1)
        (prior,) = F.cosine_similarity(fitted.stored.decoder.prior_grid[None], true, dim=-1)
        emit(
            p.Patches(
                job_id=request.job_id,
                moment=moment,
                cosine=p.PackedArray.pack(cosine.reshape(models.tower.rows, models.tower.columns).numpy()),
                mean_cosine=float(cosine.mean()),
                prior_cosine=float(prior.mean()),
            )
        )

    def _emit_evidence(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        fitted: _Fitted,
        models: _Models,
        grid: torch.Tensor,
        frame: np.ndarray,
        moment: int,
    ) -> None:
        references = self._reference_frames(fitted)
        if references is None:
            problem = no_evidence(fitted.stored.info)
            emit(p.Judged(job_id=request.job_id, moment=moment, evidence=None, problem=problem))
            return
        (evidence,) = references.judge(grid.cpu(), self._true_grids(models, frame))
        emit(p.Judged(job_id=request.job_id, moment=moment, evidence=evidence))

    def _emit_sentences(
        self,
        request: p.NarrationRequest,
        emit: Emit,
        should_stop: ShouldStop,
        fitted: _Fitted,
        models: _Models,
        grids: torch.Tensor,
        windows: np.ndarray | MergedWindows,
        frames: np.ndarray | None,
        start: int,
    ) -> None:
        asked = [(question, row) for question in range(len(request.questions)) for row in range(len(grids))]

        def stream(number: int, piece: str) -> None:
            question, row = asked[number]
            emit(p.Token(job_id=request.job_id, moment=start + row, text=piece, question=question))

        def notice(text: str) -> None:
            emit(p.Progress(job_id=request.job_id, stage="narrating", done=start, total=total, detail=text))

        language, total = models.language, request.windows.shape[0]
        if language.notice and not start:
            notice(language.notice)
        spoken_of = [
            json.dumps(units).encode() + np.ascontiguousarray(window).tobytes()
            for window, units in rows_of(windows, request.unit_ids)
        ]
        features = language.features(grids, notice)
        texts = language.speak(
            [features[row] for _, row in asked],
            [request.questions[question] for question, _ in asked],
            request.max_new_tokens,
            stream,
            should_stop,
            speaking=request.speaking,
            seeds=[_seed(request, question, spoken_of[row]) for question, row in asked],
            on_notice=notice,
        )

        def tell(references: dict[tuple[int, int], str], priors: dict[int, str]) -> None:
            for (question, row), text in zip(asked, texts, strict=True):
                emit(
                    p.Sentence(
                        job_id=request.job_id,
                        moment=start + row,
                        text=text,
                        reference=references.get((question, row)),
                        prior=priors.get(question),
                        question=question,
                    )
                )

        tell({}, {})
        if "reference" in request.want and frames is not None:
            # The sentences come first: they are what the user waits for.
            tell(*self._references(request, should_stop, fitted, models, frames, notice))

    def _references(
        self,
        request: p.NarrationRequest,
        should_stop: ShouldStop,
        fitted: _Fitted,
        models: _Models,
        frames: np.ndarray,
        notice: Callable[[str], None],
    ) -> tuple[dict[tuple[int, int], str], dict[int, str]]:
        """Return what is said of the true frames, by (question, row), and of the mean grid, by question; said once, and kept across runs."""
        prior = fitted.stored.decoder.prior_grid.cpu()
        contents = [frame.tobytes() for frame in frames] + [prior.numpy().tobytes()]
        keys = {
            (question, row): self._key(models, request, question, content)
            for question in range(len(request.questions))
            for row, content in enumerate(contents)
        }
        missing = {key: place for place, key in keys.items() if key not in models.said}
        found = models.kept.find(missing)
        models.said.update(found)
        missing = {key: place for key, place in missing.items() if key not in found}
        if missing:
            rows = sorted({row for _, row in missing.values()})
            shown = [row for row in rows if row < len(frames)]
            grids = [*self._true_grids(models, frames[shown])] if shown else []
            grids += [prior] if rows[-1] == len(frames) else []
            features = models.language.features(torch.stack(grids), notice)
            said = models.language.speak(
                [features[rows.index(row)] for _, row in missing.values()],
                [request.questions[question] for question, _ in missing.values()],
                request.max_new_tokens,
                should_stop=should_stop,
                speaking=request.speaking,
                seeds=[_seed(request, question, contents[row]) for question, row in missing.values()],
                on_notice=notice,
            )
            new = dict(zip(missing, said, strict=True))
            models.said.update(new)
            models.kept.keep(new)
        of = {place: models.said[key] for place, key in keys.items()}
        return of, {question: of[question, len(frames)] for question in range(len(request.questions))}

    @staticmethod
    def _key(models: _Models, request: p.NarrationRequest, question: int, content: bytes) -> str:
        asked = request.questions[question] or models.profile.language.question
        how = json.dumps([models.voice, asked, request.max_new_tokens, request.speaking.model_dump()])
        return hashlib.sha256(how.encode() + hashlib.sha256(content).digest()).hexdigest()

    def _true_grids(self, models: _Models, frames: np.ndarray) -> torch.Tensor:
        keys = [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]
        missing = {key: row for row, key in enumerate(keys) if key not in models.true_grids}
        if missing:
            if len(models.true_grids) > 256:
                models.true_grids.clear()
                missing = {key: row for row, key in enumerate(keys)}
            for key, row in missing.items():
                models.true_grids[key] = models.tower.grids(frames[row : row + 1])[0].cpu()
        return torch.stack([models.true_grids[key] for key in keys])

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
            self._models[profile] = _Models(load_profile(profile), self.device, self._running, self._language_server)
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


def _seed(request: p.NarrationRequest, question: int, content: bytes) -> int:
    """Return the seed of one sentence: by what it is said of, not by its place in a batch or a request."""
    if not request.speaking.temperature:
        return 0
    how = f"{request.speaking.seed}\n{request.questions[question]}\n"
    return int.from_bytes(hashlib.sha256(how.encode() + content).digest()[:8])


def no_evidence(info: DecoderInfo) -> str:
    """Say why nothing can be said of how far to trust a decoder's sentences."""
    if info.config.split == "another-movie":
        return "No evidence: nothing of this stimulus was held out from fitting (another-movie)."
    return "No evidence was measured for this decoder: fit it again."
