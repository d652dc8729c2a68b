"""Patch grids are worked out once, survive kills, damage and full disks, and are read row by row."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_neurrator.errors import NeurratorError, Stopped
from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
from napari_neurrator.vision import cache
from napari_neurrator.vision.cache import patch_grids
from napari_neurrator.vision.tower import VisionTower

from .models import noise, profile_of, save_clip

N = 60


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    return noise(N, 72, 90)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the profile of a small CLIP."""
    folder = tmp_path_factory.mktemp("profile")
    save_clip(folder / "clip")
    return profile_of(folder, model="clip")


@pytest.fixture(scope="module")
def true(movie, small):
    return VisionTower(small).grids(movie).half().numpy()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURRATOR_CACHE", str(tmp_path / "cache"))
    # Chunks of two frames.
    monkeypatch.setattr("napari_neurrator.vision.grid_store._CHUNK_BYTES", 2 * 25 * 48 * 2)
    return tmp_path / "cache" / "patches"


@pytest.fixture
def seen(monkeypatch):
    """Count the frames that go through the tower."""
    numbers: list[int] = []
    whole = VisionTower.grids

    def counting(self, frames):
        numbers.append(len(frames))
        return whole(self, frames)

    monkeypatch.setattr(VisionTower, "grids", counting)
    return numbers


def same(grids: np.ndarray, true: np.ndarray) -> bool:
    """Compare half-precision grids: to the last bit, but on a GPU, where frames seen beside other frames differ in that bit."""
    if torch.cuda.is_available():
        return grids.shape == true.shape and np.allclose(grids, true, rtol=2e-3, atol=4e-3)
    return np.array_equal(grids, true)


def store_of(folder: Path) -> Path:
    (made,) = folder.iterdir()
    return made


def test_grids_are_the_tower_s_and_made_once(folder, movie, small, true, seen):
    stimulus = ArrayStimulus(movie, "film")
    frames = np.arange(N)
    assert same(np.asarray(patch_grids(stimulus, frames, small)), true)
    assert sum(seen) == N
    # Other frames, other order, another name of the same film: nothing is worked out again.
    some = np.array([7, 3, 3, 59])
    assert same(np.asarray(patch_grids(ArrayStimulus(movie.copy(), "other"), some, small)), true[some])
    assert sum(seen) == N


def test_only_the_chunks_that_are_asked_for(folder, movie, small, true, seen):
    stimulus = ArrayStimulus(movie, "film")
    table = patch_grids(stimulus, np.array([10, 31]), small)
    assert sum(seen) == 4
    assert same(table[:], true[[10, 31]])
    patch_grids(stimulus, np.arange(N), small)
    assert sum(seen) == N


@pytest.mark.parametrize("change", ["film", "layer", "fit", "weights", "configuration"])
def test_what_changes_the_grids_is_told_apart(folder, movie, small, seen, tmp_path, change):
    stimulus = ArrayStimulus(movie, "film")
    frames = np.arange(2)
    patch_grids(stimulus, frames, small)
    other = small
    if change == "film":
        stimulus = ArrayStimulus(movie[::-1], "film")
    elif change == "layer":
        other = profile_of(small.folder, model="clip", layer="last")
    elif change == "fit":
        other = profile_of(small.folder, model="clip", fit="whole")
    else:
        shutil.copytree(small.folder / "clip", tmp_path / "clip")
        other = profile_of(tmp_path, model="clip")
        if change == "weights":
            from safetensors.torch import load_file, save_file

            file = tmp_path / "clip" / "model.safetensors"
            weights = load_file(file)
            weights["vision_model.encoder.layers.1.mlp.fc1.weight"][3, 3] += 0.5
            save_file(weights, file, metadata={"format": "pt"})
        else:
            file = tmp_path / "clip" / "preprocessor_config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"image_std": [0.3, 0.3, 0.3]}))
    patch_grids(stimulus, frames, other)
    assert sum(seen) == 4


def test_spellings_and_places_of_the_same_are_not(folder, movie, small, seen, tmp_path):
    stimulus = ArrayStimulus(movie, "film")
    patch_grids(stimulus, np.arange(2), small)
    shutil.copytree(small.folder / "clip", tmp_path / "moved")
    for spelling in ("penultimate", "layer 2", 3):
        patch_grids(stimulus, np.arange(2), profile_of(tmp_path, model="moved", layer=spelling))
    assert sum(seen) == 2


