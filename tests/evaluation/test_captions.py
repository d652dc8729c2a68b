"""Reference captions and scores of sentences."""

import json

import numpy as np
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.captions import captions_for, read_captions
from napari_neurrator.evaluation.text_scores import Overlap, cosine_tables, model_folder, unique_rate


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps({"0": "a dog", "1": ["a cat", "the cat"]})),
        ("b.json", json.dumps([{"frame": 0, "caption": "a dog"}, {"frame": 1, "captions": ["a cat", "the cat"]}])),
        ("c.json", json.dumps({"frames": [{"frame": 0, "caption": "a dog"}, {"frame": 1, "captions": ["a cat", "the cat"]}]})),
        ("d.csv", "caption,frame\na dog,0\na cat,1\nthe cat,1\n"),
        ("e.csv", "\ufeffframe,caption\r\n0,a dog\r\n1,a cat\r\n1,the cat\r\n"),
    ],
)  # fmt: skip
def test_captions_are_read_from_every_layout(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    assert read_captions(file) == {0: ["a dog"], 1: ["a cat", "the cat"]}


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"x": "a dog"}', '{"0": 3}', "{}", '{"0": ""}'])
def test_a_file_that_holds_no_captions_is_refused(tmp_path, text):
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(NeurratorError, match="captions"):
        read_captions(file)


def test_a_missing_file_and_a_missing_frame_are_named(tmp_path):
    with pytest.raises(NeurratorError, match="no file of captions"):
        read_captions(tmp_path / "none.json")
    with pytest.raises(NeurratorError, match="the first is frame 2"):
        captions_for({0: ["a"]}, np.array([0, 2]), "f.json")


def test_cosines_are_taken_with_all_references():
    vectors = {"a": [1, 0], "b": [0, 1], "c": [0.6, 0.8]}

    def embedder(sentences):
        return np.array([vectors[one] for one in sentences], dtype=np.float32)

    mean, best = cosine_tables(embedder, ["c", "a", "c"], [["a", "b"], ["a"]])
    np.testing.assert_allclose(mean, [[0.7, 0.6], [0.5, 1], [0.7, 0.6]], atol=1e-6)
    np.testing.assert_allclose(best, [[0.8, 0.6], [1, 1], [0.8, 0.6]], atol=1e-6)


def test_overlap_knows_the_same_sentence_and_a_different_one():
    overlap = Overlap()
    assert overlap.mean(["a dog on the beach by day."], [["a cat.", "a dog on the beach by day."]]) == pytest.approx(
        (1, 1)
    )
    bleu, rouge = overlap.mean(["a dog on the beach."], [["horizontal stripes"]])
    assert bleu < 0.05
    assert rouge == 0


def test_unique_rate():
    assert unique_rate(["a", "a", "b", "a"]) == 0.5


def test_a_sentence_model_is_found_as_a_folder(tmp_path):
    (tmp_path / "modules.json").write_text("[]")
    assert model_folder(str(tmp_path)) == tmp_path
    assert model_folder("some/hub-id") is None
