"""Which device, in which precision."""

from typing import Any

import torch

from ..errors import NeurratorError


def choose_device(name: str | None = None) -> torch.device:
    """Return the device of that name, or without one a GPU if there is one, else the CPU.

    Raises
    ------
    NeurratorError
        There is no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise NeurratorError(
            f"There is no device {name!r}: write cpu, cuda, cuda:1 or mps, or leave the device out."
        ) from error
    if device.type == "cpu":
        return device
    accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
    kinds = {"cuda"} if torch.cuda.is_available() else set()
    kinds |= {accelerator.type} if accelerator is not None and torch.accelerator.is_available() else set()
    if device.type not in kinds:
        seen = f"only {', '.join(sorted(kinds))} and cpu" if kinds else "no GPU, only cpu"
        raise NeurratorError(
            f"The device {name!r} is not there: torch sees {seen} on this machine. Leave the device out, or install a torch built for it."
        )
    count = torch.accelerator.device_count() if accelerator is not None else torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise NeurratorError(
            f"The device {name!r} is not there: this machine has {count} of them, {device.type}:0 to {device.type}:{count - 1}."
        )
    return device


def choose_dtype(name: str | None, device: torch.device, stored: Any = None) -> torch.dtype:
    """Return the precision of that name, or without one what suits the device: float32 on a CPU, else half precision.

    Parameters
    ----------
    name : str, optional
        float32, float16 or bfloat16.
    device : torch.device
        Where the model will run.
    stored : str or torch.dtype, optional
        Precision of the checkpoint: weights stored in bfloat16 may not fit float16.

    Raises
    ------
    NeurratorError
        The device cannot do it.
    """
    if name is None:
        if device.type == "cpu":
            return torch.float32
        half = "bfloat16" in str(stored) and _has_bfloat16(device)
        return torch.bfloat16 if half else torch.float16
    if name == "bfloat16" and not _has_bfloat16(device):
        raise NeurratorError(f"The device {str(device)!r} has no bfloat16: use float16.")
    return getattr(torch, name)


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported()
