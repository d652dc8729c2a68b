"""What a fitted decoder says of itself, readable without torch."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import FitConfig, WindowConfig
from ..errors import NeurratorError
from ..paths import cache_folder
from .splits import is_held_out

FORMAT = 2
# The files of tensors: the decoder itself, and what sentences are held against where something was held out.
TENSORS, REFERENCES = "decoder.safetensors", "references.safetensors"


class DecoderInfo(BaseModel):
    """The contents of ``decoder.json``."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    kind: str
    package_version: str
    recording: str
    stimulus: str
    profile: str
    patch_space: str
    unit_ids: list[int | str]
    grid: tuple[int, int]
    config: FitConfig
    test_frames: list[int] = []
    settings: dict[str, Any] = {}
    metrics: dict[str, float]
    sha256: dict[str, str] = {}
    """Of the files of tensors beside it, by name; empty in decoders of older versions."""
    evidence: dict[str, Any] | None = None
    """`evaluation.evidence.EvidenceTable` as plain values; None where nothing was held out, and in decoders of older versions."""

    @property
    def window(self) -> WindowConfig:
        """The window that the decoder was fitted with."""
        return self.config.window

    def is_held_out(self, repeat: int, frame: int) -> bool:
        """Tell whether this showing (0 is the first) of a frame was kept out of fitting."""
        return is_held_out(self.config.split, repeat, frame, self._held_frames)

    @cached_property
    def _held_frames(self) -> frozenset[int]:
        return frozenset(self.test_frames)

    def positions(self, unit_ids: list) -> list[int]:
        """Return where units stand in the decoder.

        Raises
        ------
        NeurratorError
            No units, or some that the decoder was not fitted on.
        """
        if not unit_ids:
            raise NeurratorError("No units are selected: choose at least one.")
        place = {unit: i for i, unit in enumerate(self.unit_ids)}
        unknown = [unit for unit in unit_ids if unit not in place]
        if unknown:
            some = ", ".join(map(str, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            raise NeurratorError(
                f"{len(unknown)} of the {len(unit_ids)} units ({some}) are not among the {len(self.unit_ids)} that this decoder was fitted on "
                f"({self.recording}): choose other units or fit a decoder on this recording."
            )
        return [place[unit] for unit in unit_ids]


def decoder_info(folder: str | Path) -> DecoderInfo:
    """Read ``decoder.json`` of a decoder's folder.

    Raises
    ------
    NeurratorError
        The folder holds no decoder, or one that this version cannot read.
    """
    file = Path(folder).expanduser() / "decoder.json"
    if not file.is_file():
        raise NeurratorError(
            f"There is no decoder in {folder}: it holds no decoder.json; make one with 'neurrator fit'."
        )
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(fields, dict) and fields.get("format") != FORMAT:
            raise NeurratorError(
                f"The decoder in {folder} has format {fields.get('format')}, and this version reads {FORMAT}: fit it again."
            )
        return DecoderInfo.model_validate(fields)
    except (ValidationError, ValueError) as error:
        raise NeurratorError(
            f"The decoder in {folder} is damaged: its decoder.json cannot be read; fit it again."
        ) from error


def check_tensor_files(folder: str | Path, info: DecoderInfo) -> None:
    """Check that the files of tensors beside ``decoder.json`` are there, and are those that were written with it.

    Decoders of older versions say no hashes: what they have is taken.

    Raises
    ------
    NeurratorError
        One is missing, or holds something else.
    """
    folder = Path(folder).expanduser()
    for name in (TENSORS, REFERENCES) if info.evidence is not None else (TENSORS,):
        try:
            with (folder / name).open("rb") as file:
                damaged = name in info.sha256 and hashlib.file_digest(file, "sha256").hexdigest() != info.sha256[name]
        except OSError as error:
            raise NeurratorError(f"The decoder in {folder} is damaged: {name} cannot be read; fit it again.") from error
        if damaged:
            raise NeurratorError(
                f"The decoder in {folder} is damaged: {name} is not what was written with decoder.json; fit it again."
            )


def default_decoder_folder(recording_name: str, stimulus: str, profile: str) -> Path:
    """Return where the window and the demo keep the decoder of a recording."""
    return cache_folder("decoders") / f"{recording_name}--{stimulus}--{profile}"
