"""Frames of every kind of file are the right ones, in any order; what is no picture is refused."""

import random
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording.stimulus.arrays import ArrayStimulus
from napari_neurrator.recording.stimulus.movie import MovieFile
from napari_neurrator.recording.stimulus.open import open_frames

N_FRAMES = 40


def number_of(frame: np.ndarray) -> int:
    """Read the number that is drawn in the frame as eight black or white bars."""
    return sum(1 << bit for bit in range(8) if frame[8:56, bit * 16 + 3 : bit * 16 + 13].mean() > 127)


def write_movie(path, codec, options, pix_fmt="yuv420p", times_ms=None):
    try:
        encoder = av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV has no encoder {codec}")
    assert encoder is not None
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 64, pix_fmt
        if times_ms is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(N_FRAMES):
            picture = np.zeros((64, 128, 3), np.uint8)
            for bit in range(8):
                if number >> bit & 1:
                    picture[:, bit * 16 : (bit + 1) * 16] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


OPEN_GOP = {"x264-params": "open-gop=1:keyint=12:bframes=3:b-adapt=0"}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {"bf": "3", "g": "12"}),
        ("open.mp4", "libx264", OPEN_GOP),
        ("open.mkv", "libx264", OPEN_GOP),
        # AVI and MPEG program streams do not say truly when a picture is shown, or where it lies.
        ("b-frames.avi", "libx264", {"bf": "3", "g": "12"}),
        ("open.avi", "libx264", OPEN_GOP),
        ("b-frames.mpg", "mpeg2video", {"bf": "2", "g": "12"}),
        ("old.avi", "mpeg4", {"bf": "2", "g": "12"}),
    ],
)
def test_frame_numbers_are_exact_in_any_order(tmp_path, name, codec, options):
    path = write_movie(tmp_path / name, codec, options)
    movie = MovieFile(path)
    assert (movie.n_frames, movie.frame_shape) == (N_FRAMES, (64, 128, 3))
    assert [number_of(movie.frame(i)) for i in range(N_FRAMES)] == list(range(N_FRAMES))
    for seed in range(4):
        fresh = MovieFile(path)
        wanted = random.Random(seed).choices(range(N_FRAMES), k=30)
        assert [number_of(fresh.frame(i)) for i in wanted] == wanted


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.gif", "gif", "rgb8"),
        ("a.apng", "apng", "rgb24"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("grey.avi", "rawvideo", "gray"),
        ("ten-bit-grey.mkv", "ffv1", "gray10le"),
        ("ten-bit.mov", "prores_ks", "yuv422p10le"),
        ("ten-bit.mp4", "libx264", "yuv420p10le"),
        ("no container.h264", "libx264", "yuv420p"),
        ("Bühne 3.ts", "libx264", "yuv420p"),
    ],
)
def test_containers_depths_and_colours(tmp_path, name, codec, pix_fmt):
    movie = MovieFile(write_movie(tmp_path / name, codec, {}, pix_fmt))
    wanted = [*range(0, N_FRAMES, 7), 3, N_FRAMES - 1, 0]
    assert movie.n_frames == N_FRAMES
    assert [number_of(movie.frame(i)) for i in wanted] == wanted
    # Black and white as they were, not the narrower range that films are stored in.
    assert movie.frame(1)[20:40, 4:12].min() >= 250
    assert movie.frame(1)[20:40, 20:124].max() <= 5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_of_any_length_count_one_each(tmp_path, name):
    lengths = [random.Random(number).choice([10, 33, 100, 500]) for number in range(N_FRAMES)]
    path = write_movie(
        tmp_path / name, "libx264", {"bf": "3", "g": "12"}, times_ms=[0, *np.cumsum(lengths[:-1]).tolist()]
    )
    movie = MovieFile(path)
    wanted = random.Random(1).choices(range(N_FRAMES), k=40)
    assert movie.n_frames == N_FRAMES
    assert [number_of(movie.frame(i)) for i in wanted] == wanted


