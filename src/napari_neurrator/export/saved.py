"""The sentences that a session file keeps, as narrations: nothing is said again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..backend.narrations import Narration, NarrationEvidence, condition_of
from ..errors import NeurratorError
from ..replay import SavedSource, sentence_config
from ..session_file import SavedRecording, SavedSentence, is_session_file, read_session

if TYPE_CHECKING:
    from ..recording import Recording


@dataclass(frozen=True)
class SavedNarrations:
    """What a session file holds of one recording.

    Attributes
    ----------
    lines : list of Narration
        Its sentences in the order of the file, without concepts, which a session file does not keep.
    recording : Recording
        What they are of.
    frames : str or None
        File or folder with the frames of the stimulus, where the session names one.
    others : list of str
        Sources of the other recordings that the file holds sentences of.
    """

    lines: list[Narration]
    recording: "Recording"
    frames: str | None
    others: list[str]


def is_saved_session(path: str | Path) -> bool:
    """Tell by its name whether a file is a session, not JSON lines: ``.neurrator.json``, ``.neurrator.toml`` or another ``.toml``."""
    return is_session_file(path) or Path(path).suffix.lower() == ".toml"


def narrations_of_session(
    path: str | Path,
    recording: str | None = None,
    frames: str | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> SavedNarrations:
    """Read the sentences of the recording that a session file shows, or of the first with sentences where that one has none.

    Parameters
    ----------
    path : path-like
        The session file.
    recording : str, optional
        The recording, where it has moved.
    frames : str, optional
        File or folder with the frames, where they have moved.
    on_progress : callable, optional
        Called with (stage, done, total).

    Raises
    ------
    NeurratorError
        The file cannot be read or holds no sentences, or its recording or decoder is not there or another one.
    """
    session = read_session(path)
    spoken = [one for one in session.recordings if one.sentences]
    if not spoken:
        raise NeurratorError(f"{path} holds no sentences, so there is nothing to take home.")
    shown = session.recordings[session.current]
    saved = shown if shown.sentences else spoken[0]
    others = [one.source or " + ".join(one.pool or []) for one in spoken if one is not saved]
    if frames is not None:
        saved = saved.model_copy(update={"frames": frames})
    source = SavedSource(saved, recording)
    lines = []
    for number, sentence in enumerate(saved.sentences):
        if on_progress:
            on_progress("reading sentences", number, len(saved.sentences))
        lines.append(_narration(saved, sentence, source, recording))
    return SavedNarrations(lines, source.recording, saved.frames, others)


def _narration(saved: SavedRecording, sentence: SavedSentence, source: SavedSource, moved: str | None) -> Narration:
    info, _, row = source.moment(sentence)
    known = set(info.unit_ids)
    units = [unit for unit in sentence.units if unit in known]
    if not units:
        raise NeurratorError(f"The decoder {sentence.decoder} knows none of the units of a saved sentence (frame {sentence.frame}).")  # fmt: skip
    at = row.iloc[0]
    judged = sentence.evidence is not None
    return Narration(
        text=sentence.text.strip(),
        unit_ids=units,
        stimulus=info.stimulus,
        frame=int(at["frame"]),
        presentation=int(at["presentation"]),
        repeat=int(at["repeat"]),
        start_time=float(at["start_time"]),
        held_out=sentence.held_out,
        reference=sentence.reference,
        prior=sentence.prior,
        patch_cosine=None if sentence.mean_cosine is None else round(sentence.mean_cosine, 4),
        prior_patch_cosine=None if sentence.prior_cosine is None else round(sentence.prior_cosine, 4),
        evidence=NarrationEvidence.of(sentence.evidence, "", info.config.split, sentence.held_out) if judged else None,
        condition=condition_of(source.recording, int(at["presentation"])),
        simulated=bool(source.recording.simulated),
        config=sentence_config(saved, sentence, source.recording.name).model_copy(
            update={"unit_ids": units, **({"recording": moved} if moved else {})}
        ),
    )
