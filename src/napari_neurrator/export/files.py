"""Narrations as JSON lines, and files that are written at once or not at all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from ..backend.narrations import Narration
from ..errors import NeurratorError
from ..writing import written as replaced


def read_narrations(path: str | Path) -> list[Narration]:
    """Read what ``neurrator narrate`` wrote.

    Raises
    ------
    NeurratorError
        There is no such file, it holds no narrations, or a line is something else: says which.
    """
    path = Path(path).expanduser()
    found = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    found.append(_narration(line, path, number))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise NeurratorError(f"{path} cannot be read as narrations: {why}.") from error
    if not found:
        raise NeurratorError(f"{path} holds no narrations: make some with 'neurrator narrate'.")
    return found


def _narration(line: str, path: Path, number: int) -> Narration:
    try:
        return Narration.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the line"
        message = first["msg"].removeprefix("Value error, ")
        raise NeurratorError(
            f"{path} is not narrations as 'neurrator narrate' writes them: line {number}, {where}: {message[:1].lower()}{message[1:200]}."
        ) from error


def write_narrations(path: str | Path, narrations: Iterable[Narration]) -> Path:
    """Write narrations as JSON lines, at once or not at all; returns where."""
    with written(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        for narration in narrations:
            file.write(narration.model_dump_json() + "\n")
    return Path(path).expanduser()


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; what lies there in the end takes the place of `path`, or nothing does.

    Raises
    ------
    NeurratorError
        The folder does not exist, or `path` is a folder.
    """
    path = Path(path).expanduser()
    if not path.parent.is_dir():
        raise NeurratorError(f"The folder {path.parent} does not exist: make it first.")
    if path.is_dir():
        raise NeurratorError(f"{path} is a folder: give the name of a file.")
    with replaced(path) as part:
        yield part
