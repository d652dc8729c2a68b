"""Where models run, and in which precision."""

import torch

from ..errors import NeurratorError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def usable_device(device: str | torch.device | None = None) -> torch.device:
    """Return a device that is there; by default a GPU where there is one, else the CPU.

    Raises
    ------
    NeurratorError
        There is no such device; says which there are.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise NeurratorError(
            f"There is no device {str(device)!r} on this machine: choose one of {', '.join(devices())}."
        ) from error
    return wanted


def devices() -> list[str]:
    """Return the names of the devices that are there."""
    found = ["cpu"] + [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def usable_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of a model's numbers: as the profile says on a GPU, float32 on a CPU."""
    return torch.float32 if device.type == "cpu" else _DTYPES[precision]
