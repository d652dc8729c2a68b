"""Narrating: the sentence, the evidence, the heatmap, stopping and faults."""

from itertools import pairwise

import numpy as np

from napari_neurrator.gui import compat, mouse
from napari_neurrator.gui import layer_styles as styles
from napari_neurrator.gui.state import PATCHES


def narrated(workspace):
    session = workspace.session
    session.select(session.unit_ids[:7])
    workspace.docks["Narrate"].go.click()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    return session.result


def test_sentence_streams_and_lies_on_the_frame(room):
    workspace = room()
    seen = []
    workspace.session.events.result.connect(lambda result: seen.append("" if result is None else result.text))
    result = narrated(workspace)
    assert result.text == workspace.backend.sentence
    grown = [text for text in seen if text]
    assert len(grown) > 5
    assert all(later.startswith(earlier.strip()) for earlier, later in pairwise(grown))
    dock = workspace.docks["Narrate"]
    assert dock.sentence.text() == workspace.backend.sentence
    assert "red ball" in dock.reference.text()
    assert dock.prior.text() == "a meadow by day"
    assert dock.match.number == "0.68"
    layer = workspace.layers.get(styles.SENTENCE)
    assert layer.visible
    assert " ".join(layer.text.values[0].split()) == workspace.backend.sentence
    request = workspace.backend.requests[-1]
    assert request.unit_ids == list(workspace.session.unit_ids[:7])
    window = workspace.session.decoder.window
    assert request.windows.shape == [1, window.n_bins, 7]
    moment = workspace.session.moments.time(workspace.session.moment)
    expected = workspace.session.recording.spikes.count(
        np.array([moment + window.lag_s]), window.n_bins, window.bin_s, request.unit_ids
    )
    assert np.array_equal(request.windows.unpack(), expected)
    assert request.frames.shape[0] == 1


def test_held_out_is_said_plainly(room):
    workspace = room()
    dock, session = workspace.docks["Narrate"], workspace.session
    assert "seen in fitting" in dock.held_out.text()
    dock.repeat.setValue(4)
    assert session.repeat == 3
    assert "held out" in dock.held_out.text()


def test_concept_click_lays_the_heatmap_where_its_patches_are(room):
    workspace = room()
    result = narrated(workspace)
    concepts = workspace.docks["Concepts"]
    top = result.concepts[0]
    concepts.bars[top.name].click()
    layer = workspace.layers.get(styles.HEATMAP)
    assert layer.visible
    assert np.allclose(layer.data, top.heatmap)
    row, column = np.unravel_index(int(top.heatmap.argmax()), top.heatmap.shape)
    geometry = workspace.session.geometry
    world = layer.data_to_world((row, column))[-2:]
    corner = np.array(geometry.crop[:2]) - 0.5
    assert np.allclose(world, corner + (np.array([row, column]) + 0.5) * geometry.scale)
    assert workspace.layers.get(styles.CROP).visible
    concepts.bars[top.name].click()
    assert not layer.visible
    concepts.bars[PATCHES].click()
    assert layer.visible
    assert np.allclose(layer.data, result.cosine)
    concepts.opacity.setValue(30)
    assert abs(layer.opacity - 0.3) < 1e-6


def test_slider_moves_movie_and_spikes_and_hides_old_words(room):
    workspace = room()
    session = workspace.session
    narrated(workspace)
    before = session.counts.copy()
    sizes = np.array(workspace.layers.get(styles.UNITS).size)
    workspace.viewer.dims.set_current_step(0, 40)
    mouse.settle(30)
    assert session.frame == 40
    assert not np.array_equal(before, session.counts)
    assert not np.array_equal(sizes, workspace.layers.get(styles.UNITS).size)
    assert session.result is None
    assert workspace.docks["Narrate"].sentence.text() == ""
    # what was said is remembered
    session.frame = 0
    mouse.settle(30)
    assert compat.frame_of(workspace.viewer) == 0
    assert session.result.text == workspace.backend.sentence


