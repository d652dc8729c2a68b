"""What a front end asks of a backend, and what comes back.

A request holds spike windows, not a recording, so that a worker in this process, in another one or on another machine is asked the same
thing. A backend answers with a stream of events that ends with exactly one of `Done`, `Failed` or `Cancelled`.
"""

import base64
import binascii
import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_serializer, field_validator, model_validator

from ..config import FitConfig, SpeakingConfig
from ..evaluation.evidence import Evidence

PROTOCOL_VERSION = 3

JOB_ID = r"^[A-Za-z0-9_-]{1,64}$"
DECODER_HASH = r"^sha256:[0-9a-f]{64}$"

UnitId = int | str
Wanted = Literal["text", "concepts", "patches", "reference", "evidence"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class PackedArray(_Message):
    """An array as dtype, shape and little-endian bytes (base64 in JSON)."""

    dtype: Literal["uint8", "uint16", "float16", "float32", "int32"]
    shape: list[Annotated[int, Field(ge=0, le=1 << 31)]] = Field(max_length=5)
    data: Annotated[bytes, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]

    @model_validator(mode="after")
    def _is_whole(self) -> "PackedArray":
        expected = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        if len(self.data) != expected:
            raise ValueError(
                f"an array of {self.dtype} and shape {self.shape} takes {expected} bytes, and there are {len(self.data)}"
            )
        return self

    @classmethod
    def pack(cls, array: np.ndarray) -> "PackedArray":
        """Pack `array`, whose dtype has to be one of those listed."""
        array = np.ascontiguousarray(array)
        return cls(dtype=array.dtype.name, shape=list(array.shape), data=array.tobytes())  # type: ignore[arg-type]

    def unpack(self) -> np.ndarray:
        """Return the array, read-only."""
        return np.frombuffer(self.data, dtype=np.dtype(self.dtype)).reshape(self.shape)

    @field_serializer("data", when_used="json")
    def _to_base64(self, data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    @field_validator("data", mode="before")
    @classmethod
    def _from_base64(cls, data: Any) -> Any:
        return binascii.a2b_base64(data, strict_mode=True) if isinstance(data, str) else data


class NarrationRequest(_Message):
    """Narrate moments: one window of spikes each."""

    kind: Literal["narrate"] = "narrate"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    decoder: str = Field(
        description="'sha256:' and the hash of a decoder that the backend holds; a backend on the same disk, that the front end started itself, also takes its folder"
    )
    unit_ids: list[UnitId] = Field(min_length=1, description="the units of the windows' last axis")
    windows: PackedArray = Field(description="spike counts, (moment, bin, unit)")
    frames: PackedArray | None = Field(
        default=None,
        description="the frames shown, uint8 (moment, height, width, 3); needed for 'patches', 'reference' and 'evidence'",
    )
    want: list[Wanted] = ["text", "concepts"]
    prompt: str | None = Field(default=None, description="None is the profile's own prompt")
    prompts: list[str] | None = Field(
        default=None, min_length=2, max_length=64, description="several questions, in place of `prompt`"
    )
    speaking: SpeakingConfig = SpeakingConfig()
    n_concepts: int = Field(default=8, ge=0)
    max_new_tokens: int = Field(default=60, ge=1)

    @property
    def questions(self) -> list[str | None]:
        """What is asked of each moment."""
        return list(self.prompts) if self.prompts else [self.prompt]


class FitRequest(_Message):
    """Fit a decoder and write it to `out`."""

    kind: Literal["fit"] = "fit"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    config: FitConfig
    out: str


class DescribeRequest(_Message):
    """Put patch grids into words as they are: what evaluations and studies ask for."""

    kind: Literal["describe"] = "describe"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    profile: str = Field(max_length=4096, description="name of a profile that the backend has")
    grids: PackedArray = Field(description="float32 (grid, patch, width), in the profile's patch space")
    prompt: str | None = Field(default=None, description="None is the profile's own prompt")
    max_new_tokens: int = Field(default=60, ge=1)


class ShownFrames(_Message):
    """Frames of a stimulus by number, and where the backend finds them: a whole film is too much to send."""

    recording: str = Field(description="path, address or the word sample: the frames lie in it or beside it")
    stimulus: str
    file: str | None = Field(default=None, description="file or folder with the frames, where they lie elsewhere")
    presentations: str | None = Field(default=None, description="file of presentations in place of the recording's")
    numbers: list[int] = Field(min_length=1, description="the frames, in ascending order")


class CourseRequest(_Message):
    """Follow concepts from moment to moment: in what units say where there are windows, else in the frames themselves."""

    kind: Literal["course"] = "course"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    decoder: str = Field(description="as in a narration")
    concepts: list[str] = Field(min_length=1, description="by the names that the dictionary has for them")
    unit_ids: list[UnitId] = Field(default=[], description="the units of the windows' last axis")
    windows: PackedArray | None = Field(default=None, description="spike counts, (moment, bin, unit)")
    shown: ShownFrames | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> "CourseRequest":
        if (self.windows is None) == (self.shown is None):
            raise ValueError("a course is either of spike windows or of the frames shown")
        return self


class GalleryRequest(_Message):
    """Find the frames in which a concept is strongest."""

    kind: Literal["gallery"] = "gallery"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    decoder: str = Field(description="as in a narration")
    concept: str = Field(description="by the name that the dictionary has for it")
    shown: ShownFrames
    n: int = Field(default=24, ge=1, description="frames at most; of a film none within a second of a stronger one")


class LabelRequest(_Message):
    """Keep the user's own name for a concept, beside the dictionary."""

    kind: Literal["label"] = "label"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    decoder: str = Field(description="as in a narration")
    concept: str = Field(description="by the name that the backend lists it under")
    label: str = Field(description="empty to forget the user's own name")


class WordAsked(_Message):
    """A word of a sentence that was said."""

    sentence: str
    place: int = Field(ge=0, description="of the word among the sentence's words")
    prompt: str | None = Field(default=None, description="what was asked; None is the profile's own prompt")


class _OfOneMoment(_Message):
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    decoder: str = Field(description="as in a narration")
    unit_ids: list[UnitId] = Field(min_length=1, description="the units of the windows' last axis")
    windows: PackedArray = Field(description="spike counts of one moment, (1, bin, unit)")


class AskRequest(_OfOneMoment):
    """Ask back: by how much each unit moved what was decoded of some patches, of a concept or of a word."""

    kind: Literal["ask"] = "ask"
    patches: list[int] | None = Field(default=None, description="numbers of patches, row by row")
    concept: str | None = Field(default=None, description="by the name that the dictionary has for it")
    word: WordAsked | None = None

    @model_validator(mode="after")
    def _of_one_thing(self) -> "AskRequest":
        if sum(one is not None for one in (self.patches, self.concept, self.word)) != 1:
            raise ValueError("what is asked for is either patches, a concept or a word")
        return self


class WithoutRequest(_OfOneMoment):
    """Leave out a group of units: how much is lost of the match of decoded and true patches."""

    kind: Literal["without"] = "without"
    group: list[UnitId] = Field(min_length=1, description="the units that are left out")
    frames: PackedArray = Field(description="the frame shown, uint8 (1, height, width, 3)")
    patches: list[int] | None = Field(default=None, description="what is measured; all patches by default")
    draws: int = Field(default=39, ge=1, le=999, description="random groups of as many units to compare with")


class InspectRequest(_OfOneMoment):
    """Look at some patches: how close decoded and true vectors are, what is active in each, what the decoded one looks like."""

    kind: Literal["inspect"] = "inspect"
    frames: PackedArray = Field(description="the frame shown, uint8 (1, height, width, 3)")
    patches: list[int] = Field(min_length=1, description="numbers of patches, row by row; of several the mean counts")
    n_concepts: int = Field(default=5, ge=0)
    shown: ShownFrames | None = Field(default=None, description="where to look for the patches that are most alike")
    n_alike: int = Field(default=6, ge=1)


class MatchRequest(_Message):
    """Hold decoded against true patches from moment to moment, with what other frames would score."""

    kind: Literal["match"] = "match"
    protocol: int = PROTOCOL_VERSION
    job_id: str = Field(pattern=JOB_ID)
    decoder: str = Field(description="as in a narration")
    unit_ids: list[UnitId] = Field(min_length=1, description="the units of the windows' last axis")
    windows: PackedArray = Field(description="spike counts, (moment, bin, unit)")
    shown: ShownFrames
    frames: list[int] = Field(min_length=1, description="the frame of each moment, one of those in `shown`")
    patches: list[int] | None = Field(default=None, min_length=1, description="numbers of patches; None is all")


class CompareRequest(_OfOneMoment):
    """Compare what is decoded from groups of units at one moment with what random groups of the same sizes differ in."""

    kind: Literal["compare"] = "compare"
    groups: dict[str, list[UnitId]] = Field(min_length=2, max_length=12, description="from names to units")
    draws: int = Field(default=99, ge=1, le=9999, description="random divisions of each pair")


Request = Annotated[
    NarrationRequest
    | DescribeRequest
    | FitRequest
    | CourseRequest
    | GalleryRequest
    | LabelRequest
    | AskRequest
    | WithoutRequest
    | InspectRequest
    | MatchRequest
    | CompareRequest,
    Field(discriminator="kind"),
]


class _Event(_Message):
    job_id: str


class Progress(_Event):
    """Work goes on: `done` of `total` steps of `stage`, in words a user reads (for example "fitting")."""

    kind: Literal["progress"] = "progress"
    stage: str
    done: int
    total: int
    detail: str = ""


class Concept(_Message):
    """One concept of the dictionary at one moment."""

    feature: int
    name: str
    strength: float = Field(description="how far it stands above what is usual in the session, standard deviations")
    heatmap: PackedArray = Field(description="float32 (rows, columns) activation by patch")
    given: str = Field(default="", description="what the dictionary calls it, where `name` is the user's own")
    score: float | None = Field(default=None, description="how well the given name fits, as the namer scores it")


class Concepts(_Event):
    """The strongest concepts of a moment, ranked."""

    kind: Literal["concepts"] = "concepts"
    moment: int
    concepts: list[Concept]
    dictionary: str = Field(default="", description="hash of the dictionary's contents: what own labels are kept by")
    naming: str = Field(default="", description="how the dictionary's features got their names, in words")


class Patches(_Event):
    """How close the decoded patches of a moment are to the true ones: cosine by patch, float32 (rows, columns)."""

    kind: Literal["patches"] = "patches"
    moment: int
    cosine: PackedArray
    mean_cosine: float
    prior_cosine: float = Field(
        description="the same for the mean grid of the training frames: what knowing nothing scores"
    )


class Judged(_Event):
    """Whether what was decoded at a moment fits the frame shown better than the others; comes before the words.

    Where that cannot be said, `evidence` is None and `problem` says why.
    """

    kind: Literal["judged"] = "judged"
    moment: int
    evidence: Evidence | None
    problem: str = ""


class Token(_Event):
    """The next piece of a moment's sentence."""

    kind: Literal["token"] = "token"
    moment: int
    text: str
    question: int = Field(default=0, description="which of the questions is answered")


class Sentence(_Event):
    """The whole sentence of a moment, and what the same language model says of the true frame and of the mean grid."""

    kind: Literal["sentence"] = "sentence"
    moment: int
    text: str
    reference: str | None = None
    prior: str | None = None
    question: int = Field(default=0, description="which of the questions is answered")


class Fitted(_Event):
    """A decoder was fitted and lies in `decoder`."""

    kind: Literal["fitted"] = "fitted"
    decoder: str
    metrics: dict[str, float]


class Course(_Event):
    """A piece of a course: how far each concept stands above what is usual at some moments in a row, standard deviations."""

    kind: Literal["course"] = "course"
    start: int = Field(description="the first of these moments (or frames), counted from the request's first")
    strengths: PackedArray = Field(description="float32 (moment, concept)")


class GalleryFrame(_Message):
    """A frame in which a concept is strong."""

    frame: int
    row: int = Field(description="where its strongest patch lies")
    column: int
    value: float = Field(description="activation there")
    heatmap: PackedArray = Field(description="float32 (rows, columns) activation by patch")


class Gallery(_Event):
    """The frames in which a concept is strongest, those first."""

    kind: Literal["gallery"] = "gallery"
    frames: list[GalleryFrame]
    n_active: int = Field(description="frames in which its most frequent feature is active at all")
    n_frames: int = Field(description="frames that were looked at")


class Asked(_Event):
    """By how much each unit moved what was asked for."""

    kind: Literal["asked"] = "asked"
    unit: str = Field(description="what the numbers are")
    method: str = Field(description="how they were worked out")
    carried: PackedArray = Field(
        description="float32 (unit,), signed: contributions; of patches, by units that look there"
    )
    covers: PackedArray | None = Field(
        default=None, description="float32 (unit,): by how much the patches belong to each unit's field, 0 to 1"
    )
    patches: list[int] | None = Field(default=None, description="the patches that it is about; None is all")
    value: float = Field(description="of what was decoded; the mean grid has 0, and contributions add up to it")
    remainder: float = Field(description="what contributions leave of it")
    explained: list[UnitId] = Field(description="the fewest units with `share` of all contributions, largest first")
    share: float


class Without(_Event):
    """What was lost without a group: cosines of decoded and true patches, mean over those measured."""

    kind: Literal["without"] = "without"
    whole: float = Field(description="with all units")
    rest: float = Field(description="without the group")
    alone: float = Field(description="of the group alone")
    lost: float
    random: PackedArray = Field(description="float32 (draw,): the same loss without as many random units")
    p: float = Field(description="share of the random groups, this one among them, whose loss is at least as large")


class Activation(_Message):
    """A concept and how active it is."""

    name: str
    value: float


class Inspected(_Event):
    """How close decoded and true vectors are in a region of patches, and what is active in each."""

    kind: Literal["inspected"] = "inspected"
    cosine: float
    prior_cosine: float = Field(description="of the mean grid: what knowing nothing scores there")
    gain: float = Field(description="the first less the second")
    null: PackedArray = Field(description="float32 (frame,): the gain of other frames' true patches there")
    p: float | None = Field(default=None, description="share of frames whose gain is at least as large; None without")
    decoded: list[Activation] = []
    true: list[Activation] = []


class Matches(_Event):
    """A piece of a match over time: how close decoded and true patches are at some moments in a row."""

    kind: Literal["matches"] = "matches"
    start: int = Field(description="the first of these moments, counted from the request's first")
    cosine: PackedArray = Field(description="float32 (moment, patch), of the patches asked for in ascending order")
    prior: PackedArray = Field(description="float32 (moment,): mean of what the mean grid scores")
    low: PackedArray = Field(description="float32 (moment,): 5 % of the other frames would score less; NaN without")
    high: PackedArray = Field(description="float32 (moment,): 5 % of the other frames would score more; NaN without")


class AlikePatch(_Message):
    """A patch of the stimulus."""

    frame: int
    patch: int
    cosine: float = Field(description="of what both differ by from the mean patch")


class Alike(_Event):
    """The patches of the stimulus that the decoded vector looks most like, those first."""

    kind: Literal["alike"] = "alike"
    patches: list[AlikePatch]


class Difference(_Event):
    """How far apart two groups are in what is decoded from them."""

    kind: Literal["difference"] = "difference"
    first: str
    second: str
    distance: float = Field(description="mean distance of their decoded patches")
    random: PackedArray = Field(description="float32 (draw,): the same for random divisions of their units")
    p: float = Field(description="share of these, the groups among them, that are at least as far apart")
    p_adjusted: float = Field(description="the same for all pairs, by Benjamini and Hochberg")


class Done(_Event):
    """The job ended as asked."""

    kind: Literal["done"] = "done"


class Cancelled(_Event):
    """The job was stopped by the user or displaced by a newer one."""

    kind: Literal["cancelled"] = "cancelled"


class Failed(_Event):
    """The job failed; `message` is one sentence for the user, `details` a traceback where the fault is not the user's."""

    kind: Literal["failed"] = "failed"
    message: str
    details: str | None = None


Event = Annotated[
    Progress
    | Concepts
    | Patches
    | Judged
    | Token
    | Sentence
    | Fitted
    | Course
    | Gallery
    | Asked
    | Without
    | Inspected
    | Matches
    | Alike
    | Difference
    | Done
    | Cancelled
    | Failed,
    Field(discriminator="kind"),
]


class Problem(_Message):
    """Why a server refused something: one sentence for the user."""

    message: str


class Health(BaseModel):
    """Who answers at an address, and which protocol it speaks."""

    service: Literal["neurrator"] = "neurrator"
    version: str
    protocol: int
    ready: bool = Field(description="false while the server shuts down")


class WorkerStatus(BaseModel):
    """One process that runs models."""

    state: Literal["off", "starting", "idle", "busy"]
    pid: int | None = None
    device: str | None = Field(
        default=None, description="such as 'cpu' or 'cuda'; None until the models' libraries are there"
    )
    memory_bytes: int | None = Field(default=None, description="of the process; on a GPU, what it holds there")
    restarts: int = 0


class BackendStatus(BaseModel):
    """What a backend is busy with."""

    workers: list[WorkerStatus]
    running: int = Field(description="jobs under way")
    waiting: int = Field(description="jobs in the queue")
    note: str = Field(default="", description="what was lost last, in a sentence; empty if nothing was")
