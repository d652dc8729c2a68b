"""Files of sessions and layers, without a window."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.session_file import SavedRecording, SavedSentence, SessionFile, read_session, write_session


def example(folder):
    sentence = SavedSentence(
        units=[1, "b"], frame=2, repeat=0, moment=7, decoder=str(folder / "d"), text="ein Bär, 3 µm"
    )
    return SessionFile(
        recordings=[
            SavedRecording(source=str(folder / "ä b.nwb"), selected=[1, "b"], groups={"g": [3]}, sentences=[sentence]),
            SavedRecording(pool=[str(folder / "in" / "x.nwb"), "sample"], stimulus="m", frame=3),
            SavedRecording(source="https://host/y.nwb"),
        ],
        current=1,
        only_good=True,
    )


def test_round_trip_and_relative_paths(tmp_path):
    made = example(tmp_path)
    path = write_session(tmp_path / "s", made)
    assert path.name == "s.neurrator.json"
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    assert read_session(path) == made
    # the folder moves, and the paths in it move along
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    os.replace(path, moved / path.name)
    assert read_session(moved / path.name).recordings[0].source == str(moved / "ä b.nwb")
    assert [file.name for file in moved.iterdir()] == [path.name]


def test_types_of_unit_ids_are_kept(tmp_path):
    path = write_session(tmp_path / "s", SessionFile(recordings=[SavedRecording(source="sample", selected=[1, "1"])]))
    assert read_session(path).recordings[0].selected == [1, "1"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format": 3}, "format"),
        ({"current": 9}, "current"),
        ({"extra": 1}, "extra"),
        ({"recordings": []}, "recordings"),
        ({"recordings": [{"source": "a", "pool": ["a", "b"]}]}, "source or a pool"),
        ({"recordings": [{}]}, "source or a pool"),
        ({"recordings": [{"source": "a", "frame": -1}]}, "frame"),
        ({"recordings": [{"source": "a", "selected": [1.5]}]}, "selected"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, change, word):
    path = write_session(tmp_path / "s", example(tmp_path))
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(NeurratorError) as caught:
        read_session(path)
    message = str(caught.value)
    assert word in message
    assert "\n" not in message
    assert message.endswith(".")


@settings(max_examples=40, deadline=None)
@given(contents=st.binary(max_size=200) | st.text(alphabet='{}[]":,01ek', max_size=60).map(str.encode))
def test_wild_files_are_refused_in_a_sentence(tmp_path_factory, contents):
    from napari_neurrator.gui.layer_file import read_layers

    path = tmp_path_factory.mktemp("wild") / "x.neurrator.json"
    path.write_bytes(contents)
    for read in (read_session, read_layers):
        with pytest.raises(NeurratorError):
            read(path)


OLD_TOML = """\
kind = "neurrator session"
format = 2
current = 0

[[recordings]]
source = "x.nwb"
selected = [
    1,
    "b",
]
unit_sets = [
    [
        1,
        "b",
    ],
]

[recordings.groups]
"ä b" = [
    3,
]

[[recordings.sentences]]
units = 0
frame = 2
repeat = 0
moment = 7
decoder = "d"
text = "ein Bär,\\n3 µm"
held_out = true

[recordings.sentences.evidence]
patch_cosine = 0.5
prior_cosine = 0.25
gain = 0.25
usual = -1e-7
p = 0.01
least = 0.005
"""


def test_toml_as_it_was_first_spelt_is_read(tmp_path):
    path = tmp_path / "s.neurrator.toml"
    path.write_text(OLD_TOML, encoding="utf-8")
    recording = read_session(path).recordings[0]
    assert (recording.source, recording.selected) == (str(tmp_path / "x.nwb"), [1, "b"])
    assert recording.groups == {"ä b": [3]}
    (sentence,) = recording.sentences
    assert (sentence.units, sentence.text, sentence.decoder) == ([1, "b"], "ein Bär,\n3 µm", str(tmp_path / "d"))
    assert sentence.evidence.usual == -1e-7


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(min_size=1),
    number=st.floats(allow_nan=False, allow_infinity=False),
    unit=st.text(min_size=1) | st.integers(0, 2**53),
)
def test_both_spellings_keep_any_text_and_every_digit(tmp_path_factory, text, number, unit):
    folder = tmp_path_factory.mktemp("any")
    sentence = SavedSentence(
        units=[unit], frame=0, repeat=0, moment=0, decoder="d", text=text, mean_cosine=number, settings={text: [number]}
    )
    made = SessionFile(recordings=[SavedRecording(source="sample", groups={text: [unit]}, sentences=[sentence])])
    for ending in ("json", "toml"):
        read = read_session(write_session(folder / f"s.neurrator.{ending}", made)).recordings[0]
        assert read.groups == {text: [unit]}
        (again,) = read.sentences
        assert (again.text, again.mean_cosine, again.units, again.settings) == (text, number, [unit], {text: [number]})


@settings(max_examples=40, deadline=None)
@given(contents=st.binary(max_size=200) | st.text(alphabet='{}[]"=.:,01ek\n', max_size=60).map(str.encode))
def test_wild_toml_is_refused_in_a_sentence(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("wild") / "x.neurrator.toml"
    path.write_bytes(contents)
    with pytest.raises(NeurratorError):
        read_session(path)


def test_missing_deep_and_unwritable(tmp_path):
    with pytest.raises(NeurratorError, match="No such file"):
        read_session(tmp_path / "none.neurrator.json")
    deep = tmp_path / "deep.neurrator.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(NeurratorError):
        read_session(deep)
    deep = tmp_path / "deep.neurrator.toml"
    deep.write_text("a = " + "[" * 100_000)
    with pytest.raises(NeurratorError):
        read_session(deep)
    (tmp_path / "file").write_text("")
    with pytest.raises(NeurratorError, match="could not be written"):
        write_session(tmp_path / "file" / "s", example(tmp_path))


def test_session_files_need_neither_torch_nor_qt():
    code = "import sys, napari_neurrator.session_file\nassert not {'torch', 'qtpy', 'napari'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_layer_files_refuse_what_they_cannot_hold(tmp_path):
    from napari_neurrator.gui.layer_file import read_layers, write_layers

    with pytest.raises(NeurratorError, match="tracks"):
        write_layers(str(tmp_path / "x.neurrator"), [(np.zeros((2, 4)), {"name": "paths"}, "tracks")])
    with pytest.raises(NeurratorError, match="too large"):
        write_layers(str(tmp_path / "x.neurrator"), [(np.zeros((3000, 3000)), {"name": "big"}, "image")])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "y.neurrator").write_text(
        json.dumps({"kind": "neurrator layers", "format": 1, "layers": [{"kind": "points", "data": [[0, "x"]]}]})
    )
    with pytest.raises(NeurratorError, match="damaged"):
        read_layers(tmp_path / "y.neurrator")
