"""Find out in a child process whether an HDF5 file makes the HDF5 library hang or crash."""

import subprocess
import sys
from pathlib import Path

from ...errors import NeurratorError

_WAIT_S = 60
# Whether files survived, as they were then.
_survived: dict[tuple[str, int, int], bool] = {}


def survive(path: Path) -> None:
    """Refuse a file that the HDF5 library does not survive; where no child process can be had, nothing is checked.

    Raises
    ------
    NeurratorError
        Reading its tables hangs or crashes.
    """
    try:
        state = path.stat()
    except OSError:
        return
    key = (str(path.absolute()), state.st_size, state.st_mtime_ns)
    if key not in _survived:
        if "python" not in Path(sys.executable or "").name.lower():
            return
        _survived[key] = _try(key[0])
    if not _survived[key]:
        raise NeurratorError(
            f"{path} is damaged in a way that makes the HDF5 library hang or crash, so it was not opened: fetch it again."
        )


def _try(path: str) -> bool:
    """Read a file's tables in a child process; return whether that came to an end."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("touch_hdf5.py")), path]
    try:
        ended = subprocess.run(
            command, timeout=_WAIT_S, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    except OSError:
        return True
    # Python's own way of failing is 1 or 2 and no concern here; a signal, or an exception code of Windows, is.
    return 0 <= ended <= 255
