"""Which features are active where, without the zeros between them."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SparseActivations:
    """The active features of every patch, as many as there are (compressed rows).

    Rows are patches, frame by frame: those of row ``r`` are ``features[offsets[r]:offsets[r + 1]]``. Nothing is cut off and nothing is padded,
    so it is exact for every family; it is as large as what is active.

    Attributes
    ----------
    features : torch.Tensor
        Number of each active feature, int64 (active,).
    values : torch.Tensor
        How active, float32 (active,); never 0.
    offsets : torch.Tensor
        Where each row begins, and the end, int64 (frame × patch + 1,).
    n_frames, n_patches, n_features : int
        Size of the dense table that is never made.
    undo : tuple of torch.Tensor, optional
        Factor and shift by which the normaliser is undone, (frame × patch, 1) each.
    """

    features: torch.Tensor
    values: torch.Tensor
    offsets: torch.Tensor
    n_frames: int
    n_patches: int
    n_features: int
    undo: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def rows(self) -> torch.Tensor:
        """Row (frame × patch) of each active feature, int64 (active,)."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self.features))

    @property
    def frames(self) -> torch.Tensor:
        """Frame of each active feature, int64 (active,)."""
        return self.rows // self.n_patches

    @property
    def l0(self) -> float:
        """Mean number of active features a patch."""
        return len(self.features) / max(self.n_frames * self.n_patches, 1)

    def frame(self, number: int) -> "SparseActivations":
        """Return those of one frame."""
        first, last = number * self.n_patches, (number + 1) * self.n_patches
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        undo = None if self.undo is None else (self.undo[0][first:last], self.undo[1][first:last])
        return SparseActivations(
            self.features[start:stop],
            self.values[start:stop],
            self.offsets[first : last + 1] - start,
            1,
            self.n_patches,
            self.n_features,
            undo,
        )

    def totals(self) -> torch.Tensor:
        """Return the activation of each feature summed over patches: (frame, feature)."""
        return self.totals_of(torch.arange(self.n_features), self.n_features)

    def totals_of(self, group_of_feature: torch.Tensor, n_groups: int) -> torch.Tensor:
        """Sum activation over patches and over the features of each group.

        Parameters
        ----------
        group_of_feature : torch.Tensor
            Group of each feature, −1 where it has none, int64 (feature,).
        n_groups : int
            Number of groups.

        Returns
        -------
        torch.Tensor
            float32 (frame, group).
        """
        group = group_of_feature.to(self.features.device)[self.features]
        counts = group >= 0
        totals = torch.zeros(self.n_frames * n_groups, device=self.values.device)
        totals.index_add_(0, self.frames[counts] * n_groups + group[counts], self.values[counts])
        return totals.view(self.n_frames, n_groups)

    def heatmap(self, of_feature: torch.Tensor) -> torch.Tensor:
        """Sum the activation of some features at every patch.

        Parameters
        ----------
        of_feature : torch.Tensor
            Which features count, bool (feature,).

        Returns
        -------
        torch.Tensor
            float32 (frame, patch).
        """
        counts = of_feature.to(self.features.device)[self.features]
        heat = torch.zeros(self.n_frames * self.n_patches, device=self.values.device)
        heat.index_add_(0, self.rows[counts], self.values[counts])
        return heat.view(self.n_frames, self.n_patches)
