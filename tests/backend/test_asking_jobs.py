"""Asking back and leaving out, by the backend with the tiny profile."""

import queue

import numpy as np
import pytest
import torch

from napari_neurrator.attribution.asking import ask_back
from napari_neurrator.attribution.leaving import leave_out
from napari_neurrator.attribution.targets import patch_target
from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.decoding.windows import spike_windows
from napari_neurrator.evaluation.comparison import compare_groups
from napari_neurrator.recording import moments, open_recording, open_stimulus


@pytest.fixture(scope="module")
def backend():
    made = InProcessBackend()
    yield made
    made.close()


@pytest.fixture(scope="module")
def moment(small_sample, small_decoder):
    """Return decoder, units, window and frame of one moment that was held out."""
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    stored = StoredDecoder.load(small_decoder)
    table = moments(recording, name, stimulus)
    row = table[(table["repeat"] == 4) & (table["frame"] == 100)]
    units = stored.info.unit_ids
    window = spike_windows(recording, row, stored.info.window, units)
    return stored, units, window, np.ascontiguousarray(stimulus.frame(100))[None]


def run(backend, request, stop_after=None):
    events: queue.Queue = queue.Queue()
    backend.submit(request, events.put)
    got = []
    while True:
        got.append(events.get(timeout=120))
        if isinstance(got[-1], p.Done | p.Failed | p.Cancelled):
            return got
        if stop_after is not None and isinstance(got[-1], stop_after):
            backend.cancel(request.job_id)


def ask(small_decoder, moment, **what):
    _, units, window, _ = moment
    return p.AskRequest(
        job_id="a", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(window), **what
    )


def asked(backend, request):
    events = run(backend, request)
    assert isinstance(events[-1], p.Done), events[-1]
    return next(event for event in events if isinstance(event, p.Asked))


def test_patches_are_asked_as_the_library_does(backend, small_decoder, moment):
    stored, units, window, _ = moment
    request = ask(small_decoder, moment, patches=[64, 65, 77])
    # where units look takes a while, once: it can be stopped
    stopped = run(backend, request, stop_after=p.Progress)
    assert isinstance(stopped[-1], p.Cancelled)
    found = asked(backend, request)
    prior = stored.decoder.prior_grid.cpu()
    target = patch_target(stored.decoder.predict(window, units)[0].cpu(), prior, [64, 65, 77])
    expected = ask_back(stored.decoder, window, units, target)
    covers, carried = found.covers.unpack(), found.carried.unpack()
    assert carried == pytest.approx(expected.contribution * covers, abs=1e-5)
    assert 0 <= covers.min() < covers.max() <= 1.0 + 1e-6
    assert found.patches == [64, 65, 77]
    assert found.value == pytest.approx(expected.value, rel=1e-5)
    order = np.argsort(-np.abs(carried), kind="stable")
    n = len(found.explained)
    assert found.explained == [units[i] for i in order[:n]]
    size = np.abs(carried)
    assert size[order[:n]].sum() >= 0.8 * size.sum() * (1 - 1e-5) > size[order[: n - 1]].sum()
    again = run(backend, request.model_copy(update={"job_id": "b", "patches": [1]}))
    assert not [event for event in again if isinstance(event, p.Progress)]


def test_a_concept_and_a_word(backend, small_decoder, moment):
    stored, units, window, _ = moment
    narrated = run(
        backend,
        p.NarrationRequest(
            job_id="n", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(window), max_new_tokens=12
        ),
    )  # fmt: skip
    concept = next(event for event in narrated if isinstance(event, p.Concepts)).concepts[0].name
    sentence = next(event for event in narrated if isinstance(event, p.Sentence)).text
    found = asked(backend, ask(small_decoder, moment, concept=concept))
    assert found.unit == "activation"
    assert found.value > 0
    word = asked(backend, ask(small_decoder, moment, word=p.WordAsked(sentence=sentence, place=1)))
    assert word.patches is None
    assert word.covers is None
    assert "log-probability" in word.unit
    # contributions add up to the log-probability's rise over the mean grid, at the contrast at which the sentence was said
    from napari_neurrator.attribution.words import word_log_probability
    from napari_neurrator.language.narrator import LanguageModel
    from napari_neurrator.profiles import load_profile

    language, prior = LanguageModel(load_profile("tiny")), stored.decoder.prior_grid.cpu()
    grid = stored.spoken(stored.decoder.predict(window, units))[0].cpu()
    said, nothing = (float(word_log_probability(language, one[None], sentence, 1)[0]) for one in (grid, prior))
    assert word.value == pytest.approx(said - nothing, abs=0.1 * abs(said - nothing) + 0.05)
    assert word.carried.unpack().sum() == pytest.approx(word.value - word.remainder, abs=1e-3)


