"""The arithmetic of sparse autoencoders: every family is one encoder, one activation and one decoder."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch.nn import functional as F

from .activations import SparseActivations
from .normaliser import PLAIN, Normaliser
from .selection import BatchTopK, Selection, Threshold, TopK

ActivationKind = Literal["threshold", "topk", "batch_topk", "gated"]

# Numbers of one block of pre-activations: 24 MB in float32, which every chunk of features uses again.
_BLOCK = 6 << 20
_WIDTH = 64
# Rows (patches) of a block at most.
_ROWS = 1024
# Features of a chunk at least.
_LEAST = 256


@dataclass(frozen=True)
class Activation:
    """Which features of a patch stay active.

    Attributes
    ----------
    kind : str
        ``threshold``: those above a threshold of their own (0 is ReLU, a constant is batch top-k in use, one a feature is JumpReLU);
        ``topk``: the `k` largest of a patch; ``batch_topk``: the `k` × patches largest of a frame; ``gated``: those whose gate is open.
    k : int, optional
        How many, a patch.
    threshold : torch.Tensor, optional
        (feature,); not negative.
    relu : bool
        Whether negative activations that were selected become 0.
    absolute : bool
        Whether the size of activations is taken, whatever their sign.
    gate_scale, gate_bias : torch.Tensor, optional
        Of the magnitudes of ``gated``: a feature is relu(pre · `gate_scale` + `gate_bias`) where pre + latent bias > 0; (feature,).
    cap : float, optional
        Activations a become cap · tanh(a / cap).
    """

    kind: ActivationKind
    k: int | None = None
    threshold: torch.Tensor | None = None
    relu: bool = True
    absolute: bool = False
    gate_scale: torch.Tensor | None = None
    gate_bias: torch.Tensor | None = None
    cap: float | None = None


@dataclass(frozen=True)
class SparseAutoencoder:
    """``act((normalise(x) − input_bias) encoder + latent_bias)``, and back ``undo(f decoder + output_bias)``.

    Attributes
    ----------
    encoder : torch.Tensor
        float32 (width, feature).
    decoder : torch.Tensor
        float32 (feature, width).
    latent_bias : torch.Tensor
        (feature,).
    input_bias : torch.Tensor, optional
        Subtracted before the encoder, (width,).
    output_bias : torch.Tensor
        (width,).
    activation : Activation
        Which features stay.
    normaliser : Normaliser
        What is done to vectors before.
    """

    encoder: torch.Tensor
    decoder: torch.Tensor
    latent_bias: torch.Tensor
    input_bias: torch.Tensor | None
    output_bias: torch.Tensor
    activation: Activation
    normaliser: Normaliser = PLAIN

    @property
    def width(self) -> int:
        """Width of the vectors."""
        return self.encoder.shape[0]

    @property
    def n_features(self) -> int:
        """Features."""
        return self.encoder.shape[1]

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor) -> SparseActivations:
        """Find the active features of patches; the dense table (patch, feature) is never made.

        Features are worked out in chunks, of which only what may stay active is kept.

        Parameters
        ----------
        patches : torch.Tensor
            (frame, patch, width), any floating type.
        """
        n_frames, n_patches, _ = patches.shape
        device = self.encoder.device
        parts, undone = [], []
        # Batch top-k chooses among the patches of one frame; for the others frames are only a way to stay small.
        step = 1 if self.activation.kind == "batch_topk" else max(1, _ROWS // max(n_patches, 1))
        for start in range(0, n_frames, step):
            x, undo = self.normaliser.apply(patches[start : start + step].to(device).float().flatten(0, 1))
            parts.append(self._encode_rows(x if self.input_bias is None else x - self.input_bias))
            undone.append(undo)
        joined = undone[0] if len(undone) == 1 else None
        if len(undone) > 1 and all(undo is not None for undo in undone):
            joined = tuple(torch.cat(part) for part in zip(*undone, strict=True))  # type: ignore[assignment, arg-type]
        counts, features, values = (
            (torch.cat(part) for part in zip(*parts, strict=True))
            if parts
            else (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), torch.empty(0))
        )
        offsets = F.pad(counts.cumsum(0), (1, 0))
        return SparseActivations(features, values, offsets, n_frames, n_patches, self.n_features, joined)

    def _encode_rows(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return how many features are active in each row, which, and how much."""
        selection = self._selection(len(x), x.device)
        gated = self.activation.kind == "gated"
        chunk = min(max(_LEAST, _BLOCK // (1 + gated) // max(len(x), 1)), self.n_features)
        chunk = -(-self.n_features // -(-self.n_features // chunk))
        # A product whose width is no multiple of what the processor works on at once takes a third longer.
        chunk = -(-chunk // _WIDTH) * _WIDTH if self.n_features > _WIDTH else chunk
        blocks = [torch.empty(len(x) * chunk, device=x.device) for _ in range(1 + gated)]
        for first in range(0, self.n_features, chunk):
            some = slice(first, min(first + chunk, self.n_features))
            shape = (len(x), some.stop - some.start)
            selection.add(self._activate(x, some, [b[: shape[0] * shape[1]].view(shape) for b in blocks]), first)
        return selection.finish(self.activation.relu, self.activation.cap)

    def _activate(self, x: torch.Tensor, some: slice, blocks: list[torch.Tensor]) -> torch.Tensor:
        how, latent = self.activation, self.latent_bias[some]
        pre = torch.addmm(latent, x, self.encoder[:, some], out=blocks[0])
        if how.kind != "gated":
            return pre.abs_() if how.absolute else pre
        assert how.gate_scale is not None
        assert how.gate_bias is not None
        # The magnitude is that of the product without the latent bias, which opens the gate.
        scale = how.gate_scale[some]
        magnitude = torch.addcmul(how.gate_bias[some] - latent * scale, pre, scale, out=blocks[1])
        return magnitude.masked_fill_(pre <= 0, 0.0)

    def _selection(self, rows: int, device: torch.device) -> Selection:
        how = self.activation
        if how.kind == "topk":
            assert how.k is not None
            return TopK(min(how.k, self.n_features), rows, device)
        if how.kind == "batch_topk":
            assert how.k is not None
            return BatchTopK(min(how.k, self.n_features), rows, device)
        return Threshold(how.threshold, rows, device)

    @torch.inference_mode()
    def decode(self, activations: SparseActivations) -> torch.Tensor:
        """Return the patches that the active features add up to: float32 (frame, patch, width)."""
        if len(activations.offsets) < 2:
            return torch.zeros(activations.n_frames, activations.n_patches, self.width)
        rebuilt = F.embedding_bag(
            activations.features,
            self.decoder,
            activations.offsets,
            mode="sum",
            per_sample_weights=activations.values,
            include_last_offset=True,
        )
        rebuilt = self.normaliser.undo(rebuilt.add_(self.output_bias), activations.undo)
        return rebuilt.view(activations.n_frames, activations.n_patches, self.width)

    def to(self, device: torch.device | str) -> "SparseAutoencoder":
        """Return it on a device."""

        def moved(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else tensor.to(device)

        how = self.activation
        return replace(
            self,
            encoder=self.encoder.to(device),
            decoder=self.decoder.to(device),
            latent_bias=self.latent_bias.to(device),
            input_bias=moved(self.input_bias),
            output_bias=self.output_bias.to(device),
            normaliser=self.normaliser.to(device),
            activation=replace(
                how,
                threshold=moved(how.threshold),
                gate_scale=moved(how.gate_scale),
                gate_bias=moved(how.gate_bias),
            ),
        )
