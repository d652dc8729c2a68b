"""Real servers and their processes, for tests."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import time

import httpx
import psutil

from napari_neurrator.backend import protocol as p

TOKEN = "a-token-for-the-tests-only"
MAIN = "from napari_neurrator.cli import main; main()"


class Served:
    """``neurrator serve`` in a process of its own."""

    def __init__(self, *options, before=None, environment=None):
        command = [sys.executable, "-c", MAIN, "serve", "--port", "0", *map(str, options)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
            env={**os.environ, "NEURRATOR_TOKEN": TOKEN, **(environment or {})},
        )
        line = self.process.stdout.readline()
        found = re.search(r"http\S+://\S+(?= \()|http://\S+(?= \()", line)
        if not found:
            raise AssertionError(line + self.process.stderr.read())
        self.address = found[0]
        self.http = httpx.Client(
            base_url=self.address, headers={"authorization": f"Bearer {TOKEN}"}, timeout=60, trust_env=False
        )

    @property
    def pid(self):
        return self.process.pid

    def status(self):
        return p.BackendStatus.model_validate_json(self.http.get("/v1/status").content)

    def worker(self, timeout_s=60):
        """Process id of the worker, once there is one."""
        return wait_for(lambda: self.status().workers[0].pid, "a worker", timeout_s)

    def family(self):
        """Every process of it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return [self.pid, *(child.pid for child in process.children(recursive=True))]
        return []

    def stop(self):
        self.http.close()
        family = self.family()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=90)
        self.process.kill()
        self.process.communicate()
        gone(family, 60)


def wait_for(condition, what, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s:.0f} s for {what} in vain")


def alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def gone(pids, timeout_s=20.0):
    """No process is left behind."""
    wait_for(lambda: not any(map(alive, pids)), f"the end of {pids}", timeout_s)


def shared_memory():
    """What lies in shared memory, where the system shows it."""
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


class Listener:
    """Collects a job's events, and can act on the first of a kind."""

    def __init__(self, kind=None, act=lambda: None):
        self.events = queue.Queue()
        self.kind, self.act, self.acted = kind, act, False

    def __call__(self, event):
        self.events.put(event)
        if event.kind == self.kind and not self.acted:
            self.acted = True
            self.act()

    def all(self, timeout_s=120):
        got = []
        while not got or not isinstance(got[-1], p.Done | p.Failed | p.Cancelled):
            got.append(self.events.get(timeout=timeout_s))
        return got


def run(backend, request, timeout_s=120):
    listener = Listener()
    backend.submit(request, listener)
    return listener.all(timeout_s)


def brief(request, **changes):
    """The same request, for a few words only."""
    fields = {"want": ["text"], "max_new_tokens": 4, "job_id": f"j{time.monotonic_ns()}", **changes}
    return request.model_copy(update=fields)


def sentence(message):
    """One sentence or two for a user, no traceback."""
    assert message
    assert message.endswith(".")
    assert "Traceback" not in message
    assert "\n" not in message
    return message
