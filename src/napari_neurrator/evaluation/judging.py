"""Who narrates and what judges: the language model, the reference captions, the classes that a sentence should name."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import NeurratorError
from .captions import captions_beside, captions_for, read_captions
from .labels import ClassNames, SameSentence
from .material import Material, OnProgress
from .sentences import Narrator
from .tables import Judge
from .text_scores import Overlap, SentenceEmbedder

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Bench:
    """Narrator and judge of an evaluation.

    Attributes
    ----------
    narrator : Narrator
        Puts grids into words.
    judge : Judge
        Scores grids and sentences.
    said : list of str
        What the profile says of each frame's true patches, (frame,): the ceiling.
    references : str
        In words, what sentences are held against.
    label : str
        In words, when a sentence counts as right.
    label_name : str
        What that score is called.
    """

    narrator: Narrator
    judge: Judge
    said: list[str]
    references: str
    label: str
    label_name: str


def make_bench(material: Material, warnings: list[str], progress: OnProgress) -> Bench:
    """Load the models and narrate the true frames.

    Raises
    ------
    NeurratorError
        Captions or labels that cannot be used.
    """
    config = material.config
    file = config.captions or captions_beside(material.recording)
    captions = None if file is None else captions_for(read_captions(file), material.pool.frames, file)
    column = label_column(material)
    narrator = Narrator(material.make_language(material.profile), config.prompt, config.max_new_tokens)
    said = _narrated(material, narrator, progress)
    classes = said if column is None else _classes(material, column)
    labels = SameSentence(said) if column is None else ClassNames(classes, said)
    label = (
        "the sentence is word for word what is said of the true frame"
        if column is None
        else f"the sentence names the {column} shown, one of {len(set(classes))}"
    )
    judge = Judge(
        material,
        captions or [[sentence] for sentence in said],
        labels,
        np.array([labels.classes.index(name) for name in classes]),
        _embedder(config.sentence_model, warnings, progress),
        Overlap(),
    )
    name = "same sentence" if column is None else f"{column} named right"
    return Bench(narrator, judge, said, _references(material, file, captions), label, name)


def _narrated(material: Material, narrator: Narrator, progress: OnProgress) -> list[str]:
    rows = np.arange(len(material.pool.frames))
    said: list[str] = []
    for start in range(0, len(rows), _BATCH):
        progress("narrating the true frames", start, len(rows))
        said += narrator(material.pool.true(rows[start : start + _BATCH]))
    progress("narrating the true frames", len(rows), len(rows))
    return said


def _references(material: Material, file: str | Path | None, captions: list[list[str]] | None) -> str:
    if file is None or captions is None:
        return f"what the profile {material.profile.name} says of the true frame"
    fewest, most = min(map(len, captions)), max(map(len, captions))
    return f"captions of {Path(file).name}, {fewest if fewest == most else f'{fewest} to {most}'} a frame"


def _embedder(model: str | None, warnings: list[str], progress: OnProgress) -> SentenceEmbedder | None:
    if not model:
        warnings.append("No sentence model was asked for: the report is without SBERT.")
        return None
    progress("loading the sentence model", 0, 1)
    try:
        return SentenceEmbedder(model)
    except NeurratorError as error:
        warnings.append(f"{error} The report goes on without SBERT.")
        return None
    finally:
        progress("loading the sentence model", 1, 1)


def label_column(material: Material) -> str | None:
    """Return the column of the presentations whose value a sentence should name: the one asked for, else orientation where there is one.

    Raises
    ------
    NeurratorError
        There is no such column.
    """
    column, shown = material.config.labels, _shown(material)
    if column is None:
        return "orientation" if "orientation" in shown and shown["orientation"].notna().all() else None
    if column not in shown:
        raise NeurratorError(
            f"The presentations of {material.stimulus_name!r} have no column {column!r}: choose another one for --labels."
        )
    return column


def _classes(material: Material, column: str) -> list:
    """Return the class of each frame of the pool."""
    values = _shown(material)[column].to_numpy()
    if column == "orientation":
        # Stripes that drift in opposite directions lie alike.
        values = values.astype(float) % 180
    of: dict[int, object] = {}
    for frame, value in zip(material.course.frame, values, strict=True):
        if of.setdefault(int(frame), value) != value:
            raise NeurratorError(
                f"The column {column!r} differs between showings of frame {material.pool.frames[frame]}, so no sentence can name it: choose another one for --labels."
            )
    return [of[frame] for frame in range(len(material.pool))]


def _shown(material: Material) -> "pd.DataFrame":
    return material.recording.presentations.loc[material.moments["presentation"]]
