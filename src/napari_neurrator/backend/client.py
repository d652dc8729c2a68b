"""The one way in which every front end asks for work: the interface, and the client of a server."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import TypeAdapter, ValidationError

from ..errors import NeurratorError
from .protocol import (
    DECODER_HASH,
    PROTOCOL_VERSION,
    BackendStatus,
    Cancelled,
    DescribeRequest,
    Done,
    Event,
    Failed,
    NarrationRequest,
    Request,
)

if TYPE_CHECKING:
    import httpx

OnEvent = Callable[[Event], None]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Backend(Protocol):
    """Somebody who does the model work: in this process, in another one, on another machine."""

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Queue `request`; `on_event` is called with each event, from a thread of the backend's own."""

    def cancel(self, job_id: str) -> None:
        """Stop a job, within one token; it ends with `Cancelled`. Unknown or ended jobs are ignored."""

    def close(self) -> None:
        """Cancel what runs and wait for the worker to end."""


class _Job:
    """A job as its front end sees it: events in order, one end, nothing after it."""

    def __init__(self, job_id: str, on_event: OnEvent):
        self.job_id, self.ended = job_id, threading.Event()
        self._on_event, self._lock = on_event, threading.RLock()
        self.hang_up: Callable[[], None] = lambda: None

    def tell(self, event: Event) -> None:
        with self._lock:
            if self.ended.is_set():
                return
            if isinstance(event, Done | Cancelled | Failed):
                self.ended.set()
            try:
                self._on_event(event)
            except Exception:
                # A listener that fails must not silence the others.
                import logging

                logging.getLogger(__name__).exception("A listener of backend events failed")


