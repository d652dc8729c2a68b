"""Fixtures that several rooms share: pictures of the tiny profile's world, a cache of the tests' own."""

import os

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Workers beside each other share the cores, and so do the processes that they start.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // workers, 1)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep the tests of a file on one worker, for they share what they have made, and all tests of the window, for there is one keyboard."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return "window" if "gui/" in file else file

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep the tests out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("NEURRATOR_CACHE")
    os.environ["NEURRATOR_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["NEURRATOR_CACHE"]
    else:
        os.environ["NEURRATOR_CACHE"] = before


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Return six frames of different scenes, uint8 (6, 144, 192, 3)."""
    from napari_neurrator.recording.sample.scenery import PLACES, Actor, Scenery

    kinds = ["tiger", "bus", "penguin", "balloon", "house", "bee"]
    frames = []
    for number, (place, kind) in enumerate(zip(PLACES, kinds, strict=True)):
        y = 0.4 if kind in ("balloon", "bee") else 0.9
        frames.append(Scenery(place, number % 2 == 1, number, (192, 144)).render(0.5, [Actor(kind, 0.5, y, 0.4)]))
    return np.stack(frames)


@pytest.fixture(scope="session")
def tiny():
    """Return the tiny profile."""
    from napari_neurrator.profiles import load_profile

    return load_profile("tiny")


@pytest.fixture(scope="session")
def tower(tiny):
    """Return the tiny profile's vision tower."""
    from napari_neurrator.vision.tower import VisionTower

    return VisionTower(tiny)


@pytest.fixture(scope="session")
def language(tiny):
    """Return the tiny profile's language model."""
    from napari_neurrator.language.narrator import LanguageModel

    return LanguageModel(tiny)


@pytest.fixture(scope="session")
def small_sample(own_cache):
    """Return the NWB file of a small simulated session: 3 shots of the film, 5 showings, 80 units."""
    from napari_neurrator.recording.sample import SampleSpec, make_sample

    return make_sample(SampleSpec(n_units=80, n_frames=225, n_repeats=5))


@pytest.fixture(scope="session")
def small_decoder(small_sample, tmp_path_factory):
    """Return the folder of a decoder fitted on the small session."""
    from napari_neurrator.backend.fitting import fit_decoder
    from napari_neurrator.config import FitConfig

    folder = tmp_path_factory.mktemp("decoder") / "d"
    fit_decoder(
        FitConfig(recording=str(small_sample), stimulus="natural_movie_one", options={"calibration_steps": 60}), folder
    )
    return folder