def test_what_is_lost_without_a_group(backend, small_decoder, moment, tower):
    stored, units, window, frame = moment
    found = asked(backend, ask(small_decoder, moment, patches=list(range(144))))
    request = p.WithoutRequest(
        job_id="w", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(window),
        group=found.explained, frames=p.PackedArray.pack(frame), draws=19,
    )  # fmt: skip
    events = run(backend, request)
    assert isinstance(events[-1], p.Done)
    lost = next(event for event in events if isinstance(event, p.Without))
    assert lost.lost == pytest.approx(lost.whole - lost.rest, abs=1e-5)
    assert len(lost.random.unpack()) == 19
    assert lost.p == pytest.approx((1 + (lost.random.unpack() >= lost.lost - 1e-7).sum()) / 20)
    true = tower.grids(frame).cpu()
    expected = leave_out(stored.decoder, window, units, found.explained, true, draws=19)
    assert (lost.lost, lost.p) == (pytest.approx(expected.lost, abs=1e-5), expected.p)
    assert lost.alone == pytest.approx(float(expected.alone.mean()), abs=1e-5)


def test_a_region_is_inspected_as_the_library_does(backend, small_decoder, small_sample, moment, tower):
    stored, units, window, frame = moment
    numbers = list(range(0, 225, 5))
    request = p.InspectRequest(
        job_id="i", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(window), frames=p.PackedArray.pack(frame), patches=[64, 65],
        shown=p.ShownFrames(recording=str(small_sample), stimulus="natural_movie_one", numbers=numbers), n_alike=3,
    )  # fmt: skip
    events = run(backend, request)
    assert isinstance(events[-1], p.Done), events[-1]
    found = next(event for event in events if isinstance(event, p.Inspected))
    grid, true = stored.decoder.predict(window, units)[0].cpu(), tower.grids(frame)[0].cpu()
    cosine = torch.nn.functional.cosine_similarity(grid, true, dim=-1)[[64, 65]].mean()
    assert found.cosine == pytest.approx(float(cosine), abs=1e-4)
    assert found.gain == pytest.approx(found.cosine - found.prior_cosine, abs=1e-6)
    assert 0 < found.p <= 1
    assert len(found.null.unpack()) > 10
    assert found.decoded
    assert found.decoded[0].value >= found.decoded[-1].value > 0
    alike = next(event for event in events if isinstance(event, p.Alike)).patches
    assert [one.cosine for one in alike] == sorted((one.cosine for one in alike), reverse=True)
    assert {one.frame for one in alike} <= set(numbers)
    # what was decoded of frame 100 looks like that scene, which the film shows from frame 75 to 149
    assert 75 <= alike[0].frame < 150
    assert events.index(found) < len(events) - 2


