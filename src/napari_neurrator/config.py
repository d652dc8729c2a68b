"""The configurations of a job: the window, the command line and the server all fill in the same ones."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from .errors import NeurratorError

_Config = TypeVar("_Config", bound=BaseModel)

SplitName = Literal["held-out-repeats", "contiguous-middle", "front-only", "held-out-images", "another-movie"]

DecoderKind = Literal["subset", "paper", "ridge", "cebra", "retrieval"]

# What each is, in words for users.
DECODERS: dict[str, str] = {
    "subset": "a Bayesian decoder in closed form, for any subset of units",
    "paper": "the network of the paper; hours without a GPU",
    "ridge": "ridge regression, fitted anew for every subset",
    "cebra": "CEBRA embedding and regression; needs the extra 'baselines'",
    "retrieval": "a classifier that answers with true pictures of the film",
}
SPLITS: dict[str, str] = {
    "held-out-repeats": "every fifth showing of each frame is tested: the frames are known, the spikes are not",
    "contiguous-middle": "the middle fifth of the frames is tested: none of them was seen, others before and after them were",
    "front-only": "the first fifth of the frames is tested: none of them was seen, others only after them were",
    "held-out-images": "every fifth image, drawn at random, is tested, with all that look the same; of a film, stretches of frames",
    "another-movie": "nothing of this stimulus is tested: the decoder is made for another one",
}


class WindowConfig(BaseModel):
    """Which spikes belong to one moment of the stimulus.

    The paper uses 20 bins at 120 Hz centred on the frame (arXiv 2606.18667); here the window starts ``lag_s`` after the frame came on,
    because neurons answer late.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    n_bins: int = Field(default=20, ge=1, le=1000)
    bin_s: float = Field(default=1 / 120, gt=0, description="width of a bin, seconds")
    lag_s: float = Field(
        default=0.05, description="start of the window after the onset of the frame, seconds; may be negative"
    )

    @property
    def duration_s(self) -> float:
        """Length of the window in seconds."""
        return self.n_bins * self.bin_s


class FitConfig(BaseModel):
    """Everything that decides what a decoder learns."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    recording: str
    presentations: str | None = Field(
        default=None, description="table or TTL file that says what was shown when, in place of the recording's own"
    )
    stimulus: str
    frames: str | None = Field(
        default=None, description="file or folder with the frames, where the recording has none beside it"
    )
    profile: str = "tiny"
    decoder: DecoderKind = "subset"
    options: dict[str, Any] = Field(default={}, description="the decoder's own options")
    split: SplitName = "held-out-repeats"
    units: str | None = Field(default=None, description="pandas query on the units table")
    window: WindowConfig = WindowConfig()
    seed: int = 0


class SpeakingConfig(BaseModel):
    """How the language model chooses its words: the likeliest one each time, unless `beams` or `temperature` say otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    beams: int = Field(default=1, ge=1, le=32, description="candidate sentences that are followed at once")
    temperature: float = Field(default=0.0, ge=0, le=10, description="words are drawn at random; 0 takes the likeliest")
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="draw from the likeliest words that share this probability"
    )
    seed: int = Field(default=0, ge=0, description="of the draws")

    @model_validator(mode="after")
    def _agree(self) -> "SpeakingConfig":
        if self.beams > 1 and self.temperature > 0:
            raise ValueError("beams and a temperature exclude each other: leave one of them out")
        if self.top_p < 1 and not self.temperature:
            raise ValueError("top-p only counts with a temperature: set one, or leave top-p out")
        return self


DtypeName = Literal["float32", "float16", "bfloat16"]
Quantised = Literal["8bit", "4bit"]


class RunningConfig(BaseModel):
    """Where and how the frozen models run; what is left out is chosen to suit the machine and the profile."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: str | None = Field(default=None, description="cpu, cuda, cuda:1, mps, …; a GPU if there is one")
    dtype: DtypeName | None = Field(default=None, description="of the language model; half precision on a GPU")
    quantise: Quantised | None = Field(default=None, description="weights of the language model in 8 or 4 bits")
    batch: int | None = Field(default=None, ge=1, le=1024, description="sentences at once; what memory allows")


class NarrateConfig(BaseModel):
    """Everything that decides what is narrated."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    recording: str
    presentations: str | None = Field(default=None, description="as in the fit; the decoder's own by default")
    decoder: str
    units: str | None = Field(default=None, description="pandas query on the units table")
    unit_ids: list[int | str] | None = Field(
        default=None, description="the units by name, where no query says which (a lasso)"
    )
    frames: str | None = Field(default=None, description='"all" or frame numbers such as "0,30,60-90"')
    held_out: bool = Field(default=False, description="only showings that the decoder was not fitted on")
    repeat: int | None = Field(default=None, ge=0, description="only this showing of each frame")
    prompt: str | None = None
    concepts: int = Field(default=8, ge=0)
    max_new_tokens: int = Field(default=60, ge=1)
    prompts: list[str] | None = Field(default=None, min_length=2, description="several questions, in place of `prompt`")
    speaking: SpeakingConfig | None = Field(default=None, description="the likeliest words by default")
    running: RunningConfig | None = Field(default=None, description="what suits the machine by default")

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: Any) -> dict[str, Any]:
        # Files written before these choices existed, and jobs that leave them alone, look the same.
        later = ("prompts", "speaking", "running")
        return {name: value for name, value in handler(self).items() if value is not None or name not in later}


def validated(kind: type[_Config], options: Mapping[str, str] | None = None, /, **fields: Any) -> _Config:
    """Build a configuration from what a user gave.

    Parameters
    ----------
    kind : type
        Which configuration.
    options : mapping, optional
        How fields are called on the command line, where that is not by their own names: ``{"n_permutations": "permutations"}``.
    **fields
        What was given.

    Raises
    ------
    NeurratorError
        A field has a value that it cannot have: names the option, the value and what is possible.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        why = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise NeurratorError(f"This is not possible: {why}.") from error
        where = ".".join(str(part) for part in first["loc"])
        option = (options or {}).get(where, where).replace("_", "-")
        raise NeurratorError(f"--{option} {first['input']!r} is not possible: {why[0].lower()}{why[1:]}.") from error
