"""Spike trains in seconds as a SpikeInterface sorting, without a copy."""

import numpy as np
from spikeinterface.core import BaseSorting, BaseSortingSegment

from .spikes import SpikeTrains


class TrainsSorting(BaseSorting):
    """A sorting of one segment whose spikes lie in `SpikeTrains`.

    Parameters
    ----------
    spikes : SpikeTrains
        The units and their spike times.
    sampling_frequency : float
        Samples a second into which spike times are rounded.
    """

    def __init__(self, spikes: SpikeTrains, sampling_frequency: float = 30_000.0):
        super().__init__(sampling_frequency, spikes.unit_ids)
        self.add_sorting_segment(_Segment(spikes, sampling_frequency))
        self._serializability = {"memory": False, "json": False, "pickle": False}


class _Segment(BaseSortingSegment):
    def __init__(self, spikes: SpikeTrains, sampling_frequency: float):
        super().__init__(t_start=0.0)
        self._spikes, self._rate = spikes, sampling_frequency

    def get_unit_spike_train(
        self, unit_id: int | str, start_frame: int | None = None, end_frame: int | None = None
    ) -> np.ndarray:
        unit = unit_id.item() if isinstance(unit_id, np.generic) else unit_id
        samples = np.round(self._spikes.times(unit) * self._rate).astype(np.int64)
        first = 0 if start_frame is None else int(np.searchsorted(samples, start_frame))
        last = len(samples) if end_frame is None else int(np.searchsorted(samples, end_frame))
        return samples[first:last]
