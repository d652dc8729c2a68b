"""Frames come lazily from every kind of store, and are found where sessions keep them."""

import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import moments, open_stimulus
from napari_neurrator.recording.presentations import canonical_name, tidy_presentations
from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
from napari_neurrator.recording.stimulus.open import open_frames

GREY = np.random.default_rng(0).integers(0, 255, (7, 9, 8), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 255, (7, 9, 8, 3), dtype=np.uint8)


def written_tiff(folder, name, frames, **options):
    tifffile.imwrite(folder / name, frames, **options)
    return folder / name


def written_lzw(folder, frames):
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(folder / "lzw.tif", save_all=True, append_images=rest, compression="tiff_lzw")
    return folder / "lzw.tif"


def written_zarr(folder, frames, key=None, zipped=False):
    path = folder / ("frames.zarr.zip" if zipped else "frames.zarr")
    store = zarr.storage.ZipStore(str(path), mode="w") if zipped else str(path)
    root = zarr.open_group(store, mode="w")
    if key is None:
        zarr.open_array(str(path), mode="w", shape=frames.shape, dtype=frames.dtype, chunks=(3, *frames.shape[1:]))[
            :
        ] = frames
    else:
        root.create_dataset(key, shape=frames.shape, dtype=frames.dtype, data=frames, chunks=(3, *frames.shape[1:]))
        root.create_dataset("when", shape=(7,), dtype=float, data=np.arange(7.0))
    if zipped:
        store.close()
    return path


def written_hdf5(folder, frames):
    with h5py.File(folder / "natural_movie_1.h5", "w") as file:
        file.create_dataset("a/data", data=frames, chunks=(2, *frames.shape[1:]), compression="gzip")
        file["rate"] = 30.0
    return folder / "natural_movie_1.h5"


WRITERS = {
    "plain tiff": lambda folder, frames: written_tiff(folder, "a.tif", frames),
    "zlib tiff": lambda folder, frames: written_tiff(folder, "a.tif", frames, compression="zlib"),
    "ome tiff": lambda folder, frames: written_tiff(
        folder, "a.ome.tif", frames, metadata={"axes": "TYX"[: frames.ndim] + "S" * (frames.ndim - 3)}
    ),
    "big-endian tiled tiff": lambda folder, frames: written_tiff(
        folder, "a.tif", frames, tile=(16, 16), byteorder=">", bigtiff=True
    ),
    "lzw tiff": written_lzw,
    "zarr": written_zarr,
    "zarr group": lambda folder, frames: written_zarr(folder, frames, key="movie"),
    "zipped zarr": lambda folder, frames: written_zarr(folder, frames, key="movie", zipped=True),
    "hdf5": written_hdf5,
}


@pytest.mark.parametrize("frames", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", WRITERS)
def test_frames_of_every_store(tmp_path, kind, frames):
    folder = tmp_path / "Bühne 1"
    folder.mkdir()
    path = WRITERS[kind](folder, frames)
    folder.chmod(0o555)
    stimulus = open_frames(path)
    assert (stimulus.n_frames, stimulus.frame_shape) == (7, (9, 8, 3))
    for index in (6, 0, 3, 2, 6):
        expected = frames[index] if frames.ndim == 4 else np.repeat(frames[index][..., None], 3, axis=2)
        np.testing.assert_array_equal(stimulus.frame(index), expected)
    assert stimulus.fingerprint() == open_frames(path).fingerprint()
    folder.chmod(0o755)


def test_an_imagej_stack(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True)
    np.testing.assert_array_equal(open_frames(tmp_path / "a.tif").frame(4)[..., 0], GREY[4])


def test_animated_webp(tmp_path):
    first, *rest = [Image.fromarray(frame) for frame in COLOUR]
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, lossless=True, duration=40)
    movie = open_frames(tmp_path / "a.webp")
    assert (movie.n_frames, movie.frame_rate_hz) == (7, 25)
    np.testing.assert_array_equal(movie.frame(5), COLOUR[5])


