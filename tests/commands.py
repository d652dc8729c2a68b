"""``neurrator`` in this process: the same words, exit codes and sentences as in one of its own, which takes seconds to start."""

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    """What a command left, with the names that `subprocess.run` gives them."""

    returncode: int
    stdout: str
    stderr: str


def neurrator(*words: object, cwd: Path | None = None) -> Done:
    """Run a command to its end."""
    from napari_neurrator.cli import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(sys, "argv", ["neurrator", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
