"""Two parts of one film as two films, for sessions that show no other."""

from pathlib import Path

import numpy as np

from ...errors import NeurratorError
from .config import MoviesStudy


def fit_on_parts(config: MoviesStudy, folder: Path) -> list[MoviesStudy]:
    """Write presentations that name the two parts as stimuli of their own, and return the study of each session with them in place.

    Presentations of frames in neither part are left out. Frames keep their numbers, so both parts read the same file of frames. Sessions may call
    their film differently, and have its frames in different files.

    Raises
    ------
    NeurratorError
        A part that the film does not have, parts that overlap, or frames that lie in no file.
    """
    from ...recording import open_recording
    from ...recording.stimulus.beside import file_beside
    from ..report import write_text

    assert config.parts is not None
    (first, last), (begin, end) = config.parts
    if not (first <= last and begin <= end) or max(first, begin) <= min(last, end):
        raise NeurratorError(
            f"The parts {first} to {last} and {begin} to {end} overlap or run backwards: give two stretches of frames apart from each other."
        )
    studies = []
    for number, session in enumerate(config.sessions):
        fit = session.fit
        assert fit is not None
        recording = open_recording(session.recording, presentations=session.presentations)
        name = recording.stimulus_name(fit.stimulus)
        shown = recording.presentations_of(name)
        frames = fit.frames or file_beside(recording, name)
        if frames is None:
            raise NeurratorError(
                f"The frames of {name!r} are not in a file beside {recording.source}, and parts of a film need one: give it as frames of the fit."
            )
        parts = {f"{name}_{a}_to_{b}": (a, b) for a, b in config.parts}
        label = np.full(len(shown), "", dtype=object)
        for part, (a, b) in parts.items():
            label[shown["frame"].between(a, b).to_numpy()] = part
            if not (label == part).any():
                raise NeurratorError(
                    f"The film {name!r} of {session.recording} was not shown from frame {a} to {b}: choose other parts."
                )
        table = shown.assign(stimulus=label)[label != ""]
        file = folder / f"parts_{number + 1}.csv"
        write_text(file, table[["stimulus", "start_time", "stop_time", "frame"]].to_csv(index=False))
        own, other = parts
        told = {"presentations": str(file), "stimulus": own, "frames": str(frames)}
        session = session.model_copy(update={"presentations": str(file), "fit": fit.model_copy(update=told)})
        studies.append(config.model_copy(update={"sessions": [session], "stimulus": other, "frames": str(frames)}))
    return studies
