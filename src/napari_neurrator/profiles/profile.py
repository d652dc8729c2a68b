"""A profile names a vision tower and its layer, a language model, a dictionary and a concept vocabulary."""

import json
import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import NeurratorError

_HERE = Path(__file__).parent
_LAYERS = {"last": -1, "penultimate": -2}
HUB_PREFIX = "hf-hub:"


class VisionSpec(BaseModel):
    """The frozen vision tower.

    ``fit`` says how a frame reaches the tower's square input: ``crop`` resizes the shorter side and takes the centre, as CLIP does;
    ``whole`` squeezes the whole frame into the square.

    ``layer`` counts hidden states as transformers does: 0 is what enters the first block, k what leaves the k-th, -1 what leaves the last
    and -2 what leaves the one before. It may be a name: ``last``, ``penultimate``, or ``layer k`` for what leaves the block that is called
    k in the weights' names, where the first is 0 (so ``layer 22`` of a ViT-L is its penultimate one).
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    library: Literal["transformers", "open_clip"] = Field(
        default="transformers", description="what the tower is loaded with"
    )
    model: str = Field(
        description="folder (relative to the profile's own) or hub id of a CLIP or SigLIP; with open_clip also the name of an architecture"
    )
    weights: str | None = Field(
        default=None,
        description="where `model` is the name of an architecture of open_clip: file, folder (relative to the profile's own) or tag of its weights",
    )
    layer: int | str = Field(default=-2, description="which of the tower's hidden states is the patch space")
    fit: Literal["crop", "whole"] = "crop"
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="of the tower on a GPU; on a CPU it is always float32"
    )
    batch: int = Field(default=16, ge=1, description="frames that go through the tower at once")
    download_gb: float | None = Field(default=None, ge=0, description="size of the download, where `model` is a hub id")

    @field_validator("layer")
    @classmethod
    def _is_a_layer(cls, layer: int | str) -> int | str:
        layer_number(layer)
        return layer

    @model_validator(mode="after")
    def _weights_belong_to_an_architecture(self) -> "VisionSpec":
        if self.weights is not None and self.library != "open_clip":
            raise ValueError("weights are given with library = 'open_clip' only")
        return self


def layer_number(layer: int | str) -> int:
    """Return which hidden state a layer is, from its number or name: see `VisionSpec`. Negative ones count from the end.

    Raises
    ------
    ValueError
        There is no such name.
    """
    if isinstance(layer, int):
        return layer
    word = layer.strip().lower()
    if word in _LAYERS:
        return _LAYERS[word]
    found = re.fullmatch(r"layer[ _]?(\d+)", word)
    if not found:
        raise ValueError(f"layer {layer!r} is not one: give a number, 'last', 'penultimate' or such as 'layer 22'")
    return int(found[1]) + 1


class LanguageSpec(BaseModel):
    """The frozen language model."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str = Field(description="folder (relative to the profile's own) or hub id of a LLaVA")
    prompt: str | None = Field(
        default=None,
        description="with {image} where the picture stands and {question} where the question stands; where it is left out, the model's own chat template",
    )
    question: str = Field(description="what is asked unless the user asks something else")
    download_gb: float | None = Field(default=None, ge=0, description="size of the download, where `model` is a hub id")
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="half precision on a GPU, else float32, where it is left out"
    )
    quantise: Literal["8bit", "4bit"] | None = Field(
        default=None, description="weights in 8 or 4 bits, on a GPU with bitsandbytes"
    )


