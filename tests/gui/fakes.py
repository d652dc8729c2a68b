"""A made-up recording and a backend that speaks the protocol, without models."""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pandas as pd

from napari_neurrator.backend import protocol as p
from napari_neurrator.config import WindowConfig
from napari_neurrator.errors import NeurratorError
from napari_neurrator.evaluation.evidence import Evidence
from napari_neurrator.vision.geometry import PatchGeometry

PROBES = {
    "probeA": [("VISam", 0.62, 1.0), ("CA1", 0.38, 0.58), ("LGd", 0.0, 0.3)],
    "probeB": [("VISpm", 0.65, 1.0), ("CA1", 0.4, 0.6)],
    "probeC": [("VISp", 0.6, 1.0), ("CA1", 0.36, 0.56), ("LGd", 0.02, 0.26)],
    "probeD": [("VISl", 0.62, 1.0), ("CA1", 0.4, 0.58)],
    "probeE": [("VISal", 0.6, 1.0), ("LGd", 0.1, 0.34)],
    "probeF": [("VISrl", 0.64, 1.0), ("CA1", 0.42, 0.6)],
}


def picture(height: int, width: int, shift: float) -> np.ndarray:
    """A hill, a sky, a sun and a red ball."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    sky = np.stack([0.35 + 0.4 * y, 0.6 + 0.25 * y, 0.95 - 0.1 * y], -1)
    hill = y > 0.62 + 0.08 * np.sin(6 * x + shift)
    sky[hill] = np.array([0.25, 0.55, 0.25]) * (1.1 - 0.4 * (y[hill, None] - 0.6))
    ball = np.hypot((x - 0.32 - 0.2 * np.sin(shift)) * width, (y - 0.66) * height) < 0.13 * height
    sky[ball] = [0.85, 0.18, 0.15]
    sun = np.hypot((x - 0.8) * width, (y - 0.2) * height) < 0.09 * height
    sky[sun] = [1.0, 0.9, 0.4]
    return (255 * np.clip(sky, 0, 1)).astype(np.uint8)


class FakeStimulus:
    def __init__(self, n_frames=90, height=120, width=160):
        self.n_frames, self.frame_rate_hz, self.size = n_frames, 30.0, (height, width)

    def frame(self, i):
        return picture(*self.size, i / 15)

    def as_dask(self):
        blocks = [da.from_delayed(_delayed(self, i), (*self.size, 3), np.uint8) for i in range(self.n_frames)]
        return da.stack(blocks)


def _delayed(stimulus, i):
    import dask

    return dask.delayed(stimulus.frame, pure=True)(i)


class FakeSpikes:
    def __init__(self, unit_ids):
        self.unit_ids = list(unit_ids)
        self.calls = 0

    def times(self, unit_id):
        rng = np.random.default_rng(self.unit_ids.index(unit_id))
        return np.sort(rng.uniform(0, 60, 40 * (1 + self.unit_ids.index(unit_id) % 7)))

    def count(self, starts_s, n_bins, bin_s, unit_ids):
        self.calls += 1
        row = {u: i for i, u in enumerate(self.unit_ids)}
        rows = np.array([row[u] for u in unit_ids])
        out = np.zeros((len(starts_s), n_bins, len(rows)), np.uint16)
        for k, start in enumerate(starts_s):
            rng = np.random.default_rng(round(1000 * start))
            rates = rng.gamma(1.0, 8.0, len(self.unit_ids)) * bin_s
            out[k] = rng.poisson(rates[None, rows], (n_bins, len(rows)))
        return out


@dataclass(eq=False)
class FakeRecording:
    n: int = 60
    probes: int = 6
    positions: bool = True
    name: str = "made-up session"
    source: str = "made-up.nwb"
    simulated: bool = True
    warnings: list = field(default_factory=list)
    ccf: bool = True
    sessions: tuple = ()

    def __post_init__(self):
        rng = np.random.default_rng(3)
        rows = []
        names = list(PROBES)[: self.probes]
        for i in range(self.n):
            probe = names[i % len(names)]
            regions = PROBES[probe]
            share = np.array([4.0, 2.5, 2.0][: len(regions)])
            region, low, high = regions[rng.choice(len(regions), p=share / share.sum())]
            depth = 3840 * rng.uniform(low, high)
            cell = rng.choice(["", "PV", "SST", "VIP"], p=[0.8, 0.08, 0.07, 0.05])
            rows.append((1000 + 7 * i, rng.choice([11, 27, 43, 59]), depth, probe, region, cell, rng.gamma(2, 4)))
        columns = ["unit_id", "x_um", "y_um", "probe", "region", "cell_type", "firing_rate_hz"]
        self.units = pd.DataFrame(rows, columns=columns).set_index("unit_id")
        if not self.positions:
            self.units[["x_um", "y_um"]] = np.nan
        self.units["passes_qc"] = np.arange(self.n) % 5 > 0
        self.units["amplitude_cutoff"] = np.where(self.units["passes_qc"], 0.05, 0.3)
        self.units["region_parents"] = [f"{name} < {name[:3]} < grey" for name in self.units["region"]]
        if self.ccf:
            at = self.units["probe"].map(names.index).to_numpy()
            self.units["ccf_ap_um"] = 7600.0 + 250 * at
            self.units["ccf_dv_um"] = 4500 - self.units["y_um"]
            self.units["ccf_lr_um"] = 7300.0 + 300 * at
            self.units.loc[self.units.index[-1], "ccf_ap_um"] = np.nan
        self.spikes = FakeSpikes(self.units.index)

    def stimuli(self):
        return pd.DataFrame({"stimulus": ["natural_movie_one", "drifting_gratings"]})

    def stimulus_name(self, name):
        return name

    def select_units(self, query):
        try:
            return list(self.units.query(query).index)
        except Exception as error:
            raise NeurratorError(f"The units query {query!r} does not work: {error}.") from error


def fake_moments(stimulus, repeats=4):
    rows = []
    for repeat in range(repeats):
        for frame in range(stimulus.n_frames):
            start = 10 + repeat * 10 + frame / 30
            rows.append((len(rows), frame, start, start, start + 1 / 30, repeat))
    return pd.DataFrame(rows, columns=["presentation", "frame", "time", "start_time", "stop_time", "repeat"])


def fake_decoder(unit_ids, held_out=(3,)):
    return SimpleNamespace(
        unit_ids=list(unit_ids),
        profile="tiny",
        window=WindowConfig(),
        stimulus="natural_movie_one",
        config=None,
        metrics={"patch_cosine": 0.71, "prior_cosine": 0.44, "frame_accuracy": 0.83, "chance": 0.002},
        evidence=None,
        is_held_out=lambda repeat, frame: repeat in held_out,
    )


GEOMETRY = PatchGeometry(rows=12, columns=12, scale=(10.0, 10.0), crop=(0, 20, 120, 120))


class FakeBackend:
    """Answers from a thread of its own, word by word; `hold` keeps it from ending, `fail` makes it fail."""

    sentence = "a red ball rolls over a green hill on a sunny day while a few clouds drift by"

    def __init__(self, delay_s=0.002):
        self.delay_s, self.fail = delay_s, ""
        self.p, self.least, self.problem = 0.004, 0.004, ""
        self.dictionary, self.refused = "abc", ""
        self.sentences, self.matches = {}, {}
        self.hold = threading.Event()
        self.hold.set()
        self.requests, self.cancelled, self.closed, self.threads = [], set(), False, []

    def submit(self, request, on_event):
        self.requests.append(request)
        does = {
            "fit": self._fit, "narrate": self._narrate, "course": self._course, "gallery": self._gallery, "ask": self._ask, "without": self._without,
            "inspect": self._inspect, "match": self._match, "compare": self._compare,
        }  # fmt: skip
        thread = threading.Thread(target=does.get(request.kind, self._label), args=(request, on_event))
        self.threads.append(thread)
        thread.start()

    def cancel(self, job_id):
        self.cancelled.add(job_id)

    def close(self):
        self.cancelled |= {r.job_id for r in self.requests}
        self.hold.set()
        for thread in self.threads:
            thread.join(5)
        self.closed = True

    def _fit(self, request, on_event):
        job = request.job_id
        for i in range(5):
            if job in self.cancelled:
                return on_event(p.Cancelled(job_id=job))
            on_event(p.Progress(job_id=job, stage="Fitting", done=i, total=5))
            self.hold.wait(5)
        on_event(p.Fitted(job_id=job, decoder=request.out, metrics={"patch_cosine": 0.7}))
        on_event(p.Done(job_id=job))

    def _narrate(self, request, on_event):
        job = request.job_id
        if self.fail:
            return on_event(p.Failed(job_id=job, message=self.fail))
        y, x = np.mgrid[:12, :12]
        names = [
            ("red ball", 7, 4),
            ("green hill", 10, 6),
            ("sun", 2, 9),
            ("sky", 2, 3),
            ("daylight", 5, 5),
            ("grass", 9, 9),
            ("cloud", 1, 6),
        ]
        concepts = [
            p.Concept(
                feature=100 + i,
                name=name,
                strength=41.0 / (i + 1) + 3,
                heatmap=p.PackedArray.pack((6 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 7)).astype(np.float32)),
                score=0.79,
            )
            for i, (name, cy, cx) in enumerate(names)
        ]
        naming = "named by CLIP text against its strongest patches"
        cosine = (0.4 + 0.5 * np.exp(-((y - 6) ** 2 + (x - 5) ** 2) / 30)).astype(np.float32)
        units = tuple(request.unit_ids)
        cosine += np.float32(self.matches.get(units, 0.0))
        evidence = Evidence(patch_cosine=0.68, prior_cosine=0.43, gain=0.25, usual=-0.1, p=self.p, least=self.least)
        evidence = None if self.problem else evidence
        moments = range(request.windows.shape[0])
        for moment in moments:
            on_event(
                p.Concepts(job_id=job, moment=moment, concepts=concepts, dictionary=self.dictionary, naming=naming)
            )
            on_event(
                p.Patches(
                    job_id=job, moment=moment, cosine=p.PackedArray.pack(cosine), mean_cosine=0.68, prior_cosine=0.43
                )
            )
            if "evidence" in request.want:
                on_event(p.Judged(job_id=job, moment=moment, evidence=evidence, problem=self.problem))
        for moment in moments if "text" in request.want else ():
            sentence = self.sentences.get(units, self.sentence)
            for word in sentence.split():
                if len(moments) == 1:
                    threading.Event().wait(self.delay_s)
                self.hold.wait(5)
                if job in self.cancelled:
                    return on_event(p.Cancelled(job_id=job))
                on_event(p.Token(job_id=job, moment=moment, text=f"{word} "))
            on_event(
                p.Sentence(
                    job_id=job,
                    moment=moment,
                    text=sentence,
                    reference="a red ball and a yellow sun over a green hill by day",
                    prior="a meadow by day",
                )
            )
        self.hold.wait(5)
        on_event(p.Cancelled(job_id=job) if job in self.cancelled else p.Done(job_id=job))

    def _course(self, request, on_event):
        """Concept i at the moment whose windows hold n spikes: n + i; of frame f: f / 10 + i."""
        job = request.job_id
        if request.windows is not None:
            values = request.windows.unpack().astype(np.float32).sum((1, 2))
        else:
            values = np.array(request.shown.numbers, np.float32) / 10
        strengths = values[:, None] + np.arange(len(request.concepts), dtype=np.float32)
        for start in range(0, len(values), 16):
            threading.Event().wait(self.delay_s)
            self.hold.wait(5)
            if job in self.cancelled:
                return on_event(p.Cancelled(job_id=job))
            on_event(
                p.Course(job_id=job, start=start, strengths=p.PackedArray.pack(strengths[start : start + 16].copy()))
            )
        on_event(p.Done(job_id=job))

    def _gallery(self, request, on_event):
        job = request.job_id
        if self.fail:
            return on_event(p.Failed(job_id=job, message=self.fail))
        on_event(p.Progress(job_id=job, stage="looking through the frames", done=10, total=90))
        self.hold.wait(5)
        if job in self.cancelled:
            return on_event(p.Cancelled(job_id=job))
        y, x = np.mgrid[:12, :12]
        frames = [
            p.GalleryFrame(
                frame=frame,
                row=3 + i,
                column=4,
                value=9.0 - i,
                heatmap=p.PackedArray.pack(
                    ((9 - i) * np.exp(-((y - 3 - i) ** 2 + (x - 4) ** 2) / 4)).astype(np.float32)
                ),
            )
            for i, frame in enumerate((40, 5, 71))
        ]
        on_event(p.Gallery(job_id=job, frames=frames, n_active=33, n_frames=90))
        on_event(p.Done(job_id=job))

    def _ask(self, request, on_event):
        """Unit i carries (-1)^i / 2^i; of patches, fields halve it."""
        job, n = request.job_id, len(request.unit_ids)
        if self.fail:
            return on_event(p.Failed(job_id=job, message=self.fail))
        on_event(p.Progress(job_id=job, stage="finding where units look", done=3, total=144))
        self.hold.wait(5)
        if job in self.cancelled:
            return on_event(p.Cancelled(job_id=job))
        carried = ((-1.0) ** np.arange(n) / 2.0 ** np.arange(n)).astype(np.float32)
        covers = None if request.word is not None else np.full(n, 0.5, np.float32)
        size = np.abs(carried)
        few = int(np.searchsorted(np.cumsum(size), 0.8 * size.sum())) + 1
        on_event(
            p.Asked(
                job_id=job,
                unit="activation",
                method="integrated-gradients",
                carried=p.PackedArray.pack(carried if covers is None else carried * covers),
                covers=None if covers is None else p.PackedArray.pack(covers),
                patches=request.patches or ([5, 6] if request.concept else None),
                value=0.7,
                remainder=0.01,
                explained=request.unit_ids[:few],
                share=0.8,
            )
        )
        on_event(p.Done(job_id=job))

    def _without(self, request, on_event):
        random = np.linspace(0, 0.1, request.draws).astype(np.float32)
        on_event(
            p.Without(
                job_id=request.job_id, whole=0.7, rest=0.5, alone=0.6, lost=0.2, random=p.PackedArray.pack(random), p=0.025
            )
        )  # fmt: skip
        on_event(p.Done(job_id=request.job_id))

    def _inspect(self, request, on_event):
        """The cosine of patch n is n / 200; the mean counts."""
        job = request.job_id
        cosine = float(np.mean(request.patches)) / 200
        on_event(
            p.Inspected(
                job_id=job, cosine=cosine, prior_cosine=0.2, gain=cosine - 0.2, null=p.PackedArray.pack(np.linspace(-0.3, 0.1, 50).astype(np.float32)), p=0.02,
                decoded=[p.Activation(name="sun", value=3.0), p.Activation(name="sky", value=1.0)],
                true=[p.Activation(name="sun", value=4.0)],
            )
        )  # fmt: skip
        if request.shown is not None:
            on_event(p.Progress(job_id=job, stage="looking through the frames", done=30, total=90))
            self.hold.wait(5)
            if job in self.cancelled:
                return on_event(p.Cancelled(job_id=job))
            alike = [p.AlikePatch(frame=f, patch=14 + f, cosine=0.9 - f / 200) for f in (3, 60)]
            on_event(p.Alike(job_id=job, patches=alike))
        on_event(p.Done(job_id=job))

    def _match(self, request, on_event):
        """The cosine of patch n at frame f is n / 200 + f / 900, and the null runs from 0.1 to 0.4."""
        job, frames = request.job_id, np.array(request.frames, np.float32)
        patches = np.array(request.patches or range(144), np.float32)
        for start in range(0, len(frames), 16):
            threading.Event().wait(self.delay_s)
            self.hold.wait(5)
            if job in self.cancelled:
                return on_event(p.Cancelled(job_id=job))
            part = frames[start : start + 16]
            cosine, flat = patches[None] / 200 + part[:, None] / 900, np.ones_like(part)
            arrays = {"cosine": cosine, "prior": 0.2 * flat, "low": 0.1 * flat, "high": 0.4 * flat}
            packed = {name: p.PackedArray.pack(np.ascontiguousarray(a, np.float32)) for name, a in arrays.items()}
            on_event(p.Matches(job_id=job, start=start, **packed))
        on_event(p.Done(job_id=job))

    def _compare(self, request, on_event):
        job, names = request.job_id, list(request.groups)
        on_event(p.Progress(job_id=job, stage="comparing with random groups", done=1, total=99))
        self.hold.wait(5)
        if job in self.cancelled:
            return on_event(p.Cancelled(job_id=job))
        random = p.PackedArray.pack(np.linspace(0.1, 0.3, request.draws).astype(np.float32))
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                on_event(
                    p.Difference(
                        job_id=job, first=first, second=second, distance=0.4, random=random, p=0.01, p_adjusted=0.02 if i == 0 else 0.4
                    )
                )  # fmt: skip
        on_event(p.Done(job_id=job))

    def _label(self, request, on_event):
        job = request.job_id
        on_event(p.Failed(job_id=job, message=self.refused) if self.refused else p.Done(job_id=job))


def small_recording(name, seed=0, n=12, n_frames=8, repeats=2, spikes=None):
    """A real `Recording` of a few units that saw a short movie twice."""
    from napari_neurrator.recording import Recording
    from napari_neurrator.recording.spikes import SpikeTrains
    from napari_neurrator.recording.trains_sorting import TrainsSorting

    rng = np.random.default_rng(seed)
    ids = list(range(100, 100 + n))
    trains = SpikeTrains(ids, [np.sort(rng.uniform(0, 20, 200)) for _ in ids])
    units = pd.DataFrame(
        {"x_um": 20.0, "y_um": np.linspace(0, 3000, n), "probe": "probeA", "region": ["VISp", "CA1"] * (n // 2)},
        index=pd.Index(ids, name="unit_id"),
    )
    start = 2 + np.arange(n_frames * repeats) / 2
    shown = pd.DataFrame(
        {
            "stimulus": "natural_movie_one",
            "start_time": start,
            "stop_time": start + 0.5,
            "frame": np.tile(np.arange(n_frames), repeats),
        }
    )
    return Recording.from_sorting(
        TrainsSorting(trains), shown, units, name=name, source=f"{name}.nwb", spikes=spikes or trains
    )