@pytest.mark.parametrize(
    "part",
    [
        5,
        -1,
        slice(3, 20, 4),
        [4, 4, 0],
        np.array([[1, 2], [3, 4]]),
        np.arange(N) % 7 == 0,
        slice(None),
        (slice(2, 4), 3),
        (2, slice(0, 3), 5),
        [],
    ],
)
def test_a_table_is_indexed_as_an_array(folder, movie, small, true, part):
    table = patch_grids(ArrayStimulus(movie, "film"), np.arange(N), small)
    part = np.array(part, dtype=int) if isinstance(part, list) else part
    got = table[part]
    assert got.shape == true[part].shape
    assert same(got, true[part])
    assert table.shape == true.shape
    assert table.dtype == true.dtype
    assert len(table) == N


def test_it_is_a_zarr_array_that_others_can_read(folder, movie, small, true):
    import zarr

    patch_grids(ArrayStimulus(movie, "film"), np.arange(N), small)
    array = zarr.open_array(str(store_of(folder) / "grids.zarr"), mode="r")
    assert array.dtype == np.float16
    assert same(array[:], true)
    about = dict(array.attrs)
    assert (about["layer"], about["fit"], about["library"]) == (-2, "crop", "transformers")


def test_stopping_keeps_what_is_done(folder, movie, small, true, seen):
    def stop_at_half(stage, done, total):
        if done >= total / 2:
            raise Stopped

    stimulus = ArrayStimulus(movie, "film")
    with pytest.raises(Stopped):
        patch_grids(stimulus, np.arange(N), small, stop_at_half, batch=4)
    before = sum(seen)
    assert 0 < before < N
    assert same(np.asarray(patch_grids(stimulus, np.arange(N), small)), true)
    assert sum(seen) == N


CHILD = """
import sys, time
import numpy as np
from napari_neurrator.profiles import load_profile
from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
from napari_neurrator.vision import grid_store
from napari_neurrator.vision.cache import patch_grids
from napari_neurrator.vision.tower import VisionTower
import torch
torch.set_num_threads(1)
grid_store._CHUNK_BYTES = 2 * 25 * 48 * 2
movie, profile, slow, limit = np.load(sys.argv[1]), load_profile(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
whole, seen = VisionTower.grids, 0
def grids(self, frames):
    global seen
    seen += len(frames)
    time.sleep(slow)
    return whole(self, frames)
VisionTower.grids = grids
def report(stage, done, total):
    print(stage, done, total, flush=True)
try:
    table = patch_grids(ArrayStimulus(movie, "film"), np.arange(len(movie)), profile, report, batch=2)
except Exception as error:
    print("FAILED", type(error).__name__, error, flush=True)
    sys.exit(2)
np.save(sys.argv[5], np.asarray(table))
print("SEEN", seen, flush=True)
"""


@pytest.fixture
def child(small, movie, tmp_path, folder):
    """Return what starts a process that fills the cache."""
    np.save(tmp_path / "movie.npy", movie)
    (small.folder / "profile.toml").write_text(
        'name = "test"\ndescription = ""\n[vision]\nmodel = "clip"\n[language]\nmodel = "none"\nprompt = "{image}{question}"\nquestion = "?"\n'
    )

    def start(slow: float = 0.0, limit: int = 0, out: str = "out.npy") -> subprocess.Popen:
        arguments = [tmp_path / "movie.npy", small.folder, slow, limit, tmp_path / out]
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
        )  # fmt: skip

    return start


def test_a_killed_process_is_resumed(child, folder, true, tmp_path):
    first = child(slow=0.05)
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith("looking at the frames 10 "):
            break
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    finished = len((store_of(folder) / "finished.jsonl").read_text().splitlines())
    assert 10 <= finished < N // 2
    out, errors = child().communicate(timeout=120)
    assert f"SEEN {N - 2 * finished}" in out, errors
    assert same(np.load(tmp_path / "out.npy"), true)
    assert not list(store_of(folder).glob("grids.zarr/*.partial"))


def test_two_processes_at_once_share_the_work(child, folder, true, tmp_path):
    both = [child(slow=0.03, out=name) for name in ("a.npy", "b.npy")]
    said = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum(int(out.split("SEEN ")[1]) for out, _ in said) == N
    for name in ("a.npy", "b.npy"):
        assert same(np.load(tmp_path / name), true)


def test_a_full_disk_is_said_and_loses_nothing(child, folder, true, tmp_path):
    """Files may grow to the size of the list of finished chunks after some chunks, and no further."""
    chunk = 2 * 25 * 48 * 2
    run = child(limit=chunk - 1)
    out, errors = run.communicate(timeout=120)
    assert run.returncode == 2
    assert "Traceback" not in errors
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED NeurratorError The disk is full: the patch grids do not fit into")
    assert "NEURRATOR_CACHE" in line
    out, errors = child().communicate(timeout=120)
    assert f"SEEN {N}" in out, errors
    assert same(np.load(tmp_path / "out.npy"), true)


