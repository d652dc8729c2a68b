"""Sparse autoencoders on patch vectors, in SAELens' format."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import NeurratorError
from ..profiles import Profile

_WEIGHTS = ("W_enc", "W_dec", "b_enc", "b_dec")


@dataclass
class SparseActivations:
    """The `k` strongest features of every patch.

    Attributes
    ----------
    features : torch.Tensor
        int64 (frame, patch, k).
    values : torch.Tensor
        float32 (frame, patch, k), zero where fewer are active.
    n_features : int
        Size of the dictionary.
    """

    features: torch.Tensor
    values: torch.Tensor
    n_features: int

    def totals(self) -> torch.Tensor:
        """Return the activation of each feature summed over patches: (frame, feature)."""
        totals = torch.zeros(len(self.values), self.n_features)
        return totals.scatter_add_(1, self.features.flatten(1), self.values.flatten(1))


class Dictionary:
    """A sparse autoencoder: ``act((x − b_dec) W_enc + b_enc)``.

    Parameters
    ----------
    folder : path-like
        With ``cfg.json`` and ``sae_weights.safetensors`` as SAELens writes them, and maybe ``names.json``.

    Raises
    ------
    NeurratorError
        Files are missing or damaged, or the architecture is not one that this version reads.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        try:
            self.config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "sae_weights.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise NeurratorError(
                f"There is no readable dictionary in {folder}: it needs cfg.json and sae_weights.safetensors as SAELens writes them."
            ) from error
        missing = [key for key in _WEIGHTS if key not in weights]
        if missing:
            raise NeurratorError(f"The dictionary in {folder} is damaged: its weights lack {', '.join(missing)}.")
        self.architecture = self.config.get("architecture", "standard")
        if self.architecture not in {"standard", "topk", "jumprelu"}:
            raise NeurratorError(
                f"The dictionary in {folder} is a {self.architecture!r} one: this version reads standard, topk and jumprelu."
            )
        self.W_enc, self.W_dec, self.b_enc, self.b_dec = (weights[key].float() for key in _WEIGHTS)
        self.threshold = weights["threshold"].float() if "threshold" in weights else None
        self.folder = folder

    @property
    def n_features(self) -> int:
        """Features."""
        return self.W_enc.shape[1]

    @property
    def width(self) -> int:
        """Width of the patch vectors that it reads."""
        return self.W_enc.shape[0]

    @property
    def k(self) -> int:
        """Features that are kept for a patch."""
        return int(self.config.get("k", (self.config.get("activation_fn_kwargs") or {}).get("k", 32)))

    @cached_property
    def names(self) -> list[dict]:
        """What the features are called: for each ``name`` ("" where none fits) and ``score`` (the share of its evidence)."""
        file = self.folder / "names.json"
        if not file.is_file():
            return [{"name": f"feature {i}", "score": 0.0} for i in range(self.n_features)]
        return json.loads(file.read_text(encoding="utf-8"))

    @cached_property
    def concepts(self) -> list[str]:
        """The different names of features."""
        return sorted({entry["name"] for entry in self.names if entry["name"]})

    @cached_property
    def concept_of_feature(self) -> torch.Tensor:
        """Position in `concepts` of each feature's name; −1 where it has none, int64 (feature,)."""
        place = {name: number for number, name in enumerate(self.concepts)}
        return torch.tensor([place.get(entry["name"], -1) for entry in self.names])

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor) -> SparseActivations:
        """Find the active features of patches.

        Parameters
        ----------
        patches : torch.Tensor
            (frame, patch, width).

        Raises
        ------
        NeurratorError
            The patches have another width than the dictionary.
        """
        if patches.shape[-1] != self.width:
            raise NeurratorError(
                f"The dictionary in {self.folder} reads vectors of {self.width} numbers, and these patches have {patches.shape[-1]}: "
                "it was made for another model."
            )
        values, features = [], []
        for frame in patches:
            # One frame at a time: the dense activations of a whole movie would not fit in memory.
            x = frame - self.b_dec if self.config.get("apply_b_dec_to_input", True) else frame
            hidden = x @ self.W_enc + self.b_enc
            if self.architecture == "jumprelu" and self.threshold is not None:
                hidden = hidden * (hidden > self.threshold)
            top = hidden.relu().topk(min(self.k, self.n_features), dim=-1)
            values.append(top.values)
            features.append(top.indices)
        return SparseActivations(torch.stack(features), torch.stack(values), self.n_features)

    def decode(self, activations: SparseActivations) -> torch.Tensor:
        """Return the patches that the active features add up to: (frame, patch, width)."""
        return torch.einsum("fpk,fpkw->fpw", activations.values, self.W_dec[activations.features]) + self.b_dec


def load_dictionary(profile: Profile) -> Dictionary | None:
    """Load the dictionary of a profile; None where it names none.

    Raises
    ------
    NeurratorError
        It is missing or damaged.
    """
    if profile.dictionary is None:
        return None
    folder = profile.path_of(profile.dictionary)
    if folder is None:
        raise NeurratorError(
            f"The dictionary {profile.dictionary!r} of the profile {profile.name!r} is not on this machine."
        )
    return Dictionary(folder)
