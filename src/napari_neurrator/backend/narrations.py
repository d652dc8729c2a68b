"""Narrate moments of a recording through any backend, and write each as one JSON line."""

import queue
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, model_serializer

from ..config import NarrateConfig, SpeakingConfig
from ..decoding.info import DecoderInfo
from ..decoding.windows import spike_windows
from ..errors import NeurratorError, Stopped
from ..evaluation.evidence import ALPHA, Evidence
from .client import Backend
from .protocol import (
    Cancelled,
    Concepts,
    Done,
    Event,
    Failed,
    Judged,
    NarrationRequest,
    PackedArray,
    Patches,
    Progress,
    Request,
    Sentence,
    Wanted,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..recording import Recording
    from ..recording.stimulus import Stimulus

CHUNK = 64


class NarrationEvidence(BaseModel):
    """How far to trust one sentence, as it is written down; see `evaluation.evidence.Evidence`.

    Attributes
    ----------
    patch_cosine, prior_cosine, gain, usual, p, least : float or None
        As there; None where nothing could be measured.
    better : bool or None
        Whether the sentence is more than chance (`p` at most 0.05); None where this was not tested, because the decoder was fitted on this showing
        or has no evidence, or because so few different frames were shown that no sentence alone could be.
    split : str
        What was held out when the decoder was fitted.
    held_out : bool
        Whether this showing of the frame was.
    in_words : str
        The same as a sentence.
    """

    model_config = ConfigDict(extra="forbid")

    patch_cosine: float | None = None
    prior_cosine: float | None = None
    gain: float | None = None
    usual: float | None = None
    p: float | None = None
    least: float | None = None
    better: bool | None = None
    split: str
    held_out: bool
    in_words: str

    @classmethod
    def of(cls, evidence: Evidence | None, problem: str, split: str, held_out: bool) -> "NarrationEvidence":
        """Write down what a backend said of a moment."""
        if evidence is None:
            return cls(split=split, held_out=held_out, in_words=problem)
        return cls(
            **{name: round(value, 5) for name, value in evidence.model_dump().items()},
            better=evidence.better if held_out and evidence.testable else None,
            split=split,
            held_out=held_out,
            in_words=evidence.in_words(held_out),
        )


class Answer(BaseModel):
    """What some units say to one of several questions."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    text: str
    reference: str | None = None
    prior: str | None = None


class Narration(BaseModel):
    """What some units say at one moment, beside the evidence for it.

    Where several questions were asked, `answers` holds all of them, and `text`, `reference` and `prior` are those of the first.
    """

    model_config = ConfigDict(extra="forbid")

    text: str
    unit_ids: list[int | str]
    stimulus: str
    frame: int
    presentation: int
    repeat: int
    start_time: float
    held_out: bool
    reference: str | None = None
    prior: str | None = None
    concepts: list[dict[str, Any]] = []
    patch_cosine: float | None = None
    prior_patch_cosine: float | None = None
    evidence: NarrationEvidence | None = None
    condition: dict[str, Any] = {}
    simulated: bool = False
    config: NarrateConfig
    answers: list[Answer] | None = None

    @model_serializer(mode="wrap")
    def _without_answers(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None or name != "answers"}


def choose_moments(
    moments: "pd.DataFrame", info: DecoderInfo, spec: str | None, held_out: bool, repeat: int | None = None
) -> "pd.DataFrame":
    """Pick the moments to narrate.

    Parameters
    ----------
    moments : pandas.DataFrame
        All moments of the stimulus.
    info : DecoderInfo
        Knows which showings were held out.
    spec : str, optional
        Frame numbers, such as ``0,30,60-90``; None or ``all`` is every frame.
    held_out : bool
        Only showings that the decoder was not fitted on.
    repeat : int, optional
        Only this showing of each frame (0 is the first).

    Raises
    ------
    NeurratorError
        The frames are not numbers, or were not shown.
    """
    chosen = moments
    if spec and spec != "all":
        chosen = chosen[chosen["frame"].isin(parse_frames(spec))]
    if held_out:
        chosen = chosen[
            [info.is_held_out(int(r), int(f)) for r, f in zip(chosen["repeat"], chosen["frame"], strict=True)]
        ]
    if repeat is not None:
        chosen = chosen[chosen["repeat"] == repeat]
    if chosen.empty:
        shown = moments["frame"]
        raise NeurratorError(
            f"No moment fits: frames {shown.min()} to {shown.max()} were shown up to {moments['repeat'].max() + 1} times (repeats count from 0)."
        )
    return chosen


def parse_frames(spec: str) -> set[int]:
    """Read frame numbers such as ``0,30,60-90``."""
    frames: set[int] = set()
    for part in spec.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise NeurratorError(f"--frames {spec!r} cannot be read: write frame numbers such as 0,30,60-90, or 'all'.")
        low, high = int(first), int(last if dash else first)
        if high < low or high - low > 10_000_000:
            raise NeurratorError(f"--frames {spec!r} cannot be read: {part.strip()} is not a range.")
        frames.update(range(low, high + 1))
    return frames


def narration_request(
    recording: "Recording",
    stimulus: "Stimulus | None",
    moments: "pd.DataFrame",
    info: DecoderInfo,
    decoder: str,
    unit_ids: list,
    *,
    prompt: str | None = None,
    prompts: list[str] | None = None,
    n_concepts: int = 8,
    max_new_tokens: int = 60,
    speaking: SpeakingConfig | None = None,
) -> NarrationRequest:
    """Build the request for some moments; the frames go along where a stimulus is given, so that the evidence can be worked out."""
    want: list[Wanted] = ["text", "concepts"]
    frames = None
    if stimulus is not None:
        want += ["patches", "reference", "evidence"]
        frames = PackedArray.pack(np.asarray(stimulus.frames(moments["frame"].to_numpy())))
    return NarrationRequest(
        job_id=uuid.uuid4().hex,
        decoder=decoder,
        unit_ids=unit_ids,
        windows=PackedArray.pack(spike_windows(recording, moments, info.window, unit_ids)),
        frames=frames,
        want=want,
        prompt=prompt,
        prompts=prompts,
        n_concepts=n_concepts,
        max_new_tokens=max_new_tokens,
        speaking=speaking or SpeakingConfig(),
    )


def events_of(backend: Backend, request: Request) -> Iterator[Event]:
    """Submit a request and yield its events.

    Raises
    ------
    NeurratorError
        The job failed.
    Stopped
        The job was stopped.
    """
    events: queue.Queue[Event] = queue.Queue()
    backend.submit(request, events.put)
    try:
        while True:
            event = events.get()
            if isinstance(event, Failed):
                raise NeurratorError(event.message)
            if isinstance(event, Cancelled):
                raise Stopped
            yield event
            if isinstance(event, Done):
                return
    finally:
        backend.cancel(request.job_id)


_NO_CONDITION = {
    "stimulus", "start_time", "stop_time", "frame", "repeat", "block", "interpolated", "stimulus_block", "stimulus_name"
}  # fmt: skip


def condition_of(recording: "Recording", presentation: int) -> dict[str, Any]:
    """Return what else the table of presentations says of one of them, such as the orientation of a grating."""
    extra = [column for column in recording.presentations.columns if column not in _NO_CONDITION]
    return {str(key): _plain(value) for key, value in recording.presentations.loc[presentation, extra].items()}


def narrate_moments(
    backend: Backend,
    recording: "Recording",
    stimulus: "Stimulus",
    moments: "pd.DataFrame",
    info: DecoderInfo,
    unit_ids: list,
    config: NarrateConfig,
    on_notice: Callable[[str], None] | None = None,
) -> Iterator[Narration]:
    """Narrate moments in order, some at a time.

    Parameters
    ----------
    backend : Backend
        Does the model work.
    recording, stimulus : Recording, Stimulus
        Spikes and frames.
    moments : pandas.DataFrame
        Rows to narrate.
    info : DecoderInfo
        Of the decoder that `config` names.
    unit_ids : list
        Whose spikes.
    config : NarrateConfig
        Written onto every narration.
    on_notice : callable, optional
        Called with what the backend tells the user on the way.

    Yields
    ------
    Narration
        One a moment.
    """
    # A request of whole batches.
    at_once = config.running.batch if config.running and config.running.batch else 1
    chunk = max(CHUNK // at_once, 1) * at_once
    for start in range(0, len(moments), chunk):
        rows = moments.iloc[start : start + chunk]
        request = narration_request(
            recording, stimulus, rows, info, config.decoder, unit_ids,
            prompt=config.prompt, prompts=config.prompts, n_concepts=config.concepts, max_new_tokens=config.max_new_tokens, speaking=config.speaking,
        )  # fmt: skip
        sentences: dict[int, Sentence] = {}
        answers: dict[int, dict[int, Sentence]] = {}
        concepts: dict[int, Concepts] = {}
        patches: dict[int, Patches] = {}
        judged: dict[int, Judged] = {}
        for event in events_of(backend, request):
            if isinstance(event, Sentence):
                answers.setdefault(event.moment, {})[event.question] = event
                if not event.question:
                    sentences[event.moment] = event
            elif isinstance(event, Progress):
                if event.detail and on_notice:
                    on_notice(event.detail)
            elif isinstance(event, Concepts):
                concepts[event.moment] = event
            elif isinstance(event, Patches):
                patches[event.moment] = event
            elif isinstance(event, Judged):
                judged[event.moment] = event
        for number, row in enumerate(rows.itertuples()):
            held_out = info.is_held_out(int(row.repeat), int(row.frame))
            found = judged.get(number)
            yield Narration(
                text=sentences[number].text,
                unit_ids=unit_ids,
                stimulus=info.stimulus,
                frame=int(row.frame),
                presentation=int(row.presentation),
                repeat=int(row.repeat),
                start_time=float(row.start_time),
                held_out=held_out,
                reference=sentences[number].reference,
                prior=sentences[number].prior,
                concepts=[
                    {"name": c.name, "feature": c.feature, "strength": round(c.strength, 4)}
                    for c in (concepts[number].concepts if number in concepts else [])
                ],
                patch_cosine=round(patches[number].mean_cosine, 4) if number in patches else None,
                prior_patch_cosine=round(patches[number].prior_cosine, 4) if number in patches else None,
                evidence=None
                if found is None
                else NarrationEvidence.of(found.evidence, found.problem, info.config.split, held_out),
                condition=condition_of(recording, int(row.presentation)),
                simulated=recording.simulated,
                config=config,
                answers=[
                    Answer(prompt=prompt, text=said.text, reference=said.reference, prior=said.prior)
                    for prompt, (_, said) in zip(config.prompts, sorted(answers[number].items()), strict=True)
                ]
                if config.prompts
                else None,
            )


def summary_of(evidence: Sequence[NarrationEvidence | None]) -> str:
    """Say of how many sentences it can be said that they are more than chance, beside the number that chance would bring.

    Parameters
    ----------
    evidence : sequence of NarrationEvidence or None
        Of all narrations.
    """
    tested = [one for one in evidence if one is not None and one.better is not None]
    few = [one for one in evidence if one is not None and one.held_out and one.p is not None and one.least is not None]
    if not tested and few:
        best = sum(one.p <= one.least for one in few if one.p is not None and one.least is not None)
        luck = sum(one.least for one in few if one.least is not None) / len(few)
        return (
            f"In {best} of {len(few)} sentences at showings that were held out ({few[0].split}) the frame shown fits best of all, {best / len(few):.1%}; "
            f"luck alone would bring {luck:.1%}. So few different frames were shown that no sentence alone can be more than chance."
        )
    if not tested:
        fitted = any(one is not None and one.p is not None for one in evidence)
        problems = [one.in_words for one in evidence if one is not None and one.p is None]
        if fitted:
            return "None of these showings was held out from fitting, so nothing can be said of chance: narrate with --held-out."
        return problems[0] if problems else "No evidence was asked for."
    better = sum(bool(one.better) for one in tested)
    words = (
        f"{better} of {len(tested)} sentences at showings that were held out ({tested[0].split}) are more than chance, {better / len(tested):.1%}; "
        f"chance alone would bring {ALPHA:.0%} or fewer on average ({ALPHA * len(tested):.1f})."
    )
    if len(tested) < len(evidence):
        words += (
            f" The other {len(evidence) - len(tested)} are at showings that the decoder was fitted on, and are no test."
        )
    return words


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return (
        None
        if isinstance(value, float) and not np.isfinite(value)
        else value
        if isinstance(value, int | float | str | bool)
        else str(value)
    )
