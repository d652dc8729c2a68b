"""Several sessions in one window: switching, closing, pooling, dropping, saving and opening again."""

import threading

import numpy as np
import pandas as pd

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles


def open_more(workspace, recording):
    workspace.open(recording)
    workspace.wait(lambda: workspace.session.recording is recording and not workspace.session.job.busy)


def list_of(workspace):
    from napari_neurrator.gui.session_list import SessionList

    return workspace.docks["Recording"].findChild(SessionList)


def test_switching_brings_back_what_was_left(room, fakes):
    workspace = room()
    session = workspace.session
    first, decoder = session.recording, session.decoder
    session.select(session.unit_ids[:3])
    session.save_group("three")
    session.frame, session.repeat = 30, 2
    other = fakes.FakeRecording(n=20, name="other", source="other.nwb")
    open_more(workspace, other)
    assert session.selected == ()
    assert session.decoder is None
    assert dict(session.groups) == {}
    sessions = list_of(workspace)
    assert sessions.list.count() == 2
    sessions.list.setCurrentRow(0)
    mouse.settle(50)
    assert session.recording is first
    assert session.selected == session.unit_ids[:3]
    assert session.groups["three"] == session.unit_ids[:3]
    assert (session.frame, session.repeat) == (30, 2)
    assert compat.frame_of(workspace.viewer) == 30
    assert session.decoder is decoder
    assert len(workspace.layers.get(styles.UNITS).data) == len(first.units)
    assert first.name in compat.unwrap(workspace.viewer).title
    sessions.close_one.click()
    assert session.recording is other
    sessions.close_one.click()
    assert session.recording is None
    assert session.opened == ()
    assert workspace.layers.get(styles.UNITS) is None


def test_the_same_source_is_open_once(room, fakes):
    workspace = room(decoder=False)
    open_more(workspace, fakes.FakeRecording(n=10))
    assert len(workspace.session.opened) == 1


def test_pooling_is_labelled_and_coloured_by_session(room, fakes):
    from napari_neurrator.gui.pool_dialog import PoolDialog

    one, two, three = (fakes.small_recording(name, seed) for seed, name in enumerate(("one", "two", "three")))
    workspace = room(one, decoder=False)
    session, dock = workspace.session, workspace.docks["Recording"]
    assert not list_of(workspace).pool.isEnabled()
    open_more(workspace, two)
    open_more(workspace, three)
    assert list_of(workspace).pool.isEnabled()
    dialog = PoolDialog(session.opened, dock)
    dialog.list.item(2).setCheckState(dialog.list.item(0).checkState().Unchecked)
    assert [entry.recording for entry in dialog.chosen] == [one, two]
    dialog.stimulus.setCurrentText("natural_movie_one")
    workspace.loader.pool(dialog.chosen, dialog.chosen_stimulus)
    workspace.wait(lambda: session.population != "" and not session.job.busy)
    assert len(session.unit_ids) == 24
    assert session.population == "pseudo-population of 2 sessions"
    assert session.population in workspace.layers.caption_text()
    assert session.population in compat.unwrap(workspace.viewer).title
    assert session.population.upper() in dock.badge.text()
    assert "session" in [dock.colour.itemText(i) for i in range(dock.colour.count())]
    session.colour_by = "session"
    colours = workspace.layers.get(styles.UNITS).face_color
    by = session.recording.units["session"].to_numpy()
    assert len(np.unique(colours[by == "one"], axis=0)) == 1
    assert not np.array_equal(colours[by == "one"][0], colours[by == "two"][0])
    dialog.list.item(1).setCheckState(dialog.list.item(0).checkState().Unchecked)
    from qtpy.QtWidgets import QDialogButtonBox

    assert not dialog.buttons.button(QDialogButtonBox.StandardButton.Ok).isEnabled()
    # a recording without sessions to tell apart is coloured by region again
    session.switch(one)
    assert session.colour_by == "region"


def test_units_come_before_their_spikes(room, fakes):
    from napari_neurrator.recording.spikes import SpikeTrains

    go = threading.Event()
    whole = fakes.small_recording("whole")
    trains = [whole.spikes.times(unit) for unit in whole.unit_ids]

    def read(first, last, out):
        go.wait(20)
        out[:] = np.concatenate(trains)[first:last]

    ids = whole.unit_ids
    lazy = fakes.small_recording("lazy", spikes=SpikeTrains(ids, trains))
    lazy.spikes = SpikeTrains.lazy(ids, [len(train) for train in trains], read)
    workspace = room(lazy, decoder=False)
    session = workspace.session
    try:
        assert len(workspace.layers.get(styles.UNITS).data) == len(ids)
        assert not session.spikes_ready
        assert session.counts is None
        session.frame = 5  # the slider does not wait for spikes
        assert session.counts is None
        session.decoder = fakes.fake_decoder(ids)
        session.select(ids[:3])
        workspace.narrator.narrate()
        assert "still being read" in session.error
    finally:
        go.set()
    workspace.wait(lambda: session.spikes_ready)
    assert session.counts is not None
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)


def test_closing_the_window_stops_reading(room, fakes):
    from napari_neurrator.recording.spikes import SpikeTrains

    recording = fakes.small_recording("slow")
    calls = []

    def read(first, last, out):
        calls.append(first)
        threading.Event().wait(0.3)
        out[:] = np.linspace(0, 1, last - first)

    # trains of many millions are read in pieces; small ones with gaps between them are, too
    recording.spikes = SpikeTrains.lazy(recording.unit_ids, [5_000_000] * 12, read)
    workspace = room(recording, decoder=False)
    workspace.close()
    assert len(calls) < 12


