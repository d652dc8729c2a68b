"""Courses, galleries and own names, by the backend with the tiny profile."""

import json
import queue
import shutil

import numpy as np
import pytest
import torch

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.concept_jobs import strongest_apart
from napari_neurrator.backend.local import InProcessBackend
from napari_neurrator.concepts.course import concept_course
from napari_neurrator.concepts.dictionary import Dictionary, load_dictionary
from napari_neurrator.concepts.ranking import UsualActivation, concept_totals
from napari_neurrator.decoding import decoder_info
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.decoding.windows import spike_windows
from napari_neurrator.recording import moments, open_recording, open_stimulus
from napari_neurrator.vision.cache import patch_grids


@pytest.fixture(scope="module")
def backend():
    made = InProcessBackend()
    yield made
    made.close()


@pytest.fixture(scope="module")
def session(small_sample, small_decoder):
    """Return recording, stimulus, moments of one showing, decoder, its dictionary, and what is usual."""
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    table = moments(recording, name, stimulus)
    stored = StoredDecoder.load(small_decoder)
    from napari_neurrator.profiles import load_profile

    profile = load_profile("tiny")
    dictionary = load_dictionary(profile)
    usual = UsualActivation.of(concept_totals(dictionary, dictionary.encode(stored.typical_grids)))
    return recording, stimulus, table, stored, profile, dictionary, usual


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


def shown(small_sample, numbers):
    return p.ShownFrames(recording=str(small_sample), stimulus="natural_movie_one", numbers=list(numbers))


def course_of(events):
    parts = [event for event in events if isinstance(event, p.Course)]
    strengths = np.concatenate([part.strengths.unpack() for part in parts])
    starts = np.cumsum([0] + [part.strengths.shape[0] for part in parts])
    assert [part.start for part in parts] == starts[:-1].tolist()
    return strengths, parts


def test_course_of_units_is_the_strength_that_the_list_shows(backend, session, small_decoder):
    recording, stimulus, table, stored, _, dictionary, usual = session
    units = recording.select_units('region != "CA1"')
    rows = table[table["repeat"] == 4].iloc[:40]
    windows = spike_windows(recording, rows, stored.info.window, units)
    frame = np.ascontiguousarray(stimulus.frame(int(rows["frame"].iloc[12])))[None]
    narrated = run(
        backend,
        p.NarrationRequest(
            job_id="n", decoder=str(small_decoder), unit_ids=units, windows=p.PackedArray.pack(windows[12:13]),
            frames=p.PackedArray.pack(frame), want=["concepts"],
        ),
    )  # fmt: skip
    listed = next(event for event in narrated if isinstance(event, p.Concepts))
    assert listed.concepts
    assert listed.dictionary == dictionary.content_hash
    assert listed.naming
    for concept in listed.concepts:
        entry = dictionary.given_names.entries[concept.feature]
        assert (concept.given, concept.score) == (entry["name"], entry["score"])
    names = [concept.name for concept in listed.concepts]
    request = p.CourseRequest(
        job_id="c", decoder=str(small_decoder), concepts=names, unit_ids=units, windows=p.PackedArray.pack(windows)
    )
    events = run(backend, request)
    assert isinstance(events[-1], p.Done)
    strengths, parts = course_of(events)
    assert len(parts) > 1
    assert strengths.shape == (40, len(names))
    # In another batch a product rounds otherwise, and of two features as active as each other another one is among the k kept.
    assert strengths[12] == pytest.approx([concept.strength for concept in listed.concepts], abs=0.02)
    # and the same as the library's own course, in its own units
    totals = concept_course(dictionary, stored.decoder.predict(windows, units), names)
    places = [dictionary.concepts.index(name) for name in names]
    expected = (totals - usual.mean[places]) / usual.deviation[places]
    assert np.allclose(strengths, expected.numpy(), atol=1e-3)


def test_course_of_frames_is_of_their_true_grids_and_goes_on_where_it_stopped(
    backend, session, small_decoder, small_sample
):
    _, stimulus, _, _, profile, dictionary, usual = session
    numbers = np.arange(0, 225, 3)
    request = p.CourseRequest(
        job_id="f1", decoder=str(small_decoder), concepts=["daylight", "night"], shown=shown(small_sample, numbers)
    )
    stopped = run(backend, request, stop_after=p.Course)
    assert isinstance(stopped[-1], p.Cancelled)
    known = len(course_of(stopped)[0])
    assert 0 < known < len(numbers)
    events = run(backend, request.model_copy(update={"job_id": "f2"}))
    strengths, parts = course_of(events)
    # what was known is told at once
    assert parts[0].strengths.shape[0] >= known
    assert strengths.shape == (len(numbers), 2)
    grids = patch_grids(stimulus, numbers, profile)
    totals = concept_course(dictionary, grids, ["daylight", "night"])
    places = [dictionary.concepts.index(name) for name in ("daylight", "night")]
    expected = (totals - usual.mean[places]) / usual.deviation[places]
    assert np.allclose(strengths, expected.numpy(), atol=1e-3)
    # other concepts of the same frames cost nothing more
    again = run(backend, request.model_copy(update={"job_id": "f3", "concepts": ["night"]}))
    assert len([event for event in again if isinstance(event, p.Course)]) == 1


