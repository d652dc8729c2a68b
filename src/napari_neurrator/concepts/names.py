"""``names.json``: what naming calls the features of a dictionary."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import NeurratorError
from ..writing import write_text


@dataclass(frozen=True)
class Names:
    """Name and score of every feature, and how they came about.

    Attributes
    ----------
    entries : list of dict
        For each feature ``name`` ("" where none fits) and ``score``.
    about : dict
        Method, vocabulary, stimulus and model.
    """

    entries: list[dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path, n_features: int) -> "Names":
        """Read them, from a list or from an object with ``features`` in it.

        Raises
        ------
        NeurratorError
            The file is damaged, or of a dictionary with other features.
        """
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            about = {} if isinstance(saved, list) else {key: value for key, value in saved.items() if key != "features"}
            rows = saved if isinstance(saved, list) else saved["features"]
            entries = [{**row, "name": str(row["name"]), "score": float(row["score"])} for row in rows]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise NeurratorError(
                f"The names of features in {file} cannot be read: name them again, or move the file away."
            ) from error
        if len(entries) != n_features:
            raise NeurratorError(
                f"The names in {file} are of {len(entries)} features, and the dictionary has {n_features}: name them again, or move the file away."
            )
        return cls(entries, about)

    def save(self, file: Path) -> None:
        """Write them, whole or not at all.

        Raises
        ------
        NeurratorError
            The file cannot be written.
        """
        try:
            write_text(file, json.dumps({**self.about, "features": self.entries}, ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise NeurratorError(f"The names cannot be written to {file}: {error.strerror or error}.") from error
