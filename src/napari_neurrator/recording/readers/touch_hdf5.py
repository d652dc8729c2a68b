"""Read the tables of an HDF5 file in a process of its own, which may crash or be stopped: ``python touch_hdf5.py FILE``.

Damage in an HDF5 file's heaps can make the HDF5 library loop for ever or crash, and nothing in the same process can end that. So this is run before a file
is opened. It tells of such damage by how it ends; what else is wrong with a file is found, and said, on opening.
"""

import contextlib
import sys
from typing import Any

# What a session is read from; the rest of a file, such as raw signals, is left alone.
_PLACES = ("units", "intervals", "general", "stimulus", "processing", "session_description")
_DEEPEST = 5
_CPU_S = 5
_SHORT = 1_000_000


def touch(thing: Any, depth: int = 0) -> None:
    """Read the attributes, the structure and, where they are short, the values of an array or of all that is in a group."""
    for name in thing.attrs:
        with contextlib.suppress(Exception):
            thing.attrs[name]
    if hasattr(thing, "shape"):
        thing.id.get_storage_size()
        if thing.chunks:
            thing.id.get_num_chunks()
        if thing.size and thing.size <= _SHORT and thing.ndim <= 2:
            thing[()]
        elif thing.size:
            thing[tuple(slice(0, 1) for _ in thing.shape)]
            thing[tuple(slice(length - 1, length) for length in thing.shape)]
    elif depth <= _DEEPEST:
        for name in _PLACES if depth == 0 else thing:
            with contextlib.suppress(Exception):
                touch(thing[name], depth + 1)


def main(path: str) -> None:
    """Touch a file; ordinary errors are no concern of this process."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    with contextlib.suppress(Exception):
        import h5py

        with h5py.File(path, "r", locking="best-effort") as file:
            touch(file)


if __name__ == "__main__":
    main(sys.argv[1])
