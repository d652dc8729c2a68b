"""``neurrator serve``."""

from enum import StrEnum
from typing import Annotated

import typer


class EngineName(StrEnum):
    """Who runs the models behind the server."""

    LOCAL = "local"
    RAY = "ray"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's own need a token and TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.", min=0, max=65535)] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="NEURRATOR_TOKEN",
            help="What clients have to show; a random one is made and printed by default.",
            show_default=False,
        ),
    ] = None,
    token_file: Annotated[str | None, typer.Option(help="File with tokens, one a line: one for each user.")] = None,
    tls_cert: Annotated[str | None, typer.Option(help="Certificate, PEM.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its key, PEM.")] = None,
    insecure_public: Annotated[
        bool,
        typer.Option(
            "--insecure-public",
            help="Listen on a public address without token or TLS: only in a network that is trusted.",
        ),
    ] = False,
    engine: Annotated[
        EngineName, typer.Option(help="Who runs the models: processes on this machine, or Ray Serve.")
    ] = EngineName.LOCAL,
    replicas: Annotated[
        str, typer.Option(help="Copies of the models: a number, or with Ray a range such as 1-4.")
    ] = "1",
    gpus: Annotated[
        str | None,
        typer.Option(
            help="local: which GPUs, such as 0,1, one for each replica in turn. ray: how many each replica gets, such as 0.5."
        ),
    ] = None,
    language: Annotated[str | None, typer.Option(help="vLLM server for the language model: vllm://host:port.")] = None,
    queue: Annotated[int, typer.Option(help="Jobs that may wait; others are told to try again.", min=1)] = 256,
    batch: Annotated[
        int, typer.Option(help="Moments of different clients that are narrated side by side.", min=1)
    ] = 32,
    rate: Annotated[float, typer.Option(help="Requests a second of one client, on average.", min=0.01)] = 20.0,
    max_body: Annotated[int, typer.Option(help="Largest request, MiB.", min=1)] = 512,
    max_decoder: Annotated[int, typer.Option(help="Largest decoder, MiB.", min=1)] = 4096,
    max_store: Annotated[
        int, typer.Option(help="Room for all decoders, MiB; the longest unused go first.", min=1)
    ] = 51_200,
    quiet: Annotated[
        float, typer.Option(help="Seconds without a sign of life after which a worker is restarted.", min=1)
    ] = 120.0,
    stall: Annotated[
        float, typer.Option(help="Seconds without news of a job after which it is given up.", min=1)
    ] = 1800.0,
    store: Annotated[
        str | None, typer.Option(help="Folder for the decoders that clients upload; the cache by default.")
    ] = None,
    grace: Annotated[
        int, typer.Option(help="Seconds that running jobs get to end when the server is stopped.", min=0)
    ] = 30,
) -> None:
    """Narrate for others: windows, command lines and notebooks of this and other machines.

    Clients send spike windows, not recordings. See the documentation for an ssh tunnel, a systemd unit, TLS and clusters.
    """
    from ..backend.serve import ServeConfig, run_server
    from ..config import validated

    config = validated(
        ServeConfig, host=host, port=port, token=token, token_file=token_file, tls_cert=tls_cert, tls_key=tls_key, insecure_public=insecure_public,
        engine=engine.value, replicas=replicas, gpus=gpus, language=language, queue=queue, batch=batch, rate=rate, max_body=max_body, max_decoder=max_decoder,
        max_store=max_store, quiet=quiet, stall=stall, store=store, grace=grace,
    )  # fmt: skip
    run_server(config, lambda words: print(words, flush=True))
