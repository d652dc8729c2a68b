"""What a user calls features: kept in a file of its own, which naming never touches."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NeurratorError
from ..writing import write_text
from .places import may_write, place_to_read, place_to_write

if TYPE_CHECKING:
    from .dictionary import Dictionary

# Longer texts are cut: they would not fit beside a heatmap.
LONGEST = 80


class Labels:
    """A user's own names of features.

    Parameters
    ----------
    file : path-like
        ``labels.json``; need not exist yet.
    texts : dict
        Text by feature.
    dictionary : str
        Content hash of the dictionary that the labels are of.
    """

    def __init__(self, file: str | Path, texts: dict[int, str] | None = None, dictionary: str = ""):
        self.file, self.texts, self.dictionary = Path(file), dict(texts or {}), dictionary

    @classmethod
    def load(cls, path: str | Path, dictionary: str = "") -> "Labels":
        """Read labels; there are none where the file is not there.

        Raises
        ------
        NeurratorError
            The file is not one of labels, or is of another dictionary.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            return cls(file, dictionary=dictionary)
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            texts = {int(number): str(text) for number, text in saved["labels"].items()}
            of = str(saved.get("dictionary", ""))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise NeurratorError(
                f"The labels in {file} cannot be read: mend the file, or move it away to begin anew."
            ) from error
        if dictionary and of and of != dictionary:
            raise NeurratorError(f"The labels in {file} are of another dictionary: move the file away to begin anew.")
        return cls(file, texts, dictionary or of)

    @classmethod
    def of(cls, dictionary: "Dictionary") -> "Labels":
        """Read the labels of a dictionary: beside it, or among the user's data where its folder cannot be written."""
        found = place_to_read(dictionary.source, dictionary.content_hash, "labels")
        labels = cls.load(found, dictionary.content_hash) if found else cls("", dictionary=dictionary.content_hash)
        if found is None or not may_write(found):
            labels.file = place_to_write(dictionary.source, dictionary.content_hash, "labels")
        return labels

    def get(self, feature: int) -> str | None:
        """Return the label of a feature, or None."""
        return self.texts.get(feature)

    def set(self, feature: int, text: str) -> None:
        """Label a feature; an empty text takes the label away."""
        text = " ".join(text.split())[:LONGEST]
        if text:
            self.texts[int(feature)] = text
        else:
            self.texts.pop(int(feature), None)

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        NeurratorError
            It cannot be written.
        """
        labels = {str(number): text for number, text in sorted(self.texts.items())}
        try:
            write_text(
                self.file,
                json.dumps({"dictionary": self.dictionary, "labels": labels}, ensure_ascii=False, indent=1) + "\n",
            )
        except OSError as error:
            raise NeurratorError(f"The labels cannot be written to {self.file}: {error.strerror or error}.") from error
