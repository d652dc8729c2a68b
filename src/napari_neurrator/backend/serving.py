"""Run the server under uvicorn until it is told to stop."""

import asyncio
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

GRACE_S = 30


class _Server(uvicorn.Server):
    """Tells the service at once when it has to end, so that those who wait are not kept waiting."""

    def __init__(self, config: uvicorn.Config, app: FastAPI):
        super().__init__(config)
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.begin_to_close()

    def begin_to_close(self) -> None:
        """Take no more jobs; may be called from any thread."""
        self.should_exit = True
        service = getattr(self._app.state, "service", None)
        if self._loop is not None and service is not None:
            self._loop.call_soon_threadsafe(service.begin_to_close)


def make_server(
    app: FastAPI,
    *,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    grace_s: int = GRACE_S,
    log_level: str = "warning",
) -> _Server:
    """Put an application under uvicorn.

    Parameters
    ----------
    app : FastAPI
        Of `make_app`.
    tls_cert, tls_key : str, optional
        Files in PEM.
    grace_s : int
        How long jobs that run may go on after the server was told to stop, seconds.
    log_level : str
        Of uvicorn.
    """
    config = uvicorn.Config(
        app,
        log_level=log_level,
        access_log=False,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        timeout_graceful_shutdown=grace_s,
        timeout_keep_alive=75,
        limit_concurrency=None,
        server_header=False,
        ws="none",
        # What a client says of its own address counts for nothing.
        proxy_headers=False,
        lifespan="on",
    )
    return _Server(config, app)
