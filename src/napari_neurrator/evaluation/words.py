"""The words of sentences, and which of them say what is in the picture. Free of torch."""

import importlib.util
import re
import runpy
from collections.abc import Sequence
from functools import cache
from pathlib import Path

# scikit-learn's list holds these too; in a sentence about a picture they say what is there, how many, and where.
_TELLING = frozenset(
    [
        "back",
        "bill",
        "bottom",
        "cry",
        "empty",
        "fire",
        "first",
        "front",
        "full",
        "last",
        "mill",
        "move",
        "part",
        "side",
        "system",
        "thick",
        "thin",
        "third",
        "top",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "fifteen",
        "twenty",
        "forty",
        "fifty",
        "sixty",
        "hundred",
    ]
)
# Words on the list among all words of sentences, at least: other languages share some of them ("in", "de").
_ENGLISH = 1 / 3


def words_of(sentence: str) -> list[str]:
    """Return the words of a sentence, in small letters."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", sentence.casefold())


@cache
def stop_words() -> frozenset[str]:
    """Return scikit-learn's ``ENGLISH_STOP_WORDS``.

    Its file is read by itself where it is at its place: importing the package takes a second, for which the window would stand still.
    """
    package = importlib.util.find_spec("sklearn")
    file = Path(package.origin or "") if package else Path()
    file = file.parent / "feature_extraction" / "_stop_words.py"
    if file.is_file():
        return frozenset(runpy.run_path(str(file))["ENGLISH_STOP_WORDS"])
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def content_words(sentences: Sequence[str]) -> list[list[str]]:
    """Return the words of sentences without those that carry no content ("a", "on", "with"), where the sentences are in English.

    English is told by the share of scikit-learn's stop words in all of the sentences together. Of sentences in other languages all words are returned.

    Parameters
    ----------
    sentences : sequence of str
        Of one language.

    Returns
    -------
    list of list of str
        In small letters, for each sentence, in its order.
    """
    words = [words_of(sentence) for sentence in sentences]
    every = [word for some in words for word in some]
    if sum(word in stop_words() for word in every) < _ENGLISH * len(every):
        return words
    return [[word for word in some if word not in stop_words() or word in _TELLING] for some in words]
