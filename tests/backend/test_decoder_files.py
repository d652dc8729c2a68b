"""Decoders on their way to a server: the same when they arrive, and nothing else is taken."""

import asyncio
import io
import json
import pickle
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from napari_neurrator.backend.decoder_files import decoder_hash, packed, unpack
from napari_neurrator.backend.decoder_store import DecoderStore
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.errors import NeurratorError


@pytest.fixture(scope="module")
def sent(small_decoder):
    return b"".join(packed(small_decoder))


def receive(folder, name, data, room=1 << 40):
    async def chunks():
        for start in range(0, len(data), 1 << 16):
            yield data[start : start + (1 << 16)]

    store = DecoderStore(folder, room)
    asyncio.run(store.receive(name, chunks()))
    return store


def test_a_decoder_arrives_as_it_was(small_decoder, sent, tmp_path):
    name = decoder_hash(small_decoder)
    store = receive(tmp_path, name, sent)
    folder = store.folder_of(name)
    assert (folder / "decoder.json").read_bytes() == (small_decoder / "decoder.json").read_bytes()
    for file in ("decoder.safetensors", "references.safetensors"):
        before, after = load_file(small_decoder / file), load_file(folder / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert StoredDecoder.load(folder).info.unit_ids == StoredDecoder.load(small_decoder).info.unit_ids
    # what a server holds can be sent on under the same name
    assert decoder_hash(folder) == name
    assert sorted(path.name for path in tmp_path.iterdir()) == [name.removeprefix("sha256:")]


def test_the_same_decoder_may_come_twice_at_once(small_decoder, sent, tmp_path):
    name, store = decoder_hash(small_decoder), DecoderStore(tmp_path, 1 << 40)

    async def chunks():
        yield sent
        await asyncio.sleep(0.05)

    async def both():
        await asyncio.gather(*(store.receive(name, chunks()) for _ in range(3)))

    asyncio.run(both())
    assert store.folder_of(name)
    assert len(list(tmp_path.iterdir())) == 1


def test_longest_unused_decoders_make_room(small_decoder, sent, tmp_path):
    name = decoder_hash(small_decoder)
    old = tmp_path / ("0" * 64)
    old.mkdir(parents=True)
    (old / "decoder.json").write_bytes(b"x" * 5000)
    store = receive(tmp_path, name, sent, room=len(sent) + 500)
    assert store.folder_of(name)
    assert not old.exists()


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def disguised():
    stored = io.BytesIO()
    torch.save({"decoder/typical_grids": Trap()}, stored)
    return stored.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Trap()),
        disguised(),
        b"",
        b"\xff" * 64,
        struct.pack("<Q", 1 << 40) + b"{}",
        save({"decoder/typical_grids": torch.zeros(1)}),
        save({"decoder/typical_grids": torch.zeros(1)}, {"decoder.json": "{}"}),
        save({"../../etc/passwd": torch.zeros(1)}, {"decoder.json": "{}"}),
    ],
    ids=["pickle", "torch", "nothing", "noise", "long header", "no description", "empty description", "path"],
)
def test_what_is_no_decoder_is_refused_and_leaves_nothing(tmp_path, data):
    import hashlib

    with pytest.raises(NeurratorError):
        receive(tmp_path, f"sha256:{hashlib.sha256(data).hexdigest()}", data)
    assert list(tmp_path.iterdir()) == []


def test_another_hash_or_profile_is_refused(small_decoder, sent, tmp_path):
    with pytest.raises(NeurratorError, match="another hash"):
        receive(tmp_path / "a", "sha256:" + "0" * 64, sent)
    file = tmp_path / "file"
    file.write_bytes(sent)
    with pytest.raises(NeurratorError, match="profile 'tiny'"):
        unpack(file, tmp_path / "out", ["llava-1.5-7b"])
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def small(small_decoder):
    """A file that is taken, small enough to be changed often."""
    text = (small_decoder / "decoder.json").read_text()
    grid = json.loads(text)["grid"]
    tensors = {"decoder/typical_grids": torch.zeros(1, *grid), "decoder/other": torch.arange(6).reshape(2, 3)}
    return save(tensors, {"decoder.json": text})


def test_the_small_file_is_taken(small, tmp_path):
    (tmp_path / "file").write_bytes(small)
    assert unpack(tmp_path / "file", tmp_path / "out", ["tiny"]).profile == "tiny"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_changed_nothing_worse_than_a_sentence_happens(small, tmp_path_factory, data):
    (length,) = struct.unpack("<Q", small[:8])
    header = json.loads(small[8 : 8 + length])
    name = data.draw(st.sampled_from(sorted(header)))
    if name == "__metadata__":
        header[name] = data.draw(st.sampled_from([{}, {"decoder.json": "[]"}, {"decoder.json": "null"}]))
    else:
        field = data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
        odd = st.one_of(
            st.none(), st.integers(-5, 1 << 62), st.text(max_size=4), st.lists(st.integers(-3, 1 << 40), max_size=3)
        )
        header[name][field] = data.draw(odd)
    text = json.dumps(header).encode()
    folder = tmp_path_factory.mktemp("wild")
    (folder / "file").write_bytes(struct.pack("<Q", len(text)) + text + small[8 + length :])
    with pytest.raises(NeurratorError):
        unpack(folder / "file", folder / "out", ["tiny"])
    assert [path.name for path in folder.iterdir()] == ["file"]
