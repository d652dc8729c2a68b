"""The light that says where the models run and how they are, and the dialog that moves them elsewhere."""

from typing import Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLineEdit, QSizePolicy, QToolButton, QWidget

from ..backend.protocol import BackendStatus
from . import parts
from .backend_link import BackendLink, server_backend

EVERY_MS = 1500
MARGIN_PX, LEAST_PX = 6, 70
# On a dark and on a light window.
COLOURS = {
    "off": ("#8b95a1", "#5a636e"),
    "starting": ("#ffc857", "#8a5a00"),
    "idle": ("#5fe0b5", "#00684c"),
    "busy": ("#56b4e9", "#005f99"),
    "gone": ("#ff6b6b", "#b3261e"),
}


def status_words(status: BackendStatus | None, problem: str, where: str) -> tuple[str, str, str]:
    """Say in a few words how a backend is.

    Parameters
    ----------
    status : BackendStatus or None
        What it said; None where there is none yet.
    problem : str
        Why it said nothing.
    where : str
        Address of the server; nothing for this computer.

    Returns
    -------
    kind, words, more : str
        Key of `COLOURS`, the words beside the light, and what is said on hovering.
    """
    place = where.partition("://")[2] or "this computer"
    if problem:
        return "gone", f"{place}: no answer", problem
    if status is None or not status.workers:
        return "off", f"runs on {place}", "The models are loaded when they are first needed."
    states = [worker.state for worker in status.workers]
    kind = next((state for state in ("busy", "starting", "idle") if state in states), "off")
    words = [place]
    devices = sorted({worker.device for worker in status.workers if worker.device})
    words += devices or ["starting" if kind == "starting" else "off"]
    memory = sum(worker.memory_bytes or 0 for worker in status.workers)
    if memory and devices:
        words.append(f"{memory / 2**30:.1f} GB")
    if kind == "busy":
        words.append("working")
    if status.waiting:
        words.append(f"{status.waiting} waiting")
    restarts = sum(worker.restarts for worker in status.workers)
    more = [f"Models restarted {restarts} time{'s' if restarts != 1 else ''}."] if restarts else []
    more += [status.note] if status.note else []
    return kind, " · ".join(words), "\n".join([*more, "Click to let the models run elsewhere."])


class BackendLight(QToolButton):
    """A coloured dot and a few words; a click asks where the models shall run.

    Parameters
    ----------
    link : BackendLink
        Whose backend is watched.
    session : Session
        Is told what goes wrong.
    """

    def __init__(self, link: BackendLink, session: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.link, self.session = link, session
        self.setAutoRaise(True)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Where the models run")
        self.clicked.connect(self._choose)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(EVERY_MS)
        self.kind = self._words = ""
        self._show(None, "")

    def refresh(self) -> None:
        """Ask how the backend is, if anybody can see it."""
        if self.isVisible():
            self.link.ask_status(self._show)

    def let_go(self) -> None:
        """Ask no more."""
        self._timer.stop()

    def _show(self, status: BackendStatus | None, problem: str) -> None:
        self.kind, words, more = status_words(status, problem, self.link.where)
        self._words = f"● {words}"
        self.setToolTip(f"{words}\n{more}")
        self.setAccessibleName(f"Where the models run: {words}")
        colour = COLOURS[self.kind][not self.session.dark]
        self.setStyleSheet(f"QToolButton {{ color: {colour}; font-size: 8.5pt; border: none; }}")
        self.updateGeometry()
        self._fit()

    def sizeHint(self) -> QSize:
        """As wide as all words are."""
        return QSize(self.fontMetrics().horizontalAdvance(self._words) + MARGIN_PX, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """As wide as a few letters: a long address does not cut the dock."""
        return QSize(LEAST_PX, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Say as much as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.width() if self.isVisible() else 10_000
        self.setText(self.fontMetrics().elidedText(self._words, Qt.TextElideMode.ElideRight, room))

    def _choose(self) -> None:
        dialog = BackendDialog(self.link.where, self)
        if dialog.exec():
            self.use(dialog.address(), dialog.token())

    def use(self, address: str, token: str | None) -> None:
        """Let the models run on a server, or on this computer if `address` is empty."""
        self._words = "● connecting…"
        self._fit()

        def make() -> Any:
            if address:
                return server_backend(address, token)
            from ..backend.process import ProcessBackend

            backend = ProcessBackend()
            backend.prepare()
            return backend

        def failed(message: str) -> None:
            self.session.fail(message)
            self.refresh()

        self.link.use(address, make, self.refresh, failed)


class BackendDialog(QDialog):
    """Asks for the address and token of a server."""

    def __init__(self, where: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Where the models run")
        self.setMinimumWidth(420)
        form = QFormLayout(self)
        form.addRow(parts.text("Leave the address empty to run them on this computer.", quiet=True))
        self._address = QLineEdit(where)
        self._address.setPlaceholderText("http://127.0.0.1:8765, as 'neurrator serve' says it")
        self._token = QLineEdit()
        self._token.setEchoMode(QLineEdit.EchoMode.Password)
        self._token.setPlaceholderText("what the server was started with; empty: NEURRATOR_TOKEN")
        form.addRow("Server", self._address)
        form.addRow("Token", self._token)
        form.addRow(
            parts.text("Spike windows, frames and the decoder are sent there; decoders are fitted here.", quiet=True)
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def address(self) -> str:
        """Return the address, empty for this computer."""
        return self._address.text().strip()

    def token(self) -> str | None:
        """Return the token, None for the environment's."""
        return self._token.text().strip() or None
