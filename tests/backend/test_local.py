"""The in-process backend: the order of events, stopping, displacing, and faults that stay one sentence."""

import json
import queue
import shutil
import threading

import numpy as np
import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.backend.narrations import NarrationEvidence, parse_frames, summary_of
from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation import Evidence


@pytest.fixture(scope="module")
def backend():
    made = InProcessBackend()
    yield made
    made.close()


def run(backend, request):
    events: queue.Queue = queue.Queue()
    backend.submit(request, events.put)
    got = []
    while True:
        got.append(events.get(timeout=120))
        if isinstance(got[-1], p.Done | p.Failed | p.Cancelled):
            return got


def test_a_job_gives_heatmaps_words_evidence_and_an_end(backend, request_of):
    events = run(backend, request_of(2))
    assert isinstance(events[-1], p.Done)
    kinds = [event.kind for event in events]
    assert kinds.index("concepts") < kinds.index("token") < kinds.index("sentence")
    for moment in (0, 1):
        words = "".join(e.text for e in events if isinstance(e, p.Token) and e.moment == moment)
        final = [e for e in events if isinstance(e, p.Sentence) and e.moment == moment][-1]
        assert words == final.text
        assert final.reference
        assert final.prior
        concepts = next(e for e in events if isinstance(e, p.Concepts) and e.moment == moment).concepts
        assert concepts
        assert concepts[0].heatmap.unpack().shape == (12, 12)
        match = next(e for e in events if isinstance(e, p.Patches) and e.moment == moment)
        assert match.mean_cosine > match.prior_cosine
        judged = next(e for e in events if isinstance(e, p.Judged) and e.moment == moment).evidence
        assert judged.better
        assert judged.patch_cosine == pytest.approx(match.mean_cosine, abs=1e-4)
        assert judged.prior_cosine == pytest.approx(match.prior_cosine, abs=1e-4)
    # so that the words are grey from the first one on
    assert kinds.index("judged") < kinds.index("token")


def test_a_batch_says_what_each_moment_says_alone(backend, request_of):
    together = [e.text for e in run(backend, request_of(3)) if isinstance(e, p.Sentence) and e.reference]
    request = request_of(3)
    alone = []
    for row in range(3):
        single = request.model_copy(
            update={
                "job_id": f"one{row}",
                "windows": p.PackedArray.pack(request.windows.unpack()[row : row + 1]),
                "frames": p.PackedArray.pack(request.frames.unpack()[row : row + 1]),
            }
        )
        alone += [e.text for e in run(backend, single) if isinstance(e, p.Sentence) and e.reference]
    assert together == alone


@pytest.mark.parametrize(
    ("split", "says"), [("held-out-repeats", "fit it again"), ("another-movie", "nothing of this stimulus")]
)
def test_a_decoder_without_evidence_narrates_and_says_why(backend, request_of, small_decoder, tmp_path, split, says):
    folder = tmp_path / "d"
    shutil.copytree(small_decoder, folder)
    info = json.loads((folder / "decoder.json").read_text())
    del info["evidence"]
    info["config"]["split"] = split
    (folder / "decoder.json").write_text(json.dumps(info))
    events = run(backend, request_of(2).model_copy(update={"decoder": str(folder)}))
    assert isinstance(events[-1], p.Done)
    judged = [event for event in events if isinstance(event, p.Judged)]
    assert [event.moment for event in judged] == [0, 1]
    assert all(event.evidence is None and says in event.problem for event in judged)


def test_evidence_of_a_showing_seen_in_fitting_is_no_test():
    evidence = Evidence(patch_cosine=0.9, prior_cosine=0.6, gain=0.3, usual=-0.1, p=0.004, least=0.004)
    held_out = NarrationEvidence.of(evidence, "", "held-out-repeats", True)
    assert held_out.better is True
    assert held_out.in_words.startswith("More than chance (p = 0.004)")
    seen = NarrationEvidence.of(evidence, "", "held-out-repeats", False)
    assert seen.better is None
    assert seen.p == 0.004
    assert seen.in_words.startswith("Not a test")
    none = NarrationEvidence.of(None, "No evidence was measured.", "front-only", True)
    assert (none.p, none.better, none.in_words) == (None, None, "No evidence was measured.")
    luck = NarrationEvidence.of(evidence.model_copy(update={"p": 0.7}), "", "held-out-repeats", True)
    words = summary_of([held_out, luck, luck, seen])
    assert "1 of 3 sentences" in words
    assert "The other 1" in words
    assert "--held-out" in summary_of([seen])
    assert summary_of([none]) == none.in_words
    few = NarrationEvidence.of(evidence.model_copy(update={"p": 0.25, "least": 0.25}), "", "held-out-repeats", True)
    assert few.better is None
    assert "In 2 of 2 sentences" in summary_of([few, few])
    assert "luck alone would bring 25.0%" in summary_of([few, few])


def test_stopping_ends_with_cancelled_and_the_next_job_works(backend, request_of):
    request = request_of(3)
    first_word, ended = threading.Event(), threading.Event()
    got = []

    def listen(event):
        got.append(event)
        if isinstance(event, p.Token):
            first_word.set()
            backend.cancel(request.job_id)
        if isinstance(event, p.Done | p.Cancelled | p.Failed):
            ended.set()

    backend.submit(request, listen)
    assert first_word.wait(60)
    assert ended.wait(60)
    assert isinstance(got[-1], p.Cancelled)
    assert sum(isinstance(e, p.Token) for e in got) <= 2 * 3
    assert isinstance(run(backend, request_of(1))[-1], p.Done)


def test_a_waiting_job_can_be_cancelled(backend, request_of):
    events: queue.Queue = queue.Queue()
    one, two = request_of(2), request_of(2)
    backend.submit(one, lambda event: None)
    backend.submit(two, events.put)
    backend.cancel(two.job_id)
    assert isinstance(events.get(timeout=60), p.Cancelled)


@pytest.mark.parametrize("fault", ["no decoder", "unknown units", "protocol", "no frames", "lengths"])
def test_faults_of_the_request_are_one_sentence(backend, request_of, fault, tmp_path):
    request = request_of(1)
    update = {
        "no decoder": {"decoder": str(tmp_path)},
        "unknown units": {"unit_ids": [1] * len(request.unit_ids)},
        "protocol": {"protocol": 99},
        "no frames": {"frames": None},
        "lengths": {"frames": p.PackedArray.pack(np.zeros((2, 8, 8, 3), np.uint8))},
    }[fault]
    last = run(backend, request.model_copy(update=update))[-1]
    assert isinstance(last, p.Failed)
    assert last.details is None, last.details
    assert last.message.endswith(".")


def test_a_listener_that_fails_does_not_end_the_backend(backend, request_of):
    backend.submit(request_of(1), lambda event: 1 / 0)
    assert isinstance(run(backend, request_of(1))[-1], p.Done)


def test_requests_and_events_survive_json(request_of):
    request = request_of(1)
    again = p.NarrationRequest.model_validate_json(request.model_dump_json())
    np.testing.assert_array_equal(again.windows.unpack(), request.windows.unpack())
    assert again.unit_ids == request.unit_ids


def test_frame_numbers_are_read_as_people_write_them():
    assert parse_frames("0,30, 60-63") == {0, 30, 60, 61, 62, 63}
    for wrong in ("a", "3-1", "-5", "1;2", ""):
        with pytest.raises(NeurratorError):
            parse_frames(wrong)