def test_presentations_are_attached_to_what_is_open(room, fakes, tmp_path, monkeypatch):
    from napari_neurrator.gui import plugin

    recording = fakes.small_recording("one")
    workspace = room(recording, decoder=False)
    session = workspace.session
    session.select(session.unit_ids[2:4])
    path = tmp_path / "shown.csv"
    pd.DataFrame({"start_time": [1.0, 1.5, 2.0], "stimulus": "natural_movie_one", "frame": [0, 1, 0]}).to_csv(
        path, index=False
    )
    monkeypatch.setattr(compat, "current_viewer", lambda: workspace.viewer)
    reader = plugin.get_reader(str(path))
    assert reader is plugin.attach
    assert reader(str(path)) == [(None,)]
    workspace.wait(lambda: session.recording is not recording and not session.job.busy)
    assert len(session.recording.presentations) == 3
    assert session.selected == session.unit_ids[2:4]
    assert session.current.presentations == str(path)
    bad = tmp_path / "bad.csv"
    bad.write_text("start_time,stimulus\nlater,x\n")
    workspace.loader.attach_presentations(bad)
    workspace.wait(lambda: bool(session.error))
    assert "bad.csv" in session.error


def test_a_saved_session_opens_again(room, fakes, tmp_path, monkeypatch):
    from napari_neurrator.gui import loader

    sources = {}
    for name in ("one", "two"):
        recording = fakes.small_recording(name)
        recording.source = str(tmp_path / f"{name}.nwb")
        (tmp_path / f"{name}.nwb").write_bytes(b"")
        sources[recording.source] = recording
    monkeypatch.setattr(loader, "read_recording", lambda source, presentations=None: sources[source])
    workspace = room(str(tmp_path / "one.nwb"), decoder=False)
    session = workspace.session
    session.decoder = fakes.fake_decoder(session.unit_ids)
    session.select(session.unit_ids[:3])
    session.save_group("three")
    session.frame, session.repeat = 4, 1
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    said = session.result.text
    workspace.open(str(tmp_path / "two.nwb"))
    workspace.wait(lambda: session.source.endswith("two.nwb") and not session.job.busy)
    session.select(session.unit_ids[5:6])
    session.colour_by, session.only_good = "depth", True
    workspace.loader.pool(session.opened)
    workspace.wait(lambda: session.population != "" and not session.job.busy)
    session.switch(session.opened[0].recording)
    written = workspace.keeping.save(tmp_path / "mine")
    assert written.name == "mine.neurrator.json"
    assert str(tmp_path) not in written.read_text()  # all of it lies beside the file

    again = room(str(tmp_path / "two.nwb"), decoder=False)
    for entry in again.session.opened:
        again.session.close(entry.recording)
    again.open(str(written))
    session = again.session
    again.wait(lambda: session.status == "mine.neurrator.json is open.")
    assert {entry.source for entry in session.opened if not entry.pooled} == set(sources)
    assert [len(entry.pooled) for entry in session.opened if entry.pooled] == [2]
    assert session.source.endswith("one.nwb")
    assert session.selected == session.unit_ids[:3]
    assert session.groups["three"] == session.unit_ids[:3]
    assert (session.frame, session.repeat) == (4, 1)
    assert (session.colour_by, session.only_good) == ("depth", True)
    kept = next(result for result in session.results.values() if result.text == said)
    assert kept.evidence is not None
    assert kept.evidence.p == 0.004


def test_a_session_from_memory_cannot_be_saved(room, fakes, tmp_path, notified):
    workspace = room(fakes.small_recording("memory"), decoder=False)
    assert workspace.keeping.save(tmp_path / "x") is None
    assert "was not opened from a file" in notified[-1][1]
    assert list(tmp_path.iterdir()) == []


def test_layers_are_written_and_dropped_again(room, tmp_path):
    from napari_neurrator.gui.layer_file import read_layers

    from .test_window_lasso import lasso, rows_of

    workspace = room(decoder=False)
    viewer, session = compat.unwrap(workspace.viewer), workspace.session
    rows = rows_of(workspace, "probeA", "VISam")
    lasso(workspace, rows)
    names = [styles.UNITS, styles.LASSO, styles.PROBES, styles.LABELS, styles.HEATMAP]
    viewer.layers.selection = {viewer.layers[name] for name in names}
    kept = {name: viewer.layers[name] for name in names}
    path = tmp_path / "mine.neurrator"
    written = viewer.layers.save(str(path), selected=True, plugin="napari-neurrator")
    assert written == [str(path)]
    found = {options["name"]: (data, options, kind) for data, options, kind in read_layers(path)}
    assert set(found) == set(names)
    data, options, _ = found[styles.UNITS]
    assert np.allclose(data, kept[styles.UNITS].data)
    assert np.allclose(options["face_color"], kept[styles.UNITS].face_color)
    assert list(options["features"]["region"]) == list(session.recording.units["region"])
    assert np.allclose(found[styles.LASSO][0][0], kept[styles.LASSO].data[0])
    assert found[styles.LASSO][1]["scale"] == list(kept[styles.LASSO].scale)
    viewer.layers.clear()
    viewer.open(str(path), plugin="napari-neurrator")
    mouse.settle(50)
    assert {layer.name for layer in viewer.layers} == set(names)
    again = viewer.layers[styles.UNITS]
    assert np.allclose(again.size, kept[styles.UNITS].size)
    assert list(viewer.layers[styles.LABELS].text.values) == list(kept[styles.LABELS].text.values)
