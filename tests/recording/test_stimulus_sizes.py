"""Files that claim to hold far more than they do are refused before anything is allocated."""

import json
import struct
import tracemalloc
import zlib

import av
import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording.stimulus.gratings import GratingStimulus
from napari_neurrator.recording.stimulus.open import open_frames

FRAMES = np.random.default_rng(0).integers(0, 255, (5, 32, 32), dtype=np.uint8)


def npy(path, shape, dtype="|u1", data=b"\0" * 64):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


def png(path, width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def movie(path, codec="mjpeg", pix_fmt="yuvj420p"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
        for frame in FRAMES:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.stack([frame] * 3, -1), format="rgb24").reformat(format=pix_fmt)
                )
            )
        container.mux(stream.encode())


def zarr_folder(path, shape, chunks, dtype="|u1", filters=None):
    path.mkdir()
    about = {
        "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "compressor": None, "fill_value": 0, "order": "C", "filters": filters
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps(about))


def bombs(folder):
    """Write one file of each kind; return what its message has to name."""
    npy(folder / "wide.npy", (1, 100_000, 100_000))
    npy(folder / "long.npy", (10**9, 10, 10))
    npy(folder / "negative.npy", (-1, 10, 10))
    npy(folder / "beyond.npy", (10**30, 10**30, 10**30))
    png(folder / "wide.png", 100_000, 100_000)
    png(folder / "warned.png", 9_500, 10_000)
    (folder / "images").mkdir()
    png(folder / "images" / "a.png", 100_000, 100_000)
    Image.fromarray(FRAMES[0]).save(
        folder / "wide.gif", save_all=True, append_images=[Image.fromarray(f) for f in FRAMES[1:]]
    )
    data = bytearray((folder / "wide.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    (folder / "wide.gif").write_bytes(data)
    movie(folder / "wide.avi", "rawvideo", "gray")
    data = bytearray((folder / "wide.avi").read_bytes())
    at = data.index(b"strf")
    data[at + 12 : at + 20] = struct.pack("<ii", 100_000, 100_000)
    (folder / "wide.avi").write_bytes(data)
    zarr_folder(folder / "wide.zarr", [1, 100_000, 100_000], [1, 100, 100])
    zarr_folder(folder / "long.zarr", [10**9, 10, 10], [1, 10, 10])
    zarr_folder(folder / "chunks.zarr", [10_000, 1000, 1000], [10_000, 1000, 1000], "<f8")
    with h5py.File(folder / "long.h5", "w") as file:
        file.create_dataset("data", shape=(10**9, 100, 100), dtype="u1", chunks=(1, 100, 100))
    with h5py.File(folder / "wide.h5", "w") as file:
        file.create_dataset("data", shape=(5, 100_000, 100_000), dtype="u1", chunks=(1, 100, 100))
    for name, tag in (("wide.tif", 256), ("high.tif", 257)):
        tifffile.imwrite(folder / name, FRAMES, compression="zlib", metadata=None)
        with tifffile.TiffFile(folder / name, mode="r+b") as file:
            for page in file.pages:
                page.tags[tag].overwrite(4_000_000)
    tifffile.imwrite(folder / "long.tif", FRAMES, metadata=None, description=json.dumps({"shape": [10**9, 32, 32]}))
    return {
        "wide.npy": "100000", "long.npy": "1000000000", "negative.npy": "cannot be read", "beyond.npy": "1000000",
        "wide.png": "10,000,000,000", "warned.png": "9,500 × 10,000|95000000|95,000,000", "images": "10,000,000,000", "wide.gif": "4,294,836,225",
        "wide.avi": "pictures", "wide.zarr": "100,000 × 100,000", "long.zarr": "1,000,000,000", "chunks.zarr": "chunks",
        "long.h5": "1,000,000,000", "wide.h5": "100,000 × 100,000", "wide.tif": "4,000,000", "high.tif": "4,000,000",
    }  # fmt: skip


def test_absurd_claims_are_one_sentence_and_cost_nothing(tmp_path):
    expected = bombs(tmp_path)
    tracemalloc.start()
    try:
        for name, said in expected.items():
            with pytest.raises(NeurratorError, match=said):
                open_frames(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_tiff_whose_description_claims_more_than_its_pages(tmp_path):
    bombs(tmp_path)
    try:
        stimulus = open_frames(tmp_path / "long.tif")
    except NeurratorError:
        return
    assert stimulus.n_frames == 5


def test_a_zarr_array_that_would_unpickle_is_refused(tmp_path):
    zarr_folder(tmp_path / "a.zarr", [2, 4, 4], [1, 4, 4], filters=[{"id": "pickle", "protocol": 5}])
    (tmp_path / "a.zarr" / "0.0.0").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(NeurratorError, match=r"pickled|cannot be read"):
        open_frames(tmp_path / "a.zarr")
    root = zarr.open_group(str(tmp_path / "b.zarr"), mode="w")
    root.create_group("inner")
    with pytest.raises(NeurratorError, match="no array of frames"):
        open_frames(tmp_path / "b.zarr")


def test_a_movie_that_changes_size_is_named(tmp_path):
    movie(tmp_path / "a.mjpeg")
    large = np.zeros((64, 64, 3), np.uint8)
    Image.fromarray(large).save(tmp_path / "b.jpg")
    (tmp_path / "a.mjpeg").write_bytes((tmp_path / "a.mjpeg").read_bytes() + (tmp_path / "b.jpg").read_bytes())
    stimulus = open_frames(tmp_path / "a.mjpeg")
    stimulus.frame(4)
    with pytest.raises(NeurratorError, match="64 × 64 pixels, and the movie 32 × 32"):
        stimulus.frame(5)


def test_gratings_that_last_for_years_are_refused():
    table = pd.DataFrame(
        {"frame": [0], "orientation": [0.0], "temporal_frequency": [2.0], "start_time": [0.0], "stop_time": [1e9]}
    )
    with pytest.raises(NeurratorError, match="30,000,000,000 frames"):
        GratingStimulus(table)
    with pytest.raises(NeurratorError, match="conditions"):
        GratingStimulus(table.assign(frame=10**8, stop_time=1.0))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    np.save(folder / "a.npy", FRAMES)
    tifffile.imwrite(folder / "a.tif", FRAMES, compression="zlib")
    movie(folder / "a.avi")
    Image.fromarray(FRAMES[0]).save(
        folder / "a.gif", save_all=True, append_images=[Image.fromarray(f) for f in FRAMES[1:]]
    )
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("data", data=FRAMES, chunks=(1, 32, 32), compression="gzip")
    return folder


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["a.npy", "a.tif", "a.avi", "a.gif", "a.h5"]), cut=st.floats(0, 1), data=st.data())
def test_damaged_files_give_frames_or_a_sentence(sound, tmp_path, kind, cut, data):
    content = bytearray((sound / kind).read_bytes())
    for at in data.draw(st.lists(st.integers(0, min(len(content), 4000) - 1), max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    (tmp_path / kind).write_bytes(content[: int(len(content) * max(cut, 0.02))] if cut < 0.7 else content)
    try:
        stimulus = open_frames(tmp_path / kind)
        for index in {0, stimulus.n_frames - 1}:
            assert stimulus.frame(index).shape == stimulus.frame_shape
    except NeurratorError:
        pass
