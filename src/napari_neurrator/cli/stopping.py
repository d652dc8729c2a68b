"""What Ctrl-C leaves of a command, said in one sentence."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..errors import Stopped


def stoppable(left: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator of a command, which lets it say what it leaves when it is stopped.

    Parameters
    ----------
    left : str
        What is left; options may stand in braces.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**options: Any) -> None:
            try:
                command(**options)
            except (KeyboardInterrupt, Stopped, SystemExit) as stop:
                # The last is what lightning makes of Ctrl-C.
                raise Stopped(f"Stopped: {left.format(**options)}.") from stop

        return run

    return decorate
