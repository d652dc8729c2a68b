"""Run a command of a page as its reader would, in a folder with the files that the pages call the reader's own."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.backend.servers import Served
from tests.commands import neurrator as run_here

from .pages import ROOT

# Only what makes a command quick; the way it takes is the same.
QUICK = {
    "fit": ["--option", "calibration_steps=40"],
    "narrate": ["--frames", "10,110,210", "--repeat", "4"],
    "evaluate": ["--moments", "60", "--narrated", "4", "--permutations", "50", "--draws", "1", "--sizes", "5", "--sentence-model", ""],
    "concepts train": ["--steps", "10", "--features", "64", "--batch", "256"],
    "concepts name": ["--patches", "4"],
}  # fmt: skip
# What these write is copied where another page asks for the same of the same files.
SHARED = {"evaluate", "fit", "models info", "models list", "study"}
OUT = ("--out", "--csv", "--nwb", "--mp4", "--figure", "--units-csv")
_DONE: dict[tuple, tuple[str, list[Path]]] = {}


class Ran(NamedTuple):
    """What a command printed, and the files and folders that it was told to write."""

    printed: str
    written: list[Path]


def name_of(words: list[str]) -> str:
    """Return the name of a command, such as ``concepts train``."""
    return " ".join(words[: 2 if words[0] in ("concepts", "models") else 1])


def outputs(words: list[str]) -> list[str]:
    """Return the values of the options that name what is written."""
    return [words[place + 1] for place, word in enumerate(words[:-1]) if word in OUT]


def neurrator(words: list[str], folder: Path, redirected: str | None = None) -> Ran:
    """Run ``neurrator`` with these words in a folder; it has to succeed and to write, now, what it was told to."""
    name = name_of(words)
    out = outputs(words)
    key = (
        *(word for word in words if word not in out),
        *(_contents(folder / word) for word in words if word not in out),
    )
    if name in SHARED and key in _DONE:
        printed, made = _DONE[key]
        for source, target in zip(made, out, strict=True):
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / target)
        if redirected:
            (folder / redirected).write_text(printed, encoding="utf-8")
        return Ran(printed, [folder / one for one in out])
    before = {one: _age(folder / one) for one in out}
    quick = QUICK.get(name, [])
    if "--frames" in words and name == "narrate":
        quick = []
    code, printed, errors = run_here(*words, *(() if "--help" in words else quick), cwd=folder)
    assert code == 0, (words, printed, errors)
    if redirected:
        (folder / redirected).write_text(printed, encoding="utf-8")
    written = [folder / one for one in out]
    for one in written:
        assert one.is_dir() or one.stat().st_size > 0, (words, one)
        assert _age(one) != before[str(one.relative_to(folder))], f"{words} did not write {one}"
    _DONE[key] = (printed, written)
    return Ran(printed, written)


def _contents(path: Path) -> str:
    if not path.exists():
        return ""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    found = hashlib.sha256()
    for one in files:
        found.update(one.read_bytes())
    return found.hexdigest()


def _age(path: Path) -> int | None:
    files = [path, *path.rglob("*")] if path.is_dir() else [path] if path.exists() else []
    return max((one.stat().st_mtime_ns for one in files), default=None)


def shell(line: str, folder: Path) -> str:
    """Run a line that sets variables in a real shell, and return the last line that it prints."""
    done = subprocess.run(["sh", "-ec", line], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout.strip().splitlines()[-1]


def script(words: list[str], folder: Path) -> None:
    """Run a script or module of the source, the folder in place of the checkout."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stderr[-2000:])


class Server:
    """A ``neurrator serve`` of a page, on loopback and at a free port, for as long as the page needs it."""

    def __init__(self, words: list[str], folder: Path, token: str):
        self.token = token
        kept = [word for word in words[1:] if word not in ("--host", "0.0.0.0")]
        with contextlib.chdir(folder):
            self.served = Served(*kept, environment={"NEURRATOR_TOKEN": token})
        self.address = self.served.address
        verify = str(folder / "lab-ca.pem") if self.address.startswith("https") else True
        self.http = httpx.Client(base_url=self.address, verify=verify, timeout=60, trust_env=False)

    def is_there(self) -> None:
        """Ask it: it is there for everybody, and says more to who has the token."""
        assert self.http.get("/health").status_code == 200
        assert self.http.get("/v1/status").status_code == 401
        asked = self.http.get("/v1/status", headers={"authorization": f"Bearer {self.token}"})
        assert asked.status_code == 200
        assert asked.json()["workers"]

    def stop(self) -> None:
        self.http.close()
        self.served.stop()
        assert self.served.process.returncode == 0


def redirection(line: str) -> str | None:
    """Return the file that a command sends its output to."""
    found = re.search(r"(?<!\S)> (\S+)", line)
    return found[1] if found else None


def window(words: list[str], folder: Path) -> None:
    """Run the demonstration on a virtual screen where there is none; the window that is to stay is closed once session and units are in it."""
    if not os.environ.get("DISPLAY") and shutil.which("xvfb-run") is None:
        pytest.skip("there is neither a display nor Xvfb")
    key = ("demo", *words)
    if key in _DONE:
        return
    # A screen of its own, where that is possible: other windows keep the keyboard.
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"] if shutil.which("xvfb-run") else []
    done = subprocess.run(
        [*screen, sys.executable, "-m", "tests.docs.watched_window", *words], cwd=folder, capture_output=True, text=True, timeout=400, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout, done.stderr[-3000:])
    if "--out" in words:
        made = folder / words[words.index("--out") + 1]
        for name in ("viewer.png", "narrations.jsonl", "summary.json"):
            assert (made / name).stat().st_size > 0, name
    else:
        assert "80 units and a film are in the window" in done.stdout
    _DONE[key] = (done.stdout, [])
