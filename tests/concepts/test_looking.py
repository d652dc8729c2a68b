"""Best patches, courses, labels and names: against what dense tables say."""

import json

import numpy as np
import pytest
import torch

from napari_neurrator.concepts.course import concept_course
from napari_neurrator.concepts.dictionary import Dictionary
from napari_neurrator.concepts.gallery import find_top_patches, index_of, top_patches
from napari_neurrator.concepts.labels import LONGEST, Labels
from napari_neurrator.concepts.names import Names
from napari_neurrator.concepts.naming import choose_names, read_vocabulary, save_names
from napari_neurrator.concepts.ranking import UsualActivation, concept_totals, top_concepts
from napari_neurrator.errors import NeurratorError

from . import layouts
from .test_families import dense

FRAMES, PATCHES = 23, 6


@pytest.fixture
def dictionary(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURRATOR_DATA", str(tmp_path / "data"))
    return Dictionary(layouts.saelens(tmp_path / "d", "topk").path)


@pytest.fixture
def grids():
    return np.random.default_rng(2).normal(size=(FRAMES, PATCHES, layouts.WIDTH)).astype(np.float16)


def table(dictionary, grids):
    return dense(dictionary.encode(torch.from_numpy(grids))).view(len(grids), -1, dictionary.n_features).numpy()


@pytest.mark.parametrize("apart", [1, 4, 10])
def test_best_patches_are_those_of_the_dense_table(dictionary, grids, apart):
    full = table(dictionary, grids)
    features = [0, 7, 39]
    for feature, found in zip(features, top_patches(dictionary, grids, features, 5, apart), strict=True):
        peaks = full[:, :, feature].max(1)
        best = sorted((peaks[start : start + apart].max() for start in range(0, FRAMES, apart)), reverse=True)
        best = [value for value in best if value > 0][:5]
        np.testing.assert_allclose([value for _, _, value in found], best, rtol=1e-5)
        for row, patch, value in found:
            assert full[row, patch, feature] == pytest.approx(value)
        assert len({row // apart for row, _, _ in found}) == len(found)
    index = find_top_patches(dictionary, grids, 5, apart)
    np.testing.assert_array_equal(index.frames_active, (full > 0).any(1).sum(0))


def test_the_index_is_kept_and_a_damaged_one_is_made_anew(dictionary, grids, own_cache, monkeypatch):
    first = index_of(dictionary, grids, ["these"], 4)
    (file,) = (own_cache / "concepts" / dictionary.content_hash).glob("*.safetensors")
    monkeypatch.setattr(Dictionary, "encode", lambda *_: pytest.fail("it was encoded again"))
    np.testing.assert_array_equal(index_of(dictionary, grids, ["these"], 4).rows, first.rows)
    monkeypatch.undo()
    file.write_bytes(b"half")
    np.testing.assert_array_equal(index_of(dictionary, grids, ["these"], 4).values, first.values)


def test_courses_and_totals_are_sums_over_patches(dictionary, grids, tmp_path):
    entries = [{"name": ["fox", "", "owl"][i % 3], "score": 0.9} for i in range(layouts.FEATURES)]
    (tmp_path / "d" / "names.json").write_text(json.dumps(entries))
    dictionary = Dictionary(tmp_path / "d")
    full = table(dictionary, grids).sum(1)
    np.testing.assert_allclose(
        concept_course(dictionary, grids, [5, "owl"]).numpy(),
        np.stack([full[:, 5], full[:, 2::3].sum(1)], 1),
        atol=1e-4,
    )
    encoded = dictionary.encode(torch.from_numpy(grids))
    totals = concept_totals(dictionary, encoded)
    np.testing.assert_allclose(totals.numpy(), np.stack([full[:, 0::3].sum(1), full[:, 2::3].sum(1)], 1), atol=1e-4)
    usual = UsualActivation.of(totals)
    for frame, concepts in enumerate(top_concepts(dictionary, encoded, 2, usual)):
        for concept in concepts:
            place = {"fox": 0, "owl": 2}[concept.name]
            heat = table(dictionary, grids)[frame][:, place::3]
            np.testing.assert_allclose(concept.heatmap.numpy(), heat.sum(1), atol=1e-5)
            assert concept.feature == place + 3 * (heat.max(0).argmax())


def test_labels_are_kept_win_and_are_not_touched_by_naming(dictionary, tmp_path):
    unnamed = dictionary.fingerprint
    labels = Labels.of(dictionary)
    labels.set(3, "  tiger\n stripes ")
    labels.set(4, "gone")
    labels.set(4, "")
    labels.set(5, "x" * 300)
    labels.save()
    assert labels.file == tmp_path / "d" / "labels.json"
    before = labels.file.read_bytes()
    names = Names([{"name": "zebra", "score": 0.9}] * layouts.FEATURES, {"method": "m"})
    assert save_names(dictionary, names) == tmp_path / "d" / "names.json"
    with pytest.raises(NeurratorError, match="--replace"):
        save_names(dictionary, names)
    save_names(dictionary, names, replace=True)
    assert labels.file.read_bytes() == before
    again = Dictionary(tmp_path / "d")
    assert again.names[3]["name"] == "tiger stripes"
    assert again.names[4]["name"] == "zebra"
    assert len(again.names[5]["name"]) == LONGEST
    assert again.content_hash == dictionary.content_hash
    assert again.fingerprint != unnamed
    assert again.given_names.about == {"method": "m"}


def test_labels_of_a_folder_that_cannot_be_written_go_to_the_user(dictionary, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_neurrator.concepts.places.os.access", lambda *_: False)
    labels = Labels.of(dictionary)
    labels.set(1, "mine")
    labels.save()
    assert labels.file == tmp_path / "data" / "dictionaries" / dictionary.content_hash / "labels.json"
    assert Dictionary(tmp_path / "d").names[1]["name"] == "mine"


def test_single_files_do_not_share_names(tmp_path):
    written = layouts.clip_scope(tmp_path)
    labels = Labels.of(Dictionary(written.path))
    labels.set(0, "sky")
    labels.save()
    assert labels.file.name == "1200013184.labels.json"
    assert Dictionary(written.path).names[0]["name"] == "sky"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"labels": {"a": "b"}}', '{"labels": {"1": "a"}, "dictionary": "another"}']
)
def test_damaged_labels_and_names_are_one_sentence(tmp_path, dictionary, text):
    (tmp_path / "d" / "labels.json").write_text(text)
    with pytest.raises(NeurratorError, match=r"labels in .* (cannot be read|another dictionary)"):
        _ = Dictionary(tmp_path / "d").names
    (tmp_path / "d" / "names.json").write_text("[]")
    with pytest.raises(NeurratorError, match="are of 0 features"):
        _ = Dictionary(tmp_path / "d").given_names


def test_a_vocabulary_is_read_or_refused(tmp_path):
    file = tmp_path / "v.txt"
    file.write_text("# animals\ndog\n\n  polar   bear \ndog\n", encoding="utf-8")
    assert read_vocabulary(file) == ["dog", "polar bear"]
    file.write_text("one\n")
    with pytest.raises(NeurratorError, match="1 phrases"):
        read_vocabulary(file)
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(NeurratorError, match="UTF-8"):
        read_vocabulary(file)
    with pytest.raises(NeurratorError, match="cannot be read"):
        read_vocabulary(tmp_path / "none.txt")


def test_names_are_chosen_on_half_and_judged_on_the_other():
    """Features that answer to one thing are named after it; one that answers to anything scores about luck; a rare one has none."""
    rng = np.random.default_rng(0)
    phrases = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(6, 32))).float(), dim=1)
    kinds = np.repeat(np.arange(5), 40)
    # One phrase (the last) is liked by every picture, as CLIP likes some.
    pictures = phrases[kinds] + 2 * phrases[5] + 0.15 * torch.from_numpy(rng.normal(size=(200, 32))).float()
    pictures = torch.nn.functional.normalize(pictures, dim=1)
    rows = np.full((7, 16), -1, dtype=np.int32)
    for feature in range(5):
        rows[feature] = rng.permutation(np.flatnonzero(kinds == feature))[:16]
    rows[5] = rng.permutation(200)[:16]
    rows[6, :3] = [0, 1, 2]
    from napari_neurrator.concepts.gallery import TopPatches

    index = TopPatches(rows, np.zeros_like(rows), np.ones(rows.shape, np.float32), np.zeros(7, np.int32), 200)
    entries = choose_names(index, {(row, 0): row for row in range(200)}, pictures, phrases, list("abcdef"), 0.8)
    assert [entry["name"] for entry in entries] == ["a", "b", "c", "d", "e", "", ""]
    assert all(entry["score"] > 0.85 for entry in entries[:5])
    assert entries[5]["score"] < 0.8
    assert entries[6] == {"name": "", "score": 0.0, "patches": 3}


