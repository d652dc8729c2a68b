"""What units say of a moment or of a whole film, as far as it is known: values that are replaced, never changed in place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..evaluation.evidence import Evidence

UnitId = int | str
Units = tuple[UnitId, ...]


@dataclass(frozen=True, eq=False)
class ConceptMap:
    """One concept of a moment: its name, how strong, and where (float32 rows × columns)."""

    feature: int
    name: str
    strength: float
    heatmap: np.ndarray
    given: str = ""
    """What the dictionary calls it, where `name` is the user's own from an earlier day."""
    score: float | None = None
    """How well the given name fits, as the dictionary's namer scores it."""


@dataclass(frozen=True)
class ResultKey:
    """What a narration depends on; the same key gives the same words."""

    decoder: str
    prompt: str
    moment: int
    units: Units


@dataclass(frozen=True, eq=False)
class Result:
    """What some units said of one moment, as far as it has arrived."""

    key: ResultKey
    frame: int
    repeat: int
    n_units: int
    n_unknown: int = 0
    text: str = ""
    spoken: bool = False
    finished: bool = False
    reference: str | None = None
    prior: str | None = None
    concepts: tuple[ConceptMap, ...] = ()
    dictionary: str = ""
    naming: str = ""
    cosine: np.ndarray | None = None
    mean_cosine: float | None = None
    prior_cosine: float | None = None
    held_out: bool = False
    evidence: Evidence | None = None
    problem: str = ""
    """Why there is no evidence, where there is none."""

    @property
    def in_part(self) -> bool:
        """Whether only the maps of the moment are known, and no sentence was asked for."""
        return not self.spoken and not self.finished

    @property
    def greyed(self) -> bool:
        """Whether the sentence is not more than chance."""
        return self.evidence is not None and self.evidence.greyed


@dataclass(frozen=True)
class CourseKey:
    """What a course depends on."""

    source: str
    stimulus: str
    decoder: str
    concept: str
    repeat: int = 0
    units: Units = ()
    """Empty for the course of the true frames."""


@dataclass(frozen=True, eq=False)
class Course:
    """How far a concept stands above what is usual, from frame to frame.

    Attributes
    ----------
    key : CourseKey
        Whose, of what.
    strengths : numpy.ndarray
        Standard deviations, (frame,); not a number where it is not known yet, or where there was no such frame.
    n_wanted : int
        Frames of which it can be known.
    problem : str
        Why it will not be known, in one sentence.
    """

    key: CourseKey
    strengths: np.ndarray
    n_wanted: int
    problem: str = ""

    @property
    def n_known(self) -> int:
        """Frames of which it is known."""
        return int(np.isfinite(self.strengths).sum())


@dataclass(frozen=True, eq=False)
class GalleryPicture:
    """A frame in which a concept is strong: where, and how much (float32 rows × columns)."""

    frame: int
    row: int
    column: int
    value: float
    heatmap: np.ndarray


@dataclass(frozen=True, eq=False)
class Gallery:
    """The frames of a stimulus in which a concept is strongest, as far as they are known."""

    concept: str
    stimulus: str
    pictures: tuple[GalleryPicture, ...] = ()
    finished: bool = False
    n_active: int = 0
    n_frames: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Lost:
    """What was lost without some units: cosines of decoded and true patches, and the loss without as many random ones."""

    n: int
    whole: float
    rest: float
    alone: float
    lost: float
    random: np.ndarray
    p: float
    text: str | None = None
    """What the others say without them."""


