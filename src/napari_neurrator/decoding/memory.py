"""Memory for large results that are made again and again: asked of the system anew, its pages alone would cost as much as what is written into them."""

import math
import weakref
from collections import defaultdict, deque
from functools import partial

import numpy as np
import torch

# Pieces of each length that are kept while nobody uses them, and the alignment that the processor's widest numbers want, bytes.
_KEPT, _ALIGNED = 4, 64
_free: defaultdict[int, deque[np.ndarray]] = defaultdict(partial(deque, maxlen=_KEPT))


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return a tensor with nothing written into it, as `torch.empty` does.

    Its memory is used again when neither the tensor nor any view of it is left.
    """
    size = math.prod(shape) * dtype.itemsize
    # Pieces are powers of two long, so that there are few kinds; pages that nothing is written into take no room.
    length = 1 << max(size - 1, 0).bit_length()
    try:
        memory = _free[length].pop()
    except IndexError:
        memory = np.empty(length + _ALIGNED, dtype=np.uint8)
        start = -memory.ctypes.data % _ALIGNED
        memory = memory[start : start + length]
    # The tensor and all its views hold on to this one object.
    held = memory[:size]
    weakref.finalize(held, _free[length].append, memory).atexit = False
    return torch.from_numpy(held).view(dtype).view(shape)