def test_naming_and_the_sheet_on_pictures(tiny, pictures, tmp_path, monkeypatch):
    from napari_neurrator.concepts.dictionary import load_dictionary
    from napari_neurrator.concepts.gallery import top_frames
    from napari_neurrator.concepts.naming import name_features
    from napari_neurrator.concepts.sheet import contact_sheet
    from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
    from napari_neurrator.vision.geometry import PatchGeometry

    np.save(tmp_path / "p.npy", pictures)
    stimulus = ArrayStimulus.from_npy(tmp_path / "p.npy", "pictures")
    dictionary = load_dictionary(tiny)
    names = name_features(dictionary, stimulus, tiny, ["tiger", "bus", "penguin", "balloon"], "a {}", n=6)
    assert len(names.entries) == dictionary.n_features
    assert "judge" in names.about["method"]
    tried = [entry for entry in names.entries if entry["patches"] >= 4]
    assert tried
    assert all(0 <= entry["score"] <= 1 for entry in tried)
    found = dict(zip([0, 3], top_frames(dictionary, stimulus, tiny, [0, 3], 3), strict=True))
    contact_sheet(dictionary, stimulus, PatchGeometry.of(tiny, *pictures.shape[1:3]), found, tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    assert page.count("<h2>") == 2
    assert page.count("<img") == sum(map(len, found.values()))
