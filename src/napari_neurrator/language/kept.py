"""Sentences that were said before, kept on disk: what a model says of the same picture does not change."""

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path


class KeptSentences:
    """A file of sentences by key. Several processes may use it at once.

    It is a cache: where the file cannot be read or written, everything goes on without it.

    Parameters
    ----------
    file : Path
        Need not exist.
    """

    def __init__(self, file: Path):
        self._file = file

    def find(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the sentences that are kept under some keys."""
        wanted = list(keys)
        found: dict[str, str] = {}
        if not self._file.is_file():
            return found
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._open()) as base:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                found.update(base.execute(f"SELECT key, text FROM sentences WHERE key IN ({marks})", part))
        return found

    def keep(self, sentences: Mapping[str, str]) -> None:
        """Keep sentences by key."""
        if not sentences:
            return
        try:
            self._write(sentences)
        except sqlite3.DatabaseError as error:
            # Half written or overwritten: begin anew. A disk that is full is left as it is.
            if "malformed" in str(error) or "not a database" in str(error):
                self._file.unlink(missing_ok=True)
                with contextlib.suppress(sqlite3.Error, OSError):
                    self._write(sentences)
        except OSError:
            pass

    def _write(self, sentences: Mapping[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(self._open()) as base, base:
            base.execute("CREATE TABLE IF NOT EXISTS sentences (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
            base.executemany("INSERT OR REPLACE INTO sentences VALUES (?, ?)", list(sentences.items()))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=10)
