"""The networks of arXiv 2606.18667, with the shapes and the parameter count of its release."""

import torch
from torch import nn
from torch.nn import functional as F

from .options import NetworkOptions

_KERNELS = (3, 7, 15)


def _transformer(sizes: NetworkOptions) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        sizes.width, sizes.heads, 2 * sizes.width, sizes.dropout, activation="gelu", batch_first=True
    )
    return nn.TransformerEncoder(layer, sizes.layers)


class SpikeBody(nn.Module):
    """Convolutions over time at three scales, then a transformer over the bins.

    Parameters
    ----------
    n_units : int
        Channels of the input.
    sizes : NetworkOptions
        Widths and dropout.
    """

    def __init__(self, n_units: int, sizes: NetworkOptions):
        super().__init__()
        channels = sizes.conv_channels
        self.dropout = nn.Dropout(sizes.dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(n_units, channels, k, padding=k // 2) for k in _KERNELS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in _KERNELS)
        self.project = nn.Sequential(
            nn.Linear(len(_KERNELS) * channels, sizes.width),
            nn.GELU(),
            nn.LayerNorm(sizes.width),
            nn.Dropout(sizes.dropout),
        )
        self.over_time = _transformer(sizes)

    def forward(self, spikes: torch.Tensor, units: torch.Tensor | None = None) -> torch.Tensor:
        """Return the embedded bins (batch, bin, width).

        Parameters
        ----------
        spikes : torch.Tensor
            z-scored counts (batch, bin, unit).
        units : torch.Tensor, optional
            Positions of the units of the last axis; the others count as 0, their mean, and cost nothing.
        """
        x = self.dropout(spikes).transpose(1, 2)
        scales = []
        for kernel, convolution, norm in zip(_KERNELS, self.convolutions, self.norms, strict=True):
            weight: torch.Tensor = convolution.weight  # type: ignore[assignment]
            bias: torch.Tensor = convolution.bias  # type: ignore[assignment]
            part = weight if units is None else weight[:, units]
            scales.append(norm(F.gelu(F.conv1d(x, part, bias, padding=kernel // 2))))
        return self.over_time(self.project(torch.cat(scales, dim=1).transpose(1, 2)))


class PatchNetwork(nn.Module):
    """From spike windows to patch grids: one learned query for each patch reads the embedded bins.

    Parameters
    ----------
    n_units, n_patches, patch_width : int
        Sizes of input and output.
    sizes : NetworkOptions
        The rest; with the defaults, 576 patches of 1024 make 6,093,568 + 3,200 · `n_units` parameters.
    """

    def __init__(self, n_units: int, n_patches: int, patch_width: int, sizes: NetworkOptions):
        super().__init__()
        self.body = SpikeBody(n_units, sizes)
        self.queries = nn.Parameter(0.02 * torch.randn(n_patches, sizes.width))
        self.attention = nn.MultiheadAttention(sizes.width, sizes.heads, sizes.dropout, batch_first=True)
        self.attention_norm = nn.LayerNorm(sizes.width)
        self.over_patches = _transformer(sizes)
        self.output = nn.Sequential(nn.LayerNorm(sizes.width), nn.Linear(sizes.width, patch_width))

    def forward(self, spikes: torch.Tensor, units: torch.Tensor | None = None) -> torch.Tensor:
        """Return patch grids (batch, patch, patch width); the parameters are those of `SpikeBody.forward`."""
        bins = self.body(spikes, units)
        queries = self.queries.expand(len(bins), -1, -1)
        read, _ = self.attention(queries, bins, bins, need_weights=False)
        return self.output(self.over_patches(self.attention_norm(queries + read)))


class ImageNetwork(nn.Module):
    """From spike windows to scores of the training images: the bins are pooled by attention and classified.

    Parameters
    ----------
    n_units, n_images : int
        Sizes of input and output.
    sizes : NetworkOptions
        The rest.
    """

    def __init__(self, n_units: int, n_images: int, sizes: NetworkOptions):
        super().__init__()
        self.body = SpikeBody(n_units, sizes)
        self.weigh = nn.Linear(sizes.width, 1)
        self.classify = nn.Sequential(nn.LayerNorm(sizes.width), nn.Linear(sizes.width, n_images))

    def forward(self, spikes: torch.Tensor, units: torch.Tensor | None = None) -> torch.Tensor:
        """Return the images' logits (batch, image); the parameters are those of `SpikeBody.forward`."""
        bins = self.body(spikes, units)
        return self.classify((bins * self.weigh(bins).softmax(dim=1)).sum(1))
