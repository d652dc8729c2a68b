"""Regions know what they are part of."""

import pytest

from napari_neurrator.recording.regions import (
    _tree,
    in_brain,
    is_within,
    line_of_parents,
    parents,
    region_and_layer,
    structure,
)

# Structures that Visual Coding – Neuropixels sessions name.
VISUAL_CODING = (  # noqa: SIM905
    "VISp VISl VISal VISrl VISam VISpm VISli VISmma VISmmp VIS CA1 CA2 CA3 DG SUB ProS HPF LGd LGv IGL LP LD PO POL VPM VPL VL TH SGN MGv MGm MGd "
    "PP PIL RT ZI Eth IntG APN NOT OP PPT RPF MB MRN SCig SCiw SCop SCsg SCzo CP COApm COAa BMAa PF LT grey"
).split()


@pytest.mark.parametrize("name", VISUAL_CODING)
def test_the_atlas_knows_what_visual_coding_names(name):
    assert structure(name) == name
    assert parents(name) or name == "grey"
    assert "root" not in parents(name)


def test_parents_run_from_the_nearest_to_the_furthest():
    assert parents("VISp") == ("VIS", "Isocortex", "CTXpl", "CTX", "CH", "grey")
    assert parents("CA1")[:4] == ("CA", "HIP", "HPF", "CTXpl")
    assert parents("LGd")[:3] == ("GENd", "DORsm", "TH")
    assert parents("VISp2/3")[:2] == ("VISp", "VIS")
    assert parents("no such place") == ()
    assert line_of_parents("SCs") == "SCs < MBsen < MB < BS < grey"
    assert line_of_parents("V1") == ""


def test_the_tree_is_whole():
    tree = _tree()
    assert len(tree) > 1000
    assert [name for name, line in tree.items() if not line] == ["root"]
    for name, line in tree.items():
        if line:
            assert tree[line[0]] == line[1:], name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VISp2/3", ("VISp", "2/3")),
        ("VISl6a", ("VISl", "6a")),
        ("VISp6", ("VISp", "6")),
        ("VISpm", ("VISpm", "")),
        ("SSp-bfd4", ("SSp-bfd", "4")),
        ("VISp-L5", ("VISp", "5")),
        ("VISp layer 2/3", ("VISp", "2/3")),
        ("CA1", ("CA1", "")),
        ("CA3", ("CA3", "")),
        ("CA1sp", ("CA1", "sp")),
        ("DG-mo", ("DG", "mo")),
        ("CUL4", ("CUL4", "")),
        ("V1", ("V1", "")),
        ("area 17", ("area 17", "")),
        ("LP", ("LP", "")),
        ("None", ("None", "")),
    ],
)
def test_layers_are_told_from_regions(name, expected):
    assert region_and_layer(name) == expected


def test_a_query_for_visual_cortex_finds_all_visual_areas():
    for area in (
        "VIS",
        "VISp",
        "VISl",
        "VISal",
        "VISam",
        "VISpm",
        "VISli",
        "VISpor",
        "VISrl",
        "VISa",
        "VISm",
        "VISmma",
        "VISrl5",
    ):
        assert is_within(area, "VIS"), area
    for other in ("VISC", "RSPd", "SSp-bfd", "PTLp", "LGd", "CA1", "grey", "None", "V1"):
        assert not is_within(other, "VIS"), other
    assert is_within("VISrl", "PTLp"), "what the atlas itself says holds as well"
    assert is_within("V1", "v1")
    assert is_within("lgd", "TH")
    assert is_within("area 17", "root")
    assert not is_within("unknown", "root")


@pytest.mark.parametrize("name", ["", "None", "nan", "unknown", "void", " none "])
def test_outside_the_brain(name):
    assert not in_brain(name)


def test_any_named_region_is_in_the_brain():
    assert all(map(in_brain, ("VISp", "V1", "root", "fiber tracts", "grey")))


def test_capitals_only_matter_where_they_tell_two_structures_apart():
    assert structure("visp") == "VISp"
    assert structure("cm") == "cm"
    assert structure("CM") == "CM"
    assert structure("Cm") is None
