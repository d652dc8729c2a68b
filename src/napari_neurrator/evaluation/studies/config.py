"""What a study is told; one TOML file each."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from ...config import FitConfig
from ...errors import NeurratorError
from ..config import SENTENCE_MODEL, EvaluateConfig, read_sizes


class Session(BaseModel):
    """One animal's session, and its decoder: the folder of one, or how to fit it (``[sessions.fit]``: the fields of `FitConfig`)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    recording: str
    presentations: str | None = None
    decoder: str | None = None
    fit: FitConfig | None = None
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _fit_this_recording(cls, fields: object) -> object:
        if isinstance(fields, dict) and isinstance(fields.get("fit"), dict):
            own = {name: fields[name] for name in ("recording", "presentations") if name in fields}
            fields = {**fields, "fit": {**own, **fields["fit"]}}
        return fields

    @model_validator(mode="after")
    def _one_decoder(self) -> "Session":
        if (self.decoder is None) == (self.fit is None):
            raise ValueError("a session needs either a decoder or how to fit one (fit)")
        return self


class _Study(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sessions: list[Session] = Field(min_length=1)
    stimulus: str | None = Field(default=None, description="another stimulus than the decoders' own")
    frames: str | None = Field(
        default=None, description="file or folder with its frames, where the recording has none beside it"
    )
    units: str | None = Field(default=None, description="pandas query on the units tables")
    moments: int = Field(default=600, ge=10, description="moments decoded at most, about")
    narrated: int = Field(default=60, ge=1, description="of these, moments that are put into words")
    n_permutations: int = Field(default=999, ge=19, description="draws of the null")
    gap_s: float = Field(default=1.0, ge=0, description="frames nearer than this are related, seconds")
    seed: int = Field(default=0, ge=0, description="seed of everything random")

    def evaluation(self, session: Session, decoder: str) -> EvaluateConfig:
        """Return what to gather of a session."""
        return EvaluateConfig(
            recording=session.recording, presentations=session.presentations, decoder=decoder, stimulus=self.stimulus, frames=self.frames,
            units=self.units, moments=self.moments, narrated=self.narrated, n_permutations=self.n_permutations, gap_s=self.gap_s, seed=self.seed,
            sentence_model=None,
        )  # fmt: skip


class GroupsStudy(_Study):
    """Groups of units – regions, cell types – by number of units, and against as many random units."""

    kind: Literal["groups"] = "groups"
    column: str = Field(default="region", description="column of the units tables")
    groups: list[str] | None = Field(default=None, description="its values; by default all with enough units")
    control: list[str] = Field(default=[], description="groups that are expected to say nothing, such as CA1")
    min_units: int = Field(default=5, ge=2, description="units that a group needs")
    sizes: list[int] | None = Field(default=None, description="numbers of units; by default 1, 3, 10, 30, … and all")
    draws: int = Field(default=6, ge=1, le=1000, description="random subsets of each size")
    null_draws: int = Field(default=399, ge=19, description="random sets of as many units as a group has")

    @field_validator("sizes", mode="before")
    @classmethod
    def _read_sizes(cls, value: object) -> object:
        return read_sizes(value)


class ClassifierStudy(_Study):
    """Can the group of the units be told from the sentences alone."""

    kind: Literal["classifier"] = "classifier"
    column: str = Field(default="cell_type", description="column of the units tables")
    groups: list[str] | None = Field(default=None, description="its values; by default all with enough units")
    min_units: int = Field(default=8, ge=4, description="units that a group needs")
    size: int | None = Field(default=None, ge=2, description="units in a set; by default a third of the smallest group")
    sets: int = Field(default=6, ge=2, description="random sets of units of each group")
    folds: int = Field(default=5, ge=2, description="folds over stretches of film")
    relabelings: int = Field(default=19, ge=19, description="times that units' groups are dealt out anew, for the null")


class StabilityStudy(_Study):
    """How stable the ranking of concepts is when units are resampled."""

    kind: Literal["concept-stability"] = "concept-stability"
    column: str | None = Field(
        default="region", description="groups whose concepts are compared; none: all units together"
    )
    groups: list[str] | None = Field(default=None, description="its values; by default all with enough units")
    min_units: int = Field(default=5, ge=2, description="units that a group needs")
    resamples: int = Field(default=50, ge=10, description="bootstrap resamples of the units")
    top: int = Field(default=10, ge=1, description="concepts that count as the first ones")


class AxesStudy(_Study):
    """Decoded grids along axes between two phrases."""

    kind: Literal["concept-axes"] = "concept-axes"
    axes: list[tuple[str, str]] = Field(min_length=1, description="pairs of phrases, from the first to the second")
    column: str | None = Field(default=None, description="groups of units that are compared; none: all units")
    groups: list[str] | None = Field(default=None, description="its values; by default all with enough units")
    min_units: int = Field(default=5, ge=2, description="units that a group needs")


class _WholeStudy(_Study):
    """A study that evaluates whole decoders, sentences included."""

    sizes: list[int] | None = Field(default=None, description="numbers of units; by default 1, 3, 10, 30, … and all")
    draws: int = Field(default=6, ge=1, le=1000, description="random subsets of each size")
    captions: str | None = Field(default=None, description="JSON or CSV file from frame to captions")
    sentence_model: str | None = Field(
        default=SENTENCE_MODEL, description="folder or name of a sentence-transformers model; empty: none"
    )

    @field_validator("sizes", mode="before")
    @classmethod
    def _read_sizes(cls, value: object) -> object:
        return read_sizes(value)

    def evaluation(self, session: Session, decoder: str) -> EvaluateConfig:
        """Return what to gather of a session."""
        whole = {
            "sizes": self.sizes,
            "draws": self.draws,
            "captions": self.captions,
            "sentence_model": self.sentence_model or None,
        }
        return EvaluateConfig(**{**super().evaluation(session, decoder).model_dump(), **whole})


class UnseenStudy(_WholeStudy):
    """Pictures that the decoder never saw: how far what is decoded goes beyond the pictures that it knows."""

    kind: Literal["unseen-images"] = "unseen-images"
    shown: int = Field(default=12, ge=0, description="pictures shown in the report, drawn at random")


class MoviesStudy(_WholeStudy):
    """From one film to another: the same decoder on held-out moments of its own film and on all of another one."""

    kind: Literal["movie-to-movie"] = "movie-to-movie"
    parts: tuple[tuple[int, int], tuple[int, int]] | None = Field(
        default=None,
        description="where there is no other film: two stretches of one, as first and last frames; decoders are fitted on the first",
    )

    @model_validator(mode="after")
    def _other_film(self) -> "MoviesStudy":
        if (self.stimulus is None) == (self.parts is None):
            raise ValueError("name the other film (stimulus), or two parts of one film (parts)")
        if self.parts is not None and any(session.fit is None for session in self.sessions):
            raise ValueError("with parts, every session needs fit in place of decoder")
        return self


StudyConfig = Annotated[
    GroupsStudy | ClassifierStudy | StabilityStudy | AxesStudy | UnseenStudy | MoviesStudy, Field(discriminator="kind")
]
STUDIES: tuple[type[_Study], ...] = (
    GroupsStudy,
    ClassifierStudy,
    StabilityStudy,
    AxesStudy,
    UnseenStudy,
    MoviesStudy,
)
_ADAPTER: TypeAdapter = TypeAdapter(StudyConfig)


def read_study(file: str | Path) -> StudyConfig:
    """Read a study's TOML file.

    Raises
    ------
    NeurratorError
        There is none, or it says something impossible.
    """
    file = Path(file).expanduser()
    if not file.is_file():
        raise NeurratorError(
            f"There is no study at {file}: give a TOML file with kind, sessions and settings, such as 'neurrator study --example' writes."
        )
    try:
        fields = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeurratorError(f"The study {file} is not TOML: {str(error).splitlines()[0]}.") from error
    return study_of(fields, str(file))


def study_of(fields: dict, where: str = "form") -> StudyConfig:
    """Check what a file or a form says.

    Raises
    ------
    NeurratorError
        It says something impossible.
    """
    try:
        return _ADAPTER.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in _KINDS) or "kind"
        message = first["msg"].removeprefix("Value error, ")
        raise NeurratorError(
            f"The study {where} cannot be read: {field}: {message[:1].lower()}{message[1:]}."
        ) from error


_KINDS = tuple(study.model_fields["kind"].default for study in STUDIES)
