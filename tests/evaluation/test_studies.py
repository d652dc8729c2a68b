"""Studies on the small simulated session."""

import json

import numpy as np
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.studies.config import (
    AxesStudy,
    ClassifierStudy,
    GroupsStudy,
    StabilityStudy,
    read_study,
)
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
    assert page.count("<svg") == 4
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind = 'groups'", "sessions"),
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


def test_groups_that_are_not_there_are_named(small_sample, small_decoder, tmp_path):
    for changes, words in [
        ({"groups": ["V9"]}, "'V9'"),
        ({"column": "depth_of_mind"}, "column 'depth_of_mind'"),
        ({"min_units": 1000}, "has 1000 units"),
    ]:
        with pytest.raises(NeurratorError, match=words):
            run_study(GroupsStudy(**_common(small_sample, small_decoder), **changes), tmp_path / "r")
