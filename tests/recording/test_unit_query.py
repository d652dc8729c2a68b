"""Queries on units select; they never run anything."""

import numpy as np
import pandas as pd
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import Recording


@pytest.fixture
def recording():
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict({"u1": np.array([30, 60]), "u2": np.array([90])}, sampling_frequency=30_000)
    units = pd.DataFrame({"y_um": [5.0, 6.0], "region": ["VISp", None], "my col": [1, 2]}, index=["u1", "u2"])
    return Recording.from_sorting(sorting, units=units)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (None, ["u1", "u2"]),
        ("  ", ["u1", "u2"]),
        ('region == "VISp"', ["u1"]),
        ('region == "unknown"', ["u2"]),
        ('region in ["VISp"]', ["u1"]),
        ('unit_id == "u2"', ["u2"]),
        ("`my col` > 1", ["u2"]),
        ("`my col` > 1 and `y_um` > 5", ["u2"]),
        ('region == "VISp" & y_um < 6', ["u1"]),
        ('(region == "VISp") | (y_um > 5)', ["u1", "u2"]),
        ('not region == "VISp"', ["u2"]),
        ('~(region == "VISp")', ["u2"]),
        ("5 < y_um <= 6", ["u2"]),
        ("y_um ** 2 + abs(y_um) > 40", ["u2"]),
        ("y_um.between(5, 5.5)", ["u1"]),
        ('region.str.startswith("VIS")', ["u1"]),
        ('region.str.contains("vis", case=False)', ["u1"]),
        ("y_um\n> 5", ["u2"]),
        ("x_um.isna() and firing_rate_hz > 0", ["u1", "u2"]),
    ],
)
def test_what_a_query_finds(recording, query, found):
    assert recording.select_units(query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('within("VIS")', ["u1"]),
        ('within("visp")', ["u1"]),
        ('within("Isocortex") and y_um < 6', ["u1"]),
        ('not within("CTX")', ["u2"]),
        ('~within("root")', ["u2"]),
        ('within("LGd", "VIS")', ["u1"]),
        ('within("CA1") or within("VISp")', ["u1"]),
        ('within("VIS") & within("grey")', ["u1"]),
        ('within("VIS") == False', ["u2"]),
        ('within("VIS") and region == "within(\\"VIS\\")" or `my col` == 2', ["u2"]),
    ],
)
def test_a_region_and_all_its_parts(recording, query, found):
    assert recording.select_units(query) == found


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ('within("nowhere")', "has a region 'nowhere'"),
        ('within("VISpp")', "did you mean"),
        ("within()", "acronyms"),
        ("within(region)", "acronyms"),
        ('within("VIS", 3)', "acronyms"),
        ('within(name="VIS")', "acronyms"),
        ('within(*["VIS"])', "acronyms"),
        ('within("VIS").to_csv("x")', "may not use"),
        ("within", "no column 'within'"),
        ('region.within("VIS")', "may not use"),
        ('within(within("VIS"))', "acronyms"),
    ],
)
def test_within_takes_regions_only(recording, query, why):
    with pytest.raises(NeurratorError, match=why):
        recording.select_units(query)


def test_layers_are_within_their_region_and_the_sources_own_names_count():
    from spikeinterface.core import NumpySorting

    sorting = NumpySorting.from_unit_dict({n: np.array([30]) for n in range(4)}, sampling_frequency=30_000)
    units = pd.DataFrame({"region": ["VISp5", "VISrl2/3", "area 17", "None"]}, index=range(4))
    recording = Recording.from_sorting(sorting, units=units)
    assert recording.select_units('within("VIS")') == [0, 1]
    assert recording.select_units('within("VISp5")') == [0]
    assert recording.select_units('within("VISp") and layer == "5"') == [0]
    assert recording.select_units('within("PTLp")') == [1]
    assert recording.select_units('within("area 17")') == [2]
    with pytest.raises(NeurratorError, match="finds none of the 4 units"):
        recording.select_units('within("CA1")')


def test_no_query_writes_a_file(recording, tmp_path):
    target = tmp_path / "written"
    for method in ("to_pickle", "to_csv", "to_json", "to_hdf"):
        with pytest.raises(NeurratorError, match="may not use"):
            recording.select_units(f"region.{method}({str(target)!r}) != 3")
        with pytest.raises(NeurratorError, match="may not use"):
            recording.select_units(f"`my col`.{method}({str(target)!r}) != 3")
    assert not target.exists()


@pytest.mark.parametrize(
    "query",
    [
        '@__import__("os")',
        "().__class__",
        "region.map(print)",
        "y_um.apply(print)",
        'region.map("{0.__class__}".format) != ""',
        "(lambda: 1)()",
        "[x for x in (1,)]",
        'f"{region}" == "a"',
        "region[0]",
        '"a" * 99999999 == region',
        "9**9**9 > 1",
        "y_um ** 9**9 > 1",
        '"\\" `" == region or region.to_csv("x") or "` "==region',
        "(" * 1500,
        "y_um" + " + 1" * 2000 + " > 0",
        "y_um",
        "y_um + 1",
        "unit_id",
        "5",
        "y_um >",
        "y_um = 5",
        'y_um > "x"',
        "`nope` > 1",
    ],
)
def test_whatever_else_is_one_sentence_that_lists_the_columns(recording, query):
    with pytest.raises(NeurratorError, match=r"the columns are unit_id, .*my col"):
        recording.select_units(query)


def test_an_empty_selection_says_what_there_is(recording):
    with pytest.raises(NeurratorError, match=r"y_um runs from 5 to 6.*region is one of 'VISp', 'unknown'"):
        recording.select_units('y_um > 99 and region == "V1"')
    with pytest.raises(NeurratorError, match="a@b"):
        recording.select_units('cell_type == "a@b"')
    with pytest.raises(NeurratorError, match="x_um is not known"):
        recording.select_units("x_um > 3")
