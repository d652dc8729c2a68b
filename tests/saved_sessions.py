"""Session files as the window would save them, from narrations as the command line writes them."""

from collections.abc import Sequence
from pathlib import Path

from napari_neurrator.backend.narrations import Narration
from napari_neurrator.evaluation.evidence import Evidence
from napari_neurrator.recording import moments, open_recording, open_stimulus
from napari_neurrator.session_file import SavedRecording, SavedSentence, SessionFile


def session_of(narrations: Sequence[Narration], sample: str | Path, decoder: str | Path) -> SessionFile:
    """Return the session that the window would have saved of these sentences."""
    recording = open_recording(sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    row = {presentation: row for row, presentation in enumerate(moments(recording, name, stimulus)["presentation"])}
    sentences = [
        SavedSentence(
            units=one.unit_ids, frame=one.frame, repeat=one.repeat, moment=row[one.presentation], decoder=str(decoder), text=one.text, reference=one.reference,
            prior=one.prior, mean_cosine=one.patch_cosine, prior_cosine=one.prior_patch_cosine, held_out=one.held_out,
            evidence=Evidence(**one.evidence.model_dump(include=set(Evidence.model_fields))), settings={"concepts": 3},
        )
        for one in narrations
    ]  # fmt: skip
    return SessionFile(
        recordings=[SavedRecording(source=str(sample), stimulus="natural_movie_one", sentences=sentences)]
    )
