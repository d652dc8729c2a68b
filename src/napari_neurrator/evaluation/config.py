"""What an evaluation is told."""

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

SENTENCE_MODEL = "all-MiniLM-L6-v2"


def read_sizes(value: object) -> object:
    """Return population sizes ascending, each once, from a list or from ``1,3,10`` of a shell.

    Raises
    ------
    ValueError
        There are none, or one is no whole number from 1 on.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        return value
    if not value or not all(re.fullmatch(r"0*[1-9]\d{0,8}", str(size)) for size in value):
        raise ValueError("write whole numbers of units from 1 on, separated by commas, such as 1,3,10,30")
    return sorted({int(size) for size in value})


class EvaluateConfig(BaseModel):
    """Everything that decides what ``neurrator evaluate`` reports."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    recording: str
    presentations: str | None = Field(default=None, description="as in the fit; the decoder's own by default")
    decoder: str = Field(description="folder of a decoder")
    stimulus: str | None = Field(
        default=None, description="another stimulus of the recording than the decoder's own: all of it is unseen"
    )
    frames: str | None = Field(default=None, description="file or folder with the frames of that other stimulus")
    units: str | None = Field(default=None, description="pandas query on the units table; the decoder's own by default")
    sizes: list[int] | None = Field(
        default=None, description="population sizes; by default 1, 3, 10, 30, 100, … and all"
    )
    draws: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="random subsets of each size; five times as many below five units, which differ most, and a third as many above half of the units, which share most",
    )
    moments: int = Field(
        default=900,
        ge=10,
        description="moments decoded at most, about; showings and frames are thinned evenly to stay below",
    )
    narrated: int = Field(default=120, ge=1, description="of these, moments that are put into words, for every subset")
    captions: str | None = Field(
        default=None, description="JSON or CSV file from frame to captions; by default the profile's own narration"
    )
    labels: str | None = Field(
        default=None,
        description="column of the presentations whose value a sentence should name; orientation where there is one",
    )
    sentence_model: str | None = Field(
        default=SENTENCE_MODEL, description="folder or name of a sentence-transformers model; empty: none"
    )
    prompt: str | None = None
    max_new_tokens: int = Field(default=60, ge=1)
    n_permutations: int = Field(default=1000, ge=19)
    gap_s: float = Field(default=1.0, ge=0, description="frames nearer than this are not taken for unrelated, seconds")
    examples: int = Field(default=8, ge=0, description="sentences shown in the report, drawn at random")
    seed: int = Field(default=0, ge=0)

    @field_validator("sizes", mode="before")
    @classmethod
    def _read_sizes(cls, value: object) -> object:
        return read_sizes(value)


def default_sizes(n_units: int) -> list[int]:
    """Return 1, 3, 10, 30, … and `n_units`."""
    sizes = [round(base * 10**power) for power in range(8) for base in (1, 3)]
    return sorted({size for size in sizes if size < n_units} | {n_units})
