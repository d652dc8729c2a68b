"""Whatever lies in a file, opening it ends in a recording or in one sentence, and soon."""

import json
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import open_recording
from napari_neurrator.recording.open import is_session
from napari_neurrator.recording.readers import trial

from .nwb_files import allen_session, empty

CALM = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
# A file on which the HDF5 library loops costs some seconds, which a child process is given.
FEW = settings(CALM, max_examples=15)
LONGEST_S = 60


def opens_or_says_why(path):
    began = time.monotonic()
    is_session(path)
    try:
        recording = open_recording(path)
        recording.spikes.load()
        assert len(recording.to_dict()["units"]) == len(recording.units)
    except NeurratorError as error:
        said = str(error)
        assert said
        assert "\n" not in said
        assert "Traceback" not in said
        assert len(said) < 900
    assert time.monotonic() - began < LONGEST_S


def mutated(data, places):
    changed = bytearray(data)
    for share, new in places:
        at = int(share * (len(changed) - 1))
        changed[at : at + len(new)] = new
    return bytes(changed[: len(data)])


PLACES = st.lists(
    st.tuples(
        st.floats(0, 1), st.one_of(st.binary(min_size=1, max_size=32), st.sampled_from([b"\xff" * 8, b"\x00" * 16]))
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="session")
def valid_nwb(tmp_path_factory):
    return allen_session(tmp_path_factory.mktemp("valid") / "valid.nwb").read_bytes()


@FEW
@given(places=PLACES)
def test_mutated_nwb(valid_nwb, tmp_path, places):
    path = tmp_path / "wild.nwb"
    path.write_bytes(mutated(valid_nwb, places))
    opens_or_says_why(path)


@FEW
@given(share=st.floats(0, 0.999))
def test_an_nwb_cut_anywhere_never_opens(valid_nwb, tmp_path, share):
    path = tmp_path / "cut.nwb"
    path.write_bytes(valid_nwb[: int(share * len(valid_nwb))])
    with pytest.raises(NeurratorError, match=r"cut\.nwb"):
        open_recording(path)


def test_an_nwb_on_which_hdf5_loops_for_ever_is_refused(valid_nwb, tmp_path):
    """A heap object without size: HDF5 steps from it to itself."""
    broken = bytearray(valid_nwb)
    at = broken.find(b"GCOL")
    assert at > 0
    while at >= 0:
        broken[at + 16 : at + 32] = struct.pack("<HHIQ", 0, 0, 0, 0)
        at = broken.find(b"GCOL", at + 1)
    path = tmp_path / "loop.nwb"
    path.write_bytes(broken)
    opens_or_says_why(path)


@pytest.mark.parametrize("ended", [-11, -9, 0xC0000005])
def test_a_crash_of_the_trial_is_said(tmp_path, monkeypatch, ended):
    path = tmp_path / "s.nwb"
    path.write_bytes(b"x")
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **k: type("Done", (), {"returncode": ended}))
    with pytest.raises(NeurratorError, match=r"s\.nwb is damaged in a way"):
        trial.survive(path)


