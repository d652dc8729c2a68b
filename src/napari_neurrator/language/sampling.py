"""Words drawn at random, each sentence from a stream of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper


class SeededDraw(LogitsProcessor):
    """Draw the next token of every sentence, and leave nothing else to choose.

    The token is where the cumulative distribution passes a uniform number, and each sentence has its own stream of these. So what is drawn does not depend
    on which other sentences are in the batch (``torch.multinomial`` draws for a whole batch at once, so there it does).

    Parameters
    ----------
    seeds : sequence of int
        One a sentence.
    temperature : float
        Above 0.
    top_p : float
        Draw from the likeliest tokens that share this probability.
    max_new_tokens : int
        Draws at most.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float, max_new_tokens: int):
        self._warp = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
        if top_p < 1:
            self._warp.append(TopPLogitsWarper(top_p))
        self._uniform = np.stack([np.random.default_rng(seed).random(max_new_tokens) for seed in seeds])
        self._step = 0

    def __call__(self, input_ids: Any, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (sentence, token) that are finite for the drawn tokens only."""
        cumulative = self._warp(input_ids, scores).float().softmax(-1).cumsum(-1)
        uniform = torch.as_tensor(self._uniform[:, self._step, None], dtype=torch.float32, device=scores.device)
        self._step += 1
        # The sum is not quite 1, and a number just below 1 may be rounded up: stay below the sum, where there is always a token.
        total = cumulative[:, -1:]
        point = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
        drawn = torch.searchsorted(cumulative, point, right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