def test_a_movie_that_starts_amid_an_edit_counts_only_what_is_shown(tmp_path):
    whole = write_movie(tmp_path / "whole.mp4", "libx264", {"bf": "3", "g": "12"})
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        shift = int(5 / 30 / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                target.mux(packet)
    with av.open(str(cut)) as container:
        shown = [number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    movie = MovieFile(cut)
    assert movie.n_frames == len(shown)
    assert [number_of(movie.frame(i)) for i in reversed(range(len(shown)))] == shown[::-1]


def test_threads_and_dask_get_the_frames_they_asked_for(tmp_path):
    movie = MovieFile(write_movie(tmp_path / "film.mp4", "libx264", {"bf": "3", "g": "12"}))
    wanted = [k * 17 % N_FRAMES for k in range(120)]
    with ThreadPoolExecutor(6) as pool:
        assert [number_of(frame) for frame in pool.map(movie.frame, wanted)] == wanted
    lazy = movie.as_dask()
    assert lazy.shape == (N_FRAMES, 64, 128, 3)
    assert set(lazy.chunks[0]) == {1}
    assert number_of(lazy[21].compute()) == 21
    assert [number_of(frame) for frame in lazy[3:12:4].compute()] == [3, 7, 11]
    np.testing.assert_array_equal(lazy[21, 4:9, ::2, 1].compute(), movie.frame(21)[4:9, ::2, 1])
    assert movie.frames([]).shape == (0, 64, 128, 3)


@pytest.mark.parametrize("name", ["cut.mp4", "text.mp4", "empty.mp4"])
def test_a_damaged_movie_is_one_sentence(tmp_path, name):
    data = write_movie(tmp_path / "film.mp4", "libx264", {}).read_bytes()
    (tmp_path / name).write_bytes({"cut.mp4": data[: len(data) // 2], "text.mp4": b"text" * 99, "empty.mp4": b""}[name])
    with pytest.raises(NeurratorError, match="cannot be read as a movie"):
        MovieFile(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [(200, np.uint8, 200), (200, np.int64, 200), (0.5, np.float32, 128), (1.0, np.float64, 255), (1, bool, 255)],
)
def test_grey_levels_are_kept(value, dtype, shown):
    frame = ArrayStimulus(np.full((2, 4, 5), value, dtype)).frame(1)
    assert frame.shape == (4, 5, 3)
    assert frame.dtype == np.uint8
    assert abs(int(frame[0, 0, 0]) - shown) <= 1


@pytest.mark.parametrize(
    "array",
    [
        np.full((2, 4, 4), 200.0),
        np.full((2, 4, 4), np.nan),
        np.full((2, 4, 4), 40_000, np.uint16),
        np.full((2, 4, 4), -3),
        np.full((2, 4, 4), 1j),
        np.full((2, 4, 4), "a"),
        np.zeros((4, 4), np.uint8),
        np.zeros((2, 4, 4, 2), np.uint8),
        np.zeros((0, 4, 4), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_refused_and_not_cut_off(array):
    with pytest.raises(NeurratorError):
        ArrayStimulus(array)


@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
@pytest.mark.parametrize("data", [b"", b"hello"])
def test_damaged_arrays_are_one_sentence(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NeurratorError, match="cannot be read"):
        open_frames(tmp_path / name)


def test_tiff_stacks_and_single_pictures(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (5, 9, 8), dtype=np.uint8)
    for name, options in (("plain.tif", {}), ("packed.tif", {"compression": "zlib"})):
        tifffile.imwrite(tmp_path / name, frames, **options)
        opened = open_frames(tmp_path / name)
        assert opened.n_frames == 5
        np.testing.assert_array_equal(opened.frame(3)[..., 0], frames[3])
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    one = open_frames(tmp_path / "one.tif")
    assert (one.n_frames, one.frame_shape) == (1, (20, 30, 3))


def test_images_count_in_natural_order_and_have_one_size(tmp_path):
    for number in (10, 2, 1):
        Image.new("L", (6, 5), number).save(tmp_path / f"scene{number}.png")
    images = open_frames(tmp_path)
    assert [int(images.frame(i)[0, 0, 0]) for i in range(3)] == [1, 2, 10]
    before = images.fingerprint()
    Image.new("L", (6, 5), 3).save(tmp_path / "scene2.png")
    assert open_frames(tmp_path).fingerprint() != before
    Image.new("L", (7, 5)).save(tmp_path / "scene3.png")
    with pytest.raises(NeurratorError, match=r"6 × 5.*7 × 5"):
        open_frames(tmp_path)


def test_images_of_more_than_eight_bits_are_refused_and_broken_ones_named(tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    Image.fromarray(np.full((5, 5), 40_000, np.uint16)).save(deep / "a.png")
    with pytest.raises(NeurratorError, match="0 to 255"):
        open_frames(deep).frame(0)
    cut = tmp_path / "cut"
    cut.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)).save(cut / "b.png")
    data = (cut / "b.png").read_bytes()
    (cut / "b.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(NeurratorError, match=r"b\.png"):
        open_frames(cut).frame(0)
