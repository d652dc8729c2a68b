"""Tables of presentations as people write them are read; what cannot be read is named with its line."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording.presentation_files import load_presentations, read_presentations
from napari_neurrator.recording.presentations import tidy_presentations

EDGES = np.arange(90) / 30


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "start_time,stop_time,stimulus,frame\n0.5,0.75,film,3\n1,1.25,film,4\n",
        "start_time,stop_time,stimulus,frame\r\n0.5,0.75,film,3\r\n1,1.25,film,4\r\n",
        "onset\tduration\ttrial_type\tframe_index\n0.5\t0.25\tfilm\t3\n1\t0.25\tfilm\t4\n",
        "Onset_ms;Offset (ms);Stimulus Name;Image ID\n500;750;film;3\n1000;1250;film;4\n",
        "start [s];end [s];stim;frame\n0,5;0,75;film;3\n1,0;1,25;film;4\n",
        "# made by the rig\n\nstart|stop|stimulus|frame_number\n0.5|0.75|film|3\n1|1.25|film|4\n",
        "time_us,duration_us,stimulus_name,frame\n500000,250000,film,3\n1000000,250000,film,4\n",
        "start stop stimulus frame\n0.5 0.75 film 3\n1 1.25 film 4\n",
        '"frame","stimulus","stop","start"\n3,"film",0.75,0.5\n4,"film",1.25,1\n',
    ],
)
def test_spellings_units_and_delimiters(tmp_path, text):
    table = read_presentations(write(tmp_path, "séance 1.csv", text))
    np.testing.assert_allclose(table[["start_time", "stop_time", "frame"]], [[0.5, 0.75, 3], [1, 1.25, 4]])
    assert table["stimulus"].tolist() == ["film", "film"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    table = read_presentations(write(tmp_path, "a.csv", 'start,stimulus\n1,"forêt, nuit"\n', encoding))
    assert table["stimulus"].tolist() == ["forêt, nuit"]


def test_names_of_images_are_numbered_in_natural_order_and_blanks_known(tmp_path):
    text = (
        "onset,stimulus,image_name\n0,scenes,im10.png\n1,scenes,im2.png\n2,scenes,blank\n3,scenes,\n4,other,im10.png\n"
    )
    assert read_presentations(write(tmp_path, "a.csv", text))["frame"].tolist() == [1, 0, -1, -1, 0]


def test_other_columns_are_kept_and_conditions_numbered(tmp_path):
    text = "start,stop,stimulus,orientation,note\n0,1,gratings,90,x\n2,3,gratings,0,y\n4,5,gratings,,\n"
    table, _ = tidy_presentations(read_presentations(write(tmp_path, "a.csv", text)), "a.csv")
    assert table["frame"].tolist() == [1, 0, -1]
    assert table["note"].tolist()[:2] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n# only words\n", "is empty"),
        ("start,stimulus\n", "no rows"),
        ("stop,stimulus\n1,film\n", "no column that says when presentations start.*it has stop, stimulus"),
        ("start,frame\n1,2\n", "no column that says what was shown"),
        ("start,stimulus\n1,film\n\nsoon,film\n", "Line 4 of .*'soon' as start"),
        ("start,stimulus,frame\n1,film,1\n2,film,o\n", "Line 3 of .*'o' as frame"),
        ("start,stimulus\n1,film\n1,2,3,4\n", "cannot be read as a table.*line 3"),
        ("start,stimulus\n\0\0\0", "not a text file"),
        ('start,stimulus\n1,"film\n', "cannot be read as a table"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, text, message):
    with pytest.raises(NeurratorError, match=message):
        read_presentations(write(tmp_path, "a.csv", text))


def test_missing_files_and_folders_are_one_sentence(tmp_path):
    for name in ("nothing.csv", "nothing.toml", ".", "n\0l.csv", "n\0l.toml", "x" * 5000 + ".csv"):
        with pytest.raises(NeurratorError, match=r"no table|no presentations|cannot be read|no path"):
            load_presentations(tmp_path / name)


@pytest.fixture
def ttl(tmp_path):
    np.save(tmp_path / "edges.npy", EDGES)
    np.save(tmp_path / "samples.npy", np.rint(EDGES * 30_000).astype(np.int64))
    np.savetxt(tmp_path / "edges.txt", EDGES)
    events = np.column_stack([np.repeat(EDGES, 2) + np.tile([0, 0.01], 90), np.tile([1, 0], 90)])
    np.savetxt(tmp_path / "events.csv", events, delimiter=",", header="time,state", comments="")
    frames = np.tile(np.arange(30), 3)
    pd.DataFrame({"frame": frames, "stimulus": "film", "key": "x"}).to_csv(tmp_path / "frames.csv", index=False)
    np.savetxt(tmp_path / "frames.txt", frames, fmt="%d")
    np.save(tmp_path / "frames.npy", frames)
    return tmp_path


@pytest.mark.parametrize(
    "said",
    [
        'ttl = "edges.npy"\nframes = "frames.csv"',
        'stimulus = "film"\nttl = "edges.txt"\nframes = "frames.txt"\nrate_hz = 30',
        'stimulus = "film"\nttl = "events.csv"\nframes = "frames.npy"',
        'stimulus = "film"\nttl = "samples.npy"\nsample_rate_hz = 30000\nn_frames = 30\nrepeats = 3',
    ],
)
def test_a_toml_file_names_edges_and_frames(ttl, said):
    table = load_presentations(write(ttl, "shown.toml", said + "\noffset_s = 2.5\n"))
    np.testing.assert_allclose(table["start_time"], EDGES + 2.5, atol=1e-4)
    tidied, warnings = tidy_presentations(table, "shown.toml")
    assert warnings == []
    assert tidied["repeat"].tolist() == np.repeat([0, 1, 2], 30).tolist()


def test_what_was_mended_reaches_the_warnings(ttl):
    np.save(ttl / "edges.npy", np.delete(EDGES, 5))
    table = load_presentations(write(ttl, "shown.toml", 'ttl = "edges.npy"\nframes = "frames.csv"'))
    tidied, warnings = tidy_presentations(table, "shown.toml")
    assert "1 edges are missing" in warnings[0]
    assert tidy_presentations(tidied, "again")[1] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("stimulus =", "cannot be read as TOML"),
        ('ttl = "edges.npy"', "frames .* or n_frames"),
        ('ttl = "edges.npy"\nframe = "frames.csv"', "frame: Extra inputs"),
        ('ttl = "edges.npy"\nframes = "frames.txt"', "which stimulus"),
        ('ttl = "none.npy"\nframes = "frames.csv"', r"none\.npy cannot be read"),
        ('ttl = "none.txt"\nframes = "frames.csv"', r"no table at .*none\.txt"),
        ('ttl = "frames.csv"\nframes = "frames.csv"', "has 3 columns"),
        ('ttl = "edges.npy"\nframes = "events.csv"', "no column that numbers the frames"),
        ('ttl = "pickled.npy"\nframes = "frames.csv"', "holds objects"),
        ('ttl = "edges.npy"\nn_frames = 5000000\nrepeats = 100000', "more than can have been shown"),
        ('ttl = "edges.npy"\nframes = "frames.csv"\nrate_hz = 0', "rate_hz"),
        ('ttl = 3\nframes = "frames.csv"', "ttl"),
    ],
)
def test_a_toml_file_that_does_not_fit_is_one_sentence(ttl, said, message):
    np.save(ttl / "pickled.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(NeurratorError, match=message):
        load_presentations(write(ttl, "shown.toml", said))
    assert "NEURRATOR_UNPICKLED" not in os.environ


class Bomb:
    def __reduce__(self):
        return (os.putenv, ("NEURRATOR_UNPICKLED", "1"))


def test_the_bomb_is_one():
    assert b"putenv" in pickle.dumps(Bomb())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore")),
        st.lists(
            st.lists(st.text("0123456789.,;\t\"'-eE xnaif\n", max_size=8), max_size=5).map(",".join), max_size=6
        ).map(lambda rows: "\n".join(["start,stimulus,frame,stop", *rows]).encode()),
    ),
    name=st.sampled_from(["a.csv", "a.tsv", "a.toml"]),
)
def test_any_file_gives_a_table_or_a_sentence(tmp_path, data, name):
    (tmp_path / name).write_bytes(data)
    try:
        table, _ = tidy_presentations(load_presentations(tmp_path / name), name)
    except NeurratorError:
        return
    assert (table["frame"] >= -1).all()
