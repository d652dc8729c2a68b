"""Servers that are slow, cut the stream, speak another version, or are none: the client lives and says so in a sentence."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from napari_neurrator.backend import protocol as p
from napari_neurrator.backend.client import HttpBackend, checked_address
from napari_neurrator.backend.connect import connect
from napari_neurrator.errors import NeurratorError

from .servers import brief, run, sentence

HASH = "sha256:" + "1" * 64


@pytest.fixture(scope="module")
def request_of():
    """A request that nobody here reads."""
    windows = p.PackedArray.pack(np.zeros((1, 20, 3), np.uint8))
    request = p.NarrationRequest(job_id="odd", decoder=HASH, unit_ids=[1, 2, 3], windows=windows)
    return lambda n: request


class Odd(ThreadingHTTPServer):
    """Answers jobs as `script` says: a list of ('line', event), ('raw', bytes), ('wait', seconds), ('cut',)."""

    daemon_threads = True

    def __init__(self, script=(), health=None, status=200):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.status = script, status
        self.health = health or {"service": "neurrator", "version": "0", "protocol": p.PROTOCOL_VERSION, "ready": True}
        self.deleted = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, self.server.health)
        else:
            self.send_response(204)
            self.end_headers()

    def do_DELETE(self):
        self.server.deleted.append(self.path)
        self.send_response(204)
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status != 200:
            self.answer(self.server.status, {"message": "Not today."})
            return
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for kind, *what in self.server.script:
                if kind == "wait":
                    time.sleep(what[0])
                elif kind == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                else:
                    line = what[0] if kind == "raw" else what[0](body["job_id"]).model_dump_json().encode() + b"\n"
                    self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass


def token(job_id):
    return p.Token(job_id=job_id, moment=0, text="a ")


def done(job_id):
    return p.Done(job_id=job_id)


@pytest.fixture
def odd():
    made = []

    def make(*script, **kwargs):
        made.append(Odd(script, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


def ask(server, request_of, quiet_s=2.0, **kwargs):
    backend = HttpBackend(server.address, "token", quiet_s=quiet_s, **kwargs)
    try:
        return run(backend, brief(request_of(1), decoder=HASH), 30)
    finally:
        backend.close()


def test_a_slow_server_is_waited_for_as_long_as_it_gives_signs_of_life(odd, request_of):
    slow = odd(("line", token), *[("wait", 0.4), ("raw", b"\n")] * 7, ("line", done))
    events = ask(slow, request_of)
    assert [event.kind for event in events] == ["token", "done"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([("line", token), ("wait", 6)], "has sent nothing for 2 s"),
        ([("wait", 6)], "has sent nothing for 2 s"),
        ([("line", token), ("cut",)], "ended the connection before the job was done"),
        ([("cut",)], "ended the connection before the job was done"),
        ([("line", token)], "ended the connection before the job was done"),
        ([("raw", b'{"kind": "token", "job')], "does not understand"),
        ([("raw", b'{"kind": "hologram", "job_id": "x"}\n')], "update the older of the two"),
        ([("raw", b"\xff\xfe\xfd\n")], "does not understand"),
    ],
)
def test_a_server_that_fails_is_said_to(odd, request_of, script, says):
    server = odd(*script)
    events = ask(server, request_of)
    assert isinstance(events[-1], p.Failed)
    assert events[-1].details is None
    assert says in sentence(events[-1].message)
    assert server.address in events[-1].message
    # the next job works once the server does
    server.script = [("line", token), ("line", done)]
    assert isinstance(ask(server, request_of)[-1], p.Done)


@pytest.mark.parametrize(
    ("health", "says"),
    [
        ({"service": "neurrator", "protocol": 2, "version": "0.1", "ready": True}, "update the server"),
        ({"service": "neurrator", "protocol": 99, "version": "9", "ready": True}, "update this program"),
        ({"service": "printer"}, "no neurrator server"),
        ({"service": "neurrator", "protocol": None}, "no neurrator server"),
        (["?"], "no neurrator server"),
    ],
)
def test_another_version_or_somebody_else(odd, request_of, health, says):
    server = odd(health=health)
    assert says in sentence(ask(server, request_of)[-1].message)
    with pytest.raises(NeurratorError, match=says):
        connect(server.address, "token")


def test_a_busy_server_is_asked_again_as_long_as_patience_lasts(odd, request_of):
    busy = odd(("line", done), status=429)
    assert ask(busy, request_of)[-1].message == "Not today."
    threading.Timer(1.0, setattr, (busy, "status", 200)).start()
    assert isinstance(ask(busy, request_of, patience_s=20)[-1], p.Done)


def test_stopping_does_not_wait_for_a_server_that_hangs(odd, request_of):
    server = odd(("line", token), ("wait", 5))
    backend = HttpBackend(server.address, "token", quiet_s=20)
    from .servers import Listener, wait_for

    request = brief(request_of(1), decoder=HASH)
    listener = Listener("token", lambda: backend.cancel(request.job_id))
    backend.submit(request, listener)
    assert [event.kind for event in listener.all(3)] == ["token", "cancelled"]
    wait_for(lambda: server.deleted == [f"/v1/jobs/{request.job_id}"], "the server to be told", 10)
    backend.close()


def test_nobody_there(request_of):
    backend = HttpBackend("http://127.0.0.1:9", "token", quiet_s=2)
    assert "cannot be reached" in sentence(run(backend, brief(request_of(1)))[-1].message)
    backend.close()


@pytest.mark.parametrize("address", ["", "localhost", "ftp://x", "http://", "http://x:99999", "http://[::1"])
def test_what_is_no_address(address):
    with pytest.raises(NeurratorError, match="--backend"):
        checked_address(address)


def test_tokens_come_by_hand_from_a_file_or_from_the_environment(tmp_path, monkeypatch):
    from napari_neurrator.backend.connect import token_of

    monkeypatch.delenv("NEURRATOR_TOKEN", raising=False)
    assert token_of(None) is None
    monkeypatch.setenv("NEURRATOR_TOKEN", "from-there")
    assert token_of(None) == "from-there"
    (tmp_path / "t").write_text("in-a-file\n")
    assert token_of(f"@{tmp_path / 't'}") == "in-a-file"
    assert token_of("given") == "given"
    with pytest.raises(NeurratorError):
        token_of(f"@{tmp_path / 'none'}")
    for options in ({"token": "x"}, {"backend": "http://127.0.0.1:9", "language": "vllm://x:1"}):
        with pytest.raises(NeurratorError):
            connect(**options)
