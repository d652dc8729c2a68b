"""Which moments a decoder is fitted on, calibrated on, and tested on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import SplitName
from ..errors import NeurratorError

if TYPE_CHECKING:
    import pandas as pd

# One showing in five is held out, spread over the session, so that slow drift touches all parts alike.
_CYCLE, _TEST, _CALIBRATION = 5, 4, 2


@dataclass(frozen=True)
class Split:
    """Row numbers of a table of moments.

    Attributes
    ----------
    name : str
        The name that is written onto every result.
    train, calibration, test : numpy.ndarray
        Disjoint row numbers.
    """

    name: SplitName
    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray


def is_held_out(repeat: int) -> bool:
    """Tell whether the split ``held-out-repeats`` keeps this showing of a frame (0 is the first) out of fitting."""
    return repeat % _CYCLE == _TEST


def split_moments(moments: "pd.DataFrame", name: SplitName) -> Split:
    """Divide moments by a named split.

    Parameters
    ----------
    moments : pandas.DataFrame
        With a column ``repeat``.
    name : str
        ``held-out-repeats``: every fifth showing of a frame is tested, another fifth calibrates.

    Raises
    ------
    NeurratorError
        The frames were shown too few times.
    """
    repeat = moments["repeat"].to_numpy()
    if repeat.max(initial=-1) < _TEST:
        raise NeurratorError(
            f"The split '{name}' needs frames that were shown at least {_CYCLE} times, and these were shown {repeat.max(initial=-1) + 1} "
            "times at most: record more repeats or choose a stimulus with more."
        )
    phase = repeat % _CYCLE
    rows = np.arange(len(moments))
    return Split(
        name,
        rows[(phase != _TEST) & (phase != _CALIBRATION)],
        rows[phase == _CALIBRATION],
        rows[phase == _TEST],
    )
