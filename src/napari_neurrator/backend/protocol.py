"""What a front end asks of a backend, and what comes back.

A request holds spike windows, not a recording, so that a worker in this process, in another one or on another machine is asked the same
thing. A backend answers with a stream of events that ends with exactly one of `Done`, `Failed` or `Cancelled`.
"""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from ..config import FitConfig, SpeakingConfig
from ..evaluation.evidence import Evidence

PROTOCOL_VERSION = 2

UnitId = int | str
Wanted = Literal["text", "concepts", "patches", "reference", "evidence"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class PackedArray(_Message):
    """An array as dtype, shape and little-endian bytes (base64 in JSON)."""

    dtype: Literal["uint8", "uint16", "float16", "float32", "int32"]
    shape: list[int]
    data: bytes

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
        return base64.b64decode(data, validate=True) if isinstance(data, str) else data


class NarrationRequest(_Message):
    """Narrate moments: one window of spikes each."""

    kind: Literal["narrate"] = "narrate"
    protocol: int = PROTOCOL_VERSION
    job_id: str
    decoder: str = Field(description="folder of a fitted decoder")
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
    job_id: str
    config: FitConfig
    out: str


Request = Annotated[NarrationRequest | FitRequest, Field(discriminator="kind")]


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


class Concepts(_Event):
    """The strongest concepts of a moment, ranked."""

    kind: Literal["concepts"] = "concepts"
    moment: int
    concepts: list[Concept]


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
    Progress | Concepts | Patches | Judged | Token | Sentence | Fitted | Done | Cancelled | Failed,
    Field(discriminator="kind"),
]
