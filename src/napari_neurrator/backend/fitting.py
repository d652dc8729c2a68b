"""Fit a decoder, measure once what its sentences are worth, and save both."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..config import FitConfig
from ..decoding.fit import Fit, OnProgress, fit
from ..decoding.info import DecoderInfo
from ..decoding.rows import Rows
from ..decoding.windows import spike_windows
from ..evaluation.config import default_sizes
from ..evaluation.measure import ReferenceFrames, measure_evidence, thin_frames

if TYPE_CHECKING:
    from ..recording import Recording

# Held-out moments that are decoded for each number of units, and random subsets of each size; fewer where grids are large.
_MOMENTS, _DRAWS = 64, 4
_LARGE = 1 << 18


def fit_decoder(
    config: FitConfig, out: str | Path, on_progress: OnProgress | None = None, recording: "Recording | None" = None
) -> DecoderInfo:
    """Fit a decoder and save it with its evidence.

    Parameters
    ----------
    config : FitConfig
        What to fit, on what.
    out : path-like
        Folder to write.
    on_progress : callable, optional
        Called with (stage, done, total); may raise `Stopped`.
    recording : Recording, optional
        One that is open already, in place of the one that `config` names.

    Returns
    -------
    DecoderInfo
        What was written, with scores on the held-out moments; without evidence where nothing was held out.

    Raises
    ------
    NeurratorError
        Anything in the configuration that does not fit the recording.
    """
    done = fit(config, on_progress, recording)
    add_evidence(done, on_progress)
    done.stored.save(out)
    return done.stored.info


def add_evidence(done: Fit, on_progress: OnProgress | None = None) -> None:
    """Keep with a fitted decoder the frames that its sentences are held against, and what they reach by number of units.

    The frames are those of the held-out moments: where frames were held out, a decoder leans towards those it knows, and these would
    seem to fit better than any that it does not know.
    """
    stored, moments = done.stored, done.moments.iloc[done.split.test]
    if moments.empty:
        return
    info, decoder = stored.info, stored.decoder
    size = int(np.prod(info.grid))
    shown = moments["frame"].to_numpy()
    kept, weights = thin_frames(shown, size)
    grids = np.asarray(Rows(done.grids, np.searchsorted(done.frames, kept))[:], dtype=np.float16)
    kept_with = {"grids": torch.from_numpy(grids), "weights": torch.from_numpy(weights).float()}
    stored.references = kept_with
    references = ReferenceFrames(**kept_with, prior=decoder.prior_grid.float().cpu())
    few = 2 if size > _LARGE else 1
    rows = np.argsort(shown, kind="stable")
    tested = moments.iloc[rows[np.unique(np.linspace(0, len(rows) - 1, _MOMENTS // few).round().astype(int))]]
    windows = spike_windows(done.recording, tested, info.window, info.unit_ids)
    true = Rows(done.grids, np.searchsorted(done.frames, tested["frame"].to_numpy()))

    def report(number: int, total: int) -> None:
        if on_progress:
            on_progress("measuring what is more than chance", number, total)

    sizes = default_sizes(len(info.unit_ids))
    table = measure_evidence(
        decoder, windows, true, references, sizes, _DRAWS // few, info.config.seed, on_progress=report
    )
    report(len(sizes), len(sizes))
    info.evidence = table.model_dump()
