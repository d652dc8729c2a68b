"""Words as they come, for a whole batch; and a way to stop between two of them."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer


class BatchStreamer(BaseStreamer):
    """Hand out the pieces of several sentences that are generated side by side.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Decodes the tokens.
    on_piece : callable
        Called with (number in the batch, piece of text).
    """

    def __init__(self, tokenizer: Any, on_piece: Callable[[int, str], None]):
        self.tokenizer, self.on_piece = tokenizer, on_piece
        self.tokens: list[list[int]] = []
        self.said: list[str] = []
        self.prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt (first call) or the next token of every sentence, (batch,)."""
        if not self.prompt_seen:
            self.prompt_seen = True
            # Without a prompt in ids (embeddings only) generate hands over an empty one.
            if value.ndim == 2:
                return
        if not self.tokens:
            self.tokens, self.said = [[] for _ in value], ["" for _ in value]
        for row, token in enumerate(value.tolist()):
            self.tokens[row].append(token)
            text = self.tokenizer.decode(self.tokens[row], skip_special_tokens=True).lstrip()
            # An unfinished character decodes to the replacement sign: wait for the rest of it.
            if len(text) > len(self.said[row]) and not text.endswith("�"):
                self.on_piece(row, text[len(self.said[row]) :])
                self.said[row] = text

    def end(self) -> None:
        """Nothing is held back at the end."""


class StopWhen(StoppingCriteria):
    """Stop the whole batch when asked to."""

    def __init__(self, should_stop: Callable[[], bool]):
        self.should_stop = should_stop

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """Return one flag a sentence."""
        return torch.full((input_ids.shape[0],), self.should_stop(), device=input_ids.device, dtype=torch.bool)
