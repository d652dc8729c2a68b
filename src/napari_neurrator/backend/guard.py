"""What stands before every request to a server: token, rate, size of the body. Refuses before the body is read."""

import hashlib
import hmac
import math
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import protocol as p
from .limits import Limits, Rate, Refused
from .metrics import Metrics

OPEN_PATHS = frozenset({"/health"})


class Guard:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    tokens : sequence of str
        Any of them opens; none at all opens to everybody.
    limits : Limits
        Of bodies and rates.
    metrics : Metrics
        Counts refusals.
    """

    def __init__(self, app: ASGIApp, tokens: Sequence[str], limits: Limits, metrics: Metrics):
        self._app, self._limits, self._metrics = app, limits, metrics
        # Hashes have one length, so that comparing them tells nothing of that of a token.
        self._tokens = [hashlib.sha256(token.encode()).digest() for token in tokens]
        self._rate = Rate(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = {name.lower(): value for name, value in scope["headers"]}
            self._check_token(scope["path"], headers)
            if scope["path"] not in OPEN_PATHS and scope["method"] != "DELETE":
                self._check_rate(scope, headers)
            most = self._limits.decoder_bytes if scope["method"] == "PUT" else self._limits.body_bytes
            self._check_length(headers, most)
        except Refused as refused:
            await refuse(refused, send)
            return
        seen, too_large, answered = 0, False, False

        async def counted() -> Message:
            nonlocal seen, too_large
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > most:
                    too_large = True
                    raise _too_large(most)
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            # What the application makes of a body that was cut off is not what the client is to hear.
            if not too_large or answered:
                answered = True
                await send(message)

        try:
            await self._app(scope, counted, watched)
        except Refused:
            if not too_large:
                raise
        if too_large and not answered:
            self._metrics.refused.labels("size").inc()
            await refuse(_too_large(most), send)

    def _check_token(self, path: str, headers: dict[bytes, bytes]) -> None:
        if not self._tokens or path in OPEN_PATHS:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        digest = hashlib.sha256(given.strip()).digest()
        # All are compared, so that the time tells nothing of which one fits.
        fits = [hmac.compare_digest(digest, token) for token in self._tokens]
        if scheme.lower() != b"bearer" or not any(fits):
            self._metrics.refused.labels("token").inc()
            what = "The token is wrong" if given else "There is no token"
            raise Refused(401, f"{what}: give the one that the server was started with (--token, or NEURRATOR_TOKEN).")

    def _check_rate(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = (scope.get("client") or ("",))[0]
        client = f"{host} {hashlib.sha256(headers.get(b'authorization', b'')).hexdigest()}"
        wait = self._rate.take(client)
        if wait:
            self._metrics.refused.labels("rate").inc()
            raise Refused(429, f"Too many requests from {host}: try again in {max(wait, 0.1):.1f} s.", wait)

    def _check_length(self, headers: dict[bytes, bytes], most: int) -> None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > most:
            self._metrics.refused.labels("size").inc()
            raise _too_large(most)


async def refuse(refused: Refused, send: Send) -> None:
    """Answer with a status and one sentence."""
    body = p.Problem(message=refused.message).model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.status == 413:
        # What is left of the body is not read.
        headers.append((b"connection", b"close"))
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", str(math.ceil(refused.retry_after_s)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _too_large(most: int) -> Refused:
    return Refused(413, f"The body is larger than {_mib(most)}, which is the most this server takes.")


def _mib(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size} bytes"
