"""Taking home from the window: every entry of the Export menu writes what was said, beside the window's thread."""

import json

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_neurrator.gui import mouse

from .test_window_habits import nameless


@pytest.fixture
def spoken(room, fakes, monkeypatch, tmp_path):
    """Return a window whose recording is a real one with a short movie, and in which some units have spoken at three moments."""
    from types import SimpleNamespace

    from napari_neurrator.gui import decoders, loader
    from napari_neurrator.gui.moments import Moments
    from napari_neurrator.recording import moments

    recording, stimulus = fakes.small_recording("session", n=12, n_frames=8, repeats=2), fakes.FakeStimulus(8)
    stimulus.frame_rate_hz = 2.0
    stimulus.frame_shape, stimulus.frames = (120, 160, 3), lambda some: np.stack([stimulus.frame(int(i)) for i in some])
    table = moments(recording, "natural_movie_one", stimulus)
    decoder = fakes.fake_decoder(recording.units.index, held_out=(1,))
    decoder.config = SimpleNamespace(split="held-out-repeats")
    monkeypatch.setattr(decoders, "read_decoder", lambda _: decoder)
    monkeypatch.setattr(
        loader,
        "read_stimulus",
        lambda _r, name, frames=None: loader.Opened(name, stimulus, Moments(table, 2.0), frames),
    )

    def make():
        workspace = room(recording)
        session = workspace.session
        (tmp_path / "session.nwb").touch()
        entry = session.current
        session.source = str(tmp_path / "session.nwb")
        session.opened = (type(entry)(session.source, entry.recording),)
        session.repeat = 1
        session.select(session.unit_ids[:5])
        for frame in (0, 3, 6):
            session.frame = frame
            workspace.narrator.narrate()
            workspace.wait(lambda: session.result is not None and session.result.finished)
        return workspace

    return make


def take(workspace, monkeypatch, kind, path, chosen=""):
    """Choose an entry of the menu with the mouse, and wait until the file is there."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), chosen))
    export = workspace.docks["Narrate"].export
    export.menu.popup(QPoint(50, 50))
    mouse.settle(50)
    action = export.session_action if kind == "session" else export.actions_of[kind]
    assert action.isEnabled(), action.toolTip()
    QTest.mouseClick(export.menu, Qt.MouseButton.LeftButton, pos=export.menu.actionGeometry(action).center())
    workspace.wait(lambda: not workspace.exporting.busy)
    return path


def test_lines_and_table_hold_what_was_said(spoken, monkeypatch, tmp_path, notified):
    from napari_neurrator.export.files import read_narrations

    workspace = spoken()
    session = workspace.session
    path = take(workspace, monkeypatch, "jsonl", tmp_path / "said.jsonl")
    assert notified[-1] == ("info", f"said.jsonl is written, in {tmp_path}.")
    found = read_narrations(path)
    assert [one.frame for one in found] == [0, 3, 6]
    assert {one.text for one in found} == {workspace.backend.sentence}
    assert found[0].unit_ids == list(session.unit_ids[:5])
    assert found[0].evidence.better is True
    assert found[0].held_out
    assert found[1].start_time == pytest.approx(
        session.recording.presentations.loc[found[1].presentation, "start_time"]
    )
    assert found[0].config.decoder == session.decoder_folder
    assert found[0].config.recording == session.source
    assert found[0].concepts[0]["name"] == "red ball"
    # an ending that was not typed is added
    take(workspace, monkeypatch, "csv", tmp_path / "said")
    table = pd.read_csv(tmp_path / "said.csv")
    assert table["frame"].tolist() == [0, 3, 6]
    assert table["patch_cosine"].tolist() == pytest.approx([0.68] * 3)


def test_nwb(spoken, monkeypatch, tmp_path):
    from napari_neurrator.export.nwb import read_nwb_narrations

    workspace = spoken()
    # the recording is not from an NWB file that is there, so that a file of its own is written
    path = take(workspace, monkeypatch, "nwb", tmp_path / "out.nwb")
    rows = read_nwb_narrations(path)
    assert [row["frame"] for row in rows] == [0, 3, 6]
    assert rows[0]["text"] == workspace.backend.sentence


def test_movie_figure_and_units(spoken, monkeypatch, tmp_path):
    import av
    from PIL import Image

    workspace = spoken()
    session = workspace.session
    session.shown = "sun"
    stages = []
    session.events.exporting.connect(lambda job: stages.append((job.stage, job.total)))
    path = take(workspace, monkeypatch, "mp4", tmp_path / "film.mp4")
    assert any(total for _, total in stages)
    assert stages[-1] == ("", 0)
    with av.open(str(path)) as film:
        assert len(film.streams.video) == 1
        assert len(film.streams.subtitles) == 1
    path = take(workspace, monkeypatch, "figure", tmp_path / "figure.png")
    assert Image.open(path).width > 1000
    workspace.who_says("sun")
    workspace.wait(lambda: session.asked is not None and session.asked.known)
    path = take(workspace, monkeypatch, "units", tmp_path / "units.csv")
    table = pd.read_csv(path, index_col=0)
    assert list(table.index) == list(session.unit_ids)
    assert table["selected"].sum() == 5
    assert table["contribution"].notna().sum() == 5
    assert table["contribution"].dropna().to_numpy() == pytest.approx(0.5 * (-0.5) ** np.arange(5))


def test_session_as_toml_and_as_json(spoken, monkeypatch, tmp_path, notified):
    from napari_neurrator.session_file import read_session

    workspace = spoken()
    take(workspace, monkeypatch, "session", tmp_path / "s", "Session as TOML (*.neurrator.toml)")
    saved = read_session(tmp_path / "s.neurrator.toml")
    assert len(saved.recordings[0].sentences) == 3
    assert "s.neurrator.toml" in notified[-1][1]
    take(workspace, monkeypatch, "session", tmp_path / "t.neurrator.json", "Session (*.neurrator.json)")
    assert json.loads((tmp_path / "t.neurrator.json").read_text())["format"] == 2


def test_what_cannot_be_written_is_off_and_says_why(room, monkeypatch, tmp_path, notified):
    workspace = room()
    export = workspace.docks["Narrate"].export
    export.menu.aboutToShow.emit()
    assert not export.actions_of["jsonl"].isEnabled()
    assert "Nothing has been said yet" in export.actions_of["jsonl"].toolTip()
    assert export.actions_of["units"].isEnabled()
    workspace.exporting.write("units", tmp_path / "no such folder" / "units.csv")
    workspace.wait(lambda: not workspace.exporting.busy)
    assert notified[-1][0] == "error"
    assert "does not exist" in notified[-1][1]
    assert not workspace.session.exporting.busy
    assert nameless(export) == []