def test_a_file_is_tried_once_until_it_changes(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(
        trial.subprocess, "run", lambda *a, **k: (tried.append(1), type("Done", (), {"returncode": 1}))[1]
    )
    path = tmp_path / "s.nwb"
    for content in (b"x", b"x", b"yy"):
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
        trial.survive(path)
    assert len(tried) == 2


def phy(folder):
    folder.mkdir()
    (folder / "params.py").write_text("sample_rate = 30000.\n")
    rng = np.random.default_rng(0)
    np.save(folder / "spike_times.npy", np.sort(rng.integers(0, 9000, 40)))
    np.save(folder / "spike_clusters.npy", rng.integers(0, 3, 40))
    np.save(folder / "spike_templates.npy", rng.integers(0, 3, 40))
    np.save(folder / "templates.npy", rng.random((3, 5, 4)).astype("f4"))
    np.save(folder / "templates_ind.npy", np.tile(np.arange(4), (3, 1)))
    np.save(folder / "channel_positions.npy", rng.random((4, 2)))
    np.save(folder / "channel_shanks.npy", np.zeros(4))
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tmua\n2\tnoise\n")
    return folder


def alf(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "spikes.times.npy", np.sort(rng.random(40)))
    np.save(folder / "spikes.clusters.npy", rng.integers(0, 3, 40))
    np.save(folder / "clusters.channels.npy", np.array([0, 1, 2]))
    np.save(folder / "channels.localCoordinates.npy", rng.random((4, 2)))
    np.save(folder / "channels.mlapdv.npy", rng.random((4, 3)))
    np.save(folder / "channels.brainLocationIds_ccf_2017.npy", np.array([385, 385, 382, 0]))
    (folder / "clusters.metrics.csv").write_text("cluster_id,label\n0,1.0\n1,0.5\n2,0.1\n")
    return folder


def saved(folder):
    folder.mkdir()
    kind = [("sample_index", "i8"), ("unit_index", "i8"), ("segment_index", "i8")]
    spikes = np.zeros(40, dtype=kind)
    spikes["sample_index"], spikes["unit_index"] = np.arange(40), np.arange(40) % 3
    np.save(folder / "spikes.npy", spikes)
    info = {"sampling_frequency": 3e4, "unit_ids": [0, 1, 2], "num_segments": 1}
    (folder / "numpysorting_info.json").write_text(json.dumps(info))
    (folder / "properties").mkdir()
    np.save(folder / "properties" / "unit_locations.npy", np.zeros((3, 3)))
    return folder


def analyzer(folder):
    folder.mkdir()
    saved(folder / "sorting")
    (folder / "spikeinterface_info.json").write_text('{"object": "SortingAnalyzer"}')
    for extension in ("unit_locations", "templates", "quality_metrics"):
        (folder / "extensions" / extension).mkdir(parents=True)
    np.save(folder / "extensions" / "unit_locations" / "unit_locations.npy", np.zeros((3, 3)))
    np.save(folder / "extensions" / "templates" / "average.npy", np.ones((3, 5, 4)))
    (folder / "extensions" / "quality_metrics" / "metrics.csv").write_text(",snr\n0,1.0\n1,2.0\n2,3.0\n")
    (folder / "recording_info").mkdir()
    from probeinterface import generate_linear_probe

    probe = generate_linear_probe(4)
    probe.set_device_channel_indices(np.arange(4))
    group = {"specification": "probeinterface", "version": "0.2", "probes": [probe.to_dict(array_as_list=True)]}
    (folder / "recording_info" / "probegroup.json").write_text(json.dumps(group))
    (folder / "recording_info" / "recording_attributes.json").write_text(
        '{"channel_ids": [0, 1, 2, 3], "properties": {}}'
    )
    return folder


KINDS = {"phy": phy, "alf": alf, "saved": saved, "analyzer": analyzer}


@pytest.fixture(scope="session")
def valid_folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("folders")
    made = {name: make(base / name) for name, make in KINDS.items()}
    for folder in made.values():
        assert len(open_recording(folder).units) == 3
    return made


@CALM
@given(kind=st.sampled_from(sorted(KINDS)), which=st.floats(0, 1), places=PLACES)
def test_mutated_arrays_tables_and_settings(valid_folders, tmp_path, kind, which, places):
    """The start of an .npy file is its header, so that small files are mostly hit there."""
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(valid_folders[kind], copy)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    file = files[int(which * (len(files) - 1))]
    file.write_bytes(mutated(file.read_bytes(), places))
    opens_or_says_why(copy)


@pytest.fixture(scope="session")
def valid_zarrs(tmp_path_factory):
    from hdmf_zarr import NWBZarrIO
    from spikeinterface.core import generate_sorting

    base = tmp_path_factory.mktemp("zarrs")
    nwb = empty()
    nwb.add_unit_column("quality", "q")
    for _ in range(3):
        nwb.add_unit(spike_times=np.arange(20.0), quality="good")
    with NWBZarrIO(str(base / "session.nwb.zarr"), "w") as io:
        io.write(nwb, cache_spec=False)
    sorting = generate_sorting(num_units=3, durations=[2.0], seed=0)
    sorting.set_property("brain_area", np.array(["CA1"] * 3))
    sorting.save(folder=base / "sorting.zarr", format="zarr")
    made = {path.name: path for path in base.iterdir()}
    assert all(len(open_recording(path).units) == 3 for path in made.values())
    return made


@CALM
@given(kind=st.sampled_from(["session.nwb.zarr", "sorting.zarr"]), which=st.floats(0, 1), places=PLACES)
def test_mutated_zarr(valid_zarrs, tmp_path, kind, which, places):
    copy = tmp_path / "copy.zarr"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(valid_zarrs[kind], copy)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    file = files[int(which * (len(files) - 1))]
    file.write_bytes(mutated(file.read_bytes(), places))
    opens_or_says_why(copy)


def test_texts_in_zarr_that_announce_billions_are_refused(valid_zarrs, tmp_path):
    """numcodecs takes memory for as many texts as the first four bytes of a piece say."""
    from numcodecs import Blosc

    copy = tmp_path / "s.nwb.zarr"
    shutil.copytree(valid_zarrs["session.nwb.zarr"], copy)
    piece = copy / "units" / "quality" / "0"
    piece.write_bytes(Blosc().encode(b"\xff\xff\xff\xef" + Blosc().decode(piece.read_bytes())[4:]))
    with pytest.raises(NeurratorError, match="quality cannot be read"):
        open_recording(copy)


@CALM
@given(kind=st.sampled_from(sorted(KINDS)), which=st.floats(0, 1), content=st.binary(max_size=200))
@example(kind="phy", which=0.3, content=b"sample_rate = " + b"(" * 190)
@example(kind="saved", which=0.0, content=b"[" * 200)
def test_random_bytes_under_the_right_names(valid_folders, tmp_path, kind, which, content):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(valid_folders[kind], copy)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    files[int(which * (len(files) - 1))].write_bytes(content)
    opens_or_says_why(copy)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@CALM
@given(
    file=st.sampled_from(
        ["sorting/numpysorting_info.json", "recording_info/probegroup.json", "recording_info/recording_attributes.json"]
    ),
    key=st.sampled_from(["sampling_frequency", "unit_ids", "num_segments", "probes", "t_starts", "properties", None]),
    value=JSON,
)
def test_json_of_other_shapes(valid_folders, tmp_path, file, key, value):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(valid_folders["analyzer"], copy)
    contents = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps(value if key is None else {**contents, key: value}))
    opens_or_says_why(copy)


