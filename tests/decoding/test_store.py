"""Decoders in folders: what is written, and what is said of a folder that was damaged."""

import json
import os
import stat

import pytest
import torch

from napari_neurrator.backend.decoder_files import decoder_hash, packed, unpack
from napari_neurrator.config import FitConfig
from napari_neurrator.decoding import store
from napari_neurrator.decoding.info import DecoderInfo
from napari_neurrator.decoding.store import StoredDecoder, check_decoder_place
from napari_neurrator.errors import NeurratorError

GRID = (4, 8)
FILES = ["decoder.json", "decoder.safetensors", "references.safetensors"]


class Plain:
    """The least that a decoder is."""

    def __init__(self, grid):
        self.prior_grid = grid

    def state(self):
        return {"prior": self.prior_grid, "none": torch.zeros(0), "number": torch.tensor(3)}, {}

    @classmethod
    def from_state(cls, tensors, settings, unit_ids, window):
        return cls(tensors["prior"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of a decoder."""
    monkeypatch.setattr(store, "decoder_class", lambda kind: Plain)
    info = DecoderInfo(
        kind="subset", package_version="0", recording="r", stimulus="s", profile="tiny", patch_space="x", unit_ids=[1, 2], grid=GRID,
        config=FitConfig(recording="r", stimulus="s"), metrics={}, evidence={},
    )  # fmt: skip
    grids = torch.randn(500, *GRID)
    references = {"grids": grids[:40].half(), "weights": torch.ones(40)}
    StoredDecoder(info, Plain(torch.randn(GRID)), grids, references).save(tmp_path / "d")
    return tmp_path / "d"


def test_what_was_saved_is_read_again(folder):
    assert sorted(file.name for file in folder.iterdir()) == FILES
    stored = StoredDecoder.load(folder)
    assert set(stored.info.sha256) == set(FILES[1:])
    assert stored.references is not None
    assert stored.references["grids"].shape == (40, *GRID)
    stored.save(folder)
    assert [one.name for one in folder.parent.iterdir()] == ["d"]
    assert StoredDecoder.load(folder).info.sha256 == stored.info.sha256


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_all_files_may_be_read_by_whom_the_umask_lets(folder):
    before = os.umask(0o027)
    try:
        StoredDecoder.load(folder).save(folder.with_name("e"))
    finally:
        os.umask(before)
    other = folder.with_name("e")
    assert [oct(stat.S_IMODE((other / name).stat().st_mode)) for name in FILES] == [oct(0o640)] * 3
    assert stat.S_IMODE(other.stat().st_mode) == 0o750


def cut(file):
    file.write_bytes(file.read_bytes()[:1000])


def flip(file):
    data = bytearray(file.read_bytes())
    data[-400:] = bytes(byte ^ 0xFF for byte in data[-400:])
    file.write_bytes(data)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("harm", [cut, flip, os.remove], ids=["cut", "flipped", "missing"])
def test_damage_to_any_part_is_said_in_one_sentence(folder, name, harm):
    harm(folder / name)
    for use in (StoredDecoder.load, decoder_hash):
        with pytest.raises(NeurratorError, match=rf"^The decoder in .* is damaged: {name} .*; fit it again\.$"):
            use(folder)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("harm", [cut, os.remove], ids=["cut", "missing"])
def test_a_decoder_without_hashes_is_read_unless_its_damage_shows(folder, name, harm):
    said = json.loads((folder / "decoder.json").read_text())
    del said["sha256"]
    (folder / "decoder.json").write_text(json.dumps(said))
    assert StoredDecoder.load(folder).info.sha256 == {}
    harm(folder / name)
    with pytest.raises(NeurratorError, match=r"is damaged: .*fit it again"):
        StoredDecoder.load(folder)


def test_a_decoder_that_travelled_is_the_same_to_the_byte(folder, tmp_path):
    sent = tmp_path / "sent"
    sent.write_bytes(b"".join(packed(folder)))
    unpack(sent, tmp_path / "there", ["tiny"])
    assert [(tmp_path / "there" / name).read_bytes() for name in FILES] == [
        (folder / name).read_bytes() for name in FILES
    ]
    StoredDecoder.load(tmp_path / "there")


def test_the_old_decoder_stays_where_the_new_one_cannot_take_its_place(folder, monkeypatch):
    stored, really = StoredDecoder.load(folder), os.replace

    def full(source, target):
        if target == folder and source.name != "decoder":
            raise OSError(28, "No space left on device")
        really(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        stored.save(folder)
    assert [one.name for one in folder.parent.iterdir()] == ["d"]
    StoredDecoder.load(folder)


def test_a_place_is_checked_before_anything_is_fitted(folder, tmp_path):
    for good in (folder, tmp_path / "new", tmp_path / "far" / "away"):
        check_decoder_place(good)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(NeurratorError, match="holds something else than a decoder"):
        check_decoder_place(tmp_path / "mine")
