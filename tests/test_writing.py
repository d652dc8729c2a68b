"""Files are written at once or not at all, and are as readable as any other file of the user's."""

import os
import stat

import numpy as np
import pytest

from napari_neurrator.errors import NeurratorError
from napari_neurrator.writing import check_writable, folder_beside, write_text, written


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o002, 0o077])
def usual(request):
    """Return the mode that a plain `open` gives a file, for several umasks."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


def secretive(path) -> None:
    """Write as safetensors does: into a file of its own that nobody else may read, which then takes the place of `path`."""
    other = path.with_name("secret")
    other.touch(0o600)
    other.chmod(0o600)
    os.replace(other, path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_new_file_is_as_open_makes_it_whatever_the_library_does(tmp_path, usual):
    with written(tmp_path / "a.bin") as part:
        secretive(part)
    write_text(tmp_path / "in" / "b.txt", "b")
    assert [mode(tmp_path / "a.bin"), mode(tmp_path / "in" / "b.txt")] == [usual, usual]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    file = tmp_path / "a.bin"
    file.write_text("before")
    file.chmod(0o640)
    with written(file) as part:
        secretive(part)
    assert mode(file) == 0o640
    assert file.read_text() == ""


def test_nothing_is_left_of_what_fails_and_what_was_there_stays(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")

    def fail() -> None:
        with written(file) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "before"


def test_the_ending_stays_and_a_long_name_is_no_trouble(tmp_path):
    with written(tmp_path / f"{'n' * 240}.npz") as part:
        assert part.suffix == ".npz"
        np.savez(part, a=np.zeros(1))
    assert len(list(tmp_path.iterdir())) == 1


def refuse(*arguments, **options):
    raise PermissionError(1, "Operation not permitted", str(arguments[0]))


@pytest.mark.parametrize("way", [written, folder_beside])
def test_errors_name_what_was_asked_for(tmp_path, monkeypatch, way):
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(PermissionError) as error, way(tmp_path / "asked"):
        pass
    assert error.value.filename == str(tmp_path / "asked")


def test_a_folder_that_cannot_be_written_is_said_before_work_begins(tmp_path, monkeypatch):
    check_writable(tmp_path, "out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(NeurratorError, match=r"^Nothing can be written to out \(Operation not permitted\): give"):
        check_writable(tmp_path, "out")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_files_of_all_rooms_are_as_open_makes_them(tmp_path, usual):
    import torch

    from napari_neurrator.checkpoints import write_checkpoint
    from napari_neurrator.evaluation.report import write_json
    from napari_neurrator.export.files import write_narrations
    from napari_neurrator.recording.pool import write_pool

    write_json(tmp_path / "report.json", {})
    write_narrations(tmp_path / "n.jsonl", [])
    write_pool(tmp_path / "pool.toml", ["a.nwb", "b.nwb"])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    write_checkpoint(tmp_path / "c.safetensors", {"a": torch.zeros(2)}, optimizer, "f", {})
    assert {file.name: oct(mode(file)) for file in tmp_path.iterdir()} == dict.fromkeys(
        ["report.json", "n.jsonl", "pool.toml", "c.safetensors"], oct(usual)
    )
