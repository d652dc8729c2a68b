"""Requests of several clients that are narrated side by side: each hears what it would have heard alone."""

import numpy as np
import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.engine import Engine
from napari_neurrator.backend.merging import MergedWindows, batch_key, run_together
from napari_neurrator.config import RunningConfig


@pytest.fixture(scope="module")
def engine():
    return Engine(RunningConfig(device="cpu"))


def together(engine, requests, is_stopped=lambda job: False, on_event=lambda event: None):
    heard = {request.job_id: [] for request in requests}

    def emit(event):
        heard[event.job_id].append(event)
        on_event(event)

    run_together(engine, requests, emit, is_stopped)
    return heard


def sentences(events):
    return [(e.moment, e.text, e.reference, e.prior) for e in events if isinstance(e, p.Sentence)]


def measured(events):
    return [e for e in events if isinstance(e, p.Concepts | p.Patches | p.Judged)]


def test_a_moment_has_the_same_digits_whatever_was_asked_for_with_it(engine, request_of):
    three = request_of(3)
    windows, frames = three.windows.unpack(), three.frames.unpack()
    heard = together(engine, [three])[three.job_id]
    engine = Engine(RunningConfig(device="cpu"))
    for moment in (2, 0):
        part = slice(moment, moment + 1)
        one = three.model_copy(
            update={
                "job_id": f"one {moment}",
                "windows": p.PackedArray.pack(windows[part]),
                "frames": p.PackedArray.pack(frames[part]),
            }
        )
        alone = [
            e.model_copy(update={"moment": moment, "job_id": three.job_id})
            for e in measured(together(engine, [one])[one.job_id])
        ]
        assert len(alone) == 3
        assert alone == [e for e in measured(heard) if e.moment == moment]


def test_each_hears_what_it_would_have_heard_alone(engine, request_of):
    whole = request_of(3)
    few = request_of(2, whole.unit_ids[:9])
    one = request_of(1, whole.unit_ids[20:40])
    requests = [r.model_copy(update={"job_id": f"c{n}"}) for n, r in enumerate((whole, few, one))]
    assert len({batch_key(request) for request in requests}) == 1
    heard = together(engine, requests)
    for request in requests:
        alone = together(engine, [request])[request.job_id]
        own = heard[request.job_id]
        assert sentences(own) == sentences(alone)
        assert [e.kind for e in own if e.kind != "progress"].count("done") == 1
        # To the last digit.
        assert measured(own) == measured(alone)
        last = [e for e in own if isinstance(e, p.Progress)][-1]
        assert last.done == last.total == request.windows.shape[0]
        words = "".join(e.text for e in own if isinstance(e, p.Token) and e.moment == 0)
        assert words == sentences(own)[0][1]


def test_what_differs_is_not_narrated_side_by_side(request_of):
    request = request_of(1)
    for change in ({"prompt": "What colour?"}, {"decoder": "other"}, {"max_new_tokens": 7}, {"want": ["text"]}):
        assert batch_key(request.model_copy(update=change)) != batch_key(request)
    assert batch_key(request.model_copy(update={"want": request.want[::-1]})) == batch_key(request)


def test_one_that_is_stopped_does_not_stop_the_others(engine, request_of):
    requests = [request_of(1).model_copy(update={"job_id": f"s{n}"}) for n in range(3)]
    stopped = set()

    def on_event(event):
        if isinstance(event, p.Token):
            stopped.add("s1")

    heard = together(engine, requests, stopped.__contains__, on_event)
    assert isinstance(heard["s0"][-1], p.Done)
    assert isinstance(heard["s1"][-1], p.Cancelled)
    assert sum(isinstance(e, p.Token) for e in heard["s1"]) <= 1
    # when all are, the work ends
    spoken = []
    heard = together(engine, requests, lambda job: any(isinstance(e, p.Token) for e in spoken), spoken.append)
    assert all(isinstance(events[-1], p.Cancelled) for events in heard.values())


def test_one_that_is_wrong_fails_alone(engine, request_of):
    good, bad = request_of(1), request_of(1)
    bad = bad.model_copy(update={"job_id": "bad", "unit_ids": [-1 - n for n in range(len(bad.unit_ids))]})
    heard = together(engine, [good, bad])
    assert isinstance(heard[good.job_id][-1], p.Done)
    assert isinstance(heard["bad"][-1], p.Failed)
    assert "units" in heard["bad"][-1].message


def test_windows_are_cut_like_one_array():
    parts = [(np.full((n, 2, units), n), list(range(units))) for n, units in ((3, 4), (1, 2), (5, 7))]
    windows = MergedWindows(parts)
    assert len(windows) == 9
    for start in range(9):
        for stop in range(start, 11):
            cut = windows[start:stop]
            assert len(cut) == len(range(9)[start:stop])
            rows = [int(array[0, 0, 0]) for array, _ in cut.parts for _ in array]
            assert rows == ([3] * 3 + [1] + [5] * 5)[start:stop]
            assert all(array.shape[2] == len(units) for array, units in cut.parts)
