"""Injected true patches say, token for token, what the model says of the pixels."""

import pytest
import torch

from napari_neurrator.errors import NeurratorError, Stopped
from napari_neurrator.language import injection


def tokens(language, text_or_ids):
    return language.tokenizer.batch_decode(text_or_ids, skip_special_tokens=True)


@pytest.mark.parametrize("beams", [1, 3])
def test_injection_equals_the_pixel_route_for_a_batch(tower, language, pictures, beams):
    pixels = tower.pixels(pictures)
    seen = language.narrate_pixels(pixels, max_new_tokens=24, num_beams=beams)
    prompt = language.prompts.batch([None] * len(pictures), 24, language.device)
    with torch.inference_mode():
        projected = language.model.model.multi_modal_projector(tower.grids(pictures).to(language.device))
        injected = injection.generate(
            language.model, prompt, projected, max_new_tokens=24, do_sample=False, num_beams=beams
        )
        portable = injection.generate_from_embeddings(
            language.model, prompt, projected, max_new_tokens=24, do_sample=False, num_beams=beams
        )
    assert torch.equal(injected, seen)
    assert torch.equal(portable, seen)
    assert len(set(tokens(language, seen))) == len(pictures), "the pictures differ, so the sentences have to"


def test_narrate_is_the_pixel_route_in_words(tower, language, pictures):
    said = language.narrate(tower.grids(pictures), max_new_tokens=40)
    assert said == [
        text.strip() for text in tokens(language, language.narrate_pixels(tower.pixels(pictures), max_new_tokens=40))
    ]


def test_a_wrong_patch_changes_the_words(tower, language, pictures):
    grids = tower.grids(pictures)
    assert language.narrate(grids) != language.narrate(grids.flip(0))


def test_streamed_pieces_add_up_to_the_sentences(tower, language, pictures):
    pieces: dict[int, list[str]] = {}
    said = language.narrate(tower.grids(pictures), on_piece=lambda row, piece: pieces.setdefault(row, []).append(piece))
    assert ["".join(pieces[row]) for row in range(len(pictures))] == said
    assert all(len(parts) > 3 for parts in pieces.values())


def test_each_sentence_of_a_batch_is_that_of_the_picture_alone(tower, language, pictures):
    grids = tower.grids(pictures)
    assert language.narrate(grids) == [language.narrate(grid[None])[0] for grid in grids]


def test_stopping_takes_effect_within_a_token(tower, language, pictures):
    heard: list[str] = []
    with pytest.raises(Stopped):
        language.narrate(
            tower.grids(pictures[:1]),
            on_piece=lambda _, piece: heard.append(piece),
            should_stop=lambda: len(heard) >= 2,
        )
    assert len(heard) <= 3


def test_grids_of_another_size_are_refused_in_one_sentence(language):
    with pytest.raises(NeurratorError, match="shape"):
        language.narrate(torch.zeros(1, 7, 160))


def test_other_questions_get_other_answers(tower, language, pictures):
    grids = tower.grids(pictures[:1])
    assert "tiger" in language.narrate(grids, "Which objects are there?")[0]
    assert "beach" in language.narrate(grids, "Where is this?")[0]
