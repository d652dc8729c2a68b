"""The server that a front end starts for itself: on loopback, at a port and with a token that nobody else knows.

The first line of standard input is JSON with the token; the answer on standard output is JSON with the address. The server ends when standard input does, which happens
when the parent dies however it dies.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from ..paths import cache_folder
from .address import address_of, listen
from .limits import Limits
from .metrics import Metrics


def main() -> None:
    """Serve one front end."""
    # Control-C in a shell reaches the whole group; the parent ends this process in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What libraries print must not reach the parent as an answer.
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline() or "{}")
    if not asked:
        return
    try:
        asyncio.run(_serve(asked, answers))
    finally:
        os._exit(0)


async def _serve(asked: dict[str, Any], answers: Any) -> None:
    from .worker_link import WorkerLink

    limits = Limits(**{**_OWN, **asked.get("limits", {})})
    metrics = Metrics()
    worker = WorkerLink(limits, metrics, asked.get("language"))
    # The worker's libraries take longest to import: it starts first.
    worker.prepare(None)
    await asyncio.sleep(0)
    from .api import make_app
    from .decoder_store import DecoderStore
    from .serving import make_server

    bound = listen("127.0.0.1", 0)
    store = DecoderStore(Path(asked.get("store") or cache_folder("uploads")), limits.store_bytes)
    app = make_app(lambda *_: [worker], store, limits, [asked["token"]], shares_disk=True)
    server = make_server(app, grace_s=2, log_level="critical")
    threading.Thread(target=_end_with_parent, args=(server,), name="parent", daemon=True).start()
    answers.write(json.dumps({"address": address_of(bound), "pid": os.getpid()}) + "\n")
    answers.flush()
    await server.serve(sockets=[bound])


# One client, on this machine, asks for what it likes.
_OWN = {
    "body_bytes": 8 << 30,
    "moments": 1 << 20,
    "units": 1 << 20,
    "frame_side": 1 << 15,
    "requests_per_s": 1e6,
    "burst": 1 << 30,
    "new_tokens": 1 << 20,
}


def _end_with_parent(server: Any) -> None:
    while sys.stdin.buffer.read(1):
        pass
    server.begin_to_close()
    # A loop that hangs must not keep an orphan alive.
    threading.Event().wait(4)
    os._exit(0)


if __name__ == "__main__":
    main()