class HttpBackend:
    """Talks to a server: one that runs elsewhere (``neurrator serve``), or one that a front end started for itself.

    Parameters
    ----------
    address : str
        Such as ``https://gpu.example.org:8765``.
    token : str, optional
        That the server was started with.
    ca : str, optional
        File with the certificate that the server's has to be signed by, where the system does not know it.
    shares_disk : bool
        The server is this program's own: decoders are named by folder instead of being uploaded.
    patience_s : float
        How long to try again while the server says that it is busy, seconds.
    quiet_s : float
        A server that sends nothing for so long (it sends at least an empty line every 5 s) is given up, seconds.
    explain : callable, optional
        Gives the sentence for a connection that broke; called with what happened, in words.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        ca: str | None = None,
        shares_disk: bool = False,
        patience_s: float = 0.0,
        quiet_s: float = 30.0,
        explain: Callable[[str], str] | None = None,
    ):
        import httpx

        self.address = checked_address(address)
        self._shares_disk, self._patience_s, self._quiet_s = shares_disk, patience_s, quiet_s
        self._explain = explain or self._say_lost
        self._jobs: dict[str, _Job] = {}
        self._lock, self._uploading = threading.Lock(), threading.Lock()
        self._known = False
        self._uploaded: dict[str, str] = {}
        self._closed = threading.Event()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self.address,
            headers=headers,
            timeout=httpx.Timeout(quiet_s, connect=min(quiet_s, 10.0)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=30.0),
            verify=_certificates(ca),
            trust_env=not shares_disk,
        )

    def submit(self, request: Request, on_event: OnEvent) -> None:
        """Send `request`, and return at once; whatever goes wrong arrives as `Failed`."""
        if self._closed.is_set():
            raise RuntimeError("the backend is closed")
        job = _Job(request.job_id, on_event)
        with self._lock:
            self._jobs[job.job_id] = job
        threading.Thread(target=self._run, args=(job, request), name="neurrator-job", daemon=True).start()

    def cancel(self, job_id: str) -> None:
        """Stop a job: it ends here at once, and on the server within one token."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is not None and not job.ended.is_set():
            job.tell(Cancelled(job_id=job_id))
            threading.Thread(target=self._tell_to_stop, args=(job_id,), name="neurrator-stop", daemon=True).start()

    def prepare(self, decoder: str | None = None) -> None:
        """Let the server load its models ahead of the first request; NeurratorError where it cannot be reached."""
        parameters = {} if decoder is None else {"decoder": decoder}
        self._answer(self._request("POST", "/v1/prepare", params=parameters))

    def status(self) -> BackendStatus:
        """Ask how busy the server is; NeurratorError where it cannot be reached."""
        return BackendStatus.model_validate_json(self._answer(self._request("GET", "/v1/status")).content)

    def close(self) -> None:
        """Cancel what runs."""
        self._closed.set()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.tell(Cancelled(job_id=job.job_id))
        for job in jobs:
            job.hang_up()
        self._http.close()

    def check(self) -> None:
        """See once that a server of our kind and protocol answers at the address.

        Raises
        ------
        NeurratorError
            None does.
        """
        if self._known:
            return
        response = self._request("GET", "/health")
        try:
            health = response.json()
            speaks = int(health["protocol"]) if health.get("service") == "neurrator" else None
        except (ValueError, KeyError, TypeError, AttributeError):
            speaks = None
        if speaks is None:
            raise NeurratorError(f"What answers at {self.address} is no neurrator server: check --backend.")
        if speaks != PROTOCOL_VERSION:
            older = "the server" if speaks < PROTOCOL_VERSION else "this program"
            raise NeurratorError(
                f"The server at {self.address} speaks protocol {speaks}, and this program {PROTOCOL_VERSION}: update {older}."
            )
        self._known = True

    # -- one job -------------------------------------------------------------------------------------------------------------------
    def _run(self, job: _Job, request: Request) -> None:
        import httpx

        try:
            self.check()
            request = self._with_decoder(request)
            self._stream(job, request)
        except NeurratorError as error:
            job.tell(Failed(job_id=job.job_id, message=str(error)))
        except httpx.TimeoutException:
            words = f"has sent nothing for {self._quiet_s:g} s"
            job.tell(Failed(job_id=job.job_id, message=self._explain(words)))
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError) as error:
            words = f"ended the connection before the job was done ({str(error)[:120] or type(error).__name__})"
            job.tell(Failed(job_id=job.job_id, message=self._explain(words)))
        except Exception as error:
            import traceback

            message = f"The backend's client met a fault of its own ({type(error).__name__}: {str(error)[:200]})."
            job.tell(Failed(job_id=job.job_id, message=message, details=traceback.format_exc()))
        finally:
            with self._lock:
                self._jobs.pop(job.job_id, None)

    def _stream(self, job: _Job, request: Request) -> None:
        body = request.model_dump_json().encode()
        headers = {"content-type": "application/json"}
        waited, again = 0.0, False
        while not job.ended.is_set():
            with self._http.stream("POST", "/v1/jobs", content=body, headers=headers) as response:
                job.hang_up = response.close
                if response.status_code == 200:
                    self._listen(job, response)
                    return
                response.read()
                if response.status_code == 404 and not again and isinstance(request, NarrationRequest):
                    # The server dropped the decoder since we uploaded it.
                    again = True
                    self._upload_again(request)
                    continue
                if response.status_code not in {429, 503} or waited >= self._patience_s:
                    self._answer(response)
                pause = min(_seconds(response.headers.get("retry-after")), max(self._patience_s - waited, 0.0))
            waited += pause
            job.ended.wait(pause)

    def _listen(self, job: _Job, response: "httpx.Response") -> None:
        for line in response.iter_lines():
            if job.ended.is_set():
                return
            if line:
                try:
                    job.tell(_EVENT.validate_json(line))
                except ValidationError as error:
                    raise NeurratorError(
                        f"The server at {self.address} said something that this version does not understand: update the older of the two."
                    ) from error
        if not job.ended.is_set():
            job.tell(Failed(job_id=job.job_id, message=self._explain("ended the connection before the job was done")))

    def _tell_to_stop(self, job_id: str) -> None:
        import contextlib

        # A server that cannot be told notices that nobody listens.
        with contextlib.suppress(Exception):
            self._http.delete(f"/v1/jobs/{job_id}", timeout=5.0)

    # -- decoders ------------------------------------------------------------------------------------------------------------------
    def _with_decoder(self, request: Request) -> Request:
        """Name the decoder by its hash, and upload it where the server does not have it."""
        import re

        if self._shares_disk or isinstance(request, DescribeRequest):
            return request
        if re.fullmatch(DECODER_HASH, getattr(request, "decoder", "")):
            return request
        if not isinstance(request, NarrationRequest):
            raise NeurratorError(
                f"The server at {self.address} cannot do this, because the recording lies here: do it on this computer."
            )
        name = self._upload(request.decoder)
        return request.model_copy(update={"decoder": name})

    def _upload(self, folder: str, even_so: bool = False) -> str:
        from .decoder_files import decoder_hash

        name = decoder_hash(folder)
        with self._uploading:
            # Jobs that come together wait for one upload.
            if name not in self._uploaded or even_so:
                self._send_decoder(name, folder)
                self._uploaded[name] = folder
        return name

    def _send_decoder(self, name: str, folder: str) -> None:
        from .decoder_files import packed

        found = self._request("GET", f"/v1/decoders/{name}")
        if found.status_code == 404:
            sent = self._request(
                "PUT",
                f"/v1/decoders/{name}",
                content=packed(folder),
                headers={"content-type": "application/octet-stream"},
            )
            self._answer(sent)
        else:
            self._answer(found)

    def _upload_again(self, request: NarrationRequest) -> None:
        folder = self._uploaded.get(request.decoder)
        if folder is None or not Path(folder).expanduser().is_dir():
            raise NeurratorError(
                f"The server at {self.address} does not have the decoder {request.decoder[:20]}…: give its folder."
            )
        self._upload(folder, even_so=True)

    # -- requests ------------------------------------------------------------------------------------------------------------------
    def _request(self, method: str, path: str, **arguments: Any) -> "httpx.Response":
        import httpx

        try:
            return self._http.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise NeurratorError(self._explain(f"has sent nothing for {self._quiet_s:g} s")) from error
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            raise NeurratorError(self._explain(f"cannot be reached ({str(error)[:160]})")) from error

    def _answer(self, response: "httpx.Response") -> "httpx.Response":
        if response.status_code < 400:
            return response
        try:
            message = response.json()["message"]
        except (ValueError, KeyError, TypeError):
            message = f"The server at {self.address} answered with status {response.status_code}: check --backend."
        raise NeurratorError(str(message))

    def _say_lost(self, what: str) -> str:
        return f"The server at {self.address} {what}; nothing that was finished is lost, and the next request tries it again."


def checked_address(address: str) -> str:
    """Return an address as it is used.

    Raises
    ------
    NeurratorError
        It is none.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address.strip())
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise NeurratorError(
            f"--backend {address!r} is no address: write it as http://127.0.0.1:8765 or https://gpu.example.org:8765."
        )
    return address.strip().rstrip("/")


def _certificates(ca: str | None) -> Any:
    if ca is None:
        return True
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise NeurratorError(f"The certificate file {ca} cannot be read: {error.strerror or error}.") from error


def _seconds(header: str | None) -> float:
    try:
        return max(float(header or 1), 0.1)
    except ValueError:
        return 1.0
