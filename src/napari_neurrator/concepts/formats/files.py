"""Reading files of weights: nothing is ever unpickled."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...errors import NeurratorError

WEIGHT_ENDINGS = (".pt", ".pth", ".bin", ".safetensors", ".pkl", ".gz", ".pickle")
_HOW_TO_CONVERT = (
    "open it once where the code that wrote it is installed, save its weights and a plain dict of its settings again, and give that file "
    "(docs/concepts.md has the five lines, under 'Pickled dictionaries')"
)


def pickled(path: Path, why: str) -> NeurratorError:
    """Say that a file is refused because opening it would run code of whoever wrote it."""
    return NeurratorError(
        f"The dictionary {path} holds {why}, which could run any program when opened: {_HOW_TO_CONVERT}."
    )


def read_weights(path: Path) -> Any:
    """Read a ``.safetensors`` or PyTorch file.

    Raises
    ------
    NeurratorError
        It is missing, damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(8)
    except OSError as error:
        raise NeurratorError(f"The dictionary {path} cannot be read: {error.strerror or error}.") from error
    if magic[:2] == b"\x1f\x8b" or path.name.endswith((".pkl.gz", ".pkl", ".pickle")):
        raise pickled(path, "a pickle")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise NeurratorError(f"The dictionary {path} is damaged ({_first(error)}): fetch it again.") from error
    # PyTorch's zip format can be mapped into memory, its older one cannot.
    mapped = zipfile.is_zipfile(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        forbidden = "weights_only" in str(error).lower() or "unsupported" in str(error).lower()
        if forbidden and (mapped or magic[:1] == b"\x80"):
            raise pickled(path, "pickled objects beside its weights") from error
        raise NeurratorError(
            f"The dictionary {path} is damaged or not a file of weights ({_first(error)}): fetch it again."
        ) from error
    except Exception as error:
        raise NeurratorError(
            f"The dictionary {path} is damaged or not a file of weights ({_first(error)}): fetch it again."
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is no such file.

    Raises
    ------
    NeurratorError
        The file is there and is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NeurratorError(
            f"The settings of the dictionary, {path}, cannot be read ({_first(error)}): fetch the file again."
        ) from error
    if not isinstance(config, dict):
        raise NeurratorError(f"The settings of the dictionary, {path}, are not a JSON object: fetch the file again.")
    return config


def _first(error: BaseException) -> str:
    """Return the first line of what an error says, without its path and not too long."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line[:120].rstrip(".")