def test_live_narrates_by_itself_and_a_new_selection_displaces_the_old(room):
    workspace = room(live=True)
    session, backend = workspace.session, workspace.backend
    backend.hold.clear()
    session.select(session.unit_ids[:5])
    workspace.wait(lambda: len(backend.requests) == 1)
    session.select(session.unit_ids[5:9])
    workspace.wait(lambda: len(backend.requests) == 2)
    backend.hold.set()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert session.result.key.units == session.unit_ids[5:9]
    assert backend.requests[0].job_id in backend.cancelled


def test_stop(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Narrate"]
    workspace.backend.hold.clear()
    session.select(session.unit_ids[:5])
    dock.go.click()
    workspace.wait(lambda: session.result is not None and bool(session.result.concepts))
    assert dock.stop.isEnabled()
    dock.stop.click()
    workspace.wait(lambda: bool(workspace.backend.cancelled))
    workspace.backend.hold.set()
    workspace.wait(lambda: not session.job.busy)
    assert session.status == "Stopped."
    assert not session.results


def test_faults_are_sentences(room, notified):
    workspace = room()
    session = workspace.session
    workspace.narrator.narrate()
    assert notified[-1] == ("error", session.error)
    assert "No units are selected" in session.error
    workspace.backend.fail = "The decoder in d was fitted with another profile."
    session.select(session.unit_ids[:5])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.error == workspace.backend.fail)
    assert not session.job.busy
    assert notified[-1] == ("error", workspace.backend.fail)


def test_units_unknown_to_the_decoder_are_left_out_and_said(room, fakes, notified):
    workspace = room()
    session = workspace.session
    session.decoder = fakes.fake_decoder(session.unit_ids[:3])
    session.select(session.unit_ids[:5])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert workspace.backend.requests[-1].unit_ids == list(session.unit_ids[:3])
    assert "2 selected units are unknown" in workspace.docks["Narrate"].asked.text()
    session.select(session.unit_ids[10:12])
    workspace.narrator.narrate()
    assert "None of the selected units" in notified[-1][1]


def test_fit_shows_progress_and_uses_the_decoder(room):
    from napari_neurrator.config import FitConfig

    workspace = room(decoder=False)
    session = workspace.session
    kinds = []
    session.events.job.connect(lambda job: kinds.append((job.kind, job.total)))
    workspace.decoders.fit(FitConfig(recording="made-up", stimulus="natural_movie_one"), "somewhere")
    workspace.wait(lambda: session.decoder is not None and not session.job.busy)
    assert ("fitting", 5) in kinds
    assert session.decoder_folder == "somewhere"


def test_closing_lets_go_of_everything(room):
    workspace = room()
    session, backend = workspace.session, workspace.backend
    narrated(workspace)
    workspace.viewer.close()
    assert workspace.closed
    assert backend.closed
    assert len(session.events.selected) == 0
    assert len(session.events.result) == 0
    assert len(session.scene_changed) == 0
    session.selected = ()  # nobody is left to stumble over it


def test_docks_open_from_the_menu_and_share_one_session(make_napari_viewer_proxy, fakes, notified):
    from napari.utils._proxies import PublicOnlyProxy

    from napari_neurrator.gui import widgets
    from napari_neurrator.gui.workspace import Workspace

    viewer = compat.unwrap(make_napari_viewer_proxy(show=True))
    # napari hands its widgets a proxy of the viewer
    dock = widgets.NeurratorWidget(napari_viewer=PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(dock, name="Neurrator")
    mouse.settle(100)
    workspace = Workspace.of(viewer)
    assert set(workspace.docks) == {"Recording", "Narrate", "Concepts", "Play", "Ask back", "Patches", "Compare"}
    assert workspace.docks["Narrate"] is dock
    assert all(part.session is workspace.session for part in workspace.docks.values())
    workspace.close()


def test_a_sentence_that_was_stopped_before_its_end_is_made_again(room):
    from dataclasses import replace

    workspace = room()
    session = workspace.session
    session.select(session.unit_ids[:3])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    key = session.key()
    session.results[key] = replace(session.results[key], finished=False, reference=None, prior=None)
    session.live = True
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert session.results[key].reference
    assert workspace.docks["Narrate"].reference.text() == session.results[key].reference
