"""Everything an evaluation looks at: the decoder, the held-out moments, their spikes, the true pictures."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..config import SPLITS
from ..decoding.rows import Rows
from ..decoding.splits import leaves_its_showing, split_of
from ..decoding.store import StoredDecoder
from ..decoding.windows import spike_windows
from ..errors import NeurratorError
from ..profiles import Profile, load_profile
from ..vision.cache import patch_grids
from ..vision.fingerprint import weights_fingerprint
from .config import EvaluateConfig
from .nulls import Course
from .pool import Pool
from .sentences import MakeLanguage, own_language
from .statistics import FEW_BLOCKS

if TYPE_CHECKING:
    import pandas as pd

    from ..recording import Recording
    from ..recording.stimulus import Stimulus

OnProgress = Callable[[str, int, int], None]
# Named anew when the same decoder decodes or says something else, so that nothing is read that an older version kept.
_WORKED_OUT = "sentences at the contrast of true pictures"
_BLOCKS = 30
_SHOWINGS = 4
# Numbers of decoded grids that are held at once.
_HELD = 1 << 24


@dataclass(eq=False)
class Material:
    """See the module's text.

    Attributes
    ----------
    config : EvaluateConfig
        What was asked.
    recording, stimulus, profile, stored
        What it was asked of.
    stimulus_name : str
        As the recording spells it.
    split : str
        Name of the split, or what stands in its place.
    moments : pandas.DataFrame
        The tested moments, in order of time.
    windows : numpy.ndarray
        Their spikes, (moment, bin, unit) of `unit_ids`.
    unit_ids : list
        Units from which subsets are drawn.
    pool : Pool
        True pictures of the frames tested.
    course : Course
        The moments' order in time.
    near : numpy.ndarray or None
        bool (frame, frame): neighbours in a film.
    blocks : numpy.ndarray
        What is resampled for intervals, (moment,).
    blocks_are : str
        In words, for the report.
    narrated : numpy.ndarray
        Rows of the moments that are put into words.
    film : bool
        Frames follow each other without a pause.
    learnt : numpy.ndarray
        Numbers of the frames of this stimulus that the decoder was fitted on, ascending.
    decoder_hash : str
        Of the decoder's file.
    make_language : callable
        Makes the language model of a profile.
    """

    config: EvaluateConfig
    recording: "Recording"
    stimulus: "Stimulus"
    profile: Profile
    stored: StoredDecoder
    stimulus_name: str
    split: str
    moments: "pd.DataFrame"
    windows: np.ndarray
    unit_ids: list
    pool: Pool
    course: Course
    near: np.ndarray | None
    blocks: np.ndarray
    blocks_are: str
    narrated: np.ndarray
    film: bool
    learnt: np.ndarray
    decoder_hash: str
    make_language: MakeLanguage = own_language

    def decode(self, units: list, rows: np.ndarray | None = None) -> Iterator[torch.Tensor]:
        """Yield decoded grids of moments (all, or some rows), in parts that fit into memory."""
        place = {unit: column for column, unit in enumerate(self.unit_ids)}
        columns = [place[unit] for unit in units]
        rows = np.arange(len(self.moments)) if rows is None else rows
        step = int(np.clip(_HELD // self.pool.prior.numel(), 8, 1024))
        for start in range(0, len(rows), step):
            windows = np.ascontiguousarray(self.windows[rows[start : start + step]][:, :, columns])
            yield self.stored.decoder.predict(windows, units).float().cpu()

    def key(self, units: list) -> str:
        """Return a hash of everything that decides what is decoded and said of some units."""
        place = {unit: column for column, unit in enumerate(self.unit_ids)}
        digest = hashlib.sha256()
        for part in (
            _WORKED_OUT,
            self.decoder_hash,
            # What a decoder does may change with its settings while none of its numbers do.
            json.dumps([self.stored.info.kind, self.stored.info.settings], sort_keys=True),
            weights_fingerprint(self.profile, self.profile.vision.model),
            weights_fingerprint(self.profile, self.profile.language.model),
            self.profile.language.model_dump_json(),
            self.stimulus.fingerprint(),
            repr((self.config.prompt, self.config.max_new_tokens, list(units))),
        ):
            digest.update(part.encode() + b"\0")
        for array in (
            self.windows[:, :, [place[unit] for unit in units]],
            self.course.frame,
            self.pool.frames,
            self.narrated,
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:24]


def gather(config: EvaluateConfig, on_progress: OnProgress, make_language: MakeLanguage = own_language) -> Material:
    """Open what a configuration names.

    Parameters
    ----------
    config : EvaluateConfig
        What to open.
    on_progress : callable
        Called with (stage, done, total).
    make_language : callable
        Makes the language model of a profile, when it is needed; in this process by default.

    Raises
    ------
    NeurratorError
        Decoder and recording do not belong together, or nothing is left to be tested.
    """
    from ..recording import moments as moments_of
    from ..recording import open_recording, open_stimulus

    on_progress("opening the recording", 0, 1)
    stored = StoredDecoder.load(config.decoder)
    info = stored.info
    recording = open_recording(config.recording, presentations=config.presentations or info.config.presentations)
    if recording.name != info.recording:
        raise NeurratorError(
            f"The decoder in {config.decoder} was fitted on the recording {info.recording!r}, and this one is {recording.name!r}: fit a decoder on it."
        )
    profile = load_profile(info.profile)
    if weights_fingerprint(profile, profile.vision.model) != info.patch_space:
        raise NeurratorError(
            f"The decoder in {config.decoder} was fitted on another version of the profile {profile.name!r}: fit it again."
        )
    known = set(info.unit_ids)
    unit_ids = [unit for unit in recording.select_units(config.units) if unit in known]
    if not unit_ids:
        raise NeurratorError(
            f"None of the units that --units finds are among the {len(known)} of the decoder in {config.decoder}: choose other units."
        )
    own = config.stimulus is None or recording.stimulus_name(config.stimulus) == info.stimulus
    stimulus, name = open_stimulus(
        recording,
        info.stimulus if own or config.stimulus is None else config.stimulus,
        frames=config.frames or (info.config.frames if own else None),
    )
    everything = moments_of(recording, name, stimulus)
    shown = everything["frame"].to_numpy()
    frames = np.unique(shown)
    # Worked out late: what cannot be tested is said before.
    grids_of_all = cache(partial(patch_grids, stimulus, frames, profile, on_progress))
    if own:
        part = split_of(everything, info.config.split, info.window, info.config.seed, grids_of_all)
        if set(part.test_frames.tolist()) != set(info.test_frames):
            raise NeurratorError(
                f"The decoder in {config.decoder} was fitted by a version that kept other frames out of fitting, some of which may look the same as known ones: fit it again."
            )
        rows, split = part.test, str(part.name)
        learnt = np.unique(shown[np.concatenate([part.train, part.validation])])
    else:
        learnt = np.empty(0, dtype=np.int64)
        rows, split = np.flatnonzero(~leaves_its_showing(everything, info.window)), "another-movie"
    if not len(rows):
        raise NeurratorError(
            f"The split {split!r} leaves nothing of {name!r} to test ({SPLITS.get(split, 'no moments')}): name another stimulus with --stimulus."
        )
    window = info.window
    times = np.sort(everything["time"].to_numpy(dtype=float))
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else np.inf
    film = step_s < max(window.lag_s + window.duration_s, 0.0) - min(window.lag_s, 0.0)

    tested = everything.iloc[rows]
    kept, thinning, repeats = _thinned(tested["frame"].to_numpy(), tested["repeat"].to_numpy(), config.moments)
    tested = tested[tested["frame"].isin(kept) & tested["repeat"].isin(repeats)]
    tested = tested.sort_values("time", kind="stable").reset_index(drop=True)
    kept = np.unique(tested["frame"].to_numpy())
    pool = Pool(kept, Rows(grids_of_all(), np.searchsorted(frames, kept)), stored.decoder.prior_grid.float().cpu())
    if pool.n_pictures < 2:
        raise NeurratorError(f"All frames of {name!r} that are tested look alike: there is nothing to tell apart.")
    frame = np.searchsorted(kept, tested["frame"].to_numpy())
    course, near = _course(tested, frame, kept, film, step_s, thinning, config.gap_s)
    blocks, blocks_are = _blocks(tested, frame, len(kept), film, step_s * thinning)
    windows = spike_windows(recording, tested, window, unit_ids)
    narrated = np.unique(np.linspace(0, len(tested) - 1, min(config.narrated, len(tested))).round().astype(int))
    digest = hashlib.sha256((Path(config.decoder).expanduser() / "decoder.safetensors").read_bytes()).hexdigest()
    on_progress("opening the recording", 1, 1)
    return Material(
        config, recording, stimulus, profile, stored, name, split, tested, windows, unit_ids, pool, course, near, blocks, blocks_are, narrated, film,
        learnt, digest, make_language,
    )  # fmt: skip


def _thinned(frames: np.ndarray, repeats: np.ndarray, limit: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Choose evenly among frames and showings, so that at most about `limit` moments are left.

    Showings go first, down to four: how small a p-value can be rests on the number of frames.

    Returns
    -------
    frames : numpy.ndarray
        Distinct frames that are kept, every k-th.
    k : int
        The step.
    repeats : numpy.ndarray
        Showings that are kept.
    """
    distinct, shown = np.unique(frames), np.unique(repeats)
    each = len(frames) / len(distinct)
    every = int(np.ceil(len(distinct) * min(each, _SHOWINGS) / limit))
    every = int(np.clip(every, 1, max(len(distinct) // 2, 1)))
    distinct = distinct[::every]
    number = int(np.clip(round(limit / len(distinct) * len(shown) / each), 1, len(shown)))
    return distinct, every, shown[np.unique(np.linspace(0, len(shown) - 1, number).round().astype(int))]


def _course(
    tested: "pd.DataFrame",
    frame: np.ndarray,
    kept: np.ndarray,
    film: bool,
    step_s: float,
    thinning: int,
    gap_s: float,
) -> tuple[Course, np.ndarray | None]:
    if not film:
        return Course([np.arange(len(tested))], frame, 1), None
    repeat = tested["repeat"].to_numpy()
    runs = [np.flatnonzero(repeat == one) for one in np.unique(repeat)]
    gap = max(int(np.ceil(gap_s / (step_s * thinning) - 1e-9)), 1)
    near = np.abs(kept[:, None] - kept[None]) * step_s < gap_s
    return Course(runs, frame, gap), near


def _blocks(
    tested: "pd.DataFrame", frame: np.ndarray, n_frames: int, film: bool, step_s: float
) -> tuple[np.ndarray, str]:
    """Return what is resampled: stretches of film of at least a second, or frames; repeats where there are more of them."""
    repeat = tested["repeat"].to_numpy()
    n_repeats = len(np.unique(repeat))
    number = n_frames
    if film:
        number = int(np.clip(n_frames * step_s / 1.0, 1, _BLOCKS))
    if number < FEW_BLOCKS and n_repeats > number:
        return repeat, f"{n_repeats} showings"
    blocks = frame * number // n_frames
    return blocks, f"{number} stretches of the film" if film else f"{number} frames"
