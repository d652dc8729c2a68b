"""NWB behind an address: only the parts that are needed travel, and what goes wrong is said."""

import asyncio
import socket
import threading

import h5py
import numpy as np
import pytest
from aiohttp import web
from hdmf_zarr import NWBZarrIO

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import open_recording
from napari_neurrator.recording.open import is_session

from . import nwb_files
from .nwb_files import TRAINS, allen_session

N_SPIKES = 2_000_000


class Server:
    """Serves a folder with range requests, counts bytes; some paths behave badly."""

    def __init__(self, folder):
        self.folder, self.bytes, self.requests = folder, 0, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _answer(self, request):
        name = request.match_info["path"]
        if name == "forbidden.nwb":
            return web.Response(status=403)
        whole = name.startswith("whole/")
        path = self.folder / name.removeprefix("whole/")
        if not path.is_file():
            return web.Response(status=404)
        data, headers, status = path.read_bytes(), {"Accept-Ranges": "bytes", "ETag": '"1"'}, 200
        if whole:
            headers = {}
        elif "Range" in request.headers:
            first, last = request.headers["Range"].removeprefix("bytes=").split("-")
            first, last = int(first), min(int(last or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(data))}, status=status)
        self.requests += 1
        self.bytes += len(data)
        return web.Response(body=data, headers=headers, status=status)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    made = Server(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def big(server):
    """Serve a session of 16 MB whose three units fire often, with waveforms of 8 MB."""
    path = allen_session(server.folder / "big.nwb")
    times = np.sort(np.random.default_rng(0).random(N_SPIKES) * 1000)
    with h5py.File(path, "a") as file:
        units = file["units"]
        for name in ("spike_times", "spike_times_index", "waveform_mean"):
            attributes = dict(units[name].attrs)
            del units[name]
            if name == "waveform_mean":
                units[name] = np.random.default_rng(1).random((3, 1000, 350))
            elif name == "spike_times":
                units.create_dataset(name, data=times, chunks=(65_536,))
            else:
                units[name] = np.array([N_SPIKES // 2, N_SPIKES - 10, N_SPIKES])
            for key, value in attributes.items():
                if not isinstance(value, h5py.Reference):
                    units[name].attrs[key] = value
    return path, times


def test_only_what_is_needed_travels(server, big, monkeypatch):
    path, times = big
    monkeypatch.setattr("napari_neurrator.recording.spikes.SpikeTrains.span", lambda self: (0.0, 1000.0))
    before = server.bytes
    recording = open_recording(f"{server.url}/big.nwb")
    opening = server.bytes - before
    assert opening < 2_000_000 < 20_000_000 < path.stat().st_size
    local = open_recording(path)
    assert recording.unit_ids == local.unit_ids
    assert recording.units["region"].tolist() == local.units["region"].tolist()
    assert recording.presentations.to_dict("list").keys() == local.presentations.to_dict("list").keys()
    last = recording.unit_ids[2]
    np.testing.assert_array_equal(recording.spikes.times(last), times[-10:])
    assert server.bytes - before - opening < 2_000_000, "one unit's spikes, not all units'"
    np.testing.assert_array_equal(recording.spikes.times(recording.unit_ids[0]), times[: N_SPIKES // 2])
    assert server.bytes - before < path.stat().st_size


def test_a_session_behind_an_address_is_the_same_as_the_file(server, big):
    recording = open_recording(f"{server.url}/big.nwb?token=1")
    assert recording.name == "big"
    assert recording.source == f"{server.url}/big.nwb?token=1"
    assert recording.spikes.n_spikes == N_SPIKES


def test_zarr_behind_an_address(server, monkeypatch):
    def to_zarr(path, nwb):
        with NWBZarrIO(str(path), "w") as io:
            io.write(nwb)
        return path

    monkeypatch.setattr(nwb_files, "write", to_zarr)
    allen_session(server.folder / "remote.nwb.zarr")
    recording = open_recording(f"{server.url}/remote.nwb.zarr")
    assert recording.name == "remote"
    for unit, train in TRAINS.items():
        assert recording.spikes.times(unit).tolist() == train


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nothing.nwb", "404"),
        ("/forbidden.nwb", "403"),
        ("/text.nwb", "not an HDF5 file"),
        ("/whole/big.nwb", "range requests"),
        ("/nothing.nwb.zarr", "nothing|zmetadata"),
        ("/cut.nwb", "damaged or cut short"),
    ],
)
def test_what_goes_wrong_is_one_sentence(server, big, path, says):
    (server.folder / "text.nwb").write_text("<html>a page about it</html>" * 100)
    (server.folder / "cut.nwb").write_bytes(big[0].read_bytes()[:300_000])
    with pytest.raises(NeurratorError, match=says) as caught:
        open_recording(server.url + path)
    assert "\n" not in str(caught.value)


def test_a_host_that_is_not_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NeurratorError, match="cannot be reached"):
        open_recording(f"http://127.0.0.1:{port}/s.nwb")


def test_a_server_that_goes_away_is_said_when_spikes_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_neurrator.recording.spikes.SpikeTrains.span", lambda self: (0.0, 9.0))
    path = allen_session(tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        # Far from the tables, so that it was not fetched with them.
        del file["units/spike_times"]
        file["padding"] = np.zeros(200_000)
        file["units"].create_dataset("spike_times", data=np.arange(500_000.0))
        del file["units/spike_times_index"]
        file["units/spike_times_index"] = np.array([1, 499_000, 500_000])
    server = Server(tmp_path)
    recording = open_recording(f"{server.url}/s.nwb")
    server.close()
    with pytest.raises(NeurratorError, match=r"127\.0\.0\.1") as caught:
        recording.spikes.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["nosuch://host/x.nwb", "s3://bucket/x.nwb.pkl"])
def test_kinds_of_address_that_cannot_be_opened(source, monkeypatch):
    import fsspec

    if source.startswith("s3"):
        monkeypatch.setattr(
            fsspec.core, "url_to_fs", lambda *a, **k: (_ for _ in ()).throw(ImportError("Install s3fs"))
        )
    with pytest.raises(NeurratorError, match="s3"):
        open_recording(source)


def test_addresses_are_told_apart_by_their_names_alone():
    assert is_session("https://host/a.nwb")
    assert is_session("s3://bucket/a.nwb.zarr/")
    assert not is_session("https://host/a.html")