def test_gallery_holds_the_strongest_frames_and_where(backend, session, small_decoder, small_sample):
    _, stimulus, _, _, profile, dictionary, _ = session
    numbers = np.arange(225)
    grids = patch_grids(stimulus, numbers, profile)
    encoded = dictionary.encode(torch.from_numpy(np.asarray(grids[:], np.float32)))
    totals = encoded.totals_of(dictionary.concept_of_feature, len(dictionary.concepts)).sum(0)
    name = dictionary.concepts[int(totals.argmax())]
    request = p.GalleryRequest(
        job_id="g", decoder=str(small_decoder), concept=name, shown=shown(small_sample, numbers), n=6
    )
    events = run(backend, request)
    assert isinstance(events[-1], p.Done)
    gallery = next(event for event in events if isinstance(event, p.Gallery))
    assert gallery.n_frames == 225
    assert 0 < gallery.n_active <= 225
    assert 2 <= len(gallery.frames) <= 6
    values = [frame.value for frame in gallery.frames]
    assert values == sorted(values, reverse=True)
    heat = encoded.heatmap(dictionary.concept_of_feature == dictionary.concepts.index(name)).numpy()
    for frame in gallery.frames:
        assert np.allclose(frame.heatmap.unpack().ravel(), heat[frame.frame], atol=1e-3)
        assert frame.value == pytest.approx(float(heat[frame.frame].max()), abs=1e-3)
        assert frame.heatmap.unpack()[frame.row, frame.column] == pytest.approx(frame.value)
    # in a film, none within a second of another
    found = sorted(frame.frame for frame in gallery.frames)
    assert min(np.diff(found)) >= round(stimulus.frame_rate_hz)


def test_own_names_lie_beside_the_dictionary(session, small_decoder, tmp_path, monkeypatch):
    dictionary, profile = session[5], session[4]
    # a profile of its own, so that nobody else's names are touched
    made = tmp_path / "p"
    made.mkdir()
    shutil.copytree(dictionary.folder, made / "dictionary")
    text = (profile.folder / "profile.toml").read_text()
    for model in ("clip", "llava"):
        text = text.replace(f'"{model}"', json.dumps(str(profile.folder / model)))
    (made / "profile.toml").write_text(text)
    decoder = tmp_path / "d"
    shutil.copytree(small_decoder, decoder)
    info = json.loads((decoder / "decoder.json").read_text())
    info["profile"] = str(made)
    (decoder / "decoder.json").write_text(json.dumps(info))
    backend = InProcessBackend()
    try:
        request = p.LabelRequest(job_id="l", decoder=str(decoder), concept="daylight", label="  sunny   sky ")
        assert isinstance(run(backend, request)[-1], p.Done)
        renamed = Dictionary(made / "dictionary")
        assert "sunny sky" in renamed.concepts
        assert "daylight" not in renamed.concepts
        assert len(renamed.concepts) == len(dictionary.concepts)
        back = request.model_copy(update={"job_id": "b", "label": ""})
        assert isinstance(run(backend, back)[-1], p.Done)
        assert Dictionary(made / "dictionary").concepts == dictionary.concepts
    finally:
        backend.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"concepts": ["no such thing"]}, "no concept 'no such thing'"),
        ({"decoder": "nowhere"}, "no decoder"),
        ({"unit_ids": [-5]}, "not among"),
    ],
)
def test_bad_courses_are_refused_in_a_sentence(backend, small_decoder, change, says):
    info = decoder_info(small_decoder)
    windows = p.PackedArray.pack(np.zeros((2, info.window.n_bins, 1), np.uint8))
    request = p.CourseRequest(
        job_id="x", decoder=str(small_decoder), concepts=["night"], unit_ids=info.unit_ids[:1], windows=windows
    )
    last = run(backend, request.model_copy(update=change))[-1]
    assert isinstance(last, p.Failed)
    assert says in last.message
    assert last.details is None


def test_frames_that_are_not_there_are_refused(backend, small_decoder, small_sample):
    request = p.GalleryRequest(
        job_id="y", decoder=str(small_decoder), concept="night", shown=shown(small_sample, [0, 225])
    )
    assert "has 225" in run(backend, request)[-1].message
    gone = request.shown.model_copy(update={"recording": "/no/such/file.nwb"})
    assert isinstance(run(backend, request.model_copy(update={"job_id": "z", "shown": gone}))[-1], p.Failed)


def test_a_course_is_of_one_kind(small_sample):
    common = {"job_id": "x", "decoder": "d", "concepts": ["night"]}
    with pytest.raises(ValueError, match="either"):
        p.CourseRequest(**common)
    windows = p.PackedArray.pack(np.zeros((1, 20, 1), np.uint8))
    with pytest.raises(ValueError, match="either"):
        p.CourseRequest(**common, windows=windows, shown=shown(small_sample, [0]))


def test_strongest_apart():
    numbers = np.array([0, 5, 10, 40, 41, 90])
    values = np.array([1.0, 3.0, 2.9, 2.0, 2.5, 0.5])
    assert strongest_apart(numbers, values, 10, 1).tolist() == [1, 2, 4, 3, 0, 5]
    assert strongest_apart(numbers, values, 10, 10).tolist() == [1, 4, 5]
    assert strongest_apart(numbers, values, 2, 10).tolist() == [1, 4]
    assert strongest_apart(numbers[:0], values[:0], 2, 10).tolist() == []
