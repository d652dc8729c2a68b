"""One viewer's session and its controllers: made on first use, ended when the window closes."""

import contextlib
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtCore import QTimer

from ..backend.client import Backend
from ..session_file import is_session_file
from . import compat
from .ahead import Ahead
from .asking import Asking
from .backend_link import BackendLink, child_process_backend
from .brain import BrainView
from .comparing import Comparing
from .concept_labels import ConceptLabels
from .course import CourseFollower
from .decoders import Decoders
from .difference_layer import DifferenceLayer
from .exporting import Exporting
from .frame_tool import FrameTool
from .gallery import GalleryFinder
from .history import History
from .hover import Hover
from .inspecting import Inspector
from .keeping import Keeping
from .lasso import LassoTool
from .layers import SceneLayers
from .loader import Loader, import_readers
from .matching import MatchFollower
from .narrator import Narrator
from .patch_grid import PatchGrid
from .player import Player
from .remembering import Remembering
from .shortcuts import Shortcuts
from .showing import Showing
from .state import Session
from .threads import Background, MainThread


class Workspace:
    """Everything that belongs to one viewer. Use `Workspace.of`, which makes one a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Its viewer.
    make_backend : callable
        Makes the backend on first use.
    """

    _by_viewer: ClassVar["weakref.WeakKeyDictionary[Any, Workspace]"] = weakref.WeakKeyDictionary()

    def __init__(self, viewer: Any, make_backend: Callable[[], Backend] = child_process_backend) -> None:
        viewer = compat.unwrap(viewer)
        self._viewer = weakref.ref(viewer)
        self.session = Session()
        self.remembering = Remembering(self.session)
        self.main = MainThread()
        self.background = Background(self.main)
        self.reading = Background(self.main, "neurrator-spikes")
        self.counting = Background(self.main, "neurrator-course")
        self.preparing = Background(self.main, "neurrator-ahead")
        self.writing = Background(self.main, "neurrator-export")
        self.link = BackendLink(self.main, make_backend)
        self.layers = SceneLayers(viewer, self.session)
        self.loader = Loader(self.session, self.background, self.reading)
        self.lasso = LassoTool(viewer, self.session, self.layers)
        self.brain = BrainView(viewer, self.session, self.layers)
        self.narrator = Narrator(self.session, self.link)
        self.decoders = Decoders(self.session, self.link)
        # before those that ask it which frame is due
        self.player = Player(self.session)
        self.showing = Showing(self.session, self.player)
        self.layers.showing = self.showing
        self.ahead = Ahead(self.session, self.player, self.link, self.preparing)
        self.history = History(self.session)
        self.hover = Hover(viewer, self.session, self.layers, self.lasso)
        self.shortcuts = Shortcuts(viewer, self)
        self.keeping = Keeping(self.session, self.loader, self.decoders)
        self.labels = ConceptLabels(self.session, self.link)
        self.gallery = GalleryFinder(self.session, self.link)
        self.course = CourseFollower(self.session, self.link, self.counting)
        self.frame_tool = FrameTool(viewer, self.session, self.layers)
        self.asking = Asking(self.session, self.link, self.frame_tool)
        self.inspector = Inspector(self.session, self.link, self.frame_tool)
        self.matching = MatchFollower(self.session, self.link, self.counting)
        self.patch_grid = PatchGrid(viewer, self.session, self.layers)
        self.exporting = Exporting(self.session, self.writing)
        self.comparing = Comparing(self.session, self.link)
        self.difference = DifferenceLayer(viewer, self.session, self.layers)
        self.session.notified.connect(notify)
        if self.remembering.problem:
            self.session.warn(self.remembering.problem)
        self.session.events.decoder.connect(self._warm_up)
        self.session.scene_changed.connect(self._place_strip)
        self.docks: dict[str, Any] = {}
        self.strip: Any = None
        self.tour: Any = None
        self._on_close: list[Callable[[], None]] = []
        self.closed = False
        compat.on_close(viewer, self.close)
        self.background.run(import_readers, lambda _: None, lambda _: None)
        self.session.scene_changed.connect(self._warm_up_lasso)

    @classmethod
    def of(cls, viewer: Any, make_backend: Callable[[], Backend] | None = None) -> "Workspace":
        """Return the workspace of `viewer`; `make_backend` counts on the first call only."""
        viewer = compat.unwrap(viewer)
        found = cls._by_viewer.get(viewer)
        if found is None or found.closed:
            found = cls(viewer, make_backend or child_process_backend)
            cls._by_viewer[viewer] = found
        return found

    @property
    def viewer(self) -> Any:
        """The viewer, or None once it is gone."""
        return self._viewer()

    def open(
        self,
        source: str | Path | Any,
        frames: str | None = None,
        stimulus: str | None = None,
        decoder: str | None = None,
    ) -> None:
        """Open a recording, and a decoder once it is open, or a session file with all that was open; returns at once."""
        if isinstance(source, str | Path) and is_session_file(source):
            self.keeping.open(source)
            return

        def choose() -> None:
            if decoder is not None and decoder != self.session.decoder_folder:
                self.decoders.choose(decoder)

        self.loader.open(source, frames, stimulus, choose)

    def _warm_up_lasso(self) -> None:
        # Once there is something to lasso: before, it would delay the opening.
        self.session.scene_changed.disconnect(self._warm_up_lasso)
        self.background.run(compat.warm_up_shapes, lambda _: None, lambda _: None)

    def _warm_up(self, decoder: Any) -> None:
        # imports and weights are loaded before the first narration asks for them
        if decoder is not None:
            self.link.warm_up()

    def _place_strip(self) -> None:
        # with the first film: before, there is nothing whose course could be shown
        viewer, session = self.viewer, self.session
        if session.stimulus is None or viewer is None or compat.qt_window(viewer) is None:
            return
        session.scene_changed.disconnect(self._place_strip)
        from .course_strip import course_strip

        self.strip = course_strip(viewer)
        compat.add_below_slider(viewer, self.strip, "Course")
        # the canvas has become lower
        QTimer.singleShot(0, self.look)

    def look(self) -> None:
        """Fit the view to the scene, after the canvas changed its size."""
        if not self.closed and self.viewer is not None:
            self.layers.look()

    def show_gallery(self, concept: str) -> None:
        """Look for the frames in which a concept is strongest, and show them in front."""
        self.gallery.show(concept)
        if self.session.gallery is not None and self.session.gallery.concept == concept:
            from .gallery_panel import show_gallery

            show_gallery(self)

    def who_says(self, concept: str) -> None:
        """Ask which units say a concept, and show the answer in front."""
        self.show_asking()
        self.asking.ask_concept(concept)

    def who_said_word(self, place: int) -> None:
        """Ask which units say a word of the sentence, and show the answer in front."""
        self.show_asking()
        self.asking.ask_word(place)

    def show_asking(self, front: bool = True) -> None:
        """Put the Ask back panel beside Narrate."""
        from .ask_panel import show_asking

        show_asking(self, front)

    def show_inspector(self, front: bool = True) -> None:
        """Put the Patches panel beside Narrate."""
        from .inspect_panel import show_inspector

        show_inspector(self, front)

    def show_comparing(self, front: bool = True) -> None:
        """Put the Compare panel beside Narrate."""
        from .compare_panel import show_comparing

        show_comparing(self, front)

    def arrange(self) -> None:
        """Put all docks where they belong, if the window is still there."""
        from .launch import arrange

        if not self.closed and self.viewer is not None:
            arrange(self.viewer)

    def show_tour(self) -> None:
        """Show the four steps."""
        from .tour import Tour

        if not self.closed and self.tour is None and compat.qt_window(self.viewer) is not None:
            self.tour = Tour(self)

    def offer_tour(self) -> None:
        """Show the four steps to those who have not seen them."""
        if not self.remembering.settings.toured:
            self.show_tour()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call `callback` when this workspace ends."""
        self._on_close.append(callback)

    def close(self) -> None:
        """Disconnect everything and join the workers. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        for callback in self._on_close:
            with contextlib.suppress(RuntimeError):
                callback()
        self._on_close = []
        self.docks = {}
        self.session.notified.disconnect(notify)
        self.session.events.decoder.disconnect(self._warm_up)
        with contextlib.suppress(ValueError):
            self.session.scene_changed.disconnect(self._place_strip)
        for part in (
            self.exporting,
            self.asking,
            self.inspector,
            self.matching,
            self.comparing,
            self.difference,
            self.patch_grid,
            self.frame_tool,
            self.course,
            self.gallery,
            self.labels,
            self.remembering,
            self.shortcuts,
            self.hover,
            self.history,
            self.ahead,
            self.showing,
            self.player,
            self.narrator,
            self.decoders,
            self.brain,
            self.lasso,
            self.loader,
            self.layers,
            self.main,
            self.link,
            self.background,
            self.reading,
            self.counting,
            self.preparing,
            self.writing,
        ):
            part.close()


def notify(level: str, message: str) -> None:
    """Show a sentence in napari's own way."""
    from napari.utils.notifications import show_error, show_info, show_warning

    {"error": show_error, "info": show_info}.get(level, show_warning)(message)
