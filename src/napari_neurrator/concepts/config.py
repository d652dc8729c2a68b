"""What the training of a dictionary is told."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConceptsConfig(BaseModel):
    """Everything that decides what ``neurrator concepts train`` writes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    source: str = Field(description="a recording, or a movie, array or folder of pictures")
    stimulus: str | None = Field(default=None, description="stimulus of the recording; none where the source is frames")
    frames: str | None = Field(default=None, description="file or folder with the frames of the stimulus")
    profile: str = "tiny"
    architecture: Literal["topk", "matryoshka"] = "topk"
    features: int | None = Field(default=None, ge=2, description="size of the dictionary; 8 times the width of a patch")
    k: int = Field(default=20, ge=1, description="active features a patch; on average, for matryoshka")
    groups: list[float] = Field(
        default=[0.0625, 0.1875, 0.25, 0.5], description="shares of the features in the nested groups of matryoshka"
    )
    steps: int = Field(default=5000, ge=1)
    batch: int = Field(default=2048, ge=8, description="patches a step")
    lr: float = Field(default=1e-3, gt=0)
    held_out: float = Field(
        default=0.1, gt=0, lt=1, description="share of the frames, the last ones, that is measured on"
    )
    dead_after: int = Field(
        default=200, ge=1, description="steps without activity after which a feature counts as dead"
    )
    seed: int = Field(default=0, ge=0)
