"""Many sentences at once: padding, beams, draws, words as they come, stopping, and memory that runs out."""

import numpy as np
import pytest
import torch

from napari_neurrator.config import RunningConfig, SpeakingConfig, validated
from napari_neurrator.errors import NeurratorError, Stopped
from napari_neurrator.language import injection, memory
from napari_neurrator.language.narrator import LanguageModel
from napari_neurrator.language.sampling import SeededDraw
from napari_neurrator.language.streaming import Told

from .checkpoints import llama_tokenizer

QUESTIONS = ["Describe this scene in one sentence.", "Which objects are there?", "Where is this?", "Stripes?"]
BEAMS = SpeakingConfig(beams=3)
DRAWN = SpeakingConfig(temperature=1.5, seed=4)


@pytest.fixture(scope="module")
def grids(tower, pictures):
    return tower.grids(pictures)


@pytest.fixture
def fresh(tiny):
    """Return a language model whose batch and layers a test may change."""
    return LanguageModel(tiny, "cpu", batch=4)


# -- several questions -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("speaking", [SpeakingConfig(), BEAMS], ids=["greedily", "beams"])
def test_prompts_of_different_lengths_in_one_batch_say_what_each_says_alone(language, grids, speaking):
    asked = [(question, row) for row in (0, 3) for question in QUESTIONS]
    lengths = {len(language.prompts.ids(question)) for question, _ in asked}
    assert len(lengths) > 2
    features = language.features(grids)
    together = language.speak(
        [features[row] for _, row in asked], [question for question, _ in asked], 24, speaking=speaking
    )
    alone = [language.narrate(grids[row][None], question, 24, speaking=speaking)[0] for question, row in asked]
    assert together == alone
    assert len(set(together)) >= 6


@pytest.mark.parametrize("route", [injection.generate, injection.generate_from_embeddings])
def test_padding_changes_no_token_on_either_route(language, grids, route):
    features = language.features(grids[:1])
    how = {"max_new_tokens": 16, "do_sample": False}
    prompt = language.prompts.batch([QUESTIONS[0], QUESTIONS[3]], 16, language.device)
    assert prompt["attention_mask"][1].tolist() == sorted(prompt["attention_mask"][1].tolist())
    with torch.inference_mode():
        both = route(language.model, prompt, features.expand(2, -1, -1), **how)
        for row, question in enumerate((QUESTIONS[0], QUESTIONS[3])):
            single = route(language.model, language.prompts.batch([question], 16, language.device), features, **how)
            assert both[row, : single.shape[1]].tolist() == single[0].tolist()


def test_patches_are_projected_once_for_all_questions(language, grids, monkeypatch):
    calls = []
    hook = language.model.model.multi_modal_projector.register_forward_hook(lambda *a: calls.append(len(a[1][0])))
    try:
        features = language.features(grids)
        language.speak([features[0]] * 4, QUESTIONS, 8)
    finally:
        hook.remove()
    assert calls == [len(grids)]


# -- words as they come ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("speaking", [SpeakingConfig(), BEAMS, DRAWN], ids=["greedily", "beams", "drawn"])
def test_pieces_of_every_sentence_add_up_and_are_never_taken_back(language, grids, speaking):
    pieces = [""] * len(grids)
    heard = [0] * len(grids)

    def hear(number, piece):
        assert piece
        pieces[number] += piece
        heard[number] += 1

    said = language.narrate(grids, None, 40, hear, speaking=speaking)
    assert pieces == said
    assert min(heard) > (0 if speaking is BEAMS else 2)


def test_with_beams_words_come_before_the_end(language, grids):
    steps, first = [0], []
    hook = language.model.lm_head.register_forward_hook(lambda *_: steps.__setitem__(0, steps[0] + 1))
    try:
        language.narrate(grids[:1], None, 40, lambda *_: first.append(steps[0]), speaking=BEAMS)
    finally:
        hook.remove()
    assert first[0] <= steps[0] // 2


def test_text_is_decoded_as_a_whole_would_be_whatever_the_tokens(tiny, language):
    rng = np.random.default_rng(0)
    other = llama_tokenizer(400)
    for tokenizer in (language.tokenizer, other):
        for _ in range(40):
            tokens = [int(t) for t in rng.integers(4, 390, rng.integers(1, 30))]
            if tokenizer is other and rng.random() < 0.7:
                # a character of four bytes, one token each
                tokens += [3 + byte for byte in "🐯".encode()] + [int(other.convert_tokens_to_ids("a"))]
            heard = []
            told = Told(tokenizer, {2}, lambda _, piece, heard=heard: heard.append(piece))
            told.begin([0])
            for token in [*tokens, 2, 5, 6]:
                told.hear(0, token)
            whole = tokenizer.decode(tokens, skip_special_tokens=True).strip()
            told.settle(0, whole)
            if "\ufffd" not in whole:
                assert "".join(heard) == whole


