"""Words with content, of sentences in English; all words of others."""

import subprocess
import sys

import pytest

from napari_neurrator.evaluation.words import content_words, stop_words, words_of


def test_words_of_a_sentence():
    assert words_of("L'été, it's 2 o’clock") == ["l'été", "it's", "2", "o’clock"]


def test_the_list_is_that_of_scikit_learn_and_is_had_without_loading_it():
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    assert stop_words() == ENGLISH_STOP_WORDS
    code = "import sys; from napari_neurrator.evaluation.words import stop_words; stop_words(); assert not {'sklearn', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_function_words_of_english_are_left_out():
    found = content_words(
        ["A tiger on the left, in the forest by day.", "Two buses with a man in front of an empty house"]
    )
    assert found == [["tiger", "left", "forest", "day"], ["two", "buses", "man", "front", "empty", "house"]]
    assert content_words([]) == []
    assert content_words([""]) == [[]]


@pytest.mark.parametrize(
    "sentence",
    [
        "Ein Tiger in der Stadt am Abend, und ein Bus auf der Straße.",
        "Een tijger met strepen staat links in het bos.",
        "Un tigre à gauche, dans la forêt, le jour.",
        "Un tigre en la ciudad de noche y un autobús.",
        "Una tigre nella foresta di giorno, a sinistra.",
        "En tiger till vänster i skogen på dagen.",
        "森の中の虎。",
    ],
)
def test_of_other_languages_all_words_are_kept(sentence):
    assert content_words([sentence]) == [words_of(sentence)]
