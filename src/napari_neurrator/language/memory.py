"""How much fits into memory, and what to do when it did not."""

import gc
from typing import Any

import torch

# Part of the free memory that a batch may fill.
_SHARE = 0.7
# More rows at once gain nothing: a CPU is busy with fewer, and on a GPU the prompts' own work grows with each.
_MOST = {"cpu": 16}
_MOST_ELSEWHERE = 64


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's and other backends' allocators, and cuBLAS, raise plain runtime errors.
    words = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device, or None where that cannot be known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds on to, but does not use, is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "cpu":
        import psutil

        return psutil.virtual_memory().available
    return None


def bytes_a_row(config: Any, tokens: int, dtype: torch.dtype) -> int:
    """Return about how much memory one sentence takes: keys and values of all its tokens, and what one layer works with on the way.

    Parameters
    ----------
    config : PretrainedConfig
        Of the text model.
    tokens : int
        Prompt and answer.
    dtype : torch.dtype
        Of the model.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_hidden_layers * heads * head
    # While a layer works: the residual, its norm, queries, keys, values and the three of the gated network.
    working = 6 * config.hidden_size + 3 * config.intermediate_size
    return (kept + working) * tokens * dtype.itemsize + 2 * 4 * config.vocab_size


def rows_that_fit(config: Any, tokens: int, dtype: torch.dtype, device: torch.device) -> int:
    """Return how many sentences to generate at once: a power of two, by the memory that is free now."""
    most = _MOST.get(device.type, _MOST_ELSEWHERE)
    free = free_memory(device)
    if free is None:
        return min(most, 8)
    rows = int(free * _SHARE / bytes_a_row(config, tokens, dtype))
    return min(most, 1 << max(rows, 1).bit_length() - 1)


def release(device: torch.device) -> None:
    """Give back what is no longer used."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class LayersOnCpu:
    """Keeps the last layers of a decoder in the CPU's memory and lends each to the device only while it works. Slow, but it fits.

    Parameters
    ----------
    layers : torch.nn.ModuleList
        Of the decoder.
    device : torch.device
        Where the layers work.
    """

    def __init__(self, layers: torch.nn.ModuleList, device: torch.device):
        self._layers, self._device = layers, device
        self._away = 0
        self._home: dict[torch.nn.Module, list[torch.Tensor]] = {}

    def at_work(self, decoder: torch.nn.Module) -> list[torch.nn.Module]:
        """Return the parts of the decoder that stay on the device."""
        others = [part for part in decoder.children() if part is not self._layers]
        return others + list(self._layers)[: len(self._layers) - self._away]

    def send(self) -> int:
        """Move half of the layers to the CPU, the second time all of them.

        Returns
        -------
        int
            How many are there now; 0 where they all were before.
        """
        if self._away == len(self._layers):
            return 0
        target = len(self._layers) if self._away else -(-len(self._layers) // 2)
        for layer in list(self._layers)[len(self._layers) - target : len(self._layers) - self._away]:
            layer.to("cpu")
            layer.register_forward_pre_hook(self._lend)
            # After an error, too, so that layers do not pile up on the device.
            layer.register_forward_hook(self._take_back, always_call=True)
        self._away = target
        return target

    def _lend(self, layer: torch.nn.Module, _: Any) -> None:
        self._home[layer] = [weight.data for weight in layer.parameters()]
        for weight in layer.parameters():
            weight.data = weight.data.to(self._device)

    def _take_back(self, layer: torch.nn.Module, *_: Any) -> None:
        # The copy on the device is dropped: nothing travels back.
        for weight, home in zip(layer.parameters(), self._home.pop(layer, []), strict=False):
            weight.data = home
