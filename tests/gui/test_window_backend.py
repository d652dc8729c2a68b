"""The light that says where the models run, and moving them to a server."""

from types import SimpleNamespace

import pytest

from napari_neurrator.backend.protocol import BackendStatus, WorkerStatus
from napari_neurrator.errors import NeurratorError
from napari_neurrator.gui import backend_light
from napari_neurrator.gui.backend_light import BackendDialog, status_words


def status(state="idle", waiting=0, note="", **fields):
    fields = {"device": "cuda:0", "memory_bytes": 3 << 30, "pid": 7, **fields}
    return BackendStatus(workers=[WorkerStatus(state=state, **fields)], running=0, waiting=waiting, note=note)


def test_what_the_light_says():
    kind, words, more = status_words(status("busy", 2), "", "")
    assert (kind, words) == ("busy", "this computer · cuda:0 · 3.0 GB · working · 2 waiting")
    kind, words, more = status_words(status(note="It ended unexpectedly. Lost: a narration.", restarts=1), "", "")
    assert kind == "idle"
    assert "Lost: a narration." in more
    assert "restarted 1 time." in more
    assert status_words(None, "", "")[:2] == ("off", "runs on this computer")
    assert status_words(status("starting", device=None), "", "")[1] == "this computer · starting"
    kind, words, more = status_words(None, "No answer for 30 s.", "http://gpu:8765")
    assert (kind, words, more) == ("gone", "gpu:8765: no answer", "No answer for 30 s.")


def test_the_light_follows_the_backend(room):
    workspace = room()
    light = workspace.docks["Narrate"].light
    workspace.link.warm_up()
    told = [status("busy", 1)]
    workspace.backend.status = lambda: told[-1]
    workspace.wait(lambda: light.kind == "busy")
    assert "1 waiting" in light.accessibleName()
    told.append(status("idle", note="The models' process ended unexpectedly. Lost: a narration."))
    workspace.wait(lambda: light.kind == "idle")
    assert "Lost: a narration." in light.toolTip()

    def broken():
        raise NeurratorError("The server has sent nothing for 30 s.")

    workspace.backend.status = broken
    workspace.wait(lambda: light.kind == "gone")
    assert "nothing for 30 s" in light.toolTip()


def test_a_backend_without_status_is_no_trouble(room):
    workspace = room()
    workspace.link.warm_up()
    light = workspace.docks["Narrate"].light
    light.refresh()
    workspace.wait(lambda: not workspace.link._asked)
    assert light.kind == "off"


def test_moving_to_a_server_and_one_that_is_not_there(room, fakes, monkeypatch, notified):
    workspace = room()
    session, light = workspace.session, workspace.docks["Narrate"].light
    first, second = workspace.backend, fakes.FakeBackend()
    workspace.link.warm_up()

    def connect(address, token):
        if address.endswith(":9"):
            raise NeurratorError(f"The server at {address} cannot be reached.")
        assert token == "secret"
        return second

    monkeypatch.setattr(backend_light, "server_backend", connect)
    light.use("http://127.0.0.1:9", "secret")
    workspace.wait(lambda: "cannot be reached" in session.error)
    assert workspace.link.where == ""
    assert not first.closed
    light.use("http://gpu:8765", "secret")
    workspace.wait(lambda: workspace.link.where == "http://gpu:8765")
    assert first.closed
    session.select(session.unit_ids[:5])
    workspace.narrator.narrate()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    assert second.requests
    assert not first.requests


def test_the_dialog_asks_for_address_and_token(qtbot):
    dialog = BackendDialog("http://gpu:8765")
    qtbot.addWidget(dialog)
    assert dialog.address() == "http://gpu:8765"
    assert dialog.token() is None
    dialog._token.setText(" secret ")
    assert dialog.token() == "secret"


def test_the_environment_names_a_server(monkeypatch):
    from napari_neurrator.gui import backend_link

    made = []
    monkeypatch.setattr(backend_link, "server_backend", lambda address: made.append(address) or SimpleNamespace())
    monkeypatch.setenv("NEURRATOR_BACKEND", "http://gpu:8765")
    backend_link.child_process_backend()
    assert made == ["http://gpu:8765"]
    monkeypatch.setenv("NEURRATOR_BACKEND", "nonsense")
    monkeypatch.undo()
    with pytest.raises(NeurratorError):
        backend_link.server_backend("nonsense")