def test_what_was_told_is_not_told_again_when_a_sentence_begins_again(language):
    heard = []
    told = Told(language.tokenizer, {2}, lambda _, piece: heard.append(piece))
    tokens = language.tokenizer("a tiger in the forest", add_special_tokens=False).input_ids
    told.begin([0])
    for token in tokens[:3]:
        told.hear(0, token)
    told.begin([0])
    for token in tokens:
        told.hear(0, token)
    assert "".join(heard) == "a tiger in the forest"


@pytest.mark.parametrize("speaking", [SpeakingConfig(), BEAMS, DRAWN], ids=["greedily", "beams", "drawn"])
def test_stopping_takes_effect_within_a_token(language, grids, speaking):
    steps = [0]
    hook = language.model.lm_head.register_forward_hook(lambda *_: steps.__setitem__(0, steps[0] + 1))
    try:
        with pytest.raises(Stopped):
            language.narrate(grids, None, 40, should_stop=lambda: steps[0] >= 3, speaking=speaking)
    finally:
        hook.remove()
    assert steps[0] == 3


# -- draws -------------------------------------------------------------------------------------------------------------------------------
def test_draws_depend_on_the_seed_and_not_on_the_batch(language, grids):
    features = language.features(grids)
    seeds = [11, 12, 13, 14, 15, 16]
    together = language.speak(features, [None] * 6, 30, speaking=DRAWN, seeds=seeds)
    assert together == language.speak(features, [None] * 6, 30, speaking=DRAWN, seeds=seeds)
    backwards = language.speak(features.flip(0), [None] * 6, 30, speaking=DRAWN, seeds=seeds[::-1])
    assert backwards[::-1] == together
    assert [
        language.speak(features[n][None], [None], 30, speaking=DRAWN, seeds=[seeds[n]])[0] for n in range(6)
    ] == together
    other = language.speak(features, [None] * 6, 30, speaking=DRAWN, seeds=[seed + 100 for seed in seeds])
    assert other != together


def test_tokens_are_drawn_as_often_as_they_are_likely():
    n, temperature = 4000, 0.7
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, -torch.inf, 0.5])
    expected = (logits / temperature).softmax(0)
    drawn = SeededDraw(range(n), temperature, 1.0, 1)(None, logits.expand(n, -1)).argmax(-1)
    counts = torch.bincount(drawn, minlength=6) / n
    assert counts[4] == 0
    assert torch.allclose(counts, expected, atol=4 * (0.25 / n) ** 0.5)
    nucleus = SeededDraw(range(n), temperature, 0.6, 1)(None, logits.expand(n, -1)).argmax(-1)
    kept = int((expected.sort(descending=True).values.cumsum(0) < 0.6).sum()) + 1
    assert set(nucleus.tolist()) == set(expected.argsort(descending=True)[:kept].tolist())


def test_a_number_that_rounds_up_to_one_still_draws_a_token_that_can_be():
    draw = SeededDraw([0], 1.0, 1.0, 1)
    draw._uniform[:] = 1 - 1e-12
    logits = torch.tensor([[0.3, 0.1, -torch.inf, -torch.inf]])
    assert draw(None, logits).argmax().item() == 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"beams": 2, "temperature": 0.5}, "exclude each other"),
        ({"top_p": 0.5}, "only counts with a temperature"),
        ({"temperature": -1}, "--temperature -1 is not possible"),
        ({"top_p": 0, "temperature": 1}, "--top-p 0 is not possible"),
        ({"beams": 0}, "--beams 0 is not possible"),
    ],
)
def test_choices_that_exclude_each_other(fields, match):
    with pytest.raises(NeurratorError, match=match):
        validated(SpeakingConfig, **fields)
    with pytest.raises(NeurratorError, match="--quantise '2bit' is not possible"):
        validated(RunningConfig, quantise="2bit")


# -- memory ------------------------------------------------------------------------------------------------------------------------------
def full_above(module, rows, kind="prefill"):
    """Let a module's forward run out of memory where more than `rows` rows pass through it; returns the hook."""

    def check(_, arguments, options):
        hidden = arguments[0] if arguments else options["hidden_states"]
        if len(hidden) > rows and (kind == "prefill" or hidden.shape[1] == 1):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return module.register_forward_pre_hook(check, with_kwargs=True)


