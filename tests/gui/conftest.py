"""A viewer with a made-up recording in it; skipped where there is no Qt or no display."""

import gc
import os
import sys
from functools import partial

import pytest


def no_window() -> str:
    """Say why no window can be shown here, or nothing."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display: run the window's tests under xvfb-run"
    try:
        import qtpy.QtWidgets  # noqa: F401
    except Exception as error:
        return f"there is no Qt here: {error}"
    return ""


def pytest_collection_modifyitems(items):
    reason = no_window()
    for item in items:
        if reason and item.path.name.startswith("test_window"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def settings_folder(tmp_path_factory, monkeypatch):
    """Settings of their own for each test, of somebody who has seen the tour."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "settings.json").write_text('{"toured": true}')
    monkeypatch.setenv("NEURRATOR_CONFIG", str(folder))
    return folder


_imported = 0


@pytest.fixture(autouse=True)
def quick_collections():
    """Keep the libraries' million objects out of the garbage collector's way: napari collects whenever a layer is removed and a window is closed."""
    global _imported
    if len(sys.modules) > _imported + 100:
        gc.collect()
        gc.freeze()
        _imported = len(sys.modules)


@pytest.fixture
def notified(monkeypatch):
    """What the user was told, as (level, sentence)."""
    from napari_neurrator.gui import workspace

    said = []
    monkeypatch.setattr(workspace, "notify", lambda level, message: said.append((level, message)))
    return said


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Put made-up recordings, decoders and geometry where the real ones are read."""
    from napari_neurrator.gui import decoders, loader
    from napari_neurrator.gui.moments import Moments

    from . import fakes as made

    recording, stimulus = made.FakeRecording(), made.FakeStimulus()

    def read_stimulus(_recording, name, frames=None):
        if name != "natural_movie_one":
            return loader.Opened(name, problem=f"The frames of {name} are not beside the recording.")
        return loader.Opened(name, stimulus, Moments(made.fake_moments(stimulus), 30.0), frames)

    monkeypatch.setattr(loader, "read_stimulus", read_stimulus)
    monkeypatch.setattr(decoders, "profiles", lambda: ["tiny"])
    monkeypatch.setattr(decoders, "default_folder", lambda *_: tmp_path / "none")
    monkeypatch.setattr(decoders, "read_decoder", lambda _: made.fake_decoder(recording.units.index))
    monkeypatch.setattr(decoders, "geometry_of", lambda *_: made.GEOMETRY)
    made.recording, made.stimulus = recording, stimulus
    return made


@pytest.fixture
def room(make_napari_viewer_proxy, fakes, notified, qtbot):
    """Return a function that opens the made-up recording in a shown window with all docks."""
    from napari_neurrator.gui import compat
    from napari_neurrator.gui.launch import arrange
    from napari_neurrator.gui.workspace import Workspace

    opened = []

    def make(recording=None, *, decoder=True, live=False):
        viewer = compat.unwrap(make_napari_viewer_proxy(show=True))
        viewer.window.resize(1400, 900)
        backend = fakes.FakeBackend()
        workspace = Workspace.of(viewer, lambda: backend)
        workspace.backend = backend
        workspace.wait = partial(qtbot.waitUntil, timeout=60_000)
        arrange(viewer)
        session = workspace.session
        session.live = live
        workspace.open(recording or fakes.recording)
        workspace.wait(lambda: session.recording is not None and not session.job.busy)
        if decoder:
            assert workspace.decoders.choose("decoder")
        qtbot.wait(50)
        workspace.layers.look()
        qtbot.wait(50)
        opened.append(workspace)
        return workspace

    yield make
    for workspace in opened:
        workspace.close()
    opened.clear()
    gc.collect()
