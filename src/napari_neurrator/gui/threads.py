"""Work beside the window's thread, and the way back into it."""

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal


class MainThread(QObject):
    """Runs callables in the thread that made it, whichever thread posts them. After `close`, what arrives is dropped."""

    _posted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._open = True
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def post(self, call: Callable[[], Any]) -> None:
        """Run `call` soon, in the window's thread. May be called from any thread."""
        if self._open:
            self._posted.emit(call)

    def close(self) -> None:
        """Drop what is still under way."""
        self._open = False

    def _run(self, call: Callable[[], Any]) -> None:
        if not self._open:
            return
        try:
            call()
        except Exception:
            # left to itself, PyQt ends the program; napari's hook shows a notification instead
            sys.excepthook(*sys.exc_info())


class Background:
    """One worker thread for slow work that is not model work (opening files, importing libraries)."""

    def __init__(self, main: MainThread, name: str = "neurrator-files") -> None:
        self._main = main
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def run(
        self, work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[BaseException], None]
    ) -> Future:
        """Run `work` in the worker; hand its result to `then` or its exception to `failed` in the window's thread."""

        def task() -> None:
            try:
                value = work()
            except BaseException as error:  # the window must hear of everything
                caught = error
                self._main.post(lambda: failed(caught))
            else:
                self._main.post(lambda: then(value))

        return self._pool.submit(task)

    def tell(self, call: Callable[[], Any]) -> None:
        """Run `call` soon, in the window's thread; for work that has something to say before it is done."""
        self._main.post(call)

    def close(self) -> None:
        """Drop what waits and join the worker."""
        self._pool.shutdown(wait=True, cancel_futures=True)