class Profile(BaseModel):
    """A set of frozen models that fit together."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    description: str
    folder: Path
    vision: VisionSpec
    language: LanguageSpec
    dictionary: str | None = Field(default=None, description="folder of a sparse autoencoder on the patch space")

    @property
    def reference(self) -> str:
        """What `load_profile` finds it by from any folder: its name where it comes with the package, else its own folder."""
        return self.folder.name if self.folder.parent == _HERE else str(self.folder)

    def path_of(self, model: str) -> Path | None:
        """Return the folder of a model that lies on this machine, or None for a hub id."""
        for candidate in (self.folder / model, Path(model).expanduser()):
            if candidate.is_dir():
                return candidate.resolve()
        return None

    def folder_of(self, model: str) -> Path | None:
        """Return where a model's files lie on this machine, in a folder of its own or in the hub's cache; None where they do not."""
        found = self.path_of(model)
        return found if found else hub_folder(model.removeprefix(HUB_PREFIX))

    def locate(self, model: str) -> str:
        """Return what `from_pretrained` is given: a folder where there is one, else the hub id."""
        found = self.path_of(model)
        return str(found) if found else model.removeprefix(HUB_PREFIX)

    def download_command(self, model: str) -> str:
        """Return the command that fetches a model from the hub. Weights of other libraries are left out."""
        return f"hf download {model.removeprefix(HUB_PREFIX)} --exclude '*.h5' --exclude '*.msgpack'"

    def missing(self, model: str, what: str | None = None) -> NeurratorError:
        """Return the error that says that a model, or one of its files, is not on this machine, and what to do."""
        needed = f"{what} of {model!r}" if what else f"the model {model!r}"
        if (folder := self.path_of(model)) is not None:
            return NeurratorError(
                f"The profile {self.name!r} needs {what or 'a model'}, which is not in {folder}: copy the whole model there, or name another folder in the profile."
            )
        if not is_hub_id(model):
            return NeurratorError(
                f"The profile {self.name!r} needs {needed}, and there is no such folder: check the path in {self.folder / 'profile.toml'}."
            )
        return NeurratorError(
            f"The profile {self.name!r} needs {needed}, which is not on this machine: run {self.download_command(model)}"
            + (f" (about {size:.1f} GB)" if (size := self._download_gb(model)) else "")
            + ", or name its folder in the profile."
        )

    def _download_gb(self, model: str) -> float | None:
        return next((spec.download_gb for spec in (self.vision, self.language) if spec.model == model), None)

    def read_json(self, model: str, filename: str) -> dict:
        """Read one small JSON file of a model, from its folder or from the hub's cache on this machine.

        Raises
        ------
        NeurratorError
            The file is not on this machine; says which command fetches it. Or it is damaged.
        """
        folder = self.folder_of(model)
        file = folder / filename if folder else None
        if file is None or not file.is_file():
            raise self.missing(model, filename)
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(read, dict):
                raise ValueError("it is no table")
        except ValueError as error:
            raise NeurratorError(f"{file} is damaged ({error}): fetch the model again.") from error
        return read


def is_hub_id(model: str) -> bool:
    """Tell whether a model's name can be one on the hub: owner/name."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model.removeprefix(HUB_PREFIX)) is not None


def hub_folder(model: str) -> Path | None:
    """Return the folder of a model in the hub's cache on this machine, or None. Nothing is fetched."""
    if not is_hub_id(model):
        return None
    from huggingface_hub import try_to_load_from_cache

    for filename in ("config.json", "open_clip_config.json", "preprocessor_config.json"):
        cached = try_to_load_from_cache(model, filename)
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def list_profiles() -> list[str]:
    """Return the names of the profiles that come with the package."""
    return sorted(path.parent.name for path in _HERE.glob("*/profile.toml"))


def load_profile(name: str) -> Profile:
    """Read a profile.

    Parameters
    ----------
    name : str
        The name of one that comes with the package, or a folder that holds a ``profile.toml``.

    Raises
    ------
    NeurratorError
        There is no such profile, or its file is wrong.
    """
    folder = _HERE / name if name in list_profiles() else Path(name).expanduser()
    file = folder / "profile.toml"
    if not file.is_file():
        raise NeurratorError(
            f"There is no profile {name!r}: give one of {', '.join(list_profiles())}, or a folder that holds a profile.toml."
        )
    try:
        return Profile(**(tomllib.loads(file.read_text(encoding="utf-8")) | {"folder": folder.resolve()}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise NeurratorError(
            f"The profile {file} cannot be used: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeurratorError(f"The profile {file} cannot be read: {str(error).splitlines()[0]}.") from error
