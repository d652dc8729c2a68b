"""The frozen CLIP: frames in, patch grids out; pictures and phrases in one space for naming concepts."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from ..profiles import Profile
from .devices import usable_device, usable_dtype
from .loading import loading, quiet_transformers

__all__ = ["VisionTower", "loading", "quiet_transformers"]


class _Tower(Protocol):
    rows: int
    columns: int
    width: int
    layer: int

    @property
    def clip(self) -> Any: ...
    def pixels(self, frames: np.ndarray) -> torch.Tensor: ...
    def patches(self, pixels: torch.Tensor) -> torch.Tensor: ...
    def embed(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...
    def project(self, patches: torch.Tensor) -> torch.Tensor: ...
    def embed_phrases(self, phrases: list[str]) -> torch.Tensor: ...


class VisionTower:
    """A CLIP or SigLIP whose hidden state `profile.vision.layer`, CLS dropped, is the patch space.

    The vision tower alone is loaded, up to that layer; the whole model when pictures or phrases are embedded.

    Parameters
    ----------
    profile : Profile
        Says which library, model, layer, fit and precision.
    device : str
        Where it runs.

    Raises
    ------
    NeurratorError
        The model is missing, damaged, or of another architecture; or the device is not there.
    """

    def __init__(self, profile: Profile, device: str | torch.device | None = "cpu"):
        self.profile, self.device = profile, usable_device(device)
        dtype = usable_dtype(profile.vision.precision, self.device)
        self._tower: _Tower
        if profile.vision.library == "open_clip":
            from .open_clip_tower import OpenClipTower

            self._tower = OpenClipTower(profile, self.device, dtype)
        else:
            from .transformers_tower import TransformersTower

            self._tower = TransformersTower(profile, self.device, dtype)
        self.rows, self.columns, self.width = self._tower.rows, self._tower.columns, self._tower.width

    @property
    def n_patches(self) -> int:
        """Patches a frame."""
        return self.rows * self.columns

    @property
    def layer(self) -> int:
        """Which hidden state the grids are, counted from what enters the first block (0)."""
        return self._tower.layer

    @property
    def clip(self) -> Any:
        """The library's own whole model, loaded when it is first asked for."""
        return self._tower.clip

    def pixels(self, frames: np.ndarray) -> torch.Tensor:
        """Prepare frames as the model's own library does.

        Parameters
        ----------
        frames : numpy.ndarray
            uint8 (frame, height, width, 3).

        Returns
        -------
        torch.Tensor
            float32 (frame, 3, height, width) of the tower's input.
        """
        return self._tower.pixels(frames)

    @torch.inference_mode()
    def grids(self, frames: np.ndarray) -> torch.Tensor:
        """Return the patch grids of frames: float32 (frame, rows × columns, width)."""
        (grids,) = self._in_batches(frames, lambda pixels: (self._tower.patches(pixels),))
        return grids

    @torch.inference_mode()
    def grids_and_embeddings(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patch grids and the unit-length picture embeddings (frame, projection) of frames."""
        self._tower.clip  # noqa: B018 - loaded before the first batch
        grids, embeddings = self._in_batches(frames, self._tower.embed)
        return grids, torch.nn.functional.normalize(embeddings, dim=-1)

    @torch.inference_mode()
    def project(self, grids: torch.Tensor) -> torch.Tensor:
        """Return where patches lie in the space of pictures and phrases, unit length: (batch, patch, projection).

        They are read through the tower's last layer norm and projection.

        Raises
        ------
        NeurratorError
            The model pools its patches in another way (SigLIP, CoCa).
        """
        return torch.nn.functional.normalize(self._tower.project(grids).float(), dim=-1)

    @torch.inference_mode()
    def embed_phrases(self, phrases: list[str]) -> torch.Tensor:
        """Return the unit-length embeddings of phrases: (phrase, projection)."""
        return torch.nn.functional.normalize(self._tower.embed_phrases(phrases).float(), dim=-1)

    def _in_batches(
        self, frames: np.ndarray, work: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    ) -> tuple[torch.Tensor, ...]:
        """Work on some frames at a time, fewer where the GPU's memory is short."""
        size, start = self.profile.vision.batch, 0
        parts: list[tuple[torch.Tensor, ...]] = []
        while start < len(frames) or not parts:
            pixels = self.pixels(frames[start : start + size])
            try:
                parts.append(tuple(tensor.float() for tensor in work(pixels)))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = (size + 1) // 2
                torch.cuda.empty_cache()
                continue
            start += size
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))