@pytest.mark.parametrize("where", ["projector", "prefill", "decoding"])
@pytest.mark.parametrize("speaking", [SpeakingConfig(), BEAMS], ids=["greedily", "beams"])
def test_fewer_sentences_at_once_where_memory_runs_out(fresh, language, grids, where, speaking):
    inner = fresh.model.model
    module = inner.multi_modal_projector if where == "projector" else inner.language_model.layers[1]
    hook = full_above(
        module, speaking.beams if where != "projector" else 1, "prefill" if where != "decoding" else where
    )
    notices, pieces = [], [""] * 6
    try:
        said = fresh.narrate(
            grids, None, 30, lambda n, piece: pieces.__setitem__(n, pieces[n] + piece),
            speaking=speaking, on_notice=notices.append,
        )  # fmt: skip
    finally:
        hook.remove()
    assert said == language.narrate(grids, None, 30, speaking=speaking)
    assert pieces == said, "words that were told before memory ran out are told once"
    assert "2 sentences at once from here on instead of 4" in notices[0]
    assert "1 sentence at once from here on instead of 2" in notices[1]
    assert fresh.batch() == 1


def test_layers_go_to_the_cpu_where_one_sentence_does_not_fit(fresh, language, grids, monkeypatch):
    monkeypatch.setattr(LanguageModel, "_layers_can_move", lambda self: True)
    layers = fresh.model.model.language_model.layers
    lent = []
    monkeypatch.setattr(
        memory.LayersOnCpu, "_lend", lambda self, layer, _, own=memory.LayersOnCpu._lend: (lent.append(layer), own(self, layer, _))[0] and None
    )  # fmt: skip

    def check(*_):
        if fresh._away._away < len(layers):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    hook = layers[0].register_forward_pre_hook(check)
    homes = [[weight.data_ptr() for weight in layer.parameters()] for layer in layers]
    notices = []
    said = fresh.narrate(grids[:2], None, 30, on_notice=notices.append)
    hook.remove()
    assert said == language.narrate(grids[:2], None, 30)
    assert [note.split(",")[0] for note in notices[1:]] == [
        "Memory ran out: 2 of 3 layers work from the CPU's memory from here on",
        "Memory ran out: 3 of 3 layers work from the CPU's memory from here on",
    ]
    assert set(map(id, lent)) == set(map(id, layers))
    # each layer's weights are home again
    assert [[weight.data_ptr() for weight in layer.parameters()] for layer in layers] == homes


def test_when_nothing_helps_it_is_one_sentence(fresh, grids):
    hook = full_above(fresh.model.model.language_model.layers[0], 0)
    try:
        with pytest.raises(NeurratorError, match="does not fit into the memory of 'cpu'"):
            fresh.narrate(grids)
    finally:
        hook.remove()
    assert fresh.narrate(grids[:1])


def test_memory_that_runs_out_while_loading_keeps_layers_on_the_cpu(tiny, language, grids, monkeypatch):
    monkeypatch.setattr(LanguageModel, "_layers_can_move", lambda self: True)
    moved = []

    def to(self, device):
        moved.append(self)
        if len(moved) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self

    model = LanguageModel.__new__(LanguageModel)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    model.__init__(tiny, "cpu")
    assert model._away._away == 2
    notices = []
    assert model.narrate(grids[:2], None, 20, on_notice=notices.append) == language.narrate(grids[:2], None, 20)
    assert "2 of 3 layers" in notices[0]


def test_other_faults_are_not_taken_for_memory(fresh, grids):
    hook = fresh.model.model.language_model.layers[0].register_forward_pre_hook(lambda *_: 1 / 0)
    try:
        with pytest.raises(ZeroDivisionError):
            fresh.narrate(grids)
    finally:
        hook.remove()
    assert memory.out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"))
    assert not memory.out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_the_batch_is_what_memory_allows(tiny, monkeypatch):
    from transformers import LlamaConfig

    seven_b = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32064)  # fmt: skip
    a_row = memory.bytes_a_row(seven_b, 660, torch.float16)
    # keys and values of 32 layers alone: 2 × 32 × 4096 × 660 × 2 bytes
    assert 346e6 < a_row < 450e6
    for free, rows in ((80e9, 64), (24e9 - 14e9, 16), (3e9, 4), (0.1e9, 1)):
        monkeypatch.setattr(memory, "free_memory", lambda _, free=free: int(free))
        assert memory.rows_that_fit(seven_b, 660, torch.float16, torch.device("cuda")) == rows
    monkeypatch.setattr(memory, "free_memory", lambda _: None)
    assert memory.rows_that_fit(seven_b, 660, torch.float16, torch.device("mps")) == 8
    assert LanguageModel(tiny, "cpu", batch=3).batch() == 3
