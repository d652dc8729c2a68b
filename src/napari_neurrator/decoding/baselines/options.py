"""The settings of the baseline decoders, and how they are checked."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import NeurratorError

_Options = TypeVar("_Options", bound="BaselineOptions")


class BaselineOptions(BaseModel):
    """What every kind's options have in common: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkOptions(BaselineOptions):
    """Sizes and training of the paper's networks; the defaults are the paper's (arXiv 2606.18667)."""

    width: int = Field(default=384, ge=1, description="of the transformers")
    heads: int = Field(default=8, ge=1)
    conv_channels: int = Field(default=128, ge=1, description="of each of the three convolutions")
    layers: int = Field(default=2, ge=1, description="of each transformer")
    dropout: float = Field(default=0.2, ge=0, lt=1)
    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=64, ge=1, description="windows a step on each device")
    lr: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    patience: int = Field(default=12, ge=1, description="epochs without a better validation score before it stops")
    jitter: int = Field(default=2, ge=0, description="bins that a training window is rolled by at most")
    unit_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of units silenced in a training window")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of products while it is trained; auto is bfloat16 on NVIDIA GPUs, float32 elsewhere",
    )
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1, description="GPUs (or processes) on each node")
    nodes: int = Field(default=1, ge=1)
    workers: int = Field(default=0, ge=0, description="processes that read windows and grids")
    checkpoint: str | None = Field(default=None, description="folder to keep the training in, and to resume it from")

    @model_validator(mode="after")
    def _heads_divide(self) -> "NetworkOptions":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


def checked(model: type[_Options], kind: str, options: dict[str, Any] | None) -> _Options:
    """Build the options of a decoder from what a user gave.

    Raises
    ------
    NeurratorError
        There is no such option, or it cannot have that value.
    """
    try:
        return model(**(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise NeurratorError(
                f"The decoder {kind!r} has no option {name!r}: it has {', '.join(model.model_fields)}."
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        what = f"The option {name}={first['input']!r} of" if name else "An option of"
        raise NeurratorError(
            f"{what} the decoder {kind!r} is not possible: {message[0].lower()}{message[1:]}."
        ) from error
    except TypeError as error:
        raise NeurratorError(f"The options of the decoder {kind!r} have to be names with values.") from error
