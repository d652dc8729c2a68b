"""Which class of stimulus a sentence names, without a list of words: the words by which the profile's own narrations tell the classes apart."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def words(sentence: str) -> frozenset[str]:
    """Return the words of a sentence, in lower case."""
    return frozenset(_WORD.findall(sentence.lower()))


class ClassNames:
    """Tells the class that a sentence names.

    Parameters
    ----------
    classes : sequence
        The class of each frame, such as the orientation of its stripes.
    references : sequence of str
        What the profile says of each frame's true picture.
    """

    def __init__(self, classes: Sequence, references: Sequence[str]):
        self.classes = sorted(set(classes))
        said: dict = {name: set() for name in self.classes}
        for name, sentence in zip(classes, references, strict=True):
            said[name].add(words(sentence))
        vocabulary = {word for sets in said.values() for one in sets for word in one}
        # A word that every sentence of every class holds tells nothing.
        telling = {word for word in vocabulary if not all(word in one for sets in said.values() for one in sets)}
        self._telling = telling
        self._said = {name: {one & telling for one in sets} for name, sets in said.items()}

    def credit(self, sentences: Sequence[str]) -> np.ndarray:
        """Return how far each sentence names each class, (sentence, class).

        1 for the class whose narrations are nearest in their telling words (largest Jaccard index), shared fairly among ties; 0 everywhere where
        no telling word is said.
        """
        table = np.zeros((len(sentences), len(self.classes)))
        for row, sentence in enumerate(sentences):
            said = words(sentence) & self._telling
            near = np.array([max(_jaccard(said, one) for one in self._said[name]) for name in self.classes])
            if near.max() > 0:
                table[row] = (near == near.max()) / np.count_nonzero(near == near.max())
        return table

    def chance(self, classes: Sequence) -> float:
        """Return the share that always naming the most frequent class would get right."""
        return _most_frequent(classes)


class SameSentence:
    """Tells whether a sentence is word for word what is said of a frame; for stimuli without classes.

    Parameters
    ----------
    references : sequence of str
        What the profile says of each frame's true picture.
    """

    def __init__(self, references: Sequence[str]):
        self.classes = sorted(set(references))

    def credit(self, sentences: Sequence[str]) -> np.ndarray:
        """Return 1 where a sentence is that of the class, else 0: (sentence, class)."""
        return (np.array(sentences, dtype=object)[:, None] == np.array(self.classes, dtype=object)[None]).astype(float)

    def chance(self, classes: Sequence) -> float:
        """Return the share that always saying the most frequent sentence would get right."""
        return _most_frequent(classes)


def _most_frequent(classes: Sequence) -> float:
    return max(Counter(classes).values(), default=0) / max(len(classes), 1)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0
