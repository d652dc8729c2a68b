"""What an evaluation found, as strict JSON."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..errors import NeurratorError
from ..writing import check_writable, write_text
from .statistics import holm

FORMAT = 1
# By which a page is known as ours.
GENERATOR = '<meta name="generator" content="napari-neurrator">'


class Null(BaseModel):
    """What one score comes to under a null."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    sd: float
    q95: float
    n: int


class SizeResult(BaseModel):
    """All scores of one population size, as fields by name; the values of each subset are in `by_draw`.

    `above_prior` is the mean gain over the mean grid at the same moments, with its interval in `above_prior_ci`.
    """

    model_config = ConfigDict(extra="allow")

    size: int
    draws: int
    by_draw: dict[str, list[float]]
    ci: dict[str, tuple[float, float] | None]
    above_prior: dict[str, float]
    above_prior_ci: dict[str, tuple[float, float] | None]
    p: dict[str, float | None]
    p_holm: dict[str, float | None]
    nulls: dict[str, dict[str, Null]]


class Example(BaseModel):
    """One sentence beside its frame."""

    model_config = ConfigDict(extra="forbid")

    frame: int
    time: float
    text: str
    references: list[str]
    patch_cosine: float
    sbert: float | None = None
    rank: float
    worst: bool = False


class Report(BaseModel):
    """The contents of ``report.json``."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    title: str
    headlines: list[str] = []
    simulated: bool
    recording: str
    stimulus: str
    decoder_kind: str
    decoder_stimulus: str
    profile: str
    split: str
    n: int
    n_frames: int
    n_pictures: int
    n_narrated: int
    n_units: int
    repeats: int
    resampled: str
    main_null: str
    smallest_p: float
    references: str
    label: str
    label_name: str
    chance: dict[str, float]
    sizes: list[SizeResult]
    ceiling: dict[str, float]
    prior: dict[str, float]
    prior_sentence: str
    unrelated_caption: dict[str, float]
    word_salad: dict[str, float]
    size_matched: dict[str, Any] | None = None
    split_half: dict[str, Any] | None = None
    effective_moments: float
    null_draws: dict[str, list[float]] = {}
    examples: list[Example] = []
    warnings: list[str] = []
    config: dict[str, Any]
    decoder_config: dict[str, Any]
    versions: dict[str, str]
    seconds: float

    @property
    def least_p(self) -> float:
        """The least p-value that can come out, corrected for the number of sizes."""
        return float(holm(np.full(len(self.sizes), self.smallest_p)).min())


def strict(value: Any) -> Any:
    """Return a value as JSON knows it: numbers that are none (NaN, infinity) as null, and no subclass of dict or list."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(file: Path, document: Any) -> None:
    """Write strict JSON at once or not at all."""
    write_text(file, json.dumps(strict(document), indent=1, allow_nan=False, ensure_ascii=False))


def report_folder(out: str | Path) -> Path:
    """Return the folder of a report, made if it is not there.

    Raises
    ------
    NeurratorError
        It is a file, lies in a folder that is not there, cannot be written to, or holds a report that this program did not write.
    """
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NeurratorError(f"{out} is a file: give a folder for --out.")
    if not folder.parent.is_dir():
        raise NeurratorError(f"The folder {folder.parent} of --out does not exist: make it first.")
    folder.mkdir(exist_ok=True)
    check_writable(folder, out)
    for file in (folder / "report.html", folder / "report.json"):
        if file.exists() and not _is_own(file):
            raise NeurratorError(
                f"{file} is there already and was not written by this program: give another folder for --out, or move it away."
            )
    return folder


def _is_own(file: Path) -> bool:
    """Tell by its contents whether a report was written by this program, in any of its versions."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".html":
            # Before there was the first, all had the second at their foot.
            return GENERATOR in text or "<footer><p>Made by napari-neurrator " in text
        document = json.loads(text)
        return "napari-neurrator" in document["versions"] and {"format", "title", "config"} <= set(document)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
