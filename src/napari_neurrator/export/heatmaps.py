"""Heatmaps for narrations, asked of a backend: they are not kept in JSON lines."""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..backend.client import Backend
from ..backend.narrations import Narration, events_of
from ..backend.protocol import Concepts, NarrationRequest, PackedArray, Patches
from ..decoding.info import DecoderInfo
from ..decoding.windows import spike_windows
from ..errors import NeurratorError
from ..profiles import load_profile
from ..vision.geometry import PatchGeometry
from .pictures import Overlay

if TYPE_CHECKING:
    import pandas as pd

    from ..recording import Recording
    from ..recording.stimulus import Stimulus

MATCH = "match"
_CHUNK, _ALL = 32, 100_000


def overlays_of(
    backend: Backend,
    recording: "Recording",
    stimulus: "Stimulus",
    moments: "pd.DataFrame",
    info: DecoderInfo,
    narrations: Sequence[Narration],
    show: str = MATCH,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[int, Overlay]:
    """Return the heatmap of each narrated frame.

    Parameters
    ----------
    backend : Backend
        Does the model work.
    recording, stimulus : Recording, Stimulus
        Spikes and frames.
    moments : pandas.DataFrame
        All moments of the stimulus.
    info : DecoderInfo
        Of the decoder that the narrations name.
    narrations : sequence of Narration
        Of one showing and the same units.
    show : str
        The name of a concept; ``match`` for where decoded and true patches differ.
    on_progress : callable, optional
        Called with (stage, done, total).

    Raises
    ------
    NeurratorError
        The concept stands out at none of these moments.
    """
    first = narrations[0]
    rows = moments[moments["repeat"] == first.repeat].drop_duplicates("frame").set_index("frame", drop=False)
    rows = rows.loc[[one.frame for one in narrations if one.frame in rows.index]]
    geometry = PatchGeometry.of(load_profile(info.profile), *stimulus.frame_shape[:2])
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(rows), _CHUNK):
        part = rows.iloc[start : start + _CHUNK]
        request = NarrationRequest(
            job_id=uuid.uuid4().hex,
            decoder=first.config.decoder,
            unit_ids=first.unit_ids,
            windows=PackedArray.pack(spike_windows(recording, part, info.window, first.unit_ids)),
            frames=PackedArray.pack(np.asarray(stimulus.frames(part["frame"].to_numpy()))) if show == MATCH else None,
            want=["patches"] if show == MATCH else ["concepts"],
            n_concepts=_ALL,
        )
        frames = part["frame"].to_numpy()
        for event in events_of(backend, request):
            if isinstance(event, Patches):
                found[int(frames[event.moment])] = event.cosine.unpack()
            elif isinstance(event, Concepts):
                maps = [one.heatmap.unpack() for one in event.concepts if one.name == show]
                found[int(frames[event.moment])] = maps[0] if maps else np.zeros((geometry.rows, geometry.columns))
        if on_progress:
            on_progress("asking for heatmaps", min(start + _CHUNK, len(rows)), len(rows))
    top = max((float(values.max()) for values in found.values()), default=0.0)
    if top <= 0 and show != MATCH:
        raise NeurratorError(
            f"The concept {show!r} stands out at none of these moments: choose one that the narrations list."
        )
    if show == MATCH:
        # Most patches match well: what is seen is where they do not.
        worst = {frame: 1 - values for frame, values in found.items()}
        top = max(float(values.max()) for values in worst.values())
        return {
            frame: Overlay(values, geometry, "decoded unlike true (1 − cosine)", top) for frame, values in worst.items()
        }
    return {frame: Overlay(values, geometry, show, top) for frame, values in found.items()}
