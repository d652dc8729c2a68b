"""Arrays, tables and settings from files that may be damaged or hostile: nothing is unpickled or run, and what is wrong is said in a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import NeurratorError

_SMALL = 1 << 16


def load_npy(path: Path) -> np.ndarray:
    """Return a .npy array, memory-mapped.

    Raises
    ------
    NeurratorError
        It is missing, damaged or holds pickled objects.
    """
    try:
        array = np.load(path, mmap_mode=None if path.stat().st_size < _SMALL else "r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("no single array")
    except PermissionError as error:
        raise NeurratorError(f"{path} may not be read: change its permissions.") from error
    except FileNotFoundError as error:
        raise NeurratorError(f"{path} is missing: sort again or fetch the folder again.") from error
    except (Exception, MemoryError) as error:  # numpy's header parser raises what it likes
        raise NeurratorError(
            f"{path} is missing, damaged or holds objects: sort again or fetch the file again."
        ) from error
    return array


def load_numbers(path: Path) -> np.ndarray:
    """Return a .npy array of numbers of one dimension, memory-mapped; a second dimension of length 1 is left out.

    Raises
    ------
    NeurratorError
        It holds something else.
    """
    array = load_npy(path)
    if array.dtype.kind not in "biuf" or (array.ndim != 1 and array.size != max(array.shape, default=0)):
        raise NeurratorError(f"{path} holds {array.dtype} of shape {array.shape} and no list of numbers: sort again.")
    return array.reshape(-1)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    NeurratorError
        It is missing, damaged or no object.
    """
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NeurratorError(f"{path} is missing: the folder is not whole; fetch it again.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise NeurratorError(f"{path} cannot be read as JSON: it is damaged; fetch the folder again.") from error
    if not isinstance(contents, dict):
        raise NeurratorError(f"{path} holds no JSON object: it is damaged; fetch the folder again.")
    return contents


def read_table(path: Path) -> pd.DataFrame:
    """Return a table from CSV, TSV or Parquet.

    Raises
    ------
    NeurratorError
        It is damaged, or Parquet cannot be read here.
    """
    try:
        if path.suffix.lower() in (".pqt", ".parquet"):
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except ImportError as error:
        raise NeurratorError(f"{path} is Parquet, which needs pyarrow: pip install pyarrow.") from error
    except (Exception, MemoryError) as error:
        raise NeurratorError(f"{path} cannot be read as a table: it is damaged or of another kind.") from error


def clean_text(value: object) -> str:
    """Return a text without what Unicode does not allow (lone surrogates), which tables and terminals refuse."""
    whole = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return whole.encode("utf-8", "replace").decode("utf-8")


def clean_texts(array: np.ndarray) -> np.ndarray:
    """Return an array of texts as clean str objects.

    Raises
    ------
    NeurratorError
        It holds what is no text.
    """
    try:
        return np.array([clean_text(item) for item in array.ravel()], dtype=object).reshape(array.shape)
    except (ValueError, SystemError) as error:  # numbers above what Unicode has
        raise NeurratorError("an array of texts holds what is no text: it is damaged") from error


def one_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0].strip()[:150] or type(error).__name__
