"""Words as they come, for a whole batch, and a way to stop between two of them."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from ..errors import Stopped

OnPiece = Callable[[int, str], None]


class Told:
    """Sentences that grow token by token, told piece by piece.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Decodes the tokens.
    end : collection of int
        Tokens that end a sentence.
    on_piece : callable
        Called with (number of the sentence, next piece of its text). The pieces add up to the text without the white space at its ends.
    """

    def __init__(self, tokenizer: Any, end: Collection[int], on_piece: OnPiece):
        self._tokenizer, self._end, self._on_piece = tokenizer, end, on_piece
        self._told: dict[int, str] = {}
        self._texts: dict[int, _Text | None] = {}

    def begin(self, numbers: Sequence[int]) -> None:
        """Begin sentences, or begin them again: what was told of them already is not told twice."""
        for number in numbers:
            self._texts[number] = _Text(self._tokenizer)

    def hear(self, number: int, token: int) -> None:
        """Take the next token of a sentence; what comes after its end is not part of it."""
        text = self._texts[number]
        if text is None:
            return
        if token in self._end:
            self._texts[number] = None
            return
        self.settle(number, text.add(token).strip())

    def settle(self, number: int, text: str) -> None:
        """Tell what is new in the text of a sentence so far; nothing where it is not what was told, which only happens after beginning again."""
        told = self._told.get(number, "")
        if len(text) > len(told) and text.startswith(told):
            self._told[number] = text
            self._on_piece(number, text[len(told) :])


class _Text:
    """Tokens decoded as they come, a few at a time: decoding the whole sentence anew with every token takes quadratic time.

    (``tokenizers.decoders.DecodeStream`` does the same, but raises an error at bytes that are no character, which a model may well say.)
    """

    def __init__(self, tokenizer: Any):
        # Without the detour through the tokenizer's own class, which takes ten times as long.
        self._decode = getattr(tokenizer, "backend_tokenizer", tokenizer).decode
        self._text = ""
        self._tokens: list[int] = []
        # What stands before `_new` is in the text; from `_context` on it is decoded again, because white space depends on what stands before.
        self._context = self._new = 0

    def add(self, token: int) -> str:
        """Return the text so far; of a character that takes several tokens nothing before the last of them."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._context : self._new], skip_special_tokens=True)
        now = self._decode(self._tokens[self._context :], skip_special_tokens=True)
        if len(now) > len(before) and not now.endswith("\ufffd"):
            self._text += now[len(before) :]
            self._context, self._new = self._new, len(self._tokens)
        return self._text


class BatchStreamer(BaseStreamer):
    """Hand on the tokens of sentences that are generated side by side, greedily or by drawing.

    Parameters
    ----------
    told : Told
        Takes the tokens.
    numbers : sequence of int
        Which sentence each row of the batch is.
    """

    def __init__(self, told: Told, numbers: Sequence[int]):
        self._told, self._numbers = told, numbers
        self._prompt_seen = False
        told.begin(numbers)

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt (first call) or the next token of every sentence, (batch,)."""
        if not self._prompt_seen:
            self._prompt_seen = True
            # Without a prompt in ids (embeddings only) generate hands over an empty one.
            if value.ndim == 2:
                return
        for number, token in zip(self._numbers, value.tolist(), strict=True):
            self._told.hear(number, token)

    def end(self) -> None:
        """Nothing is held back at the end."""


class BeamStreamer(LogitsProcessor):
    """Hand on the tokens on which all candidates of a sentence agree in beam search: they are never taken back.

    Candidates are the beams that go on and those that have ended. ``generate`` shows the first ones here and the others to `Ended`.

    Parameters
    ----------
    told : Told
        Takes the tokens.
    numbers : sequence of int
        Which sentence each group of beams is.
    beams : int
        Beams of one sentence.
    end : collection of int
        Tokens that end a sentence.
    """

    def __init__(self, told: Told, numbers: Sequence[int], beams: int, end: Collection[int]):
        self._told, self._numbers, self._beams, self._end = told, numbers, beams, end
        self._ended: list[list[list[int]]] = [[] for _ in numbers]
        self._agreed = [0 for _ in numbers]
        self._prompt = -1
        told.begin(numbers)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Look at the beams that go on, (batch × beams, token), and leave `scores` as they are."""
        if self._prompt < 0:
            self._prompt = input_ids.shape[1]
        groups = input_ids[:, self._prompt :].unflatten(0, (len(self._numbers), self._beams)).tolist()
        for row, (number, beams) in enumerate(zip(self._numbers, groups, strict=True)):
            candidates = beams + self._ended[row]
            agreed = min(len(candidate) for candidate in candidates)
            while self._agreed[row] < agreed and len({candidate[self._agreed[row]] for candidate in candidates}) == 1:
                self._told.hear(number, beams[0][self._agreed[row]])
                self._agreed[row] += 1
        return scores

    @property
    def ended(self) -> "Ended":
        """What has to be among the stopping criteria."""
        return Ended(self)

    def look_for_ends(self, input_ids: torch.Tensor) -> None:
        """Take the continuations that are considered, (batch × continuations, token), the best of each sentence first."""
        last = input_ids[:, -1].unflatten(0, (len(self._numbers), -1))[:, : self._beams].tolist()
        per_row = input_ids.shape[0] // len(self._numbers)
        for row, tokens in enumerate(last):
            for place, token in enumerate(tokens):
                if token in self._end:
                    self._ended[row].append(input_ids[row * per_row + place, self._prompt :].tolist())


class Ended(StoppingCriteria):
    """Shows a `BeamStreamer` the beams that end; stops nothing."""

    def __init__(self, streamer: BeamStreamer):
        self._streamer = streamer

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return one flag a row."""
        self._streamer.look_for_ends(input_ids)
        return torch.zeros(input_ids.shape[0], device=input_ids.device, dtype=torch.bool)


class StopWhen(StoppingCriteria):
    """Leave ``generate`` after the token at which someone asked to.

    Raises
    ------
    Stopped
        From within ``generate``.
    """

    def __init__(self, should_stop: Callable[[], bool]):
        self._should_stop = should_stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return one flag a row."""
        if self._should_stop():
            raise Stopped
        return torch.zeros(input_ids.shape[0], device=input_ids.device, dtype=torch.bool)
