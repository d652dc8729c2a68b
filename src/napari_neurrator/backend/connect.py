"""Which backend a front end asks for: this process, processes of its own, or a server somewhere."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import RunningConfig
from ..errors import NeurratorError

if TYPE_CHECKING:
    from .client import Backend

TOKEN_VARIABLE = "NEURRATOR_TOKEN"
LOCAL = "local"


def connect(
    backend: str | None = None,
    token: str | None = None,
    ca: str | None = None,
    language: str | None = None,
    running: RunningConfig | None = None,
    patience_s: float = 600.0,
) -> "Backend":
    """Return the backend that a user named.

    Parameters
    ----------
    backend : str, optional
        Address of a server, such as ``https://gpu.example.org:8765``; ``local`` for processes of our own; None for a thread of this process.
    token : str, optional
        Of the server, or ``@FILE`` that holds it; the environment variable NEURRATOR_TOKEN by default.
    ca : str, optional
        File with the certificate that the server's has to be signed by, where the system does not know it.
    language : str, optional
        Address of a vLLM server for the language model, where it is we who run the rest.
    running : RunningConfig, optional
        Where and how the models run, in a thread of this process.
    patience_s : float
        How long to try again while a server is busy, seconds.

    Raises
    ------
    NeurratorError
        The address is none, or no server answers there; the token cannot be read; options that do not go together.
    """
    if backend in {None, "", LOCAL}:
        if token or ca:
            raise NeurratorError("--token and --ca are for a server: name it with --backend.")
        if backend == LOCAL:
            if running is not None:
                raise NeurratorError(
                    "--device, --dtype, --quantise and --batch are for models in this process: leave --backend out."
                )
            from .process import ProcessBackend

            return ProcessBackend(language)
        from .local import InProcessBackend

        return InProcessBackend(running, language)
    from .client import HttpBackend

    if running is not None:
        raise NeurratorError(
            "--device, --dtype, --quantise and --batch are chosen where the server is started, not with --backend."
        )
    if language:
        raise NeurratorError("--language is given to the server when it is started, not to --backend.")
    assert backend is not None
    client = HttpBackend(backend, token_of(token), ca=ca, patience_s=patience_s)
    try:
        client.check()
    except NeurratorError:
        client.close()
        raise
    return client


def token_of(given: str | None) -> str | None:
    """Return a token given by hand, in a file (``@FILE``), or in the environment.

    Raises
    ------
    NeurratorError
        The file cannot be read, or is empty.
    """
    if given is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    if not given.startswith("@"):
        return given
    try:
        lines = Path(given[1:]).expanduser().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise NeurratorError(f"The token file {given[1:]} cannot be read: {error}.") from error
    if not lines:
        raise NeurratorError(f"The token file {given[1:]} holds no token.")
    return lines[0]
