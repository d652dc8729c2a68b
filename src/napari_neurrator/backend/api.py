"""The server's addresses: jobs, decoders, health, figures. What is behind them is `Service`."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import __version__
from ..errors import NeurratorError
from ..profiles import list_profiles
from . import protocol as p
from .decoder_store import DecoderStore
from .guard import Guard, refuse
from .jobs import Job
from .limits import Limits, Refused, check_description, check_narration, check_version
from .merging import batch_key
from .metrics import CONTENT_TYPE, Metrics
from .service import Runner, Service

KEEP_ALIVE_S = 5.0
NDJSON = "application/x-ndjson"
# Bytes of spike windows that are looked through in no time.
_SMALL = 1 << 20

# For the document only: `Guard` looks at the token before anything is read.
_TOKEN = [Depends(HTTPBearer(auto_error=False, description="The token that the server was started with"))]
_JobId = Annotated[str, Path(pattern=p.JOB_ID)]
_Hash = Annotated[str, Path(pattern=p.DECODER_HASH)]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    words = {
        400: "Not this protocol, or not readable", 401: "No token, or a wrong one", 403: "Not for clients from elsewhere", 404: "There is no such thing here",
        409: "The name is taken", 413: "Too large", 415: "Not in a format that is taken", 422: "Something in it is wrong", 429: "Busy: try again after Retry-After",
        503: "Shutting down", 507: "The disk is full",
    }  # fmt: skip
    return {status: {"model": p.Problem, "description": words[status]} for status in statuses}


_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, one JSON line each, the last one `done`, `failed` or `cancelled`; empty lines mean that the job goes on",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}


def make_app(
    make_runners: Callable[[Limits, Metrics], Sequence[Runner]],
    store: DecoderStore,
    limits: Limits,
    tokens: Sequence[str],
    shares_disk: bool = False,
) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    make_runners : callable
        Makes those who do the work, inside the running event loop.
    store : DecoderStore
        Decoders by hash.
    limits : Limits
        Of everything.
    tokens : sequence of str
        That clients must show one of.
    shares_disk : bool
        The only client is the program that started this server on the same machine: decoders may be named by folder, and fits are taken.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service(make_runners(limits, metrics), limits, metrics)
        service.start()
        yield
        await service.close()

    app = FastAPI(
        title="neurrator",
        summary="Narrate what neurons say: spike windows in, heatmaps, words and evidence out.",
        description="Every request but /health carries `Authorization: Bearer TOKEN`.",
        version=str(p.PROTOCOL_VERSION),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=_problems(401, 413, 429),
    )
    app.state.metrics = metrics
    app.add_middleware(Guard, tokens=list(tokens), limits=limits, metrics=metrics)
    _add_handlers(app)
    _add_decoders(app, store)

    @app.get("/health")
    async def health() -> p.Health:
        """Say that the server is there, and which protocol it speaks. Needs no token."""
        service: Service | None = getattr(app.state, "service", None)
        return p.Health(
            version=__version__, protocol=p.PROTOCOL_VERSION, ready=service is not None and not service.closing
        )

    @app.get("/v1/status", dependencies=_TOKEN)
    async def status() -> p.BackendStatus:
        """Say how busy the server is, where its models run and how much memory they take."""
        return app.state.service.status()

    @app.get("/metrics", dependencies=_TOKEN, response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures() -> Response:
        """Figures in Prometheus' text format."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    @app.post("/v1/prepare", dependencies=_TOKEN, status_code=204, responses=_problems(404, 422))
    async def prepare(decoder: Annotated[str | None, _decoder_query()] = None) -> None:
        """Load libraries, and a decoder's models, ahead of the first job."""
        folder = None if decoder is None else str(_folder_of(store, decoder, shares_disk))
        app.state.service.prepare(folder)

    @app.post(
        "/v1/jobs",
        dependencies=_TOKEN,
        response_class=StreamingResponse,
        responses={**_EVENTS, **_problems(400, 403, 404, 409, 415, 422, 503)},
    )
    async def submit(body: p.Request, request: Request) -> StreamingResponse:
        """Do a job and stream what happens. Closing the connection cancels it."""
        check_version(body.protocol)
        job = Job(body.job_id, await request.body(), body.kind, batch_key(body))
        if isinstance(body, p.NarrationRequest):
            folder = _folder_of(store, body.decoder, shares_disk)
            try:
                info = store.info(folder)
            except NeurratorError as error:
                raise Refused(422, str(error)) from error
            if len(body.windows.data) < _SMALL:
                check_narration(body, info, limits)
            else:
                # Others are waiting.
                await asyncio.to_thread(check_narration, body, info, limits)
            job.moments = body.windows.shape[0]
            job.decoder = None if shares_disk and not body.decoder.startswith("sha256:") else str(folder)
        elif isinstance(body, p.DescribeRequest):
            profiles = list_profiles() + ([body.profile] if shares_disk else [])
            await asyncio.to_thread(check_description, body, profiles, limits)
            job.moments = body.grids.shape[0]
        elif not shares_disk:
            raise Refused(
                403, "This server does no such work for clients from elsewhere: do it where the recording is."
            )
        app.state.service.submit(job)
        return StreamingResponse(_stream(app.state.service, job), media_type=NDJSON)

    @app.delete("/v1/jobs/{job_id}", dependencies=_TOKEN, status_code=204, responses=_problems(404, 422))
    async def cancel(job_id: _JobId) -> None:
        """Stop a job, within one token."""
        if not app.state.service.cancel(job_id):
            raise Refused(404, f"There is no job {job_id} under way.")

    return app


