"""The client of a vLLM server, held against the request that vLLM's documentation describes ("Image Embedding Inputs").

vLLM itself needs a GPU and is not run here. In its place a server on loopback takes only what the documentation allows, and answers with the words of the profile's own
language model, whose projector's output it is sent.
"""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_neurrator.errors import NeurratorError, Stopped
from napari_neurrator.language.injection import generate
from napari_neurrator.language.vllm import VllmLanguage, http_address


class ImageEmbeds(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["image_embeds"]
    image_embeds: str | dict[str, str] | None
    uuid: str | None = None


class Text(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["user", "system", "assistant"]
    content: list[ImageEmbeds | Text]


class ChatCompletionRequest(BaseModel):
    """The fields of vLLM's chat completions that the client may use; vLLM takes more."""

    model_config = ConfigDict(extra="forbid")
    model: str
    messages: list[Message]
    max_tokens: int = Field(gt=0)
    temperature: float = Field(ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    stream: bool


class FakeVllm(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, language):
        super().__init__(("127.0.0.1", 0), Handler)
        self.language, self.lock = language, threading.Lock()
        self.asked, self.trouble, self.key = [], None, None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def say(self, body):
        request = ChatCompletionRequest.model_validate_json(body)
        (message,) = request.messages
        picture, text = message.content
        assert request.model == "the-llava"
        data = base64.b64decode(picture.image_embeds, validate=True)
        tensor = torch.load(io.BytesIO(data), weights_only=True)
        config = self.language.model.config
        # One picture: three dimensions. A wrong shape brings the real one down.
        assert tuple(tensor.shape) == (1, self.language.n_patches, config.text_config.hidden_size)
        assert tensor.is_contiguous()
        self.asked.append((text.text, request.max_tokens, request.temperature, len(data)))
        with self.lock, torch.inference_mode():
            prompt = self.language.prompts.batch([text.text], request.max_tokens, self.language.device)
            tokens = generate(
                self.language.model, prompt, tensor.float(), max_new_tokens=request.max_tokens, do_sample=False
            )
        return self.language.tokenizer.decode(tokens[0], skip_special_tokens=True)


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
        if self.server.key and self.headers.get("authorization") != f"Bearer {self.server.key}":
            self.answer(401, {"error": "Unauthorized"})
        else:
            self.answer(200, {"object": "list", "data": [{"id": "the-llava", "object": "model"}]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/chat/completions":
            self.answer(404, {"error": {"message": "Not Found"}})
            return
        if self.server.trouble == "refuses":
            self.answer(
                400, {"error": {"message": "You must set `--enable-mm-embeds` to input `image_embeds`", "code": 400}}
            )
            return
        try:
            words = " " + self.server.say(body)
        except (AssertionError, ValidationError, ValueError) as error:
            self.answer(400, {"error": {"message": f"bad request: {error}"}})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

        def send(line):
            data = f"data: {line}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

        send(json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
        for start in range(0, len(words), 5):
            send(json.dumps({"choices": [{"index": 0, "delta": {"content": words[start : start + 5]}}]}))
            if self.server.trouble == "dies":
                self.close_connection = True
                self.connection.close()
                return
            if self.server.trouble == "errs":
                send(json.dumps({"error": {"message": "EngineDeadError"}}))
                break
        if self.server.trouble != "forgets":
            send("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def fake(language):
    made = FakeVllm(language)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def elsewhere(tiny, fake):
    return VllmLanguage(tiny, f"vllm://127.0.0.1:{fake.server_port}")


@pytest.fixture(scope="module")
def grids(tower, pictures):
    return tower.grids(pictures)


def test_it_says_what_the_model_says_here(elsewhere, language, fake, grids):
    pieces = {}

    def on_piece(number, piece):
        pieces[number] = pieces.get(number, "") + piece

    said = elsewhere.narrate(grids, None, 40, on_piece)
    assert said == language.narrate(grids, None, 40)
    assert [pieces[number].strip() for number in range(len(said))] == said
    assert len(fake.asked) == len(grids)
    assert {(length, heat) for _, length, heat, _ in fake.asked} == {(40, 0.0)}
    assert {text for text, *_ in fake.asked} == {language.profile.language.question}
    elsewhere.speak(elsewhere.features(grids[:2]), ["One?", "Two?"], 3)
    assert {text for text, *_ in fake.asked[-2:]} == {"One?", "Two?"}
    # a view of a large batch is not sent whole
    assert max(size for *_, size in fake.asked) < 4 * grids[0].numel() + 20_000


def test_wrong_shapes_and_what_is_no_number_are_never_sent(elsewhere, fake, grids):
    for wrong in (grids[:, :-1], grids[:, :, :-1], grids[0], grids[None]):
        with pytest.raises(NeurratorError, match="shape"):
            elsewhere.narrate(wrong)
    with pytest.raises(NeurratorError, match="no number"):
        elsewhere.narrate(torch.full_like(grids[:1], torch.nan))
    assert fake.asked == []


@pytest.mark.parametrize(
    ("trouble", "says"),
    [("refuses", "Start it with --enable-mm-embeds"), ("dies", "cannot be used"), ("errs", "EngineDeadError"), ("forgets", "ended the answer early")],
)  # fmt: skip
def test_troubles_are_one_sentence(elsewhere, fake, grids, trouble, says):
    fake.trouble = trouble
    with pytest.raises(NeurratorError, match=says):
        elsewhere.narrate(grids[:2], None, 5)
    fake.trouble = None
    assert len(elsewhere.narrate(grids[:2], None, 5)) == 2


def test_stopping(elsewhere, grids):
    stop = threading.Event()
    with pytest.raises(Stopped):
        elsewhere.narrate(grids[:3], None, 40, lambda number, piece: stop.set(), stop.is_set)


def test_keys_and_addresses(tiny, fake, grids, monkeypatch):
    fake.key = "secret"
    address = f"http://127.0.0.1:{fake.server_port}/v1"
    with pytest.raises(NeurratorError, match="401"):
        VllmLanguage(tiny, address).narrate(grids[:1], None, 2)
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    assert VllmLanguage(tiny, address).narrate(grids[:1], None, 2)
    with pytest.raises(NeurratorError, match="cannot be reached"):
        VllmLanguage(tiny, "vllm://127.0.0.1:9").narrate(grids[:1])
    assert http_address("vllm://gpu:8000") == "http://gpu:8000"
    for wrong in ("", "gpu:8000", "ftp://gpu", "vllm://"):
        with pytest.raises(NeurratorError, match="--language"):
            http_address(wrong)


def test_an_engine_speaks_through_it(fake, small_decoder, tiny):
    import numpy as np

    from napari_neurrator.backend import protocol as p
    from napari_neurrator.backend.engine import Engine
    from napari_neurrator.config import RunningConfig
    from napari_neurrator.decoding import decoder_info

    info = decoder_info(small_decoder)
    windows = np.random.default_rng(0).poisson(0.3, (2, info.window.n_bins, len(info.unit_ids))).astype(np.uint8)
    request = p.NarrationRequest(
        job_id="v", decoder=str(small_decoder), unit_ids=info.unit_ids, windows=p.PackedArray.pack(windows), want=["text"], max_new_tokens=12
    )  # fmt: skip
    texts = []
    for address in (None, f"vllm://127.0.0.1:{fake.server_port}"):
        events = []
        Engine(RunningConfig(device="cpu"), address).run(request, events.append, lambda: False)
        assert isinstance(events[-1], p.Done)
        texts.append([event.text for event in events if isinstance(event, p.Sentence)])
    assert texts[0] == texts[1]
    assert len(fake.asked) == 2
