"""Ask for a word of the sentence: how the decoded grid made the language model say it."""

import re

import torch

from ..errors import NeurratorError
from ..language.injection import image_token_id, picture_features
from ..language.narrator import LanguageModel
from .targets import Target

# Grids between the mean grid and what was decoded, at which the gradient is taken.
_STEPS = 16


def word_target(
    language: LanguageModel,
    grid: torch.Tensor,
    prior: torch.Tensor,
    sentence: str,
    word: str | int,
    question: str | None = None,
    steps: int = _STEPS,
) -> Target:
    """Ask for a word: the log-probability of its tokens after the words before it, by integrated gradients from the mean grid.

    The path is that of Sundararajan, Taly & Yan 2017 (ICML), by captum: the values of the target at what was decoded and at the mean grid differ by as much as
    the log-probabilities do, up to the steps' error.

    Parameters
    ----------
    language : LanguageModel
        Said the sentence.
    grid : torch.Tensor
        What was decoded, (patch, width).
    prior : torch.Tensor
        The decoder's mean grid, (patch, width).
    sentence : str
        What was said of `grid`.
    word : str or int
        The word (where it is said first), or its place among the sentence's words.
    question : str, optional
        What was asked; the profile's own question by default.
    steps : int
        Gradients that are averaged.

    Raises
    ------
    NeurratorError
        The sentence has no such word.
    """
    from captum.attr import IntegratedGradients

    start, stop = find_word(sentence, word)
    # Copies: what was decoded in inference mode cannot be followed back.
    grid, prior = (one.detach().clone().float().to(language.device) for one in (grid, prior))
    speak = _speaking(language, grid[None], sentence, start, stop, question)
    parts = IntegratedGradients(speak, multiply_by_inputs=False).attribute(
        grid[None], baselines=prior[None], n_steps=steps, internal_batch_size=1
    )
    return Target(sentence[start:stop], parts[0].float().cpu(), prior.cpu(), "log-probability, nats")


def find_word(sentence: str, word: str | int) -> tuple[int, int]:
    """Return where a word begins and ends in a sentence.

    Raises
    ------
    NeurratorError
        It has no such word.
    """
    found = [match.span() for match in re.finditer(r"[\w'’-]+", sentence)]
    if isinstance(word, int):
        if 0 <= word < len(found):
            return found[word]
        raise NeurratorError(f"The sentence has {len(found)} words, so there is no word {word} (they count from 0).")
    for begin, end in found:
        if sentence[begin:end].casefold() == word.casefold():
            return begin, end
    raise NeurratorError(f"The sentence does not say {word!r}: choose one of its words.")


def word_log_probability(
    language: LanguageModel, grids: torch.Tensor, sentence: str, word: str | int, question: str | None = None
) -> torch.Tensor:
    """Return the log-probability of a word of a sentence, after the words before it, for grids (batch, patch, width): (batch,), nats.

    Raises
    ------
    NeurratorError
        The sentence has no such word.
    """
    grids = grids.detach().clone().float().to(language.device)
    with torch.no_grad():
        return _speaking(language, grids[:1], sentence, *find_word(sentence, word), question)(grids).float().cpu()


class _Speaking:
    """Log-probability of some tokens of a sentence, as a function of the grid."""

    def __init__(self, language: LanguageModel, tokens: list[int], chosen: list[int], question: str | None):
        self.language, self.chosen = language, chosen
        self.answer = torch.tensor(tokens, device=language.device)
        self.prompt = torch.tensor([language.prompts.ids(question)], device=language.device)

    def __call__(self, grids: torch.Tensor) -> torch.Tensor:
        model = self.language.model
        ids = torch.cat([self.prompt, self.answer[None]], 1).expand(len(grids), -1)
        embedded = model.get_input_embeddings()(ids).detach()
        mask = (ids == image_token_id(model)).unsqueeze(-1)
        embedded = embedded.masked_scatter(mask, picture_features(model, grids).to(embedded.dtype))
        out = model(inputs_embeds=embedded, attention_mask=torch.ones_like(ids), use_cache=False).logits
        first = self.prompt.shape[1]
        log_p = out[:, first - 1 : -1].float().log_softmax(-1)
        said = log_p.gather(2, self.answer.expand(len(grids), -1)[..., None])[..., 0]
        return said[:, self.chosen].sum(1)


def _speaking(
    language: LanguageModel, grid: torch.Tensor, sentence: str, start: int, stop: int, question: str | None
) -> _Speaking:
    """Return the log-probability of the letters from `start` to `stop` of a sentence that was said of `grid`, (1, patch, width)."""
    tokenizer = language.tokenizer
    best: tuple[float, list[int]] | None = None
    # Whether the first word's token holds the space before it depends on the model's prompt: the sentence tells.
    for space in ("", " "):
        tokens = tokenizer(space + sentence, add_special_tokens=False).input_ids
        with torch.no_grad():
            likely = float(_Speaking(language, tokens, list(range(len(tokens))), question)(grid)[0])
        if best is None or likely > best[0]:
            best = likely, tokens
    assert best is not None
    tokens = best[1]
    ends = [len(str(tokenizer.decode(tokens[: n + 1], skip_special_tokens=True)).lstrip()) for n in range(len(tokens))]
    chosen = [n for n, (a, b) in enumerate(zip([0, *ends[:-1]], ends, strict=True)) if b > start and a < stop]
    if not chosen:
        raise NeurratorError("The word cannot be found among the tokens of the sentence.")
    return _Speaking(language, tokens, chosen, question)
