"""The same work from a notebook: `narrate`, `fit`, `evaluate`. Sentences show themselves with frame, evidence and concepts."""

import atexit
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backend.narrations import Narration
from .config import FitConfig, NarrateConfig, WindowConfig, validated
from .decoding.info import DecoderInfo, decoder_info, default_decoder_folder
from .errors import NeurratorError

if TYPE_CHECKING:
    import pandas as pd

    from .evaluation.report import Report
    from .recording import Recording
    from .recording.stimulus import Stimulus

_backend: Any = None
# Sentences that are shown whole; of the others it is said how many there are.
_SHOWN = 12


@dataclass(frozen=True)
class Decoder:
    """A fitted decoder.

    Attributes
    ----------
    folder : pathlib.Path
        Where it lies.
    info : DecoderInfo
        Units, stimulus, profile, split, scores on what was held out.
    """

    folder: Path
    info: DecoderInfo

    def _repr_html_(self) -> str:
        from .html import decoder_card

        return decoder_card(self.info, self.folder)


class Narrations(Sequence[Narration]):
    """What units say at some moments.

    Parameters
    ----------
    lines : sequence of Narration
        One a moment.
    recording, stimulus : Recording, Stimulus
        What they are about.
    """

    def __init__(self, lines: Sequence[Narration], recording: "Recording", stimulus: "Stimulus"):
        self.lines, self.recording, self.stimulus = list(lines), recording, stimulus

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: Any) -> Any:
        """Return one narration, or some of them as `Narrations`."""
        if isinstance(index, slice):
            return Narrations(self.lines[index], self.recording, self.stimulus)
        return self.lines[index]

    def __repr__(self) -> str:
        first = f": {self.lines[0].text}" if self.lines else ""
        return f"<{len(self)} narrations of {self.recording.name}{first}>"

    def _repr_html_(self) -> str:
        from .html import narration_cards

        return narration_cards(self.lines[:_SHOWN], self.stimulus, len(self))

    @property
    def summary(self) -> str:
        """How many sentences are more than chance, beside how many chance would bring."""
        from .backend.narrations import summary_of

        return summary_of([one.evidence for one in self.lines])

    def to_frame(self) -> "pd.DataFrame":
        """Return a table, one row a sentence."""
        from .export.table import to_frame

        return to_frame(self.lines)

    def to_jsonl(self, path: str | Path) -> Path:
        """Write JSON lines, as ``neurrator narrate`` does; returns where."""
        from .export.files import write_narrations

        return write_narrations(path, self.lines)

    def to_csv(self, path: str | Path) -> Path:
        """Write a table; returns where."""
        from .export.table import write_csv

        return write_csv(path, self.lines)

    def to_nwb(self, path: str | Path) -> Path:
        """Write a copy of the session's NWB file with the narrations in it; returns where."""
        from .export.nwb import write_nwb

        return write_nwb(path, self.lines, self.recording)

    def to_movie(self, path: str | Path) -> Path:
        """Write the movie with the sentences as subtitles (MP4); returns where."""
        from .export.movie import write_movie

        return write_movie(path, self.lines, self.stimulus)

    def figure(self, number: int = 0) -> Any:
        """Return a matplotlib figure of one narration."""
        from .export.figure import narration_figure

        return narration_figure(self.lines[number], self.recording, self.stimulus)


def fit(
    recording: "Recording | str | Path",
    stimulus: str,
    out: str | Path | None = None,
    *,
    units: str | None = None,
    frames: str | Path | None = None,
    profile: str = "tiny",
    decoder: str = "subset",
    options: dict[str, Any] | None = None,
    split: str = "held-out-repeats",
    window: WindowConfig | None = None,
    seed: int = 0,
) -> Decoder:
    """Fit a decoder from spikes to what CLIP sees.

    Parameters
    ----------
    recording : Recording, str or path-like
        An open recording (any SpikeInterface sorting makes one: ``Recording.from_sorting``), or what `open_recording` opens.
    stimulus : str
        A stimulus of the recording by name, or the file with its frames.
    out : path-like, optional
        Folder to write; by default where the window keeps its decoders.
    units : str, optional
        Query on the units table.
    frames : path-like, optional
        File or folder with the frames, where they do not lie beside the recording.
    profile, decoder, options, split, window, seed
        As those of ``neurrator fit``.

    Raises
    ------
    NeurratorError
        Anything that does not fit the recording.
    """
    from .backend.fitting import fit_decoder
    from .recording import open_stimulus

    opened = _opened(recording)
    _, name = open_stimulus(opened, stimulus, frames=frames)
    folder = Path(out).expanduser() if out is not None else default_decoder_folder(opened.name, name, profile)
    config = validated(
        FitConfig, recording=str(opened.source), stimulus=stimulus, frames=None if frames is None else str(frames), profile=profile, decoder=decoder,
        options=options or {}, split=split, units=units, window=window or WindowConfig(), seed=seed,
    )  # fmt: skip
    return Decoder(folder, fit_decoder(config, folder, recording=opened))


