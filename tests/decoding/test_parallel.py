"""Work that is done at once says what it would say alone, and memory used again is nobody else's."""

import threading

import pytest
import torch

from napari_neurrator.decoding import memory
from napari_neurrator.decoding.parallel import alone, at_once, in_parts


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_parts_cover_the_whole_in_order_and_each_counts_on_one_thread():
    assert in_parts(lambda first, last: (first, last, torch.get_num_threads()), 7) == [(0, 3, 1), (3, 7, 1)]
    assert torch.get_num_threads() == 2
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]
    assert in_parts(lambda first, last: (first, last), 1) == [(0, 1)]
    assert in_parts(lambda first, last: (first, last), 7, worth=False) == [(0, 7)]
    assert in_parts(lambda first, last: in_parts(lambda a, b: b - a, last - first), 7) == [[1, 2], [2, 2]]


@pytest.mark.usefixtures("two_threads")
def test_work_done_alone_still_shares_its_steps_with_the_other_threads():
    def steps() -> tuple[str, int, list[str], list[int]]:
        # Each half waits until the other one has begun.
        met = threading.Barrier(2, timeout=30)
        halves = in_parts(lambda *_: (met.wait(), threading.current_thread().name)[1], 2)
        # More than there are threads for, within each other.
        many = at_once(*(lambda i=i: sum(at_once(*(lambda j=j: i * j for j in range(3)))) for i in range(5)))
        return threading.current_thread().name, torch.get_num_threads(), halves, many

    name, counted_on, halves, many = alone(steps)
    assert name != threading.current_thread().name
    assert counted_on == 1
    assert halves[0] == name != halves[1]
    assert many == [0, 3, 6, 9, 12]
    assert alone(lambda: threading.current_thread().name, worth=False) == threading.current_thread().name
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_errors_and_inference_mode_reach_through():
    with torch.inference_mode():
        assert at_once(torch.is_inference_mode_enabled, torch.is_inference_mode_enabled) == [True, True]
    assert at_once(torch.is_inference_mode_enabled, torch.is_inference_mode_enabled) == [False, False]

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        at_once(fail, int)


def test_memory_is_used_again_only_when_no_view_of_it_is_left():
    first = memory.empty(3, 5).fill_(1)
    place, view = first.data_ptr(), first[1:].numpy()
    del first
    second = memory.empty(3, 5).fill_(2)
    assert second.data_ptr() != place
    assert (view == 1).all()
    del view
    assert memory.empty(15).data_ptr() == place
    assert place % 64 == 0
    assert memory.empty(0, 4, dtype=torch.float64).shape == (0, 4)