def test_a_region_is_matched_over_time(backend, small_decoder, small_sample, moment, tower):
    stored, units, _, _ = moment
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    table = moments(recording, name, stimulus)
    rows = table[(table["repeat"] == 4) & (table["frame"] % 25 == 0)].sort_values("frame", ascending=False)
    windows = spike_windows(recording, rows, stored.info.window, units)
    frames = rows["frame"].tolist()
    request = p.MatchRequest(
        job_id="m", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(windows), frames=frames, patches=[65, 64],
        shown=p.ShownFrames(recording=str(small_sample), stimulus="natural_movie_one", numbers=sorted(frames)),
    )  # fmt: skip
    events = run(backend, request)
    assert isinstance(events[-1], p.Done), events[-1]
    found = [event for event in events if isinstance(event, p.Matches)]
    assert [one.start for one in found] == list(np.cumsum([0] + [one.prior.shape[0] for one in found])[:-1])
    cosine, prior, low, high = (
        np.concatenate([getattr(one, field).unpack() for one in found]) for field in ("cosine", "prior", "low", "high")
    )
    true = tower.grids(np.stack([stimulus.frame(frame) for frame in frames])).cpu()
    grids = stored.decoder.predict(windows, units).cpu()
    similar = torch.nn.functional.cosine_similarity
    assert cosine == pytest.approx(similar(grids, true, dim=-1)[:, [64, 65]].numpy(), abs=2e-3)
    mean_grid = stored.decoder.prior_grid.cpu()
    assert prior == pytest.approx(similar(mean_grid[None], true, dim=-1)[:, [64, 65]].mean(1).numpy(), abs=2e-3)
    assert (low < high).all()
    # one moment by hand: what each other frame gains there, added to what the mean grid scores
    others, weights = stored.references["grids"].float()[:, [64, 65]], stored.references["weights"].numpy()
    same = similar(true[0, [64, 65]], others, dim=-1).mean(1).numpy() > 1 - 1e-4
    gains = similar(grids[0, [64, 65]], others, dim=-1).mean(1) - similar(mean_grid[[64, 65]], others, dim=-1).mean(1)
    gains, weights = gains.numpy()[~same], weights[~same] / weights[~same].sum()
    assert weights[gains + prior[0] < low[0] - 2e-3].sum() <= 0.05 + 1e-6
    assert weights[gains + prior[0] <= low[0] + 2e-3].sum() >= 0.05 - 1e-6
    assert weights[gains + prior[0] > high[0] + 2e-3].sum() <= 0.05 + 1e-6
    strange = request.model_copy(update={"job_id": "n", "frames": [*frames[:-1], 1]})
    assert "Frame 1 is asked for" in run(backend, strange)[-1].message
    few = request.model_copy(update={"job_id": "o", "frames": frames[:-1]})
    assert "give one window a frame" in run(backend, few)[-1].message


def test_groups_are_compared_as_the_library_does(backend, small_decoder, moment):
    stored, units, window, _ = moment
    groups = {"odd": units[1::2], "even": units[::2], "few": units[:5]}
    request = p.CompareRequest(
        job_id="c", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(window), groups=groups, draws=9
    )  # fmt: skip
    events = run(backend, request)
    assert isinstance(events[-1], p.Done), events[-1]
    found = [event for event in events if isinstance(event, p.Difference)]
    place = {unit: row for row, unit in enumerate(units)}

    def decode(some):
        return stored.decoder.predict(np.ascontiguousarray(window[:, :, [place[unit] for unit in some]]), some)

    expected = compare_groups(groups, decode, 9)
    assert [(one.first, one.second) for one in found] == [("odd", "even"), ("odd", "few"), ("even", "few")]
    for one, wanted in zip(found, expected, strict=True):
        assert one.distance == pytest.approx(wanted.distance, rel=1e-4)
        assert one.random.unpack() == pytest.approx(wanted.null, rel=1e-4)
        assert (one.p, one.p_adjusted) == (wanted.p, wanted.p_adjusted)
    stopped = run(backend, request.model_copy(update={"job_id": "d", "draws": 500}), stop_after=p.Progress)
    assert isinstance(stopped[-1], p.Cancelled)
    strange = request.model_copy(update={"job_id": "e", "groups": {"a": units[:2], "b": [-7]}})
    assert "The group 'b' holds -7" in run(backend, strange)[-1].message


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"patches": [999]}, "There is no patch 999"),
        ({"concept": "no such thing"}, "no concept 'no such thing'"),
        ({"word": p.WordAsked(sentence="a bus", place=7)}, "no word 7"),
    ],
)
def test_what_cannot_be_asked_is_said(backend, small_decoder, moment, what, says):
    last = run(backend, ask(small_decoder, moment, **what))[-1]
    assert isinstance(last, p.Failed)
    assert says in last.message
    assert last.details is None


def test_all_units_cannot_be_left_out(backend, small_decoder, moment):
    _, units, window, frame = moment
    request = p.WithoutRequest(
        job_id="w", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(window),
        group=units, frames=p.PackedArray.pack(frame),
    )  # fmt: skip
    assert "nobody would be left" in run(backend, request)[-1].message


def test_one_thing_is_asked_at_a_time():
    window = p.PackedArray.pack(np.zeros((1, 2, 1), np.uint8))
    for what in ({}, {"patches": [1], "concept": "sky"}):
        with pytest.raises(ValueError, match="either patches, a concept or a word"):
            p.AskRequest(job_id="x", decoder="d", unit_ids=[1], windows=window, **what)
