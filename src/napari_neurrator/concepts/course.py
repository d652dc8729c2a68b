"""How active concepts are from moment to moment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .dictionary import Dictionary

_BATCH = 8


def concept_course(dictionary: Dictionary, grids: Any, concepts: Sequence[int | str]) -> torch.Tensor:
    """Follow features or concepts over moments.

    Parameters
    ----------
    dictionary : Dictionary
        Whose features.
    grids : array_like
        Patch grids (moment, patch, width), true or decoded: a tensor, or anything that is sliced by moments.
    concepts : sequence of int or str
        A number is a feature, a text is a name: all features of that name together.

    Returns
    -------
    torch.Tensor
        Activation summed over patches, float32 (moment, concept).

    Raises
    ------
    KeyError
        No feature has such a name.
    """
    members = torch.zeros(len(concepts), dictionary.n_features)
    for place, concept in enumerate(concepts):
        if isinstance(concept, str):
            named = [feature for feature, entry in enumerate(dictionary.names) if entry["name"] == concept]
            if not named:
                raise KeyError(concept)
            members[place, named] = 1.0
        else:
            members[place, int(concept)] = 1.0
    parts = []
    for first in range(0, len(grids), _BATCH):
        some = grids[first : first + _BATCH]
        encoded = dictionary.encode(some if isinstance(some, torch.Tensor) else torch.from_numpy(np.asarray(some)))
        counts = members[:, encoded.features.cpu()] * encoded.values.cpu()
        sums = torch.zeros(len(concepts), encoded.n_frames).index_add_(1, encoded.frames.cpu(), counts)
        parts.append(sums.T)
    return torch.cat(parts) if parts else torch.zeros(0, len(concepts))
