"""Make the sample session, keep it in the cache, open it."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...paths import cache_folder
from ...writing import folder_beside

if TYPE_CHECKING:
    from ..recording import Recording

OnProgress = Callable[[str, int, int], None]
# Counts up when the sample changes, so that an old one in the cache is not taken for the new.
FORMAT = 2
STIMULUS = "natural_movie_one"
GREY_S = 10.0


@dataclass(frozen=True)
class SampleSpec:
    """Size and seed of a sample session; small ones serve tests."""

    seed: int = 0
    n_units: int = 400
    n_frames: int = 900
    n_repeats: int = 20

    @property
    def folder_name(self) -> str:
        """Name of its folder in the cache."""
        key = hashlib.sha256(json.dumps([FORMAT, asdict(self)]).encode()).hexdigest()[:8]
        return f"sample-{key}"


def sample_file(spec: SampleSpec | None = None) -> Path:
    """Return where the sample's NWB file lies, made or not."""
    spec = spec or SampleSpec()
    return cache_folder("samples") / spec.folder_name / f"sub-simulated_ses-{spec.seed}.nwb"


def make_sample(spec: SampleSpec | None = None, on_progress: OnProgress | None = None) -> Path:
    """Make the sample session unless it is there: an NWB file, the film beside it, and ``truth.json``.

    Parameters
    ----------
    spec : SampleSpec, optional
        The whole session by default: about a minute on one core.
    on_progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    pathlib.Path
        The NWB file.
    """
    from .allen_nwb import write_allen_nwb
    from .film import FRAME_RATE_HZ, FRAME_SIZE, truth, write_film
    from .light import DRIVEN_TYPE, labels, light_pulses, simulate_light
    from .neurons import simulate, small_channels
    from .probes import place_units

    spec = spec or SampleSpec()
    file = sample_file(spec)
    if file.is_file():
        return file
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(file.parent) as folder:
        movie = folder / f"{STIMULUS}.mp4"
        write_film(movie, spec.n_frames, spec.seed, on_progress)
        from ..stimulus.movie import MovieFile

        # The units see what is in the file, compression included, as an animal would.
        film = MovieFile(movie)
        channels = small_channels(film.frame(i) for i in range(spec.n_frames))
        starts, frames, blocks, end = _schedule(spec.n_frames, spec.n_repeats, FRAME_RATE_HZ)
        placed = place_units(spec.n_units, np.random.default_rng([spec.seed, 0]))
        spikes = simulate(placed, channels, starts, frames, end + GREY_S, FRAME_SIZE, spec.seed, on_progress)
        # The light comes after the film is over, so that it changes nothing of how units answer to the film.
        lit_from = end + GREY_S
        pulses = light_pulses(lit_from, spec.seed)
        rates = np.array([len(train) / lit_from for train in spikes.trains])
        lit = simulate_light(spikes.units, rates, pulses, lit_from, spec.seed)
        answers = spikes.units["cell_type"] == DRIVEN_TYPE
        labelled = replace(spikes, units=spikes.units.assign(cell_type=labels(spikes.units, spec.seed)))
        presentations = pd.DataFrame(
            {"start_time": starts, "stop_time": starts + 1 / FRAME_RATE_HZ, "frame": frames, "stimulus_block": blocks}
        )
        if on_progress:
            on_progress("writing the session (simulated session)", 0, 1)
        grey = [(0.0, GREY_S), (end, end + GREY_S)]
        write_allen_nwb(folder / file.name, labelled, presentations, grey, spec.seed, pulses, lit)
        fields = spikes.units[["region", "cell_type", "peak_channel_id", "rf_x", "rf_y", "rf_radius"]]
        document = {
            "simulated": True,
            "spec": asdict(spec),
            "frames": [truth(number) for number in range(spec.n_frames)],
            "units_in_file_order": json.loads(fields.assign(answers_to_light=answers).to_json(orient="records")),
        }
        (folder / "truth.json").write_text(json.dumps(document), encoding="utf-8")
        try:
            os.replace(folder, file.parent)
        except OSError:
            # Another process made it in the meantime.
            if not file.is_file():
                raise
        if on_progress:
            on_progress("writing the session (simulated session)", 1, 1)
    return file


def _schedule(n_frames: int, n_repeats: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return start, frame and block of every presentation, and when the last one ends: two blocks, as at Allen's, with grey between."""
    starts: list[np.ndarray] = []
    frames: list[np.ndarray] = []
    blocks: list[np.ndarray] = []
    now = GREY_S
    for repeat in range(n_repeats):
        block = int(repeat >= n_repeats / 2)
        if block and (not blocks or blocks[-1][0] != block):
            now += GREY_S
        starts.append(now + np.arange(n_frames) / rate)
        frames.append(np.arange(n_frames))
        blocks.append(np.full(n_frames, block))
        now += n_frames / rate
    return np.concatenate(starts), np.concatenate(frames), np.concatenate(blocks), now


def open_sample(spec: SampleSpec | None = None, progress: OnProgress | None = None) -> "Recording":
    """Open the sample session, made if it is not there yet, by the same reader as anybody's file."""
    from ..readers.nwb import read_nwb

    return read_nwb(make_sample(spec, progress))
