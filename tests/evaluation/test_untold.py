"""Where no p-value can be small enough, nothing is said to be no more than chance."""

import numpy as np
import pytest

from napari_neurrator.evaluation.claims import caveat, untold
from napari_neurrator.evaluation.html import is_least, p_cell
from napari_neurrator.evaluation.page import _judged
from napari_neurrator.evaluation.report import Null, Report, SizeResult
from napari_neurrator.evaluation.statistics import least_adjusted, smallest_p
from napari_neurrator.evaluation.studies import axes, groups, movies, unseen
from napari_neurrator.evaluation.studies.config import AxesStudy, GroupsStudy
from napari_neurrator.evaluation.studies.report import Section, _cells
from napari_neurrator.evaluation.studies.whole import rows_of
from napari_neurrator.evaluation.verdict import SPLIT_MEANS, verdict

NEGATIVE = ("not beat", "not more", "for none")


def _report(smallest, p, **changes):
    """Return a report of sizes 1, 10 and 100 with one p-value, corrected or not, for all."""
    names = ("two_way", "label_accuracy", "patch_cosine")
    sizes = [
        SizeResult(
            size=size,
            draws=1,
            by_draw={name: [0.9] for name in names},
            ci=dict.fromkeys(names),
            above_prior=dict.fromkeys(names, 0.1),
            above_prior_ci=dict.fromkeys(names),
            p=dict.fromkeys(names, p),
            p_holm=dict.fromkeys(names, min(3 * p, 1.0)),
            nulls={name: {"circular_shift": Null(mean=0.5, sd=0.1, q95=0.6, n=14)} for name in names},
            **dict.fromkeys(names, 0.9),
        )
        for size in (1, 10, 100)
    ]
    level = dict.fromkeys(names, 0.5)
    fields = {
        "title": "t", "simulated": False, "recording": "r", "stimulus": "s", "decoder_kind": "subset", "decoder_stimulus": "s", "profile": "tiny",
        "split": "held-out-repeats", "n": 15, "n_frames": 15, "n_pictures": 15, "n_narrated": 15, "n_units": 100, "repeats": 1, "resampled": "x",
        "main_null": "circular_shift", "smallest_p": smallest, "references": "x", "label": "x", "label_name": "x", "chance": level, "sizes": sizes,
        "ceiling": level, "prior": level, "prior_sentence": "x", "unrelated_caption": level, "word_salad": level, "effective_moments": 15,
        "config": {}, "decoder_config": {}, "versions": {}, "seconds": 1,
    }  # fmt: skip
    return Report(**{**fields, **changes})


def _says(report):
    return [
        " ".join(verdict(report)[0]),
        unseen._headline("mouse", report),
        movies._claim("across", report),
    ]


def test_few_frames_leave_an_evaluation_untold_whatever_was_found():
    for p in (1 / 15, 0.9):
        for words in _says(_report(1 / 15, p)):
            assert "cannot be told (no p-value below 0.200 is possible, corrected" in words
            assert not any(one in words for one in NEGATIVE), words
    for words in _says(_report(0.001, 0.9)):
        assert "cannot be told" not in words
        assert any(one in words for one in NEGATIVE), words
    for words in _says(_report(0.001, 0.001)):
        assert "cannot be told" not in words
        assert not any(one in words for one in NEGATIVE), words


def test_what_cannot_be_told_is_not_greyed_and_the_least_p_values_are_marked():
    assert _judged(0.9, None, 0.9, 0.2)[2] == ""
    assert _judged(0.9, None, 0.9, 0.01)[2] == "not"
    assert _judged(0.9, None, 0.01, 0.01)[2] == "better"
    assert p_cell(0.2, is_least(1 / 15, 1 / 15)) == "p = 0.200 [the least possible]"
    assert p_cell(0.2, is_least(0.1, 1 / 15)) == "p = 0.200"
    report = _report(1 / 15, 1 / 15)
    assert rows_of(report, report.sizes[-1])[0][4] == "p = 0.200 [the least possible]"
    cells = _cells(Section(title="t", head=["p"], rows=[["p = 0.200 [the least possible]"], ["0.5 [0.4, 0.6]"]]))
    assert [row[0][:2] for row in cells["cells"]] == [("p = 0.200", "the least possible"), ("0.5", "[0.4, 0.6]")]


def test_of_few_frames_many_draws_are_ties():
    rng = np.random.default_rng(0)
    shown = np.tile(np.arange(3), 5)
    draws = np.stack([rng.permutation(3)[shown] for _ in range(999)])
    # One in six orders of three frames is their own.
    assert smallest_p(draws, shown) == pytest.approx(1 / 6, abs=0.04)
    assert smallest_p((shown + np.array([[1], [2]])) % 3, shown) == pytest.approx(1 / 3)
    assert smallest_p(np.empty((0, 15), dtype=int), shown) == 1.0


