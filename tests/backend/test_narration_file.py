"""Narrations that are written as they come, and gone on with."""

import pandas as pd
import pytest

from napari_neurrator.backend.narration_file import NarrationFile
from napari_neurrator.backend.narrations import Narration
from napari_neurrator.config import NarrateConfig
from napari_neurrator.errors import NeurratorError

MOMENTS = pd.DataFrame({"presentation": [4, 5, 6, 7]})
CONFIG = NarrateConfig(recording="r", decoder="d")


def narration(presentation, config=CONFIG):
    return Narration(
        text="a bus", unit_ids=[1], stimulus="film", frame=0, presentation=presentation, repeat=0, start_time=0.0, held_out=True, config=config
    )  # fmt: skip


def write(path, presentations, resume=False, config=CONFIG, error=None):
    with NarrationFile(path, MOMENTS, config, resume) as file:
        for presentation in presentations:
            file.add(narration(presentation, config))
        if error:
            raise error
    return file


def test_a_whole_file_takes_its_own_name(tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text("older\n")
    write(path, [4, 5, 6, 7])
    assert [Narration.model_validate_json(line).presentation for line in path.read_text().splitlines()] == [4, 5, 6, 7]
    assert [file.name for file in tmp_path.iterdir()] == ["n.jsonl"]


def test_what_was_finished_is_kept_and_gone_on_with(tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text("older\n")
    with pytest.raises(NeurratorError):
        write(path, [4, 5], error=NeurratorError("The server went away."))
    part = tmp_path / "n.jsonl.part"
    assert path.read_text() == "older\n"
    with pytest.raises(NeurratorError, match="--resume"):
        write(path, [])
    with pytest.raises(NeurratorError, match="other options"):
        NarrationFile(path, MOMENTS, CONFIG.model_copy(update={"prompt": "What?"}), True)
    with pytest.raises(NeurratorError, match="other options"):
        NarrationFile(path, MOMENTS.iloc[::-1], CONFIG, True)
    # a line that was cut by the end of the process is written anew
    with part.open("a") as file:
        file.write('{"text": "a b')
    with NarrationFile(path, MOMENTS, CONFIG, True) as file:
        assert file.missing["presentation"].tolist() == [6, 7]
        file.add(narration(6))
        file.add(narration(7))
    assert [Narration.model_validate_json(line).presentation for line in path.read_text().splitlines()] == [4, 5, 6, 7]
    assert not part.exists()


@pytest.mark.parametrize("error", [NeurratorError("No."), KeyboardInterrupt()])
def test_nothing_finished_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)):
        write(tmp_path / "n.jsonl", [], error=error)
    assert list(tmp_path.iterdir()) == []
