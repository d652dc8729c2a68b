"""Several questions, choices of words, notices and kept sentences, through the whole backend."""

import json
import queue

import pytest
import torch

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.engine import Engine
from napari_neurrator.backend.narrations import choose_moments, narration_request
from napari_neurrator.config import NarrateConfig, RunningConfig, SpeakingConfig
from napari_neurrator.decoding import decoder_info
from napari_neurrator.recording import moments, open_recording, open_stimulus

QUESTIONS = ["Describe this scene in one sentence.", "Where is this?"]


@pytest.fixture(scope="module")
def engine():
    return Engine(RunningConfig(device="cpu", batch=4))


@pytest.fixture(scope="module")
def request_of(small_sample, small_decoder):
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    info = decoder_info(small_decoder)
    table = choose_moments(moments(recording, name, stimulus), info, None, held_out=True)
    units = recording.select_units('region != "CA1"')

    def make(rows=(10, 70, 130, 160, 190, 220), **choices):
        return narration_request(
            recording, stimulus, table.iloc[list(rows)], info, str(small_decoder), units, **choices
        )

    return make


def run(engine, request):
    events: queue.Queue = queue.Queue()
    engine.run(request, events.put, lambda: False)
    got = list(events.queue)
    assert isinstance(got[-1], p.Done), got[-1]
    return got


def sentences(events):
    return {(e.moment, e.question): e for e in events if isinstance(e, p.Sentence)}


def test_each_question_is_answered_for_each_moment_as_if_asked_alone(engine, request_of):
    events = run(engine, request_of(prompts=QUESTIONS))
    both = sentences(events)
    assert set(both) == {(moment, question) for moment in range(6) for question in range(2)}
    for number, question in enumerate(QUESTIONS):
        alone = sentences(run(engine, request_of(prompt=question)))
        for moment in range(6):
            one, same = both[moment, number], alone[moment, 0]
            assert (one.text, one.reference, one.prior) == (same.text, same.reference, same.prior)
            words = [e.text for e in events if isinstance(e, p.Token) and (e.moment, e.question) == (moment, number)]
            assert "".join(words) == one.text
    assert both[0, 0].text != both[0, 1].text


def test_drawn_sentences_do_not_depend_on_what_else_is_narrated(engine, request_of):
    speaking = SpeakingConfig(temperature=1.5, seed=3)
    together = sentences(run(engine, request_of(speaking=speaking)))
    some = sentences(run(engine, request_of(rows=(190, 10), speaking=speaking)))
    assert some[0, 0].text == together[4, 0].text
    assert some[1, 0].text == together[0, 0].text
    assert some[1, 0].reference == together[0, 0].reference
    other = sentences(run(engine, request_of(speaking=SpeakingConfig(temperature=1.5, seed=4))))
    assert [s.text for s in other.values()] != [s.text for s in together.values()]


def test_beams_stream_and_end(engine, request_of):
    events = run(engine, request_of(rows=(10, 70), speaking=SpeakingConfig(beams=3)))
    for moment in (0, 1):
        words = [e.text for e in events if isinstance(e, p.Token) and e.moment == moment]
        assert "".join(words) == sentences(events)[moment, 0].text


def test_what_is_said_of_true_frames_is_kept_across_runs(engine, request_of, own_cache, monkeypatch):
    first = sentences(run(engine, request_of(prompt="Which objects are there?")))
    assert (own_cache / "sentences" / "said.sqlite").is_file()
    again = Engine(RunningConfig(device="cpu", batch=4))
    decoder = request_of().decoder
    again.warm_up(decoder)
    language = again._models["tiny"].language
    asked = []
    speak = language.speak
    monkeypatch.setattr(language, "speak", lambda f, q, *a, **k: (asked.append(len(q)), speak(f, q, *a, **k))[1])
    second = sentences(run(again, request_of(prompt="Which objects are there?")))
    assert [(s.text, s.reference, s.prior) for s in second.values()] == [
        (s.text, s.reference, s.prior) for s in first.values()
    ]
    assert asked == [6], "the moments' own sentences only"
    asked.clear()
    run(again, request_of(rows=(10,), prompt="Which objects are there?", max_new_tokens=7))
    assert asked == [1, 2], "of another length, so said anew: frame and mean grid in one batch"


def test_memory_that_runs_out_is_told_through_the_events(request_of):
    engine = Engine(RunningConfig(device="cpu", batch=4))
    engine.warm_up(request_of().decoder)
    language = engine._models["tiny"].language

    def check(_, arguments, options):
        if len(arguments[0] if arguments else options["hidden_states"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = language.model.model.language_model.layers[0].register_forward_pre_hook(check, with_kwargs=True)
    events = run(engine, request_of())
    hook.remove()
    details = [e.detail for e in events if isinstance(e, p.Progress) and e.detail]
    assert details
    assert "2 sentences at once" in details[0]
    assert len(sentences(events)) == 6


def test_a_device_that_is_not_there_is_one_sentence(request_of):
    events: queue.Queue = queue.Queue()
    Engine(RunningConfig(device="cuda:99")).run(request_of(), events.put, lambda: False)
    assert isinstance(events.queue[-1], p.Failed)
    assert "not there" in events.queue[-1].message
    assert events.queue[-1].details is None


def test_new_choices_are_written_only_where_they_are_made():
    plain = NarrateConfig(recording="sample", decoder="d", prompt="What?")
    assert set(json.loads(plain.model_dump_json())) == {
        "recording", "presentations", "decoder", "units", "unit_ids", "frames", "held_out", "repeat", "prompt", "concepts", "max_new_tokens",
    }  # fmt: skip
    made = plain.model_copy(update={"speaking": SpeakingConfig(beams=2)})
    assert NarrateConfig.model_validate_json(made.model_dump_json()) == made
    assert json.loads(made.model_dump_json())["speaking"]["beams"] == 2


def test_the_command_line_takes_questions_and_choices(small_sample, small_decoder, tmp_path, monkeypatch, capsys):
    from napari_neurrator.cli import main

    out = tmp_path / "n.jsonl"
    command = ["narrate", small_sample, "--decoder", small_decoder, "--frames", "10,90", "--repeat", "4", "--out", out]
    choices = ["--beams", 2, "--batch", 3, "--device", "cpu", "--dtype", "float32", "--max-new-tokens", 30]
    for question in QUESTIONS:
        choices += ["--prompt", question]

    def neurrator(*more):
        monkeypatch.setattr("sys.argv", ["neurrator", *map(str, [*command, *more])])
        with pytest.raises(SystemExit) as code:
            main()
        return code.value.code or 0

    assert neurrator(*choices) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert [answer["prompt"] for answer in line["answers"]] == QUESTIONS
        assert line["answers"][0]["text"] == line["text"]
        assert line["answers"][1]["reference"]
        assert line["config"]["prompts"] == QUESTIONS
        assert line["config"]["speaking"]["beams"] == 2
        assert line["config"]["running"] == {"device": "cpu", "dtype": "float32", "quantise": None, "batch": 3}
    capsys.readouterr()
    for wrong, says in (
        (["--beams", "2", "--temperature", "1"], "exclude each other"),
        (["--quantise", "3bit"], "'8bit' or '4bit'"),
        (["--quantise", "4bit", "--device", "cpu"], "need an NVIDIA or AMD GPU"),
        (["--device", "cuda:99"], "not there"),
        (["--prompt", "What is <image>?"], "stands for the picture"),
    ):
        assert neurrator(*wrong) == 2
        err = capsys.readouterr().err
        assert says in err
        assert "Traceback" not in err
