"""A whole evaluation on the small simulated session."""

import json
import re
from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from napari_neurrator.errors import NeurratorError, Stopped
from napari_neurrator.evaluation.config import EvaluateConfig, default_sizes
from napari_neurrator.evaluation.report import strict
from napari_neurrator.evaluation.run import evaluate


def _config(sample, folder, **changes):
    fields = {
        "recording": str(sample), "decoder": str(folder), "sizes": [1, 10, 80], "draws": 3, "moments": 80, "narrated": 12,
        "n_permutations": 99, "sentence_model": None, "examples": 3,
    }  # fmt: skip
    return EvaluateConfig(**{**fields, **changes})


@pytest.fixture(scope="module")
def folder(small_sample, small_decoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    evaluate(_config(small_sample, small_decoder), folder)
    return folder


@pytest.fixture(scope="module")
def document(folder):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads((folder / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_report_is_strict_json_with_every_size(document):
    assert [one["size"] for one in document["sizes"]] == [1, 10, 80]
    assert [one["draws"] for one in document["sizes"]] == [15, 3, 1]
    for one in document["sizes"]:
        for name in ("label_accuracy", "patch_cosine", "two_way", "retrieval_top1", "bleu", "rouge_l"):
            assert one[name] == pytest.approx(np.mean(one["by_draw"][name]))
    assert document["split"] == "held-out-repeats"
    assert document["config"]["sizes"] == [1, 10, 80]
    assert {"napari-neurrator", "torch"} <= set(document["versions"])
    assert document["simulated"] is True


def test_more_units_say_more_and_beat_their_null(document):
    few, _, whole = document["sizes"]
    assert whole["patch_cosine"] > few["patch_cosine"]
    assert whole["two_way"] > 0.9
    assert whole["p"]["patch_cosine"] < 0.05
    assert whole["nulls"]["patch_cosine"]["circular_shift"]["mean"] < whole["patch_cosine"]
    assert whole["ci"]["patch_cosine"][0] <= whole["patch_cosine"] <= whole["ci"]["patch_cosine"][1]


def test_prior_and_chance_are_what_they_should_be(document):
    assert document["prior"]["two_way"] == pytest.approx(0.5)
    assert document["prior"]["retrieval_top1"] == pytest.approx(1 / document["n_pictures"])
    assert document["ceiling"]["label_accuracy"] == 1.0
    assert document["unrelated_caption"]["label_accuracy"] < 0.5


def test_a_missing_sentence_model_is_said_and_the_report_goes_on(small_sample, small_decoder, tmp_path):
    config = _config(small_sample, small_decoder, sizes=[80], sentence_model="none/such-model")
    report = evaluate(config, tmp_path / "r")
    assert any("goes on without SBERT" in warning for warning in report.warnings)
    assert "sbert" not in report.sizes[0].by_draw


def test_the_page_needs_nothing_from_outside(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|url|xlink:href)\s*[=(]\s*["\']?([^"\'\s)>]+)', page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"<(script|link|iframe|object)\b|@import", page)
    assert "simulated data" in page
    assert page.count("<svg") == 8
    assert len(set(re.findall(r'\bid="([^"]+)"', page))) == len(re.findall(r'\bid="([^"]+)"', page))


def test_a_second_run_decodes_nothing_again(folder, small_sample, small_decoder, monkeypatch, document):
    from napari_neurrator.evaluation import draws

    before = {file: file.stat().st_mtime_ns for file in (folder / "cache").iterdir()}
    monkeypatch.setattr(draws.np, "savez", lambda *a, **k: pytest.fail("a subset was decoded again"))
    evaluate(_config(small_sample, small_decoder), folder)
    assert {file: file.stat().st_mtime_ns for file in (folder / "cache").iterdir()} == before
    again = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {**again, "seconds": 0} == {**document, "seconds": 0}


def test_what_is_kept_of_a_subset_is_made_again_where_it_is_damaged_or_of_other_settings(
    folder, small_sample, small_decoder
):
    from napari_neurrator.evaluation import draws
    from napari_neurrator.evaluation.material import gather

    material = gather(_config(small_sample, small_decoder), lambda *_: None)
    units = material.unit_ids[:3]
    key = material.key(units)
    stored = material.stored
    other = copy(stored)
    other.info = stored.info.model_copy(update={"settings": {**stored.info.settings, "more": 1}})
    assert replace(material, stored=other).key(units) != key
    folder = folder / "damaged"
    first = draws.draw(material, units, lambda grids: ["words"] * len(grids), folder)
    file = folder / f"{key}.npz"
    file.write_bytes(file.read_bytes()[:300])
    again = draws.draw(material, units, lambda grids: ["words"] * len(grids), folder)
    np.testing.assert_array_equal(again.patch, first.patch)


def test_work_that_was_stopped_goes_on(small_sample, small_decoder, tmp_path):
    def stop(stage, done, total):
        if stage == "decoding subsets of units" and done == 2:
            raise Stopped

    config = _config(small_sample, small_decoder)
    with pytest.raises(Stopped):
        evaluate(config, tmp_path / "r", stop)
    assert len(list((tmp_path / "r" / "cache").iterdir())) == 2
    assert not (tmp_path / "r" / "report.json").exists()


def test_chosen_units_are_held_against_as_many_random_ones(small_sample, small_decoder, tmp_path):
    config = _config(small_sample, small_decoder, units='region == "CA1"', sizes=None)
    report = evaluate(config, tmp_path / "r")
    found = report.size_matched
    assert found["size"] == report.n_units < found["pool"] == 80
    assert found["observed"]["patch_cosine"] < found["mean"]["patch_cosine"]


def test_bad_input_is_refused_in_one_sentence(small_sample, small_decoder, tmp_path):
    for changes, words in [
        ({"decoder": str(tmp_path)}, "no decoder"),
        ({"labels": "colour"}, "no column 'colour'"),
        ({"captions": str(tmp_path / "none.json")}, "no file of captions"),
        ({"recording": "nowhere.nwb"}, "nothing at"),
    ]:
        with pytest.raises(NeurratorError, match=words) as caught:
            evaluate(_config(small_sample, small_decoder, **changes), tmp_path / "r")
        assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(NeurratorError, match="is a file"):
        evaluate(_config(small_sample, small_decoder), tmp_path / "file")


def test_sizes_from_a_shell():
    assert EvaluateConfig(recording="r", decoder="d", sizes="3,1, 10").sizes == [1, 3, 10]
    assert default_sizes(110) == [1, 3, 10, 30, 100, 110]
    assert default_sizes(1) == [1]


def test_the_title_names_the_most_units_that_were_tested(small_sample, small_decoder, tmp_path):
    report = evaluate(_config(small_sample, small_decoder, sizes=[7, 2]), tmp_path / "r")
    assert report.title.startswith("What 7 units of ")
    assert report.headlines[0].startswith("From 7 units")


def test_few_draws_leave_it_untold_and_the_page_says_so(small_sample, small_decoder, tmp_path):
    report = evaluate(_config(small_sample, small_decoder, sizes=[1, 40, 80], n_permutations=19), tmp_path / "r")
    assert report.least_p == pytest.approx(0.15)
    (warning,) = [one for one in report.warnings if "No p-value can fall below" in one]
    assert "0.150 corrected for 3 population sizes" in warning
    assert "cannot be told (no p-value below 0.150 is possible" in report.headlines[1]
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "Here it cannot be told (no p-value below 0.150 is possible" in page


def test_numbers_that_are_none_become_null():
    assert strict({"a": float("nan"), "b": (np.float32(1.5), np.int64(2))}) == {"a": None, "b": [1.5, 2]}


def test_showings_are_thinned_before_frames():
    from napari_neurrator.evaluation.material import _thinned

    frames, repeats = np.tile(np.arange(180), 20), np.repeat(np.arange(20), 180)
    kept, every, shown = _thinned(frames, repeats, 900)
    assert (len(kept), every, len(shown)) == (180, 1, 5)
    kept, every, shown = _thinned(np.tile(np.arange(900), 4), np.repeat([4, 9, 14, 19], 900), 900)
    assert (len(kept), every, shown.tolist()) == (225, 4, [4, 9, 14, 19])
    kept, every, shown = _thinned(np.arange(30), np.zeros(30, dtype=int), 900)
    assert (len(kept), every, len(shown)) == (30, 1, 1)