def test_what_was_done_before_the_disk_was_full_is_kept(folder, movie, small, true, seen, monkeypatch):
    import errno

    from napari_neurrator.vision.grid_store import GridStore

    whole, calls = GridStore._append, []

    def full(self, line):
        calls.append(line)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, line)

    stimulus = ArrayStimulus(movie, "film")
    with monkeypatch.context() as patched:
        patched.setattr(GridStore, "_append", full)
        with pytest.raises(NeurratorError, match="disk is full"):
            patch_grids(stimulus, np.arange(N), small, batch=2)
    before = sum(seen)
    assert same(np.asarray(patch_grids(stimulus, np.arange(N), small)), true)
    assert sum(seen) == before + N - 2 * 5


def test_no_room_is_said_before_the_work_begins(folder, movie, small, seen, monkeypatch):
    usage = shutil.disk_usage(folder.parent.parent)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(NeurratorError, match="GB are needed"):
        patch_grids(ArrayStimulus(movie, "film"), np.arange(N), small)
    assert not seen


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "removed", "torn list", "no list", "no description", "other description", "touched"]
)
def test_damage_is_mended(folder, movie, small, true, seen, damage):
    stimulus = ArrayStimulus(movie, "film")
    patch_grids(stimulus, np.arange(N), small)
    made = store_of(folder)
    chunk, told = made / "grids.zarr" / "4.0.0", made / "finished.jsonl"
    again = 2
    if damage == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-1])
    elif damage == "flipped":
        time.sleep(0.01)
        data = bytearray(chunk.read_bytes())
        data[100] ^= 1
        chunk.write_bytes(bytes(data))
    elif damage == "removed":
        chunk.unlink()
    elif damage == "torn list":
        told.write_bytes(told.read_bytes()[:-9])
    elif damage == "no list":
        told.unlink()
        again = N
    elif damage == "touched":
        # A copy without its times: the checksums are right.
        for file in chunk.parent.iterdir():
            os.utime(file, ns=(1, 1))
        again = 0
    else:
        description = made / "grids.zarr" / ".zarray"
        if damage == "no description":
            description.unlink()
        else:
            description.write_text(description.read_text().replace("<f2", "<f4"))
        again = 0
    assert same(np.asarray(patch_grids(stimulus, np.arange(N), small)), true)
    assert sum(seen) == N + again
    # And then all is well again.
    patch_grids(stimulus, np.arange(N), small)
    assert sum(seen) == N + again


def test_a_table_that_vanishes_is_said(folder, movie, small):
    table = patch_grids(ArrayStimulus(movie, "film"), np.arange(N), small)
    shutil.rmtree(folder)
    with pytest.raises(NeurratorError, match="removed or changed"):
        table[3]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, movie, small):
    (tmp_path / "cache").write_text("a file in its place")
    monkeypatch.setenv("NEURRATOR_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NeurratorError, match="NEURRATOR_CACHE"):
        patch_grids(ArrayStimulus(movie, "film"), np.arange(N), small)


def test_nothing_is_loaded_where_all_is_there(folder, movie, small, monkeypatch):
    stimulus = ArrayStimulus(movie, "film")
    patch_grids(stimulus, np.arange(N), small)
    monkeypatch.setattr(cache, "_load", lambda *_: pytest.fail("the tower was loaded"))
    patch_grids(stimulus, np.arange(N), small)


def test_grids_of_zeros_are_written_too(tmp_path):
    from napari_neurrator.vision.grid_store import GridStore

    store = GridStore(tmp_path / "zeros", (3, 9, 8), {})
    with store.filling():
        store.write(0, np.zeros((3, 9, 8), dtype=np.float16))
    assert store.unfinished(np.array([0])) == []
    assert not store.table(np.arange(3))[:].any()


def test_memory_of_a_long_table_stays_small(folder, tmp_path):
    """Reading rows holds those rows, not the table."""
    from napari_neurrator.vision.grid_store import GridStore

    store = GridStore(tmp_path / "big", (64, 576, 1024), {})
    grid = np.zeros((1, 576, 1024), dtype=np.float16)
    with store.filling():
        for frame in range(64):
            store.write(frame, grid + frame)
    table = store.table(np.arange(64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [float(table[frame][0, 0]) for frame in range(64)] == list(range(64))
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 40
