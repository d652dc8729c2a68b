"""Fit a decoder to a session, as a configuration says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import __version__
from ..config import FitConfig, WindowConfig
from ..profiles import load_profile
from ..vision.cache import patch_grids
from ..vision.fingerprint import weights_fingerprint
from ..vision.grid_table import Grids
from .info import DecoderInfo
from .interface import SubsetDecoder, TrainingData
from .kinds import decoder_class
from .splits import Split, split_moments, split_of
from .states import merge_alike
from .store import StoredDecoder
from .windows import spike_windows

if TYPE_CHECKING:
    import pandas as pd

    from ..recording import Recording

OnProgress = Callable[[str, int, int], None]
# Frames whose true grids are kept, to know which concepts are usual.
_TYPICAL_FRAMES = 64
# Moments that are scored after fitting.
_SCORED = 1000


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted decoder, not saved yet, and what it was fitted on.

    Attributes
    ----------
    stored : StoredDecoder
        The decoder and its description, with scores on the held-out moments.
    recording : Recording
        Where the spikes come from.
    moments : pandas.DataFrame
        All moments of the stimulus.
    split : Split
        Which of them were learnt from, and which are tested.
    frames : numpy.ndarray
        Numbers of the distinct frames, ascending, (frame,).
    grids : GridTable
        Their true grids, float16 (frame, patches, width), read row by row.
    """

    stored: StoredDecoder
    recording: "Recording"
    moments: "pd.DataFrame"
    split: Split
    frames: np.ndarray
    grids: Grids


def fit(config: FitConfig, on_progress: OnProgress | None = None, recording: "Recording | None" = None) -> Fit:
    """Fit a decoder.

    Parameters
    ----------
    config : FitConfig
        What to fit, on what.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    recording : Recording, optional
        One that is open already, in place of the one that `config` names.

    Raises
    ------
    NeurratorError
        Anything in the configuration that does not fit the recording.
    """
    from ..recording import moments as moments_of
    from ..recording import open_recording, open_stimulus

    report = on_progress or (lambda stage, done, total: None)
    profile = load_profile(config.profile)
    kind = decoder_class(config.decoder)
    report("opening the recording", 0, 1)
    if recording is None:
        recording = open_recording(config.recording, presentations=config.presentations)
    unit_ids = recording.select_units(config.units)
    stimulus, name = open_stimulus(recording, config.stimulus, frames=config.frames)
    moments = moments_of(recording, name, stimulus)
    frames, place = np.unique(moments["frame"].to_numpy(), return_inverse=True)
    # Before the grids are made, which takes long: most of what cannot be divided shows in the times alone.
    split_moments(moments, config.split, config.window, config.seed)
    report("opening the recording", 1, 1)

    grids = patch_grids(stimulus, frames, profile, report)
    split = split_of(moments, config.split, config.window, config.seed, lambda: grids)
    report("counting spikes", 0, 1)
    window = pooled_window(config.window, kind)
    windows = spike_windows(recording, moments, window, unit_ids)
    report("counting spikes", 1, 1)
    data = TrainingData(
        windows, place, grids, split.train, split.validation, split.groups, unit_ids, window, config.seed, split.film,
        beyond=config.split in ("front-only", "another-movie"), new_film=config.split == "another-movie",
    )  # fmt: skip
    decoder = kind.fit(data, config.options, report)
    decoder.window = config.window
    learnt = np.unique(place[np.concatenate([split.train, split.validation])])
    typical = learnt[np.linspace(0, len(learnt) - 1, min(len(learnt), _TYPICAL_FRAMES)).round().astype(int)]
    info = DecoderInfo(
        kind=config.decoder,
        package_version=__version__,
        recording=recording.name,
        stimulus=name,
        profile=profile.reference,
        patch_space=weights_fingerprint(profile, profile.vision.model),
        unit_ids=unit_ids,
        grid=data.grid_shape,
        config=config,
        test_frames=[int(frame) for frame in split.test_frames],
        metrics={},
    )
    report("testing on what was held out", 0, 1)
    some = split.test[:: max(len(split.test) // _SCORED, 1)]
    if len(some):
        tested = windows if window == config.window else None
        info.metrics = held_out_scores(
            decoder,
            tested[some]
            if tested is not None
            else spike_windows(recording, moments.iloc[some], config.window, unit_ids),
            place[some],
            grids,
        )
    report("testing on what was held out", 1, 1)
    stored = StoredDecoder(info, decoder, torch.from_numpy(np.asarray(grids[typical], dtype=np.float32)))
    return Fit(stored, recording, moments, split, frames, grids)


def pooled_window(window: WindowConfig, kind: type[SubsetDecoder]) -> WindowConfig:
    """Return the window with fewer, wider bins where a decoder sums them anyway: thousands of units then fit into memory."""
    bins = kind.pooled_bins
    if bins is None or window.n_bins % bins:
        return window
    return window.model_copy(update={"n_bins": bins, "bin_s": window.duration_s / bins})


def held_out_scores(
    decoder: SubsetDecoder, windows: np.ndarray, frames: np.ndarray, grids: Grids, chunk: int = 64
) -> dict[str, float]:
    """Score a decoder on moments it has not seen, with all of its units.

    Parameters
    ----------
    decoder : SubsetDecoder
        The decoder.
    windows : numpy.ndarray
        Counts (moment, bin, unit).
    frames : numpy.ndarray
        Row of `grids` that was on at each moment.
    grids : numpy.ndarray or GridTable
        True grids, (frame, patches, width).

    Returns
    -------
    dict
        ``patch_cosine`` (mean cosine of decoded and true patches), ``prior_cosine`` (the same for the mean grid), ``frame_accuracy`` (share of
        moments whose decoded grid lies nearest to that of the frame shown, among the distinct grids of these moments), ``chance`` of that
        (always naming the most frequent one), ``pool`` (distinct grids), ``moments``.
    """
    shown, place = np.unique(frames, return_inverse=True)
    true = torch.from_numpy(np.asarray(grids[shown], dtype=np.float32))
    flat = true.flatten(1)
    state = merge_alike(flat - flat.mean(0))
    leaders = torch.tensor([int((state == number).nonzero()[0]) for number in range(int(state.max()) + 1)])
    cosine = prior = right = 0.0
    for start in range(0, len(frames), chunk):
        here = torch.from_numpy(place[start : start + chunk])
        decoded = decoder.predict(windows[start : start + chunk], decoder.unit_ids)
        cosine += float(torch.cosine_similarity(decoded, true[here], dim=-1).mean(1).sum())
        prior += float(torch.cosine_similarity(decoder.prior_grid[None], true[here], dim=-1).mean(1).sum())
        right += float((torch.cdist(decoded.flatten(1), flat[leaders]).argmin(1) == state[here]).sum())
    counts = torch.bincount(state[torch.from_numpy(place)])
    n = len(frames)
    return {
        "patch_cosine": cosine / n,
        "prior_cosine": prior / n,
        "frame_accuracy": right / n,
        "chance": float(counts.max()) / n,
        "pool": len(leaders),
        "moments": n,
    }
