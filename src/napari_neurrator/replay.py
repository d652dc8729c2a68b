"""Make sentences again, from a session file or from JSON lines, and say what differs from what was written down."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backend.client import Backend
from .backend.narrations import Narration, narrate_moments
from .config import NarrateConfig
from .decoding.info import DecoderInfo, decoder_info
from .errors import NeurratorError
from .export.files import read_narrations
from .session_file import SavedRecording, SavedSentence, is_session_file, read_session

if TYPE_CHECKING:
    import pandas as pd

    from .recording import Recording
    from .recording.stimulus import Stimulus

OnProgress = Callable[[str, int, int], None]
# Session files hold all digits, and narrations are rounded.
_CLOSE = 1e-4


@dataclass(frozen=True)
class Replayed:
    """A sentence that was made again.

    Attributes
    ----------
    narration : Narration
        What it is now.
    differences : list of str
        What differs from what was saved, one sentence each; empty where nothing does.
    """

    narration: Narration
    differences: list[str] = field(default_factory=list)


def replay(path: str | Path, backend: Backend, on_progress: OnProgress | None = None) -> Iterator[Replayed]:
    """Make every sentence of a file again, by the same way as ``neurrator narrate`` and the window.

    On one machine, and with the same versions of the libraries, the results are the same to the last digit: sentences of JSON lines are made in the same batches, those
    of a session file one at a time, as the window made them.

    Parameters
    ----------
    path : path-like
        A session file (``.neurrator.json``, ``.neurrator.toml`` or another ``.toml`` with the same fields), or narrations as JSON lines.
    backend : Backend
        Does the model work.
    on_progress : callable, optional
        Called with (stage, done, total).

    Yields
    ------
    Replayed
        In the order of the file.

    Raises
    ------
    NeurratorError
        The file cannot be read or holds no sentences, or a recording or decoder that it names is not there or another one.
    """
    path = Path(path).expanduser()
    report = on_progress or (lambda stage, done, total: None)
    if is_session_file(path) or path.suffix.lower() == ".toml":
        yield from _session(path, backend, report)
    else:
        yield from _lines(path, backend, report)


# -- session files ---------------------------------------------------------------------------------------------------------------------
def _session(path: Path, backend: Backend, report: OnProgress) -> Iterator[Replayed]:
    session = read_session(path)
    total, done = sum(len(recording.sentences) for recording in session.recordings), 0
    if not total:
        raise NeurratorError(f"{path} holds no sentences, so there is nothing to make again.")
    for saved in session.recordings:
        if not saved.sentences:
            continue
        source = SavedSource(saved)
        for sentence in saved.sentences:
            report("making sentences again", done, total)
            now = source.again(sentence, backend)
            done += 1
            yield Replayed(now, differences_of_sentence(sentence, now))
    report("making sentences again", total, total)


def sentence_config(saved: SavedRecording, sentence: SavedSentence, recording: str) -> NarrateConfig:
    """Return the configuration that makes a saved sentence again.

    Raises
    ------
    NeurratorError
        Its settings are not those of this version.
    """
    given: dict[str, Any] = {
        **sentence.settings,
        "recording": saved.source or recording,
        "presentations": saved.presentations,
        "decoder": sentence.decoder,
        "unit_ids": sentence.units,
        "frames": str(sentence.frame),
        "repeat": sentence.repeat,
        "prompt": sentence.prompt.strip() or None,
    }
    try:
        return NarrateConfig(**given)
    except ValueError as error:
        raise NeurratorError(
            f"The settings {sentence.settings} of a saved sentence are not those of this version: save the session anew."
        ) from error


class SavedSource:
    """A recording of a session file, opened once; `moved` is where it lies now, if not where the file says."""

    def __init__(self, saved: SavedRecording, moved: str | None = None):
        from .recording import open_recording

        self.saved = saved
        if moved is not None:
            self.recording = open_recording(moved, presentations=saved.presentations)
        elif saved.pool is not None:
            from .recording.pool import pool

            self.recording = pool([open_recording(source) for source in saved.pool], saved.pool_stimulus)
        else:
            assert saved.source is not None
            self.recording = open_recording(saved.source, presentations=saved.presentations)
        self._decoders: dict[str, tuple[DecoderInfo, Stimulus, pd.DataFrame]] = {}

    def moment(self, sentence: SavedSentence) -> tuple[DecoderInfo, "Stimulus", "pd.DataFrame"]:
        """Return the decoder of a sentence, its stimulus, and the row of the table of moments that it is of.

        Raises
        ------
        NeurratorError
            The decoder is not there, or the moment is another one now.
        """
        info, stimulus, moments = self._decoder(sentence.decoder)
        fits = sentence.moment < len(moments)
        row = moments.iloc[[sentence.moment]] if fits else moments.iloc[:0]
        if not fits or int(row["repeat"].iloc[0]) != sentence.repeat:
            raise NeurratorError(
                f"Frame {sentence.frame} in showing {sentence.repeat} is not moment {sentence.moment} of {self.recording.name} any more: the session was saved with other presentations."
            )
        return info, stimulus, row

    def again(self, sentence: SavedSentence, backend: Backend) -> Narration:
        """Make a sentence again."""
        info, stimulus, row = self.moment(sentence)
        config = sentence_config(self.saved, sentence, self.recording.name)
        return next(narrate_moments(backend, self.recording, stimulus, row, info, sentence.units, config))

    def _decoder(self, folder: str) -> tuple[DecoderInfo, "Stimulus", "pd.DataFrame"]:
        if folder not in self._decoders:
            info = decoder_info(folder)
            self._decoders[folder] = (info, *_shown(self.recording, info, self.saved.frames))
        return self._decoders[folder]


def differences_of_sentence(saved: SavedSentence, now: Narration) -> list[str]:
    """Say what differs between a saved sentence and the same one made again."""
    pairs: list[tuple[str, Any, Any]] = [("text", saved.text, now.text), ("held_out", saved.held_out, now.held_out)]
    pairs += [
        (name, getattr(saved, name), getattr(now, name))
        for name in ("reference", "prior")
        if getattr(saved, name) is not None
    ]
    if saved.mean_cosine is not None:
        pairs.append(("patch_cosine", saved.mean_cosine, now.patch_cosine))
    if saved.prior_cosine is not None:
        pairs.append(("prior_patch_cosine", saved.prior_cosine, now.prior_patch_cosine))
    if saved.evidence is not None:
        pairs += [
            (
                f"evidence.{name}",
                getattr(saved.evidence, name),
                None if now.evidence is None else getattr(now.evidence, name),
            )
            for name in ("gain", "usual", "p", "least")
        ]
    return [f"{name} was {was!r} and is {is_!r}" for name, was, is_ in pairs if not _same(was, is_)]


def _same(was: Any, is_: Any) -> bool:
    if isinstance(was, float) and isinstance(is_, float):
        return abs(was - is_) <= _CLOSE
    return was == is_


# -- JSON lines ------------------------------------------------------------------------------------------------------------------------
def _lines(path: Path, backend: Backend, report: OnProgress) -> Iterator[Replayed]:
    saved = read_narrations(path)
    done = 0
    for (_, _, units), group in groupby(
        saved, key=lambda one: (one.config.model_dump_json(), one.stimulus, one.unit_ids)
    ):
        some = list(group)
        config = some[0].config
        recording = _opened(config)
        info = decoder_info(config.decoder)
        stimulus, moments = _shown(recording, info, None)
        rows = _rows_of(some, moments, recording)
        for was, now in zip(
            some, narrate_moments(backend, recording, stimulus, rows, info, units, config), strict=True
        ):
            report("making sentences again", done, len(saved))
            done += 1
            yield Replayed(now, differences_of_lines(was, now))
    report("making sentences again", len(saved), len(saved))


def _opened(config: NarrateConfig) -> "Recording":
    from .recording import open_recording

    presentations = config.presentations or decoder_info(config.decoder).config.presentations
    return open_recording(config.recording, presentations=presentations)


def _shown(recording: "Recording", info: DecoderInfo, frames: str | None) -> tuple["Stimulus", "pd.DataFrame"]:
    from .recording import moments, open_stimulus

    if recording.name != info.recording:
        raise NeurratorError(
            f"The decoder was fitted on the recording {info.recording!r}, and this one is {recording.name!r}."
        )
    stimulus, name = open_stimulus(recording, info.stimulus, frames=frames or info.config.frames)
    return stimulus, moments(recording, name, stimulus)


def _rows_of(some: list[Narration], moments: "pd.DataFrame", recording: "Recording") -> "pd.DataFrame":
    place = {
        key: row for row, key in reversed(list(enumerate(zip(moments["presentation"], moments["frame"], strict=True))))
    }
    missing = next((one for one in some if (one.presentation, one.frame) not in place), None)
    if missing is not None:
        raise NeurratorError(
            f"Frame {missing.frame} was not shown in presentation {missing.presentation} of {recording.name}: this is not the recording that was narrated."
        )
    return moments.iloc[[place[one.presentation, one.frame] for one in some]]


def differences_of_lines(was: Narration, now: Narration) -> list[str]:
    """Say what differs between two lines, to the last digit."""
    old, new = was.model_dump(), now.model_dump()
    return [f"{name} was {old[name]!r} and is {new[name]!r}" for name in old if old[name] != new.get(name)]
