"""Studies on the small simulated session."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.studies.config import (
    AxesStudy,
    ClassifierStudy,
    GroupsStudy,
    MoviesStudy,
    StabilityStudy,
    UnseenStudy,
    read_study,
    study_of,
)
from napari_neurrator.evaluation.studies.examples import EXAMPLES, example
from napari_neurrator.evaluation.studies.run import run_study


def _common(sample, folder, n=1):
    sessions = [{"recording": str(sample), "decoder": str(folder), "name": f"mouse {i}"} for i in range(n)]
    return {"sessions": sessions, "moments": 60, "narrated": 10, "n_permutations": 99}


@pytest.fixture(scope="module")
def groups_folder(small_sample, small_decoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    config = GroupsStudy(
        **_common(small_sample, small_decoder, 2),
        groups=["VISp", "CA1"],
        sizes=[2, 8],
        draws=2,
        null_draws=19,
        control=["CA1"],
    )
    run_study(config, folder)
    return folder


def test_groups_are_compared_with_as_many_units_within_each_session_and_pooled(groups_folder):
    def refuse(name):
        raise AssertionError(name)

    document = json.loads((groups_folder / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    found = document["findings"]
    assert set(found["sessions"]) == {"mouse 0", "mouse 1"}
    visp, ca1 = (found["sessions"]["mouse 0"][name] for name in ("VISp", "CA1"))
    assert visp["curve"][-1]["size"] == visp["n_units"]
    assert np.mean(visp["curve"][-1]["by_draw"]["two_way"]) > np.mean(ca1["curve"][-1]["by_draw"]["two_way"]) + 0.1
    assert visp["curve"][-1]["p"]["two_way"] < 0.05 < ca1["curve"][-1]["p"]["two_way"]
    assert len(visp["matched"]["null"]["two_way"]) == 19
    # The same session twice: the pooled difference is that of one of them.
    assert found["pooled"]["CA1"]["difference"]["two_way"] == pytest.approx(ca1["matched"]["difference"]["two_way"])
    assert ca1["matched"]["difference"]["two_way"] < 0
    page = (groups_folder / "report.html").read_text(encoding="utf-8")
    assert "simulated data" in page
    assert page.count("<svg") == 8
    assert "http://www.w3.org" not in page.split("<svg")[0]


def test_a_study_is_read_from_the_cache_again(groups_folder, small_sample, small_decoder, monkeypatch):
    from napari_neurrator.evaluation.studies import sets

    monkeypatch.setattr(sets, "write_json", lambda *a: pytest.fail("a set was decoded again"))
    config = GroupsStudy(
        **_common(small_sample, small_decoder, 1), groups=["VISp", "CA1"], sizes=[2, 8], draws=2, null_draws=19
    )
    run_study(config, groups_folder)


def test_concepts_are_more_stable_the_more_units_agree(small_sample, small_decoder, tmp_path):
    config = StabilityStudy(**_common(small_sample, small_decoder), groups=["VISp", "CA1"], resamples=10)
    found = run_study(config, tmp_path / "r").findings["mouse 0"]
    assert all(-1 <= r <= 1 for r in found["groups"]["VISp"]["rank_correlation"])
    assert np.mean(found["groups"]["VISp"]["rank_correlation"]) > 0.5
    assert set(found["between"]) == {"CA1 – VISp"}


def test_decoded_grids_lie_on_an_axis_as_the_true_ones_do(small_sample, small_decoder, tmp_path):
    config = AxesStudy(**_common(small_sample, small_decoder), axes=[("a beach", "a city")])
    axis = run_study(config, tmp_path / "r").findings["mouse 0"]["all units"][0]
    assert axis["correlation"] > 0.8
    with pytest.raises(NeurratorError, match="does not tell the phrases"):
        run_study(AxesStudy(**_common(small_sample, small_decoder), axes=[("a dog", "a dog")]), tmp_path / "r")


@pytest.mark.slow
def test_sentences_of_groups_that_are_alike_cannot_be_told_apart(small_sample, small_decoder, tmp_path):
    config = ClassifierStudy(
        **_common(small_sample, small_decoder), column="region", groups=["VISp", "LGd"], min_units=4, size=2, sets=2
    )
    found = run_study(config, tmp_path / "r").findings["mouse 0"]
    assert len(found["null"]) == 19
    assert 0 <= found["accuracy"] <= 1
    assert found["p"] >= 0.05


_FIT = {"stimulus": "natural_movie_one", "options": {"calibration_steps": 60}}


def _fitted(sample, **fit):
    return {
        "sessions": [{"recording": str(sample), "fit": {**_FIT, **fit}, "name": "mouse"}],
        "moments": 60,
        "narrated": 8,
        "n_permutations": 99,
        "sentence_model": None,
        "sizes": [80],
    }


@pytest.mark.slow
def test_unseen_pictures_are_compared_with_recall(small_sample, small_decoder, tmp_path):
    config = UnseenStudy(**_fitted(small_sample, split="held-out-images"), shown=3)
    report = run_study(config, tmp_path / "r")
    found = report.findings["mouse"]
    assert found["evaluation"]["split"] == "held-out-images"
    known = found["known_pictures"]
    # Every fifth stretch of the film's 225 frames is tested, and none of these frames is known.
    assert known["n_known"] < 225
    info = StoredDecoder.load(next((tmp_path / "r" / "decoders").iterdir())).info
    # Nor are those known that lie so near to them that they were not learnt from.
    assert known["n_known"] < 225 - len(info.test_frames)
    assert known["cosine"]["nearest known picture"] > known["cosine"]["average known picture"]
    assert known["beyond_recall"] == pytest.approx(
        known["cosine"]["decoded"] - known["cosine"]["nearest known picture"], abs=1e-6
    )
    assert len(report.sections[-1].shots) == 3
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 3
    # The decoder is kept: a second run fits nothing.
    (made,) = (tmp_path / "r" / "decoders").iterdir()
    before = (made / "decoder.json").stat().st_mtime_ns
    run_study(config, tmp_path / "r")
    assert (made / "decoder.json").stat().st_mtime_ns == before
    seen = UnseenStudy(**_common(small_sample, small_decoder))
    with pytest.raises(NeurratorError, match="knows all pictures"):
        run_study(seen, tmp_path / "s")


@pytest.mark.slow
def test_from_one_part_of_a_film_to_another(small_sample, tmp_path):
    config = MoviesStudy(**_fitted(small_sample), parts=[(0, 99), (120, 224)])
    found = run_study(config, tmp_path / "r").findings["mouse"]
    assert found["within"]["stimulus"] == "natural_movie_one_0_to_99"
    assert found["across"]["stimulus"] == "natural_movie_one_120_to_224"
    assert found["across"]["decoder_stimulus"] == "natural_movie_one_0_to_99"
    assert found["across"]["split"] == "another-movie"
    within, across = (found[name]["sizes"][-1]["two_way"] for name in ("within", "across"))
    assert within > 0.9 > across
    for parts, words in [([(0, 99), (50, 150)], "overlap"), ([(0, 99), (300, 400)], "was not shown")]:
        with pytest.raises(NeurratorError, match=words):
            run_study(MoviesStudy(**_fitted(small_sample), parts=parts), tmp_path / "s")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_can_be_read_and_are_those_of_the_docs(name, tmp_path):
    text = example(name)
    file = tmp_path / "study.toml"
    file.write_text(text, encoding="utf-8")
    kind, told, fit = EXAMPLES[name]
    config = read_study(file)
    assert isinstance(config, kind)
    assert config.sessions[0].fit.stimulus == fit["stimulus"]
    for field in told:
        assert f"\n{field} = " in text
    # Every other setting stands there too, as a comment.
    for field in kind.model_fields:
        assert f"{field} =" in text or field == "sessions"
    docs = Path(__file__).parents[2] / "docs" / "studies" / f"{name}.toml"
    assert docs.read_text(encoding="utf-8") == text


def test_an_example_that_is_not_there():
    with pytest.raises(NeurratorError, match="choose one of regions"):
        example("dance")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind = 'groups'", "sessions"),
        ("kind = 'groups'\n[[sessions]]\nrecording='a'", "either a decoder or how to fit one"),
        ("kind = 'movie-to-movie'\n[[sessions]]\nrecording='a'\ndecoder='b'", "name the other film"),
        (
            "kind = 'movie-to-movie'\nparts = [[0, 1], [2, 3]]\n[[sessions]]\nrecording='a'\ndecoder='b'",
            "needs fit in place of decoder",
        ),
        ("kind = 'dance'", "cannot be read"),
        ("kind = ", "not TOML"),
        ("kind = 'groups'\nnonsense = 1\n[[sessions]]\nrecording='a'\ndecoder='b'", "nonsense"),
    ],
)
def test_a_study_that_says_nonsense_is_refused(tmp_path, text, words):
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(NeurratorError, match=words) as caught:
        read_study(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(NeurratorError, match="no study"):
        read_study(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", [GroupsStudy, UnseenStudy, MoviesStudy])
def test_sizes_of_a_study_ascend_as_those_of_an_evaluation_do(kind):
    fields = {"kind": kind.model_fields["kind"].default, "sessions": [{"recording": "a", "decoder": "b"}]}
    if kind is MoviesStudy:
        fields["stimulus"] = "other"
    study = study_of({**fields, "sizes": [400, 10, 10]})
    assert study.sizes == [10, 400]
    if kind is not GroupsStudy:
        assert study.evaluation(study.sessions[0], "d").sizes == [10, 400]
    for sizes in ([100, 10, 0, -5], [], [2.5], [[1]]):
        with pytest.raises(NeurratorError, match="sizes: write whole numbers of units from 1 on") as caught:
            study_of({**fields, "sizes": sizes})
        assert "\n" not in str(caught.value)
    with pytest.raises(NeurratorError, match="draws"):
        study_of({**fields, "draws": 5000})


def test_what_a_study_of_whole_decoders_gathers_is_checked():
    study = UnseenStudy(sessions=[{"recording": "a", "decoder": "b"}]).model_copy(update={"draws": 0})
    with pytest.raises(ValueError, match="draws"):
        study.evaluation(study.sessions[0], "d")


def test_groups_that_are_not_there_are_named(small_sample, small_decoder, tmp_path):
    for changes, words in [
        ({"groups": ["V9"]}, "'V9'"),
        ({"column": "depth_of_mind"}, "column 'depth_of_mind'"),
        ({"min_units": 1000}, "has 1000 units"),
    ]:
        with pytest.raises(NeurratorError, match=words):
            run_study(GroupsStudy(**_common(small_sample, small_decoder), **changes), tmp_path / "r")
