"""Checkpoints of trainings: tensors and the optimizer's state as safetensors, beside how far the training is and what it learns from."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .errors import NeurratorError
from .writing import written

_OPTIMIZER = "optimizer."


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Attributes
    ----------
    tensors : dict
        By name; those of the optimizer among them.
    progress : dict
        What was given to `write_checkpoint` as such.
    """

    tensors: dict[str, torch.Tensor]
    progress: dict[str, Any]

    def within(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return the tensors whose names begin with `prefix`, without it."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}

    @property
    def optimizer_state(self) -> dict[int, dict[str, torch.Tensor]]:
        """What `restore_optimizer` wants."""
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in self.within(_OPTIMIZER).items():
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = tensor
        return state


@contextmanager
def open_checkpoint(path: Path, fingerprint: str, otherwise: str) -> Iterator[Checkpoint]:
    """Read a checkpoint; what goes wrong while it is taken in is said to be its damage.

    Parameters
    ----------
    path : Path
        A file that `write_checkpoint` wrote.
    fingerprint : str
        Of the training that wants to go on.
    otherwise : str
        What to tell a user whose file is that of another training.

    Raises
    ------
    NeurratorError
        The file is damaged or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if progress.pop("fingerprint") != fingerprint:
            raise NeurratorError(otherwise)
        yield Checkpoint(tensors, progress)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise NeurratorError(f"The checkpoint {path} is damaged: remove it to train from the beginning.") from error


def write_checkpoint(
    path: Path,
    tensors: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    fingerprint: str,
    progress: dict[str, Any],
) -> None:
    """Write a checkpoint, atomically.

    Parameters
    ----------
    path : Path
        File to write; its folder is made.
    tensors : dict
        Of any names that do not begin with ``optimizer.``.
    optimizer : torch.optim.Optimizer
        Its state is kept too.
    fingerprint : str
        Of data and options.
    progress : dict
        How far the training is, fit for JSON.
    """
    everything = dict(tensors)
    for number, state in optimizer.state_dict()["state"].items():
        everything |= {f"{_OPTIMIZER}{number}.{key}": torch.as_tensor(value) for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as part:
        # Clones, because safetensors refuses tensors that share memory.
        save_file(
            {name: tensor.detach().cpu().clone().contiguous() for name, tensor in everything.items()},
            part,
            metadata={"training": json.dumps({"fingerprint": fingerprint, **progress})},
        )


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, torch.Tensor]]) -> None:
    """Give a new optimizer what one of the same parameters knew."""
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