@dataclass(frozen=True, eq=False)
class AskedBack:
    """What was asked back, and by how much each unit moved it, as far as it is known.

    Attributes
    ----------
    what : str
        In words: "the concept bus".
    kind : str
        ``patches``, ``concept`` or ``word``.
    name : str
        The concept's name, or the word.
    frame, repeat : int
        Of which moment.
    units : tuple
        Those that were asked.
    patches : tuple of int or None
        Where on the frame; None is everywhere.
    carried : numpy.ndarray or None
        Signed, (unit,); None while it is not known.
    explained : tuple
        The fewest units with 80 % of all contributions.
    by_field : bool
        Whether contributions are weighed by where units look.
    """

    what: str
    kind: Literal["patches", "concept", "word"]
    name: str
    frame: int
    repeat: int
    units: Units
    patches: tuple[int, ...] | None = None
    carried: np.ndarray | None = None
    explained: Units = ()
    unit: str = ""
    method: str = ""
    value: float = 0.0
    remainder: float = 0.0
    by_field: bool = False
    stage: str = ""
    done: int = 0
    total: int = 0
    problem: str = ""
    lost: Lost | None = None

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return self.carried is not None


@dataclass(frozen=True, eq=False)
class Inspected:
    """What is known of some patches at one moment: cosines of decoded and true, the null, what is active, what they look like."""

    frame: int
    repeat: int
    units: Units
    patches: tuple[int, ...]
    cosine: float | None = None
    prior_cosine: float = 0.0
    gain: float = 0.0
    null: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    p: float | None = None
    decoded: tuple[tuple[str, float], ...] = ()
    true: tuple[tuple[str, float], ...] = ()
    alike: tuple[GalleryPicture, ...] = ()
    stage: str = ""
    done: int = 0
    total: int = 0
    problem: str = ""


@dataclass(frozen=True)
class MatchKey:
    """What a match over time depends on."""

    source: str
    stimulus: str
    decoder: str
    repeat: int
    units: Units
    patches: tuple[int, ...] = ()
    """Empty for all of them."""


@dataclass(frozen=True, eq=False)
class Match:
    """How close decoded and true patches are from frame to frame, as far as it is known; NaN where it is not.

    Attributes
    ----------
    key : MatchKey
        Whose, of what.
    cosine : numpy.ndarray
        Of decoded and true, (frame, patch).
    prior, low, high : numpy.ndarray
        Mean over the patches of what the mean grid scores, and between what nine tenths of the other frames would, (frame,).
    n_wanted : int
        Frames of which it can be known.
    stage, problem : str
        What goes on before, in words; why it will not be known, in one sentence.
    """

    key: MatchKey
    cosine: np.ndarray
    prior: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_wanted: int
    stage: str = ""
    problem: str = ""

    @property
    def n_known(self) -> int:
        """Frames of which it is known."""
        return int(np.isfinite(self.prior).sum())

    @property
    def mean(self) -> np.ndarray:
        """Mean cosine over the patches, (frame,)."""
        return self.cosine.mean(axis=1)

    @property
    def tested(self) -> tuple[int, int]:
        """Frames that have a null, and those among them whose mean lies above nineteen in twenty of the other frames."""
        known = np.isfinite(self.high)
        return int(known.sum()), int((self.mean[known] > self.high[known]).sum())

    def filled(self) -> np.ndarray:
        """Return `cosine` with each known frame standing until the next, as long as not all are known: the picture shows early and grows sharp."""
        known = np.isfinite(self.prior)
        if self.n_known >= self.n_wanted or not known.any():
            return self.cosine
        last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
        return np.where((last >= 0)[:, None], self.cosine[np.maximum(last, 0)], np.nan)


@dataclass(frozen=True, eq=False)
class PairDifference:
    """How far apart two groups are, and random ones of their sizes; `p` holds for all pairs."""

    first: str
    second: str
    distance: float
    random: np.ndarray
    p: float


@dataclass(frozen=True, eq=False)
class Compared:
    """Groups of units at one moment: what each says, and how far apart they are, as far as it is known."""

    frame: int
    repeat: int
    groups: Mapping[str, Units]
    said: Mapping[str, Result] = field(default_factory=dict)
    pairs: tuple[PairDifference, ...] = ()
    stage: str = ""
    done: int = 0
    total: int = 0
    problem: str = ""
