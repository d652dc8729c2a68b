"""A profile names a vision tower and its layer, a language model, a dictionary and a concept vocabulary."""

import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import NeurratorError

_HERE = Path(__file__).parent


class VisionSpec(BaseModel):
    """The frozen vision tower.

    ``fit`` says how a frame reaches the tower's square input: ``crop`` resizes the shorter side and takes the centre, as CLIP does;
    ``whole`` squeezes the whole frame into the square.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="folder (relative to the profile's own) or hub id of a CLIP")
    layer: int = Field(default=-2, description="which of the tower's hidden states is the patch space")
    fit: Literal["crop", "whole"] = "crop"


class LanguageSpec(BaseModel):
    """The frozen language model."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="folder (relative to the profile's own) or hub id of a LLaVA")
    prompt: str | None = Field(
        default=None,
        description="with {image} where the picture stands and {question} where the question stands; where it is left out, the model's own chat template",
    )
    question: str = Field(description="what is asked unless the user asks something else")
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="half precision on a GPU, else float32, where it is left out"
    )
    quantise: Literal["8bit", "4bit"] | None = Field(
        default=None, description="weights in 8 or 4 bits, on a GPU with bitsandbytes"
    )


class Profile(BaseModel):
    """A set of frozen models that fit together."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str
    folder: Path
    vision: VisionSpec
    language: LanguageSpec
    dictionary: str | None = Field(default=None, description="folder of a sparse autoencoder on the patch space")

    def path_of(self, model: str) -> Path | None:
        """Return the folder of a model that lies on this machine, or None for a hub id."""
        for candidate in (self.folder / model, Path(model).expanduser()):
            if candidate.is_dir():
                return candidate.resolve()
        return None

    def locate(self, model: str) -> str:
        """Return what `from_pretrained` is given: a folder where there is one, else the hub id."""
        found = self.path_of(model)
        return str(found) if found else model

    def read_json(self, model: str, filename: str) -> dict:
        """Read one small JSON file of a model, from its folder or from the hub's cache on this machine.

        Raises
        ------
        NeurratorError
            The file is not on this machine; says which command fetches it.
        """
        folder = self.path_of(model)
        file: str | Path | None = folder / filename if folder else None
        if folder is None:
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(model, filename)
            file = cached if isinstance(cached, str) else None
        if file is None or not Path(file).is_file():
            raise NeurratorError(
                f"The profile {self.name!r} needs {filename} of {model!r}, which is not on this machine: run 'hf download {model}' first."
            )
        return json.loads(Path(file).read_text(encoding="utf-8"))


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
        return Profile(folder=folder.resolve(), **tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError, UnicodeDecodeError) as error:
        raise NeurratorError(f"The profile {file} cannot be read: {str(error).splitlines()[0]}.") from error