class Counting:
    """An array that counts how much of it was read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim, self.read = array, array.shape, array.dtype, array.ndim, 0

    def __getitem__(self, key):
        part = self.array[key]
        self.read += part.nbytes
        return part


def test_nothing_is_read_before_it_is_asked_for():
    array = Counting(np.zeros((10_000, 9, 8), np.uint8))
    stimulus = ArrayStimulus(array, block=16)
    for index in range(32):
        stimulus.frame(index)
    assert array.read == 2 * 16 * 72


def test_a_store_with_several_candidates_says_which(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["left"], file["right"] = GREY, GREY
    with pytest.raises(NeurratorError, match=r"2 arrays that may be the frames \(left .*right"):
        open_frames(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["trace"] = np.zeros(5)
    with pytest.raises(NeurratorError, match=r"no array of frames.*trace \(5,\) float64"):
        open_frames(tmp_path / "b.h5")


@pytest.mark.parametrize("name", ["nothing.mp4", "n\0l.mp4", "x" * 5000, "~no such user/a.npy"])
def test_paths_to_nothing(tmp_path, name):
    with pytest.raises(NeurratorError, match="no frames at"):
        open_frames(tmp_path / name if not name.startswith("~") else name)


def test_axes_that_are_no_frames_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((3, 2, 9, 8), np.uint8), metadata={"axes": "TCYX"})
    with pytest.raises(NeurratorError, match="TCYX"):
        open_frames(tmp_path / "a.ome.tif")


def session(folder, table, series=None):
    shown, _ = tidy_presentations(table, "test")

    def name_of(name):
        return next((own for own in shown["stimulus"].unique() if canonical_name(own) == canonical_name(name)), None)

    return SimpleNamespace(
        source=str(folder / "session.nwb"), name="session", presentations=shown, image_series=series or {}, stimulus_name=name_of,
        presentations_of=lambda name: shown[shown["stimulus"] == name_of(name)],
    )  # fmt: skip


def shown(stimulus, frames):
    onset = np.arange(len(frames)) / 30
    return pd.DataFrame({"stimulus": stimulus, "start_time": onset, "stop_time": onset + 1 / 30, "frame": frames})


@pytest.mark.parametrize(
    ("stimulus", "place"),
    [
        ("natural_movie_one", "natural_movie_1.npy"),
        ("natural_movie_1", "natural_movie_one.npy"),
        ("natural_movie_one_more_repeats", "natural_movie_one.npy"),
        ("natural_movie_one_shuffled", "natural_movie_1.npy"),
        ("natural_movie_one", "stimuli/natural_movie_one.npy"),
        ("natural_movie_one", "../natural_movie_templates/natural_movie_1.npy"),
    ],
)
def test_frames_are_found_beside_the_session_in_both_spellings(tmp_path, stimulus, place):
    folder = tmp_path / "session_1"
    folder.mkdir()
    (folder / place).parent.mkdir(exist_ok=True)
    np.save(folder / place, GREY)
    found, name = open_stimulus(session(folder, shown(stimulus, [0, 5, 2, 6, 1])), stimulus)
    assert name == stimulus
    np.testing.assert_array_equal(found.frame(5)[..., 0], GREY[5])


def test_its_own_frames_go_before_those_of_the_movie_it_varies(tmp_path):
    np.save(tmp_path / "natural_movie_one.npy", GREY)
    np.save(tmp_path / "natural_movie_one_shuffled.npy", GREY[::-1])
    ordered = session(tmp_path, shown("natural_movie_one_shuffled", [*range(7), *range(7)]))
    np.testing.assert_array_equal(open_stimulus(ordered, "natural_movie_1_shuffled")[0].frame(0)[..., 0], GREY[6])
    (tmp_path / "natural_movie_one_shuffled.npy").unlink()
    with pytest.raises(NeurratorError, match="number the shuffled movie"):
        open_stimulus(ordered, "natural_movie_one_shuffled")


def test_scenes_lie_in_a_folder_of_images(tmp_path):
    (tmp_path / "natural_scene_templates").mkdir()
    for number in range(12):
        Image.new("L", (6, 5), number).save(tmp_path / "natural_scene_templates" / f"natural_scene_{number}.tiff")
    (tmp_path / "natural_scene_templates" / "._natural_scene_1.tiff").write_bytes(b"left by a Mac")
    scenes = session(tmp_path, shown("natural_scenes", [10, -1, 2, 10]))
    stimulus, name = open_stimulus(scenes, "natural_scenes")
    assert int(stimulus.frame(10)[0, 0, 0]) == 10
    table = moments(scenes, name, stimulus)
    assert table[["presentation", "frame", "repeat"]].to_numpy().tolist() == [[0, 10, 0], [2, 2, 0], [3, 10, 1]]


def test_frames_in_the_session_itself_go_first(tmp_path):
    np.save(tmp_path / "film.npy", GREY)
    own = ArrayStimulus(GREY[::-1].copy())
    stimulus, _ = open_stimulus(session(tmp_path, shown("film", [0, 1]), {"Film": own}), "film")
    assert stimulus is own


def test_fewer_frames_than_were_shown_are_refused_and_more_are_fine(tmp_path):
    np.save(tmp_path / "film.npy", GREY)
    assert open_stimulus(session(tmp_path, shown("film", range(5))), "film")[0].n_frames == 7
    with pytest.raises(NeurratorError, match="there are 7, and the presentations show 10"):
        open_stimulus(session(tmp_path, shown("film", range(10))), "film")


def test_frames_that_are_not_there_say_where_they_were_looked_for(tmp_path):
    with pytest.raises(NeurratorError, match="also under the name natural_movie_1"):
        open_stimulus(
            session(tmp_path, shown("natural_movie_one_more_repeats", range(5))), "natural_movie_one_more_repeats"
        )


def test_flashes_are_rendered_as_grey_levels(tmp_path):
    table = shown("flashes", [0]).drop(columns="frame")
    table = pd.concat([table.assign(color=c, contrast=0.8, start_time=t) for t, c in enumerate([1.0, -1.0, 1.0])])
    table["stop_time"] = table["start_time"] + 0.25
    recording = session(tmp_path, table)
    stimulus, name = open_stimulus(recording, "flashes")
    assert [int(stimulus.frame(frame)[0, 0, 0]) for frame in moments(recording, name, stimulus)["frame"]] == [
        230,
        25,
        230,
    ]


def test_folders_are_not_followed_into_what_is_no_stimulus(tmp_path):
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "notes.txt").write_text("nothing to see")
    with pytest.raises(NeurratorError, match="not beside"):
        open_stimulus(session(tmp_path, shown("film", range(5))), "film")
    shutil.rmtree(tmp_path / "film")