def _decoder_query() -> Any:
    from fastapi import Query

    return Query(description="As in a request", max_length=4096)


def _folder_of(store: DecoderStore, decoder: str, shares_disk: bool) -> FilePath:
    if decoder.startswith("sha256:"):
        folder = store.folder_of(decoder)
        if folder is None:
            raise Refused(404, f"There is no decoder {decoder[:80]} on this server: upload it first.")
        store.used(folder)
        return folder
    if shares_disk:
        return FilePath(decoder).expanduser()
    raise Refused(422, "A decoder is named here by 'sha256:' and the hash of its file; paths are not taken.")


def _add_decoders(app: FastAPI, store: DecoderStore) -> None:
    @app.get("/v1/decoders/{name}", dependencies=_TOKEN, status_code=204, responses=_problems(404, 422))
    async def has_decoder(name: _Hash) -> None:
        """Say whether the server holds a decoder."""
        if store.folder_of(name) is None:
            raise Refused(404, f"There is no decoder {name} on this server: upload it first.")

    @app.put(
        "/v1/decoders/{name}",
        dependencies=_TOKEN,
        status_code=204,
        responses=_problems(422, 507),
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "A decoder as one safetensors file; `name` is 'sha256:' and its hash",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def put_decoder(name: _Hash, request: Request) -> None:
        """Give the server a decoder."""
        try:
            await store.receive(name, request.stream())
        except NeurratorError as error:
            raise Refused(422, str(error)) from error
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}:
                raise
            raise Refused(
                507, "The server's disk is full, so the decoder could not be kept: tell whoever runs it."
            ) from error


async def _stream(service: Service, job: Job) -> AsyncIterator[bytes]:
    try:
        while True:
            try:
                lines = [await asyncio.wait_for(job.lines.get(), KEEP_ALIVE_S)]
            except TimeoutError:
                yield b"\n"
                continue
            while not job.lines.empty():
                lines.append(job.lines.get_nowait())
            yield b"".join(lines)
            if job.state == "ended" and job.lines.empty():
                return
    finally:
        service.let_go(job)


def _add_handlers(app: FastAPI) -> None:
    async def answer(request: Request, refused: Refused) -> Response:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await refuse(refused, send)
        start, body = sent
        response = Response(body["body"], status_code=start["status"])
        response.raw_headers = start["headers"]
        return response

    @app.exception_handler(Refused)
    async def on_refused(request: Request, error: Refused) -> Response:
        return await answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        body = error.body
        if isinstance(body, dict) and isinstance(body.get("protocol"), int) and body["protocol"] != p.PROTOCOL_VERSION:
            # Of another version's requests nothing else can be said.
            try:
                check_version(body["protocol"])
            except Refused as refused:
                return await answer(request, refused)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "path", "query"))
        message = f"The request is wrong{f' at {where[:100]!r}' if where else ''}: {str(first['msg'])[:300]}."
        return await answer(request, Refused(422, message))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        response = await answer(request, Refused(error.status_code, f"{error.detail}."))
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    @app.exception_handler(Exception)
    async def on_fault(request: Request, error: Exception) -> Response:
        return await answer(request, Refused(500, f"The server met a fault of its own ({type(error).__name__})."))

    @app.exception_handler(ClientDisconnect)
    async def on_gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)
