"""Dictionaries of features, of whichever family: what is active in patches, and what it is called."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..errors import NeurratorError
from ..profiles import Profile
from .activations import SparseActivations
from .formats import Description, read_dictionary
from .labels import Labels
from .names import Names
from .places import place_to_read
from .space import check_space

__all__ = ["Dictionary", "SparseActivations", "load_dictionary"]


class Dictionary:
    """A sparse autoencoder and the names of its features.

    Parameters
    ----------
    source : path-like
        A folder or file of any family in docs/concepts.md; ``names.json`` and ``labels.json`` may lie beside it.
    device : str
        Where it runs.

    Raises
    ------
    NeurratorError
        It is missing, damaged, pickled, or of no family that is read.
    """

    def __init__(self, source: str | Path, device: str = "cpu"):
        self.source = Path(source).expanduser()
        self.described: Description = read_dictionary(self.source)
        if self.source.name == "sae_weights.safetensors":
            self.source = self.source.parent
        self.sae = self.described.sae.to(device)
        self.warnings = list(self.described.warnings)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.source if self.source.is_dir() else self.source.parent

    @property
    def config(self) -> dict[str, Any]:
        """What its file says of it."""
        return self.described.config

    @property
    def n_features(self) -> int:
        """Features."""
        return self.sae.n_features

    @property
    def width(self) -> int:
        """Width of the patch vectors that it reads."""
        return self.sae.width

    @property
    def k(self) -> int | None:
        """Features that are kept for a patch; None where that is not fixed."""
        return self.sae.activation.k

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that decides what is active: weights, activation and normaliser; names not among it."""
        sae, how = self.described.sae, self.described.sae.activation
        said = [how.kind, how.k, how.relu, how.absolute, how.cap, sae.normaliser.kind, sae.normaliser.scale]
        digest = hashlib.sha256(json.dumps(said).encode())
        for part in (
            sae.encoder, sae.decoder, sae.latent_bias, sae.input_bias, sae.output_bias, how.threshold, how.gate_scale, how.gate_bias,
            sae.normaliser.centre,
        ):  # fmt: skip
            digest.update(b"none" if part is None else part.cpu().numpy().data)
        return digest.hexdigest()[:24]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides which concepts a grid has: content and names."""
        named = json.dumps([self.content_hash, [entry["name"] for entry in self.names]])
        return hashlib.sha256(named.encode()).hexdigest()[:12]

    @cached_property
    def labels(self) -> Labels:
        """What the user calls features, as it was when this was asked first."""
        return Labels.of(self)

    @cached_property
    def given_names(self) -> Names | None:
        """What naming calls the features; None where they were never named."""
        file = place_to_read(self.source, self.content_hash, "names")
        return None if file is None else Names.load(file, self.n_features)

    @cached_property
    def names(self) -> list[dict[str, Any]]:
        """What the features are called: for each ``name`` ("" where none fits) and ``score``; a user's label wins, with the score 1."""
        given = self.given_names
        named = (
            [{"name": f"feature {i}", "score": 0.0} for i in range(self.n_features)]
            if given is None
            else [dict(entry) for entry in given.entries]
        )
        for feature, text in self.labels.texts.items():
            if 0 <= feature < self.n_features:
                named[feature] = {"name": text, "score": 1.0, "by": "user"}
        return named

    @cached_property
    def concepts(self) -> list[str]:
        """The different names of features."""
        return sorted({entry["name"] for entry in self.names if entry["name"]})

    @cached_property
    def concept_of_feature(self) -> torch.Tensor:
        """Position in `concepts` of each feature's name; −1 where it has none, int64 (feature,)."""
        place = {name: number for number, name in enumerate(self.concepts)}
        return torch.tensor([place.get(entry["name"], -1) for entry in self.names])

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
                f"The dictionary in {self.source} reads vectors of {self.width} numbers, and these patches have {patches.shape[-1]}: "
                "it was made for another model."
            )
        return self.sae.encode(patches)

    def decode(self, activations: SparseActivations) -> torch.Tensor:
        """Return the patches that the active features add up to: (frame, patch, width)."""
        return self.sae.decode(activations)

    def check(self, profile: Profile) -> None:
        """Refuse to read patches of another space than it was trained on; what cannot be checked is added to `warnings`.

        Raises
        ------
        NeurratorError
            Width, model or layer are others.
        """
        self.warnings += check_space(self.described, str(self.source), profile)


def load_dictionary(profile: Profile, device: str = "cpu") -> Dictionary | None:
    """Load the dictionary of a profile; None where it names none.

    Raises
    ------
    NeurratorError
        It is missing, damaged, or was trained on another space.
    """
    if profile.dictionary is None:
        return None
    dictionary = Dictionary(find_dictionary(profile.dictionary, profile), device)
    dictionary.check(profile)
    return dictionary


def find_dictionary(name: str, profile: Profile) -> Path:
    """Return where a dictionary lies: relative to the profile's folder, at a path, or in the hub's cache (``owner/name[/path within]``).

    Raises
    ------
    NeurratorError
        It is at none of them; says which command fetches it.
    """
    for candidate in (profile.folder / name, Path(name).expanduser()):
        if candidate.exists():
            return candidate.resolve()
    parts = name.split("/")
    if len(parts) >= 2 and not name.startswith(("/", ".", "~")):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        repository = "/".join(parts[:2])
        try:
            within = Path(snapshot_download(repository, local_files_only=True)).joinpath(*parts[2:])
        except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
            within = Path()
        if len(within.parts) and within.exists():
            return within
        raise NeurratorError(
            f"The dictionary {name!r} of the profile {profile.name!r} is not on this machine: run 'hf download {repository}"
            f"{' ' + '/'.join(parts[2:]) if parts[2:] else ''}' first."
        )
    raise NeurratorError(
        f"The dictionary {name!r} of the profile {profile.name!r} is not on this machine: give its folder or file in the profile."
    )
