"""The options that say who runs the models: their words, and who speaks in evaluations and studies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.sentences import MakeLanguage

BACKEND_HELP = "Who runs the models: the address of a 'neurrator serve', or 'local' for processes of their own; this process by default."
TOKEN_HELP = "Token of that server, or @FILE that holds it; the environment variable NEURRATOR_TOKEN by default."
CA_HELP = "Certificate that the server's is signed by, PEM, where the system does not know it."
LANGUAGE_HELP = "vLLM server for the language model, with the rest run here: vllm://host:port."


@contextmanager
def speaker(backend: str | None, token: str | None, ca: str | None, language: str | None) -> Iterator["MakeLanguage"]:
    """Yield what makes the language model of a profile: in this process, or in the backend that the options name, which is let go at the end."""
    if not (backend or token or ca or language):
        from ..evaluation.sentences import own_language

        yield own_language
        return
    from ..backend.connect import connect
    from ..backend.describing import language_of

    asked = connect(backend, token, ca, language)
    try:
        yield language_of(asked)
    finally:
        asked.close()
