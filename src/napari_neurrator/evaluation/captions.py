"""Reference captions of frames, from a file."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NeurratorError

if TYPE_CHECKING:
    from ..recording import Recording


def read_captions(file: str | Path) -> dict[int, list[str]]:
    """Read captions by frame.

    Parameters
    ----------
    file : path-like
        JSON – ``{"0": "a dog …"}``, ``{"0": ["a dog …", "…"]}``, or a list of objects with ``frame`` and ``caption`` or ``captions``, alone or as
        ``frames`` of an object – or CSV with the columns ``frame`` and ``caption``, one line a caption.

    Returns
    -------
    dict
        Frame number → its captions.

    Raises
    ------
    NeurratorError
        The file is not there, or is none of these.
    """
    file = Path(file).expanduser()
    if not file.is_file():
        raise NeurratorError(f"There is no file of captions at {file}: give a JSON or CSV file from frame to captions.")
    captions: dict[int, list[str]] = {}
    try:
        text = file.read_text(encoding="utf-8-sig")
        for frame, some in _csv(text) if file.suffix.lower() == ".csv" else _json(json.loads(text)):
            some = [some] if isinstance(some, str) else some
            if not isinstance(some, list) or not all(isinstance(one, str) for one in some):
                raise ValueError(f"frame {frame} has something else than sentences")
            captions.setdefault(int(frame), []).extend(one.strip() for one in some if one.strip())
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise NeurratorError(
            f'The captions in {file} cannot be read ({error}): write JSON such as {{"0": ["a dog on the beach"]}}, or CSV with the columns frame and caption.'
        ) from error
    captions = {frame: some for frame, some in captions.items() if some}
    if not captions:
        raise NeurratorError(f"The file {file} holds no captions.")
    return captions


def _csv(text: str) -> list[tuple[Any, Any]]:
    reader = csv.DictReader(text.splitlines())
    if not {"frame", "caption"} <= set(reader.fieldnames or []):
        raise ValueError("the columns frame and caption are missing")
    return [(row["frame"], row["caption"] or "") for row in reader]


def _json(document: Any) -> list[tuple[Any, Any]]:
    if isinstance(document, dict) and isinstance(document.get("frames"), list):
        document = document["frames"]
    if isinstance(document, dict):
        return list(document.items())
    return [(row["frame"], row["captions"] if "captions" in row else row["caption"]) for row in document]


def captions_beside(recording: "Recording") -> Path | None:
    """Return the file of captions that comes with a simulated session, if it is there."""
    file = Path(recording.source).parent / "truth.json"
    return file if recording.simulated and file.is_file() else None


def captions_for(captions: dict[int, list[str]], frames: np.ndarray, file: str | Path) -> list[list[str]]:
    """Return the captions of some frames, in order.

    Raises
    ------
    NeurratorError
        A frame has none.
    """
    missing = [int(frame) for frame in frames if int(frame) not in captions]
    if missing:
        raise NeurratorError(
            f"{len(missing)} of the {len(frames)} frames have no caption in {file}, the first is frame {missing[0]}: add them."
        )
    return [captions[int(frame)] for frame in frames]
