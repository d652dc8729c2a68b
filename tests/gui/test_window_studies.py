"""The Studies dock: filling in, running behind the window, stopping, reading what came out."""

import json
import sys
import textwrap
import time

import psutil
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_neurrator.gui import mouse

# A child that says what a real one says, as far and as fast as its job tells it.
CHILD = """
import json, pathlib, sys, threading, os
job = json.loads(sys.stdin.readline())
out = pathlib.Path(job["out"])
out.mkdir(parents=True, exist_ok=True)
(out / "job.json").write_text(json.dumps(job))
def say(**event):
    print(json.dumps(event), flush=True)
print("not an event", flush=True)
say(event="progress", stage="decoding subsets of units", done=3, total=10)
mode = (out / "mode").read_text() if (out / "mode").exists() else "done"
if mode == "wait":
    sys.stdin.readline()
    say(event="stopped")
elif mode == "die":
    os._exit(7)
elif mode == "deaf":
    threading.Event().wait()
elif mode == "fail":
    say(event="failed", message="Too few showings: record more.")
else:
    (out / "report.html").write_text("<p>report</p>")
    say(event="done", headlines=["VISp beats its null.", "CA1 does not."], warnings=["Few frames."])
"""


@pytest.fixture
def studies(room, tmp_path):
    """Return a workspace and a shown Studies dock whose child is made up; `mode` says what the child does."""
    from napari_neurrator.gui.studies import ReportRunner
    from napari_neurrator.gui.studies_dock import StudiesDock

    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD))
    workspace = room()
    dock = StudiesDock(workspace, ReportRunner([sys.executable, str(script)]))
    workspace.when_closed(dock.let_go)
    workspace.viewer.window.add_dock_widget(dock, name="Studies", area="right")
    out = tmp_path / "report"
    out.mkdir()
    dock.folder.setText(str(out))
    dock.mode = (out / "mode").write_text
    dock.written = lambda: json.loads((out / "job.json").read_text())
    mouse.settle(30)
    return workspace, dock


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(dock, kind):
    from napari_neurrator.gui.studies_dock import CHOICES

    folder = dock.folder.text()
    dock.study.setCurrentIndex([choice.kind for choice in CHOICES].index(kind))
    dock.folder.setText(folder)
    mouse.settle(20)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_study_runs_behind_the_window_and_its_findings_stand_in_the_dock(studies, monkeypatch):
    workspace, dock = studies
    choose(dock, "groups")
    dock.form.rows["sizes"].setText("2, 8")
    dock.form.rows["control"].setText("CA1")
    dock.form.rows["draws"].setValue(4)
    click(dock.go)
    assert not dock.go.isEnabled()
    assert dock.stop.isEnabled()
    workspace.wait(lambda: not dock.runner.busy)
    job = dock.written()
    assert job["kind"] == "study"
    config = job["config"]
    assert (config["kind"], config["sizes"], config["control"], config["draws"]) == ("groups", [2, 8], ["CA1"], 4)
    session = config["sessions"][0]
    assert session["recording"] == workspace.session.source
    assert session["decoder"] == "decoder"
    assert "VISp beats its null." in dock.findings.text()
    assert "CA1 does not." in dock.findings.text()
    assert dock.notes.text() == "Few frames."
    assert dock.open.isVisible()
    opened = []
    monkeypatch.setattr("napari_neurrator.gui.studies_dock.QDesktopServices.openUrl", opened.append)
    click(dock.open)
    assert opened[0].isLocalFile()
    assert opened[0].toLocalFile().endswith("report.html")
    assert dock.go.isEnabled()


def test_progress_is_shown_and_stop_stops(studies):
    workspace, dock = studies
    dock.mode("wait")
    click(dock.go)
    workspace.wait(lambda: "3 of 10" in dock.stage.text())
    assert (dock.progress.value(), dock.progress.maximum()) == (3, 10)
    pid = dock.runner.pid
    assert alive(pid)
    click(dock.stop)
    workspace.wait(lambda: not dock.runner.busy)
    assert "goes on from there" in dock.stage.text()
    workspace.wait(lambda: not alive(pid))
    dock.mode("done")
    click(dock.go)
    workspace.wait(lambda: "VISp" in dock.findings.text())


def test_a_child_that_does_not_listen_is_ended(studies, monkeypatch):
    workspace, dock = studies
    monkeypatch.setattr("napari_neurrator.gui.studies._PATIENCE_MS", 50)
    dock.mode("deaf")
    click(dock.go)
    workspace.wait(lambda: "3 of 10" in dock.stage.text())
    pid = dock.runner.pid
    click(dock.stop)
    workspace.wait(lambda: not dock.runner.busy and not alive(pid))
    assert "Stopped" in dock.stage.text()


@pytest.mark.parametrize(("mode", "words"), [("fail", "Too few showings"), ("die", "ended unexpectedly (code 7)")])
def test_what_fails_is_said(studies, notified, mode, words):
    workspace, dock = studies
    dock.mode(mode)
    click(dock.go)
    workspace.wait(lambda: not dock.runner.busy)
    assert [level for level, message in notified if words in message] == ["error"]
    assert not dock.open.isVisible()


def test_the_study_ends_with_the_window(studies):
    workspace, dock = studies
    dock.mode("deaf")
    click(dock.go)
    workspace.wait(lambda: "3 of 10" in dock.stage.text())
    pid = dock.runner.pid
    workspace.close()
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def test_the_selected_units_alone(studies):
    workspace, dock = studies
    assert not dock.only_selected.isEnabled()
    workspace.session.select(workspace.session.unit_ids[:3])
    dock.only_selected.click()
    config = dock.job().config
    units = workspace.session.recording.units.query(config["units"])
    assert tuple(units.index) == workspace.session.unit_ids[:3]


def test_bad_input_is_refused_in_the_window_and_nothing_runs(studies, notified):
    _, dock = studies
    dock.form.rows["sizes"].setText("one, two")
    click(dock.go)
    assert not dock.runner.busy
    assert "whole numbers" in notified[-1][1]
    choose(dock, "concept-axes")
    click(dock.go)
    assert "axes" in notified[-1][1]
    dock.form.rows["axes"].setText("a beach -> a city; by day → by night")
    assert dock.job().config["axes"] == [["a beach", "a city"], ["by day", "by night"]]


def test_every_study_has_a_form_that_makes_its_configuration(studies):
    from napari_neurrator.gui.studies_dock import CHOICES

    _, dock = studies
    for choice in CHOICES:
        choose(dock, choice.kind)
        if "axes" in dock.form.rows:
            dock.form.rows["axes"].setText("a dog → a cat")
        if "stimulus" in dock.form.rows:
            dock.form.rows["stimulus"].setCurrentText("drifting_gratings")
        job = dock.job()
        assert job.kind == ("evaluation" if choice.kind == "evaluation" else "study")
        for name, row in dock.form.rows.items():
            assert row.toolTip() or name == "captions"
    assert dock.job().config["stimulus"] == "drifting_gratings"


def test_the_window_goes_on_while_a_study_runs(studies):
    workspace, dock = studies
    dock.mode("wait")
    click(dock.go)
    workspace.wait(lambda: "3 of 10" in dock.stage.text())
    workspace.viewer.dims.set_current_step(0, 40)
    mouse.settle(30)
    assert workspace.session.frame == 40
    assert dock.runner.busy


def test_the_dock_is_in_the_menu(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget("napari-neurrator", "Studies")
    assert not dock.go.isEnabled()
    assert "Open a recording" in dock.on.text()
