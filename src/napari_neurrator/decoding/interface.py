"""What every decoder can do, and what it is fitted on: the one interface behind ``--decoder``."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ..config import WindowConfig
from ..errors import NeurratorError
from ..vision.grid_table import Grids

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a decoder is fitted on.

    Attributes
    ----------
    windows : numpy.ndarray
        Spike counts, uint8 or uint16 (moment, bin, unit).
    frames : numpy.ndarray
        Which grid was on at each moment: row numbers of `grids`, int64 (moment,).
    grids : numpy.ndarray or GridTable
        Patch grids of the distinct frames, float16 (frame, patches, width), on disk: read rows, never all of it.
    train, validation : numpy.ndarray
        Disjoint row numbers of moments: to learn from, and to stop early or calibrate on. Moments that are tested are in neither, and
        the grids of frames that only they show are not to be looked at.
    groups : numpy.ndarray
        The showing or block that each moment belongs to, int64 (moment,): moments of one group are correlated, so inner
        cross-validation leaves out whole groups.
    unit_ids : list
        Names of the units of the last axis.
    window : WindowConfig
        Of the bins.
    seed : int
        Of everything random.
    film : bool
        Whether frames follow each other without a pause, so that a new one lies among known ones that resemble it.
    beyond, new_film : bool
        Whether it is to decode what lies before or after these frames, not among them, and whether that is another film.
    """

    windows: np.ndarray
    frames: np.ndarray
    grids: Grids
    train: np.ndarray
    validation: np.ndarray
    groups: np.ndarray
    unit_ids: list[int | str]
    window: WindowConfig
    seed: int = 0
    film: bool = True
    beyond: bool = False
    new_film: bool = False

    @property
    def grid_shape(self) -> tuple[int, int]:
        """(patches, width)."""
        return int(self.grids.shape[1]), int(self.grids.shape[2])


class SubsetDecoder(ABC):
    """A fitted decoder: spike windows of any of its units in, patch grids out.

    Attributes
    ----------
    kind : str
        Its name on the command line.
    unit_ids : list
        The units that it was fitted on.
    window : WindowConfig
        The windows that it expects.
    pooled_bins : int or None
        Into how many parts of the window spikes may be summed before fitting (where the window's bins divide evenly); None: it wants all bins.
    """

    kind: ClassVar[str]
    pooled_bins: ClassVar[int | None] = None
    unit_ids: list[int | str]
    window: WindowConfig

    @classmethod
    @abstractmethod
    def fit(
        cls, data: TrainingData, options: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> "SubsetDecoder":
        """Learn from `data`; `options` are the kind's own settings, `on_progress` gets (stage, done, total) and may raise `Stopped`."""

    @abstractmethod
    def predict(self, windows: np.ndarray, unit_ids: list) -> torch.Tensor:
        """Return the decoded patch grids, float32 (moment, patches, width).

        Parameters
        ----------
        windows : numpy.ndarray
            Counts (moment, bin, unit).
        unit_ids : list
            The units of the last axis: any subset of the decoder's.

        Raises
        ------
        NeurratorError
            Units that the decoder does not know, or windows of another length.
        """

    @property
    @abstractmethod
    def prior_grid(self) -> torch.Tensor:
        """The mean training grid: what is decoded from nothing, float32 (patches, width)."""

    @abstractmethod
    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return everything that `from_state` needs: tensors for a safetensors file, and plain values for JSON."""

    @classmethod
    @abstractmethod
    def from_state(
        cls, tensors: dict[str, torch.Tensor], settings: dict[str, Any], unit_ids: list, window: WindowConfig
    ) -> "SubsetDecoder":
        """Make a decoder of what `state` returned; KeyError or ValueError where something is missing."""

    def score(self, windows: np.ndarray, unit_ids: list, grids: np.ndarray, chunk: int = 64) -> float:
        """Return the mean cosine of decoded and true patches; `grids` are the true ones, (moment, patches, width)."""
        total = 0.0
        for start in range(0, len(windows), chunk):
            decoded = self.predict(windows[start : start + chunk], unit_ids)
            true = torch.from_numpy(np.asarray(grids[start : start + chunk], dtype=np.float32))
            total += float(torch.nn.functional.cosine_similarity(decoded, true, dim=-1).mean(1).sum())
        return total / max(len(windows), 1)

    def positions(self, unit_ids: list) -> list[int]:
        """Return where units stand in the decoder.

        Raises
        ------
        NeurratorError
            No units, or some that the decoder was not fitted on.
        """
        return self._position_array(unit_ids).tolist()

    def _position_array(self, unit_ids: list) -> np.ndarray:
        """Return `positions`, int64 (unit,)."""
        if not unit_ids:
            raise NeurratorError("No units are selected: choose at least one.")
        place = self._places()
        try:
            return np.fromiter(map(place.__getitem__, unit_ids), np.int64, len(unit_ids))
        except KeyError:
            unknown = [unit for unit in unit_ids if unit not in place]
            some = ", ".join(map(str, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            raise NeurratorError(
                f"{len(unknown)} of the {len(unit_ids)} units ({some}) are not among the {len(self.unit_ids)} that this decoder was fitted on: "
                "choose other units or fit a decoder on this recording."
            ) from None

    def _places(self) -> dict[int | str, int]:
        known = getattr(self, "_place", None)
        if known is None or known[0] is not self.unit_ids:
            known = self._place = (self.unit_ids, {unit: i for i, unit in enumerate(self.unit_ids)})
        return known[1]

    def check_windows(self, windows: np.ndarray, unit_ids: list) -> None:
        """Refuse windows of another length or another number of units than expected."""
        if windows.ndim != 3 or windows.shape[1:] != (self.window.n_bins, len(unit_ids)):
            raise NeurratorError(
                f"The spike windows have shape {tuple(windows.shape)}, and this decoder expects (moments, {self.window.n_bins}, {len(unit_ids)})."
            )