DTYPES = ["f8", "f4", "i8", "u1", "u8", "b", "S3", "U2", "c16", "M8[s]", [("a", "i4")]]


@CALM
@given(
    kind=st.sampled_from(sorted(KINDS)),
    which=st.floats(0, 1),
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 5), max_size=4),
    fill=st.sampled_from([0, 1, 77, 255]),
)
def test_arrays_of_other_types_and_shapes(valid_folders, tmp_path, kind, which, dtype, shape, fill):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(valid_folders[kind], copy)
    files = sorted(copy.rglob("*.npy"))
    array = np.zeros(shape, dtype=dtype)
    array = (
        np.frombuffer(bytes([fill]) * array.nbytes, dtype=array.dtype).reshape(shape)
        if array.dtype.kind != "U"
        else array
    )
    np.save(files[int(which * (len(files) - 1))], array)
    opens_or_says_why(copy)


@CALM
@given(
    name=st.sampled_from(["x.nwb", "x.npz", "x.toml", "x.zarr", "x.json", "x.pkl", "x"]),
    content=st.binary(max_size=300),
)
def test_files_of_random_bytes(tmp_path, name, content):
    path = Path(tmp_path) / name
    path.write_bytes(content)
    opens_or_says_why(path)


@CALM
@given(source=st.text(max_size=60))
@example(source="\x00")
@example(source="~nobody-of-that-name/x")
@example(source="x" * 5000)
@example(source="http://[::1/x.nwb")
def test_sources_of_random_text(source):
    if "://" in source and "[" not in source:
        return
    is_session(source)
    with pytest.raises(NeurratorError):
        open_recording(source if source not in ("sample", ".", "") else "nothing here")
