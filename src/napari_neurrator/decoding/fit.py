"""Fit a decoder to a session: from a configuration to a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..config import FitConfig
from ..errors import NeurratorError
from ..profiles import load_profile
from ..vision.cache import patch_grids
from ..vision.fingerprint import weights_fingerprint
from .basis import GridBasis
from .bayes import EncodingModel, SubsetPosterior, block_features
from .calibration import calibrate
from .decoder import Decoder
from .info import DecoderInfo
from .splits import split_moments
from .windows import spike_windows

OnProgress = Callable[[str, int, int], None]
# Blocks of the window that are tried; the one that decodes the calibration showings best is kept.
_BLOCKS = (1, 2, 4)


def merge_alike(coefficients: torch.Tensor, tolerance: float = 1e-3) -> torch.Tensor:
    """Find frames that look the same to the tower, but for rounding.

    Opposite drifts of a grating begin with the same picture, a film may stand still: telling such frames apart is not asked of the spikes.

    Parameters
    ----------
    coefficients : torch.Tensor
        Of the frames' grids, (frame, rank).
    tolerance : float
        Squared distance that counts as none, as a share of the frames' mean squared distance from their mean.

    Returns
    -------
    torch.Tensor
        State of each frame, int64 (frame,), numbered in order of first appearance.
    """
    limit = tolerance * coefficients.square().sum(1).mean()
    leaders: list[int] = []
    state = torch.empty(len(coefficients), dtype=torch.int64)
    for row, vector in enumerate(coefficients):
        near = (coefficients[leaders] - vector).square().sum(1) if leaders else torch.empty(0)
        if len(near) and near.min() <= limit:
            state[row] = int(near.argmin())
        else:
            state[row] = len(leaders)
            leaders.append(row)
    return state


def fit_decoder(config: FitConfig, out: str | Path, on_progress: OnProgress | None = None) -> DecoderInfo:
    """Fit a decoder and save it.

    Parameters
    ----------
    config : FitConfig
        What to fit, on what.
    out : path-like
        Folder to write.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.

    Returns
    -------
    DecoderInfo
        What was written, with scores on the held-out showings.

    Raises
    ------
    NeurratorError
        Anything in the configuration that does not fit the recording.
    """
    from ..recording import moments as moments_of
    from ..recording import open_recording, open_stimulus

    report = on_progress or (lambda stage, done, total: None)
    profile = load_profile(config.profile)
    report("opening the recording", 0, 1)
    recording = open_recording(config.recording, presentations=config.presentations)
    unit_ids = recording.select_units(config.units)
    stimulus, name = open_stimulus(recording, config.stimulus, frames=config.frames)
    moments = moments_of(recording, name, stimulus)
    split = split_moments(moments, config.split)
    report("opening the recording", 1, 1)

    frames = np.unique(moments["frame"].to_numpy())
    grids = patch_grids(stimulus, frames, profile, report)
    report("finding the components of the frames", 0, 1)
    basis = GridBasis.fit(grids)
    state_of_frame = merge_alike(basis.coefficients)
    if int(state_of_frame.max()) == 0:
        raise NeurratorError(
            f"The stimulus {name!r} shows one picture only, so there is nothing to decode: choose another."
        )
    basis.coefficients = _means_by_state(basis.coefficients, state_of_frame)
    states = state_of_frame[np.searchsorted(frames, moments["frame"].to_numpy())]
    report("finding the components of the frames", 1, 1)

    report("counting spikes", 0, 1)
    windows = torch.from_numpy(spike_windows(recording, moments, config.window, unit_ids).astype(np.int32))
    report("counting spikes", 1, 1)

    blocks = _best_blocks(windows, states, split.train, split.calibration, basis, report)
    features = block_features(windows, blocks)
    posterior = SubsetPosterior(EncodingModel.fit(features[split.train], states[split.train], basis.n_states))
    calibrate(
        posterior,
        basis,
        features[split.calibration],
        states[split.calibration],
        config.calibration_steps,
        config.seed,
        report,
    )
    # With the sharpness settled, the means are estimated again from all showings that are not tested.
    both = np.concatenate([split.train, split.calibration])
    final = SubsetPosterior(EncodingModel.fit(features[both], states[both], basis.n_states))
    final.sharpness.data = posterior.sharpness.data
    info = DecoderInfo(
        kind=config.decoder,
        package_version=__version__,
        recording=recording.name,
        stimulus=name,
        profile=config.profile,
        patch_space=weights_fingerprint(profile, profile.vision.model),
        unit_ids=unit_ids,
        grid=basis.shape,
        config=config,
        metrics={},
    )
    decoder = Decoder(info, final.eval(), basis)
    report("testing on the held-out showings", 0, 1)
    info.metrics = {
        **held_out_scores(decoder, features[split.test], states[split.test]),
        "blocks": blocks,
        "states": basis.n_states,
    }
    report("testing on the held-out showings", 1, 1)
    decoder.save(out)
    return info


def _means_by_state(coefficients: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    count = torch.bincount(state).unsqueeze(1)
    return torch.zeros(len(count), coefficients.shape[1]).index_add_(0, state, coefficients) / count


def _best_blocks(
    windows: torch.Tensor,
    states: torch.Tensor,
    train: np.ndarray,
    test: np.ndarray,
    basis: GridBasis,
    report: OnProgress,
) -> int:
    scores = {}
    everything = torch.arange(windows.shape[2])
    for number, blocks in enumerate(_BLOCKS):
        report("choosing the time resolution", number, len(_BLOCKS))
        if blocks > windows.shape[1]:
            continue
        features = block_features(windows, blocks)
        posterior = SubsetPosterior(EncodingModel.fit(features[train], states[train], basis.n_states))
        with torch.inference_mode():
            scores[blocks] = float(-torch.nn.functional.nll_loss(posterior(features[test], everything), states[test]))
    report("choosing the time resolution", len(_BLOCKS), len(_BLOCKS))
    return max(scores, key=lambda blocks: scores[blocks])


@torch.inference_mode()
def held_out_scores(
    decoder: Decoder, features: torch.Tensor, states: torch.Tensor, chunk: int = 64
) -> dict[str, float]:
    """Score a decoder on showings it has not seen, with all of its units.

    Returns
    -------
    dict
        ``patch_cosine`` (mean cosine of decoded and true patches), ``prior_cosine`` (the same for the mean grid), ``frame_accuracy`` (share of
        moments whose likeliest frame is the one shown), ``chance`` of that, ``moments``.
    """
    units = torch.arange(features.shape[2])
    prior = decoder.prior_grid
    cosine = prior_cosine = right = 0.0
    for start in range(0, len(features), chunk):
        log_p = decoder.posterior(features[start : start + chunk], units)
        shown = states[start : start + chunk]
        decoded = decoder.basis.grids(log_p.exp() @ decoder.basis.coefficients)
        true = decoder.basis.grids(decoder.basis.coefficients[shown])
        cosine += torch.nn.functional.cosine_similarity(decoded, true, dim=-1).mean(1).sum().item()
        prior_cosine += torch.nn.functional.cosine_similarity(prior[None], true, dim=-1).mean(1).sum().item()
        right += (log_p.argmax(1) == shown).sum().item()
    n = max(len(features), 1)
    counts = torch.bincount(states, minlength=1)
    return {
        "patch_cosine": cosine / n,
        "prior_cosine": prior_cosine / n,
        "frame_accuracy": right / n,
        "chance": float(counts.max() / max(int(counts.sum()), 1)),
        "moments": len(features),
    }
