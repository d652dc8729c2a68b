"""From the options of ``neurrator serve`` to a server that runs."""

import asyncio
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..errors import NeurratorError
from ..paths import cache_folder
from .address import address_of, check_address, listen, new_token, read_tokens
from .limits import Limits
from .metrics import Metrics


class ServeConfig(BaseModel):
    """What a server is started with; see ``neurrator serve --help``. Sizes are MiB, times seconds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure_public: bool = False
    engine: Literal["local", "ray"] = "local"
    replicas: str = "1"
    gpus: str | None = None
    language: str | None = None
    queue: int = 256
    batch: int = 32
    rate: float = 20.0
    max_body: int = 512
    max_decoder: int = 4096
    max_store: int = 51_200
    quiet: float = 120.0
    stall: float = 1800.0
    store: str | None = None
    grace: int = 30

    @property
    def limits(self) -> Limits:
        """The same as `Limits`."""
        return Limits(
            body_bytes=self.max_body << 20,
            decoder_bytes=self.max_decoder << 20,
            store_bytes=self.max_store << 20,
            waiting=self.queue,
            batch=self.batch,
            requests_per_s=self.rate,
            burst=max(round(10 * self.rate), 10),
            quiet_s=self.quiet,
            stall_s=self.stall,
        )

    @property
    def replica_range(self) -> tuple[int, int]:
        """Replicas at least and at most; NeurratorError where they cannot be read."""
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", self.replicas.strip())
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= low <= high:
            raise NeurratorError(
                f"--replicas {self.replicas!r} cannot be read: write a number such as 2, or a range such as 1-4."
            )
        if low != high and self.engine == "local":
            raise NeurratorError("Only Ray changes the number of replicas by itself: give one number, or --engine ray.")
        return low, high


def run_server(config: ServeConfig, say: Callable[[str], None]) -> None:
    """Serve until told to stop (SIGTERM, SIGINT).

    Parameters
    ----------
    config : ServeConfig
        With what.
    say : callable
        Is told the address, and a token that was made.

    Raises
    ------
    NeurratorError
        The address is public and unprotected, the port is taken, a file is missing, an option cannot be read, or Ray is not installed.
    """
    tokens = read_tokens(config.token, config.token_file)
    tls = _checked_tls(config)
    check_address(config.host, tokens, tls, config.insecure_public)
    made = ""
    if not tokens and not config.insecure_public:
        # Other users of this machine can reach its loopback.
        made = new_token()
        tokens = [made]
    make_runners = _runners(config)
    bound = listen(config.host, config.port)
    from .api import make_app
    from .decoder_store import DecoderStore
    from .serving import make_server

    limits = config.limits
    store = DecoderStore(
        Path(config.store).expanduser() if config.store else cache_folder("served"), limits.store_bytes
    )
    app = make_app(make_runners, store, limits, tokens)
    server = make_server(app, tls_cert=config.tls_cert, tls_key=config.tls_key, grace_s=config.grace)
    say(
        f"Serving on {address_of(bound, tls)} ({config.engine}, {config.replicas} replica{'s' * (config.replicas != '1')})."
    )
    if made:
        say(f"Token: {made}")
    # uvicorn raises the signal again once it has ended in good order, which is no reason to die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        asyncio.run(server.serve(sockets=[bound]))
    except KeyboardInterrupt:
        pass
    finally:
        bound.close()
    say("The server has stopped.")


def _checked_tls(config: ServeConfig) -> bool:
    if not (config.tls_cert or config.tls_key):
        return False
    if not (config.tls_cert and config.tls_key):
        raise NeurratorError("--tls-cert and --tls-key belong together: give both.")
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise NeurratorError(
            f"The certificate {config.tls_cert} and key {config.tls_key} cannot be used: {error}."
        ) from error
    return True


def _runners(config: ServeConfig) -> Callable[[Limits, Metrics], Sequence]:
    low, high = config.replica_range
    if config.engine == "ray":
        from .ray_runner import check_ray, ray_runners

        check_ray()
        each = _gpus_each(config.gpus)
        return lambda limits, _: ray_runners(limits, low, high, each, config.language)
    from .worker_link import WorkerLink

    numbers = [one.strip() for one in (config.gpus or "").split(",") if one.strip()]
    if any(not re.fullmatch(r"[A-Za-z0-9:/.-]+", one) for one in numbers):
        raise NeurratorError(f"--gpus {config.gpus!r} cannot be read: write numbers such as 0,1.")

    def make(limits: Limits, metrics: Metrics) -> Sequence:
        places = [{"CUDA_VISIBLE_DEVICES": numbers[i % len(numbers)]} if numbers else None for i in range(low)]
        return [WorkerLink(limits, metrics, config.language, place) for place in places]

    return make


def _gpus_each(gpus: str | None) -> float:
    try:
        each = float(gpus or 0)
    except ValueError:
        each = -1.0
    if not 0 <= each < 1000:
        raise NeurratorError(
            f"--gpus {gpus!r} cannot be read: with Ray it is how many each replica gets, such as 1 or 0.5."
        )
    return each
