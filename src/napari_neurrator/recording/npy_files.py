"""NumPy files, looked at before anything is mapped or allocated."""

import os
from math import prod
from pathlib import Path

import numpy as np

from ..errors import NeurratorError


def open_npy(path: str | Path, what: str) -> np.ndarray:
    """Open a .npy file, memory-mapped; pickled objects are refused.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        What it should hold, for the message.

    Raises
    ------
    NeurratorError
        The file is missing, damaged, shorter than its header claims, or holds objects.
    """
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            there = os.fstat(file.fileno()).st_size - file.tell()
        claimed = prod(int(n) for n in shape) * dtype.itemsize
        if dtype.hasobject or any(n < 0 for n in shape):
            raise ValueError("objects")
        if claimed > there:
            raise NeurratorError(
                f"{path} claims an array of shape {tuple(int(n) for n in shape)} ({claimed:,} bytes) but holds {max(there, 0):,} bytes: it is cut short or damaged."
            )
        return np.load(path, mmap_mode="r" if claimed else None, allow_pickle=False)
    except NeurratorError:
        raise
    except Exception as error:
        # The header is Python text, and fails to parse in many ways.
        raise NeurratorError(
            f"{path} cannot be read as {what} in NumPy's format: it is missing, damaged or holds objects."
        ) from error
