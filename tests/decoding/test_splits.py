"""No spike that a decoder is tested on lies in a window that it learns from."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.config import SPLITS, WindowConfig
from napari_neurrator.decoding.splits import is_held_out, leaves_its_showing, split_moments
from napari_neurrator.errors import NeurratorError

BY_FRAME = ("contiguous-middle", "front-only", "held-out-images")


def film(n_frames=300, repeats=6, rate=30.0, pause=0.0, seed=0):
    start = np.concatenate([r * (n_frames / rate + pause) + np.arange(n_frames) / rate for r in range(repeats)])
    start = start + np.random.default_rng(seed).uniform(0, 5e-4, len(start))
    frame = np.tile(np.arange(n_frames), repeats)
    repeat = np.repeat(np.arange(repeats), n_frames)
    return pd.DataFrame(
        {"time": start, "start_time": start, "stop_time": start + 1 / rate, "frame": frame, "repeat": repeat}
    )


def images(n=60, repeats=8, seed=0):
    rng = np.random.default_rng(seed)
    frame = np.concatenate([rng.permutation(n) for _ in range(repeats)])
    start = 5 + 0.25 * np.arange(len(frame))
    repeat = np.repeat(np.arange(repeats), n)
    return pd.DataFrame(
        {"time": start, "start_time": start, "stop_time": start + 0.25, "frame": frame, "repeat": repeat}
    )


@given(
    name=st.sampled_from([s for s in SPLITS if s != "another-movie"]),
    pause=st.sampled_from([0.0, 0.7]),
    lag=st.sampled_from([-0.1, 0.0, 0.05]),
    pictures=st.booleans(),
    seed=st.integers(0, 20),
)
@settings(max_examples=60, deadline=None)
def test_windows_of_different_parts_never_share_a_spike(name, pause, lag, pictures, seed):
    window = WindowConfig(lag_s=lag)
    table = images(seed=seed) if pictures else film(pause=pause, seed=seed)
    split = split_moments(table, name, window, seed)
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    assert all(len(part) for part in parts.values())
    time = table["time"].to_numpy()
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not set(parts[one]) & set(parts[other])
        a, b = np.sort(time[parts[one]]), np.sort(time[parts[other]])
        near = np.abs(a[:, None] - b[None]).min()
        assert near >= window.duration_s - 1e-6, (one, other)
    frames = {key: set(table["frame"].to_numpy()[part]) for key, part in parts.items()}
    if name in BY_FRAME:
        assert not frames["test"] & (frames["train"] | frames["validation"])
        assert frames["test"] <= set(split.test_frames)
    held = frozenset(split.test_frames.tolist())
    rows = table.iloc[split.test]
    assert all(is_held_out(name, r, f, held) for r, f in zip(rows["repeat"], rows["frame"], strict=True))
    rows = table.iloc[split.train]
    assert not any(is_held_out(name, r, f, held) for r, f in zip(rows["repeat"], rows["frame"], strict=True))


def test_no_window_leaves_its_showing():
    table, window = film(pause=0.0), WindowConfig()
    leaves = leaves_its_showing(table, window)
    last = table["time"] + window.lag_s + window.duration_s
    ends = table.groupby("repeat")["stop_time"].transform("max")
    np.testing.assert_array_equal(leaves, last > ends + 1e-3)
    assert 0 < leaves.sum() < 60
    assert not leaves_its_showing(images(), window).any()


def test_blocks_are_where_their_names_say():
    table = film()
    middle = split_moments(table, "contiguous-middle", WindowConfig())
    assert (middle.test_frames.min(), middle.test_frames.max()) == (120, 179)
    front = split_moments(table, "front-only", WindowConfig())
    assert (front.test_frames.min(), front.test_frames.max()) == (0, 59)
    assert set(split_moments(table, "another-movie", WindowConfig()).test) == set()


@pytest.mark.parametrize("name", list(SPLITS))
def test_too_little_to_split_is_one_sentence(name):
    with pytest.raises(NeurratorError, match="split"):
        split_moments(film(n_frames=4, repeats=2), name, WindowConfig(n_bins=2))


def test_a_window_longer_than_the_showings_is_refused():
    with pytest.raises(NeurratorError, match="shorter window"):
        split_moments(images(), "held-out-repeats", WindowConfig(n_bins=20, bin_s=3.0))


@pytest.mark.parametrize("name", BY_FRAME)
def test_pictures_shown_one_by_one_are_held_out_whole(name):
    table, window = images(), WindowConfig()
    # Gratings: every picture belongs to several frames.
    pictures = np.arange(60) % 12
    split = split_moments(table, name, window, 3, pictures)
    frame = table["frame"].to_numpy()
    shown = {part: set(pictures[frame[getattr(split, part)]]) for part in ("train", "validation", "test")}
    assert len(shown["test"]) == 2
    assert not shown["test"] & (shown["train"] | shown["validation"])
    assert not shown["train"] & shown["validation"]
    assert not split.film
    assert set(pictures[split.test_frames]) == shown["test"]
    assert len(split.test_frames) == 10
    with pytest.raises(NeurratorError, match=r"has 4 \(60 frames, of which many look the same\)"):
        split_moments(table, name, window, 0, np.arange(60) % 4)


@pytest.mark.parametrize("name", BY_FRAME)
def test_frames_of_a_film_that_look_like_a_held_out_one_are_not_learnt_from(name):
    table, window = film(), WindowConfig()
    plain = split_moments(table, name, window, 1)
    assert plain.film
    frame = table["frame"].to_numpy()
    learnt = np.unique(frame[np.concatenate([plain.train, plain.validation])])
    # One frame that is learnt from looks like one that is tested.
    pictures = np.arange(300)
    twin = int(learnt[len(learnt) // 2])
    pictures[twin] = pictures[plain.test_frames[0]]
    split = split_moments(table, name, window, 1, pictures)
    np.testing.assert_array_equal(split.test, plain.test)
    for part in ("train", "validation"):
        before = getattr(plain, part)
        np.testing.assert_array_equal(getattr(split, part), before[frame[before] != twin])