def narrate(
    recording: "Recording | str | Path",
    units: str | Iterable[int | str] | None = None,
    frames: str | int | Iterable[int] | None = None,
    decoder: Decoder | str | Path | None = None,
    *,
    repeat: int | None = None,
    held_out: bool = True,
    prompt: str | None = None,
    concepts: int = 8,
) -> Narrations:
    """Say what units' spikes say of the frames that were shown.

    Parameters
    ----------
    recording : Recording, str or path-like
        An open recording, or what `open_recording` opens.
    units : str or iterable, optional
        A query on the units table, or names of units; the decoder's own units by default.
    frames : str, int or iterable of int, optional
        Numbers of frames, or a text such as ``"0,30,60-90"``; all by default.
    decoder : Decoder, str or path-like, optional
        What `fit` returned, or a folder; by default the one that the window keeps for the recording's first stimulus.
    repeat : int, optional
        Only this showing of each frame (0 is the first).
    held_out : bool
        Only showings that the decoder was not fitted on: all others are no test.
    prompt : str, optional
        What to ask of the picture; the profile's own question by default.
    concepts : int
        Concepts listed for each moment.

    Returns
    -------
    Narrations
        One a moment, each beside its evidence.

    Raises
    ------
    NeurratorError
        Units, frames or a decoder that are not there.
    """
    from .backend.narrations import choose_moments, narrate_moments
    from .recording import moments, open_stimulus

    opened = _opened(recording)
    folder = _folder_of(decoder, opened)
    info = decoder_info(folder)
    if opened.name != info.recording:
        raise NeurratorError(
            f"The decoder in {folder} was fitted on the recording {info.recording!r}, and this one is {opened.name!r}: fit a decoder on it."
        )
    unit_ids = _units_of(units, opened, info)
    spec = _spec_of(frames)
    stimulus, name = open_stimulus(opened, info.stimulus, frames=info.config.frames)
    chosen = choose_moments(moments(opened, name, stimulus), info, spec, held_out, repeat)
    config = validated(
        NarrateConfig, recording=str(opened.source), decoder=str(folder), units=units if isinstance(units, str) else None,
        unit_ids=None if isinstance(units, str) or units is None else unit_ids, frames=spec, held_out=held_out, repeat=repeat, prompt=prompt, concepts=concepts,
    )  # fmt: skip
    lines = list(narrate_moments(_models(), opened, stimulus, chosen, info, unit_ids, config))
    return Narrations(lines, opened, stimulus)


def evaluate(
    recording: "Recording | str | Path", decoder: Decoder | str | Path, out: str | Path, **options: Any
) -> "Report":
    """Hold a decoder's sentences against chance, on moments it has not seen.

    Parameters
    ----------
    recording : Recording, str or path-like
        What `open_recording` opens; an open recording has to have been opened from a file.
    decoder : Decoder, str or path-like
        What `fit` returned, or a folder.
    out : path-like
        Folder to write ``report.html`` and ``report.json`` to.
    **options
        Fields of `EvaluateConfig`: ``units``, ``sizes``, ``draws``, ``moments``, ``narrated``, ``sentence_model``, ``n_permutations``, ``seed``, …

    Returns
    -------
    Report
        All that was found; ``headlines`` says it in sentences.

    Raises
    ------
    NeurratorError
        Options that are not possible, or anything that does not fit.
    """
    from .evaluation.config import EvaluateConfig
    from .evaluation.run import evaluate as run

    source = recording if isinstance(recording, str | Path) else recording.source
    folder = decoder.folder if isinstance(decoder, Decoder) else decoder
    return run(validated(EvaluateConfig, recording=str(source), decoder=str(folder), **options), out)


def _opened(recording: "Recording | str | Path") -> "Recording":
    from .recording import open_recording

    return open_recording(recording) if isinstance(recording, str | Path) else recording


def _folder_of(decoder: Decoder | str | Path | None, recording: "Recording") -> Path:
    if isinstance(decoder, Decoder):
        return decoder.folder
    if decoder is not None:
        return Path(decoder).expanduser()
    for name in recording.presentations["stimulus"].unique():
        folder = default_decoder_folder(recording.name, str(name), "tiny")
        if (folder / "decoder.json").is_file():
            return folder
    raise NeurratorError(
        f"No decoder is kept for {recording.name}: fit one with napari_neurrator.fit, or say where it lies."
    )


def _units_of(units: str | Iterable[int | str] | None, recording: "Recording", info: DecoderInfo) -> list[int | str]:
    known = set(recording.unit_ids)
    if units is None:
        return [unit for unit in info.unit_ids if unit in known]
    if isinstance(units, str):
        fitted = set(info.unit_ids)
        found = recording.select_units(units)
        chosen = [unit for unit in found if unit in fitted]
        if not chosen:
            info.positions(found)
        return chosen
    named = [unit.item() if hasattr(unit, "item") else unit for unit in units]
    info.positions(named)
    return named


def _spec_of(frames: str | int | Iterable[int] | None) -> str | None:
    if frames is None or isinstance(frames, str):
        return frames
    numbers = [int(frames)] if isinstance(frames, int) else [int(frame) for frame in frames]
    if not numbers or min(numbers) < 0:
        raise NeurratorError("The frames are not numbers of frames: give some, counted from 0.")
    return ",".join(map(str, numbers))


def _models() -> Any:
    """Return the backend of this process: models are loaded once."""
    global _backend
    if _backend is None:
        from .backend.local import InProcessBackend

        _backend = InProcessBackend()
        atexit.register(_backend.close)
    return _backend
