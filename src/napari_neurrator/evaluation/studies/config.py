"""What a study is told; one TOML file each."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...errors import NeurratorError
from ..config import EvaluateConfig


class Session(BaseModel):
    """One animal's session and the decoder fitted on it."""

    model_config = ConfigDict(extra="forbid")

    recording: str
    decoder: str
    name: str | None = None


class _Study(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sessions: list[Session] = Field(min_length=1)
    stimulus: str | None = Field(default=None, description="another stimulus than the decoders' own")
    units: str | None = Field(default=None, description="pandas query on the units tables")
    moments: int = Field(default=600, ge=10)
    narrated: int = Field(default=60, ge=1)
    n_permutations: int = Field(default=999, ge=19)
    gap_s: float = Field(default=1.0, ge=0)
    seed: int = Field(default=0, ge=0)

    def evaluation(self, session: Session) -> EvaluateConfig:
        """Return what to gather of a session."""
        return EvaluateConfig(
            recording=session.recording, decoder=session.decoder, stimulus=self.stimulus, units=self.units, moments=self.moments,
            narrated=self.narrated, n_permutations=self.n_permutations, gap_s=self.gap_s, seed=self.seed, sentence_model=None,
        )  # fmt: skip


class GroupsStudy(_Study):
    """Groups of units – regions, cell types – by number of units, and against as many random units."""

    kind: Literal["groups"] = "groups"
    column: str = Field(default="region", description="column of the units tables")
    groups: list[str] | None = Field(default=None, description="its values; by default all with enough units")
    control: list[str] = Field(default=[], description="groups that are expected to say nothing, such as CA1")
    min_units: int = Field(default=5, ge=2)
    sizes: list[int] | None = None
    draws: int = Field(default=6, ge=1, description="random subsets of each size")
    null_draws: int = Field(default=399, ge=19, description="random sets of as many units as a group has")


class ClassifierStudy(_Study):
    """Can the group be told from the sentences alone."""

    kind: Literal["classifier"] = "classifier"
    column: str = "cell_type"
    groups: list[str] | None = None
    min_units: int = Field(default=8, ge=4)
    size: int | None = Field(default=None, ge=2, description="units in a set; by default a third of the smallest group")
    sets: int = Field(default=6, ge=2, description="random sets of units of each group")
    folds: int = Field(default=5, ge=2)
    relabelings: int = Field(default=19, ge=19, description="times that units' groups are dealt out anew, for the null")


class StabilityStudy(_Study):
    """How stable the ranking of concepts is when units are resampled."""

    kind: Literal["concept-stability"] = "concept-stability"
    column: str | None = Field(
        default="region", description="groups whose concepts are compared; none: all units together"
    )
    groups: list[str] | None = None
    min_units: int = Field(default=5, ge=2)
    resamples: int = Field(default=50, ge=10)
    top: int = Field(default=10, ge=1)


class AxesStudy(_Study):
    """Decoded grids along axes between two phrases."""

    kind: Literal["concept-axes"] = "concept-axes"
    axes: list[tuple[str, str]] = Field(min_length=1, description="pairs of phrases, from the first to the second")
    column: str | None = Field(default=None, description="groups of units that are compared; none: all units")
    groups: list[str] | None = None
    min_units: int = Field(default=5, ge=2)


StudyConfig = Annotated[GroupsStudy | ClassifierStudy | StabilityStudy | AxesStudy, Field(discriminator="kind")]
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
        raise NeurratorError(f"There is no study at {file}: give a TOML file with kind, sessions and settings.")
    try:
        return _ADAPTER.validate_python(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeurratorError(f"The study {file} is not TOML: {str(error).splitlines()[0]}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "kind"
        raise NeurratorError(f"The study {file} cannot be read: {where}: {first['msg'].lower()}.") from error