def test_the_least_of_several_p_values_counts_the_others_as_they_are():
    one = np.array([True, False, False, False])
    assert least_adjusted(np.array([0.9, 0.5, 0.5, 0.5]), one, 0.02) == pytest.approx(0.08)
    assert least_adjusted(np.array([0.9, 0.02, 0.02, 0.02]), one, 0.02) == pytest.approx(0.02)
    assert least_adjusted(np.array([0.9, 0.5, 0.5, 0.5]), np.ones(4, dtype=bool), 0.02) == pytest.approx(0.02)


def test_a_warning_says_what_would_help():
    assert caveat(0.05, "3 population sizes", 0.01, 99) == []
    (more,) = caveat(0.14, "7 groups and sizes", 0.02, 49)
    assert "0.140 corrected for 7 groups and sizes" in more
    assert "take more draws of the null" in more
    (frames,) = caveat(0.2, "3 population sizes", 1 / 15, 999)
    assert "test more frames" in frames
    assert untold(0.05) == ""


def _groups(p_by_group, floor):
    """Return what a study of groups finds, with two sizes each."""
    found = {}
    for name, p in p_by_group.items():
        rows = [{"size": size, "p": dict.fromkeys(groups.SCORES, p), "p_adjusted": {}} for size in (3, 90)]
        matched = {
            "p": dict.fromkeys(groups.SCORES, 0.5), "p_adjusted": {}, "observed": dict.fromkeys(groups.SCORES, 1.0), "smallest_p": 0.005,
        }  # fmt: skip
        found[name] = {"n_units": 90, "smallest_p": floor, "curve": rows, "matched": matched}
    groups._correct({"mouse": found})
    return found


@pytest.fixture
def study():
    return GroupsStudy(sessions=[{"recording": "r", "decoder": "d"}], n_permutations=49, control=["CA1"])


def test_groups_that_no_test_could_tell(study):
    found = _groups({"VISp": 1 / 50, "CA1": 0.9, **{f"V{place}": 0.9 for place in range(5)}}, 1 / 50)
    words = groups._headline(study, "mouse", found)
    assert words.startswith(
        "mouse: whether any region beats its null cannot be told (no p-value below 0.070 is possible"
    )
    assert "CA1 (control) two-way 1.000 with all 90" in words
    assert "does not beat" not in words
    (warning,) = groups._untold_groups(study, "mouse", found)
    assert "take more draws" in warning


def test_groups_of_one_size_may_be_untold_beside_others_of_many(study):
    found = _groups({"VISp": 0.9, "CA1": 0.9}, 0.02)
    found["CA1"]["curve"] = found["CA1"]["curve"][:1]
    groups._correct({"mouse": found})
    words = groups._headline(study, "mouse", found)
    assert "VISp does not beat its null" in words
    assert (
        "whether CA1 (control) beats its null cannot be told (two-way 1.000 with all 90; no p-value below 0.060"
        in words
    )
    (warning,) = groups._untold_groups(study, "mouse", found)
    assert "No p-value of CA1 in mouse" in warning


def test_groups_beside_others_that_are_found_can_be_told(study):
    found = _groups({"CA1": 0.9, **{f"V{place}": 1 / 50 for place in range(6)}}, 1 / 50)
    words = groups._headline(study, "mouse", found)
    assert "CA1 (control) does not beat its null" in words
    assert "V0 beats its null from 3 units on" in words
    assert "cannot be told" not in words
    assert groups._untold_groups(study, "mouse", found) == []


@pytest.mark.parametrize(("floor", "untold_words"), [(1 / 15, True), (0.001, False)])
def test_axes_that_no_test_could_tell(floor, untold_words):
    study = AxesStudy(sessions=[{"recording": "r", "decoder": "d"}], axes=[("a", "b")])
    found = {
        name: [
            {"from": "a", "to": "b", "correlation": 0.1, "agrees_with_clip": 0.5, "p": 0.9, "smallest_p": floor},
        ]
        for name in ("VISp", "CA1")
    }
    axes._correct(found)
    words = axes._headline("mouse", study, found)
    assert ("cannot be told (no p-value below 0.067 is possible, corrected)" in words) == untold_words
    assert ("for none" in words) != untold_words
    assert len(axes._untold_axes(study, "mouse", found)) == untold_words


def test_what_a_split_means_holds_for_pictures_shown_one_by_one():
    for split in ("contiguous-middle", "front-only"):
        assert "film" not in SPLIT_MEANS[split]
        assert "nor any that looks the same" in SPLIT_MEANS[split]
    assert "nor any that looks the same" in SPLIT_MEANS["held-out-images"]
