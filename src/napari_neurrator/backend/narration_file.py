"""Narrations written line by line beside the file they are for, so that work that was stopped goes on where it was."""

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..config import NarrateConfig
from ..errors import NeurratorError
from .narrations import Narration

if TYPE_CHECKING:
    import pandas as pd


class NarrationFile:
    """A file of narrations, one JSON line a moment; until it is whole it is called ``NAME.part``.

    Used in a ``with`` statement: at its end the file takes its own name if every moment is there, else the part is kept, or dropped if it is empty.

    Parameters
    ----------
    path : Path
        The file.
    moments : pandas.DataFrame
        All that is to be narrated, in order.
    config : NarrateConfig
        Of this run.
    resume : bool
        Go on with a part that is there.

    Raises
    ------
    NeurratorError
        There is a part and `resume` is false, or it was made with other options.
    """

    def __init__(self, path: Path, moments: "pd.DataFrame", config: NarrateConfig, resume: bool):
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self._moments, self._config = moments, config
        self.done: list[Narration] = []
        size = 0
        if self.part.exists():
            if not resume:
                raise NeurratorError(
                    f"There are unfinished narrations in {self.part}: go on with --resume, or delete the file."
                )
            size = self._read()
        self._file = self.part.open("r+b" if self.part.exists() else "xb")
        self._file.truncate(size)
        self._file.seek(size)

    @property
    def missing(self) -> "pd.DataFrame":
        """Moments that are still to be narrated."""
        return self._moments.iloc[len(self.done) :]

    def add(self, narration: Narration) -> None:
        """Write the next one."""
        self._file.write(narration.model_dump_json().encode() + b"\n")
        self._file.flush()
        self.done.append(narration)

    def __enter__(self) -> "NarrationFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import contextlib

        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            self._file.close()
        if kind is None and len(self.done) == len(self._moments):
            os.replace(self.part, self.path)
        elif not self.done:
            self.part.unlink(missing_ok=True)

    def _read(self) -> int:
        """Take over what is whole and belongs to this run; return where it ends, bytes."""
        size = 0
        with self.part.open("rb") as file:
            for line, planned in zip(file, self._moments.itertuples(), strict=False):
                try:
                    narration = Narration.model_validate_json(line)
                except ValidationError:
                    break
                if not line.endswith(b"\n"):
                    break
                if narration.config != self._config or narration.presentation != planned.presentation:
                    raise NeurratorError(
                        f"{self.part} was made with other options: give the same ones, or delete the file."
                    )
                self.done.append(narration)
                size += len(line)
        return size
