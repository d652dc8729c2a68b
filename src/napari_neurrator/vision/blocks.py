"""Take the patches out of a tower while it runs."""

import contextlib
from collections.abc import Iterator

import torch

from ..errors import NeurratorError


class Captured:
    """What left (or, for the first hidden state, entered) a block in the last pass: tokens (batch, token, width)."""

    tokens: torch.Tensor | None = None

    def patches(self, n_patches: int) -> torch.Tensor:
        """Return the tokens of the patches: those of CLS and registers, which come before them, are dropped.

        Raises
        ------
        NeurratorError
            There are fewer tokens than patches.
        """
        assert self.tokens is not None
        if self.tokens.shape[1] < n_patches:
            raise NeurratorError(
                f"The tower gives {self.tokens.shape[1]} tokens for {n_patches} patches: it pools them on the way, so choose another model in the profile."
            )
        return self.tokens[:, self.tokens.shape[1] - n_patches :]


@contextlib.contextmanager
def capturing(blocks: torch.nn.ModuleList | torch.nn.Sequential, hidden_state: int) -> Iterator[Captured]:
    """Keep one hidden state, and none of the others, of the passes inside the context.

    Parameters
    ----------
    blocks : torch.nn.ModuleList
        The tower's transformer blocks.
    hidden_state : int
        0: what enters the first; k: what leaves the k-th.
    """
    captured = Captured()

    def entering(module, args, kwargs):
        captured.tokens = args[0] if args else next(iter(kwargs.values()))

    def leaving(module, args, output):
        captured.tokens = output[0] if isinstance(output, tuple) else output

    if hidden_state == 0:
        handle = blocks[0].register_forward_pre_hook(entering, with_kwargs=True)
    else:
        handle = blocks[hidden_state - 1].register_forward_hook(leaving)
    try:
        yield captured
    finally:
        handle.remove()
