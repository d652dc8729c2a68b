"""What is remembered of subsets: made once, asked by several threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_neurrator.decoding.remembered import Remembered


def test_the_last_are_kept_and_the_others_made_again():
    made = []

    def make(key):
        made.append(key)
        return key + 100

    kept = Remembered(2)
    assert [kept.of(key, lambda key=key: make(key)) for key in (1, 1, 2, 1, 3, 1, 2)] == [
        101,
        101,
        102,
        101,
        103,
        101,
        102,
    ]
    assert made == [1, 2, 3, 2]


def test_what_fails_is_not_kept():
    kept = Remembered(2)
    with pytest.raises(ZeroDivisionError):
        kept.of("a", lambda: 1 / 0)
    assert kept.of("a", lambda: 5) == 5


def test_threads_do_not_get_into_each_others_way():
    kept = Remembered(3)

    def ask(seed):
        keys = np.random.default_rng(seed).integers(40, size=4000).tolist()
        return all(kept.of(key, lambda key=key: -key) == -key for key in keys)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(16)))
