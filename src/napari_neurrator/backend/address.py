"""Which addresses a server may listen on, and with what."""

import ipaddress
import os
import secrets
import socket
from pathlib import Path

from ..errors import NeurratorError

_SHORTEST = 16


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address.

    Raises
    ------
    NeurratorError
        There is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NeurratorError(f"--host {host!r} is no address of this machine: {error.strerror or error}.") from error
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def check_address(host: str, tokens: list[str], tls: bool, insecure_public: bool) -> None:
    """Refuse to be reached from elsewhere without token and TLS.

    Raises
    ------
    NeurratorError
        The address is public and something is missing.
    """
    if is_loopback(host) or insecure_public:
        return
    missing = [what for what, there in (("--token", bool(tokens)), ("--tls-cert and --tls-key", tls)) if not there]
    if missing:
        raise NeurratorError(
            f"--host {host} can be reached from other machines, and {' and '.join(missing)} {'is' if len(missing) < 2 else 'are'} missing: "
            "give them, listen on 127.0.0.1 and use an ssh tunnel, or say --insecure-public if the network is trusted."
        )
    if any(len(token) < _SHORTEST for token in tokens):
        raise NeurratorError(
            f"A token for a public address has at least {_SHORTEST} characters: make one with 'openssl rand -hex 24'."
        )


def read_tokens(token: str | None, file: str | None) -> list[str]:
    """Return the tokens that were given: by hand, and one a line of a file.

    Raises
    ------
    NeurratorError
        The file cannot be read or is empty, or a token cannot be sent.
    """
    tokens = [token] if token else []
    if file:
        try:
            lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise NeurratorError(f"The token file {file} cannot be read: {error}.") from error
        tokens += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not tokens:
            raise NeurratorError(f"The token file {file} holds no token.")
    if any(not one.isascii() or not one.isprintable() or " " in one for one in tokens):
        raise NeurratorError("A token may hold letters, digits and signs of ASCII, and no spaces.")
    return tokens


def new_token() -> str:
    """Make a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def listen(host: str, port: int) -> socket.socket:
    """Open a socket; port 0 is any free one.

    Raises
    ------
    NeurratorError
        The port is taken, or not allowed.
    """
    bound = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio turns Nagle's algorithm off, which would hold every answer up for 40 ms.
        bound = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(512)
        return bound
    except (OSError, OverflowError) as error:
        if bound is not None:
            bound.close()
        raise NeurratorError(
            f"Port {port} of {host} cannot be used: {getattr(error, 'strerror', None) or error}."
        ) from error


def address_of(bound: socket.socket, tls: bool = False) -> str:
    """Return where a socket can be reached, as clients are given it."""
    host, port = bound.getsockname()[:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
