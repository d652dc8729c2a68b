"""Keys of the window. They are bound in the viewer's own map, so that a layer's keys go before, and a key that napari or the user has bound stays theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .state import PATCHES


@dataclass(frozen=True)
class Shortcut:
    """A key, what it is called, and what it does."""

    key: str
    """As napari spells it."""
    shown: str
    words: str
    group: str


SHORTCUTS = (
    Shortcut("K", "K", "Play or pause the film", "Play"),
    Shortcut(",", ",", "One second back", "Play"),
    Shortcut(".", ".", "One second on", "Play"),
    Shortcut("Shift-N", "Shift+N", "Narrate the whole showing, or stop", "Play"),
    Shortcut("N", "N", "Narrate this frame now", "Narrate"),
    Shortcut("H", "H", "Lay the next concept on the frame; after the last, none", "Narrate"),
    Shortcut("G", "G", "Draw a lasso, or stop drawing", "Select"),
    Shortcut("Q", "Q", "Select nothing", "Select"),
    Shortcut("Control-Z", "Ctrl+Z", "Undo: selection and groups", "Select"),
    Shortcut("Control-Shift-Z", "Ctrl+Shift+Z", "Do again what was undone", "Select"),
    Shortcut("U", "U", "Colour the units by something else", "Look"),
    Shortcut("J", "J", "Fit the whole scene into the window", "Look"),
    Shortcut("F1", "F1", "Show this help", "Look"),
)
MOUSE = (
    ("Click a unit", "Select it; with Shift add it or take it away, with Alt (or Ctrl) take it away"),
    ("Lasso", "Draw round units; with Shift they are added, with Alt (or Ctrl) taken away"),
    ("Rest on a unit", "What it is: region, depth, rate, cell type"),
    ("Click a word", "In the sentence in Narrate: which units say it? A concept's menu ⋯ asks the same"),
    (
        "Ask on the frame",
        "Click a patch, drag a rectangle, or with Shift a lasso: which units say what was decoded there?",
    ),
    ("Click the track", "Go there; drag, or use the arrow keys, Page Up and Down, Home and End"),
    ("Drop a file", "On the canvas: open a recording, a saved session, or a table of presentations"),
)
NAPARIS = (("← →", "One frame back or on"), ("Space (held)", "Move the picture while drawing"))


class Shortcuts:
    """Binds the keys while its workspace lives.

    Attributes
    ----------
    bound : tuple of Shortcut
        Those that were free.
    """

    def __init__(self, viewer: Any, workspace: Any) -> None:
        self._viewer, self.workspace = viewer, workspace
        self._helper: Any = None
        made = []
        for shortcut in SHORTCUTS:
            try:
                viewer.bind_key(shortcut.key, self._caller(shortcut.key))
            except ValueError:  # bound by the user or by another plugin
                continue
            made.append(shortcut)
        self.bound = tuple(made)

    def close(self) -> None:
        """Let go of the keys."""
        for shortcut in self.bound:
            self._viewer.bind_key(shortcut.key, None, overwrite=True)
        self.bound = ()
        if self._helper is not None:
            self._helper.close()
            self._helper = None

    def do(self, key: str) -> None:
        """Do what a key does."""
        workspace = self.workspace
        session = workspace.session
        actions: dict[str, Callable[[], Any]] = {
            "K": workspace.player.toggle,
            ",": lambda: workspace.player.jump(-1.0),
            ".": lambda: workspace.player.jump(1.0),
            "Shift-N": workspace.ahead.narrate_whole,
            "N": workspace.narrator.narrate,
            "H": self._next_concept,
            "G": self._lasso,
            "Q": lambda: session.select(()),
            "Control-Z": workspace.history.undo,
            "Control-Shift-Z": workspace.history.redo,
            "U": self._next_colour,
            "J": workspace.layers.look,
            "F1": self.show_help,
        }
        actions[key]()

    def show_help(self) -> None:
        """Open the help panel."""
        from .help_panel import HelpPanel

        if self._helper is None:
            self._helper = HelpPanel(self.workspace)
        self._helper.show()
        self._helper.raise_()
        self._helper.activateWindow()

    def _caller(self, key: str) -> Callable[[Any], None]:
        def call(_viewer: Any) -> None:
            self.do(key)

        return call

    def _lasso(self) -> None:
        session = self.workspace.session
        if session.recording is None:
            session.warn("Open a recording before drawing a lasso.")
            return
        session.lassoing = not session.lassoing

    def _next_concept(self) -> None:
        session = self.workspace.session
        result = session.result
        names = [] if result is None else [concept.name for concept in result.concepts]
        choices: list[str | None] = [
            None,
            *names,
            *([PATCHES] if result is not None and result.cosine is not None else []),
        ]
        at = choices.index(session.shown) if session.shown in choices else 0
        session.shown = choices[(at + 1) % len(choices)]

    def _next_colour(self) -> None:
        from .recording_dock import colour_choices

        session = self.workspace.session
        if session.recording is None:
            return
        choices = colour_choices(session)
        at = choices.index(session.colour_by) if session.colour_by in choices else -1
        session.colour_by = choices[(at + 1) % len(choices)]
