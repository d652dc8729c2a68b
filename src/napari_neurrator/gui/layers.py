"""The scene: adds the layers of a recording to the viewer and keeps them as the session says."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
from psygnal import Signal

from . import compat, layer_data, subtitle
from . import layer_styles as styles
from .brain_layers import UNIT_UM, brain_labels, places
from .frames import Frames
from .layout import Layout, lay_out
from .player import FOLLOW_S
from .showing import Showing
from .state import INTERPOLATIONS, PATCHES, HeatScale, Session

EMPTY_FRAME = (400, 380)
"""Stands in for a frame where there is none: its shape gives the probes a tall panel."""


RING = 0.13
"""Width of the ring round a chosen unit, as a share of its dot, so that its colour stays to be seen."""


CAPTION_S = 0.1


class SceneLayers:
    """Owns the layers named in `layer_styles` and listens to one session.

    A layer that the user deletes is left deleted until the next recording or stimulus is opened.
    """

    built = Signal()
    attached = Signal()

    def __init__(self, viewer: Any, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.layout: Layout | None = None
        self.painting = False
        self.away = False
        """Whether the brain view stands in place of this scene."""
        self._base: tuple[Any, np.ndarray] = (None, np.zeros((0, 4)))
        self.showing: Showing | None = None
        """Gives sentence and maps while the film plays; the workspace sets it."""
        self._scaled: Any = None
        self._captioned_s = self._moved_s = 0.0
        session.dark = compat.is_dark(viewer)
        events = session.events
        self._links: list[tuple[Any, Callable]] = [
            (session.scene_changed, self.build),
            (events.selected, self.paint_units),
            (events.colour_by, self.paint_units),
            (events.counts, self._paint_counts),
            (events.only_good, self.paint_units),
            (events.contribution, self._on_contribution),
            (events.dark, self._retheme),
            (events.playing, self._on_playing),
            (events.spoken, self._subtitle),
            (session.units_described, self._on_described),
            (events.frame, self._on_frame),
            (events.repeat, self._caption),
            (events.result, self._heatmap),
            (events.shown, self._heatmap),
            (events.opacity, self._on_opacity),
            (events.interpolation, self._on_interpolation),
            (events.heat_colours, self._on_heat_colours),
            (events.colour_bar, self._colour_bar),
            (events.geometry, self._crop),
            (events.job, self._opened),
        ]
        for signal, slot in self._links:
            signal.connect(slot)
        self._viewer = compat.unwrap(viewer)
        self._viewer.dims.events.current_step.connect(self._on_slider)
        self._no_theme = compat.on_theme(viewer, self._on_theme)

    def close(self) -> None:
        """Stop listening."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links = []
        self._viewer.dims.events.current_step.disconnect(self._on_slider)
        self._no_theme()

    # -- reading ---------------------------------------------------------------------------------------------------------------------
    def get(self, name: str) -> Any | None:
        """Return one of the scene's layers, or None if it is not there."""
        layers = self._viewer.layers
        return layers[name] if name in layers else None  # noqa: SIM401 (a LayerList has no get)

    @property
    def positions(self) -> np.ndarray:
        """World position (y, x) of every unit."""
        return np.zeros((0, 2)) if self.layout is None else self.layout.positions

    @property
    def diameter(self) -> float:
        """Nominal size of a unit's dot in the world."""
        return 1.0 if self.layout is None else self.layout.diameter

    # -- building --------------------------------------------------------------------------------------------------------------------
    def build(self) -> None:
        """Lay out recording and stimulus from scratch."""
        session, layers = self.session, self._viewer.layers
        session.view = "probe"
        scene = (
            styles.LASSO, styles.UNITS, styles.CAPTION, styles.LABELS, styles.PROBES, styles.SENTENCE, styles.CHOSEN_PATCHES, styles.PATCH_GRID, styles.DIFFERENCE, styles.CROP,
            styles.HEATMAP, styles.MOVIE, styles.OPENING,
        )  # fmt: skip
        with compat.batched(self._viewer):
            for name in scene:
                if name in layers:
                    del layers[name]
        if session.recording is None:
            self.layout = None
            compat.set_title(self._viewer, "")
            return
        compat.set_title(self._viewer, " · ".join(w for w in (session.recording.name, session.population) if w))
        table = session.recording.units
        height, width = EMPTY_FRAME if session.stimulus is None else session.stimulus.frame(0).shape[:2]
        self.layout = lay_out(table, height, width)
        dark = session.dark
        colours = self._region_colours()
        if session.stimulus is not None:
            self.add(layer_data.movie(session.stimulus, session.stimulus_name, session.source, session.stimulus_file))
            self._viewer.dims.set_current_step(0, 0)
            compat.name_axes(self._viewer, "t", "y", "x")
            self._add_heatmap()
            self._viewer.add_shapes(ndim=2, name=styles.CROP, opacity=1.0, visible=False)
            self._viewer.add_shapes(ndim=2, name=styles.CHOSEN_PATCHES, opacity=1.0, visible=False)
            self._viewer.add_shapes(ndim=2, name=styles.SENTENCE, opacity=1.0, visible=False)
        self.add(layer_data.probes(self.layout, colours, dark))
        self.add(layer_data.labels(self.layout, colours, compat.text_width, session.moments is not None, dark))
        self.add(layer_data.caption(self.layout, dark))
        self.add(layer_data.units(table, self.layout, session.colour_by, dark))
        self.add(layer_data.lasso(self.layout, dark))
        compat.protect_points(layers[styles.UNITS])
        self._draw_less()
        self._caption()
        self._crop()
        self.paint_units()
        self.look()
        layers.selection.active = layers[styles.UNITS]
        for warning in self.layout.warnings:
            session.warn(warning)
        self.built.emit()
        self.attached.emit()

    def _draw_less(self) -> None:
        empty = "shape_highlights", "highlight_lines", "highlight_vertices"
        for name, parts in (
            (styles.LABELS, ("points_markers", "selection_markers", "highlight_lines")),
            (styles.CAPTION, ("points_markers", "selection_markers", "highlight_lines")),
            (styles.PROBES, (*empty, "text")),
            (styles.SENTENCE, empty),
            (styles.CROP, empty),
            (styles.CHOSEN_PATCHES, empty),
        ):
            layer = self.get(name)
            if layer is not None:
                compat.draw_less(self._viewer, layer, *parts)

    def _opened(self) -> None:
        # the stand-in of a sample goes, whether opening went well or not
        if self.session.job.kind != "opening" and styles.OPENING in self._viewer.layers:
            del self._viewer.layers[styles.OPENING]

    def look(self) -> None:
        """Fit the whole scene into the canvas."""
        if self.layout is None or self.away:
            return
        frame, panel = self.layout.frame, self.layout.panel
        words = 0.075 * panel.height
        if self.session.stimulus is None:
            compat.look_at(self._viewer, panel.top - words, panel.left - words, panel.bottom + words, panel.right)
            return
        left, right = min(frame.left, panel.left - 1.2 * words), max(frame.right, panel.right)
        compat.look_at(
            self._viewer, frame.top - words, left, max(frame.bottom, panel.bottom + words), right, margin=0.015
        )

    def add(self, data: layer_data.LayerTuple) -> Any:
        """Add a layer tuple to the viewer."""
        array, options, kind = data
        return getattr(self._viewer, f"add_{kind}")(array, **options)

    def _add_heatmap(self) -> None:
        session = self.session
        layer = self._viewer.add_image(
            np.zeros((2, 2), np.float32),
            name=styles.HEATMAP,
            colormap=styles.heat_colormap(session.heat_colours),
            blending="translucent",
            interpolation2d=session.interpolation,
            opacity=session.opacity,
            contrast_limits=(0.0, 1.0),
            visible=False,
        )
        # napari's own controls may change them too
        for signal in (layer.events.contrast_limits, layer.events.colormap, layer.events.gamma, layer.events.visible):
            signal.connect(self._read_heat_scale)
        layer.events.interpolation2d.connect(self._read_interpolation)

    # -- units -----------------------------------------------------------------------------------------------------------------------
    @contextmanager
    def _painting(self) -> Any:
        self.painting = True
        try:
            yield
        finally:
            self.painting = False

    def paint_units(self) -> None:
        """Colour, size and mark the units: chosen ones ringed in white, the others dimmed while some are chosen, failing ones hidden."""
        session = self.session
        if session.recording is None:
            return
        colours = self._colours()
        chosen = self._chosen()
        border = np.zeros((len(colours), 4))
        if chosen.any():
            colours[~chosen, 3] = styles.DIMMED
        # where an answer is shown, the units that make it up are ringed in place of all that were asked
        ringed = self._explaining() if session.colour_by == "contribution" else None
        ringed = chosen if ringed is None else ringed
        border[ringed] = styles.rgba([styles.scene(session.dark).ring])
        width = np.where(ringed, RING, 0.0)
        with self._painting():
            for layer, diameter, shown in self._unit_layers():
                if not np.array_equal(layer.shown, shown):
                    layer.shown = shown
                compat.paint_points(self._viewer, layer, colours, border, width, self._sizes(diameter, chosen))

    # -- themes ----------------------------------------------------------------------------------------------------------------------
    def _region_colours(self) -> dict[str, str]:
        table = self.session.recording.units
        return styles.categories(table["region"], self.session.dark) if "region" in table else {}

    def _on_theme(self) -> None:
        self.session.dark = compat.is_dark(self._viewer)

    def _retheme(self) -> None:
        """Give what lies on the bare canvas the colours of the theme."""
        session = self.session
        if session.recording is None or self.layout is None:
            return
        dark, colours = session.dark, self._region_colours()
        made = [
            layer_data.labels(self.layout, colours, compat.text_width, session.moments is not None, dark),
            layer_data.caption(self.layout, dark),
        ]
        if self.away:
            made.append(brain_labels(session.recording.units, dark))
        for _, options, _ in made:
            layer = self.get(options["name"])
            if layer is not None and len(layer.data) == len(options["text"]["color"]):
                layer.text.color = options["text"]["color"]
                layer.refresh_text()
        probes, lasso = self.get(styles.PROBES), self.get(styles.LASSO)
        if probes is not None:
            _, options, _ = layer_data.probes(self.layout, colours, dark)
            if len(options["edge_color"]) == probes.nshapes:
                probes.edge_color, probes.face_color = options["edge_color"], options["face_color"]
        if lasso is not None:
            lasso.current_edge_color = styles.scene(dark).ring
            if lasso.nshapes:
                lasso.edge_color = styles.scene(dark).ring
        self._crop()
        self.paint_units()

    def _paint_counts(self) -> None:
        """Show another moment: only sizes change, and colours where they say what fires."""
        if self.session.colour_by == "firing now":
            self.paint_units()
            return
        chosen = self._chosen()
        with self._painting():
            for layer, diameter, _ in self._unit_layers():
                compat.resize_points(self._viewer, layer, self._sizes(diameter, chosen))

    def _unit_layers(self) -> list[tuple[Any, float, np.ndarray]]:
        """Return the layers that show the units, the size of their dots, and which of them are shown."""
        found = []
        layer, brain, visible = self.get(styles.UNITS), self.get(styles.BRAIN_UNITS), self.session.visible
        if layer is not None and len(layer.data) == len(visible):
            found.append((layer, self.diameter, visible))
        if brain is not None and len(brain.data) == len(visible):
            found.append((brain, UNIT_UM, visible & places(self.session.recording.units)[1]))
        return found

    def _colours(self) -> np.ndarray:
        session = self.session
        units, by = session.recording.units, session.colour_by
        if by == "firing now":
            return styles.unit_colours(units, by, session.counts, dark=session.dark)
        now = (units, by, session.contribution, session.dark)
        if self._base[0] is None or any(a is not b for a, b in zip(self._base[0], now, strict=True)):
            colours = styles.unit_colours(units, by, None, contribution=session.contribution, dark=session.dark)
            self._base = (now, colours)
        return self._base[1].copy()

    def _sizes(self, diameter: float, chosen: np.ndarray) -> np.ndarray:
        return styles.unit_sizes(diameter, self.session.counts, len(chosen)) * np.where(chosen, 1.2, 1.0)

    def _chosen(self) -> np.ndarray:
        session = self.session
        chosen = np.zeros(len(session.unit_ids), bool)
        chosen[session.rows(session.selected)] = True
        return chosen

    def _explaining(self) -> np.ndarray | None:
        """Return which units make up most of what was asked back, (unit,); None where nothing was."""
        asked = self.session.asked
        if asked is None or not asked.known:
            return None
        explaining = np.zeros(len(self.session.unit_ids), bool)
        explaining[self.session.rows(asked.explained)] = True
        return explaining

    def _on_contribution(self) -> None:
        if self.session.colour_by == "contribution":
            self.paint_units()

    def _on_described(self) -> None:
        """Show what has been found out of the units, such as cell types by optotagging."""
        layer = self.get(styles.UNITS)
        if layer is not None and len(layer.data) == len(self.session.unit_ids):
            layer.features = layer_data.features_of(self.session.recording.units)
        self.paint_units()

    def restore_units(self) -> None:
        """Put units back where the probe recorded them, after the mouse moved or the keyboard removed some."""
        moved = False
        with self._painting():
            for name in (styles.UNITS, styles.BRAIN_UNITS):
                layer = self.get(name)
                if layer is None or self.layout is None:
                    continue
                where = self.positions if name == styles.UNITS else places(self.session.recording.units)[0]
                if not np.array_equal(layer.data, where):
                    layer.data, moved = where, True
        if moved:
            self.paint_units()

    # -- time ------------------------------------------------------------------------------------------------------------------------
    def _on_slider(self) -> None:
        if not self.away and self.get(styles.MOVIE) is not None:
            self.session.frame = compat.frame_of(self._viewer)

    def _on_frame(self) -> None:
        session, movie = self.session, self.get(styles.MOVIE)
        if session.playing and movie is not None and not self.away:
            self._play_to(movie)
            self._heatmap()
            # nobody reads numbers faster
            if time.perf_counter() - self._captioned_s < CAPTION_S:
                return
        else:
            self.return_to_frame()
        self._captioned_s = time.perf_counter()
        self._caption()

    def _play_to(self, movie: Any) -> None:
        now, frame = time.perf_counter(), self.session.frame
        if now - self._moved_s >= FOLLOW_S or not compat.draw_frame(self._viewer, movie, frame):
            self._moved_s = now
            compat.play_to_frame(self._viewer, movie, frame)
        if isinstance(movie.data, Frames):
            movie.data.read_ahead(frame)

    def _on_playing(self, on: bool) -> None:
        if not on and not self.away and self.get(styles.MOVIE) is not None:
            self.return_to_frame()
            compat.settle_dims(self._viewer)
            self._caption()
        self._scaled = None
        self._heatmap()

    def return_to_frame(self) -> None:
        """Put the slider where the session says."""
        if not self.away and self.get(styles.MOVIE) is not None:
            compat.go_to_frame(self._viewer, self.session.frame)

    def _caption(self) -> None:
        layer = self.get(styles.CAPTION)
        if layer is None or self.layout is None:
            return
        text = self.caption_text()
        points = layer_data.label_points(self.layout)
        left = self.layout.frame.left + compat.text_width(text, points) / 2
        # digits are of one width, so that the words seldom move; moving them costs more than all the rest
        if abs(layer.data[0, 1] - left) > 0.002 * self.layout.frame.width:
            data = np.array(layer.data)
            data[0, 1] = left
            layer.data = data
        layer.text.string = [text]
        layer.refresh_text()

    def caption_text(self) -> str:
        """Say in words what is on screen: stimulus, frame, time in the movie, showing."""
        session = self.session
        if session.stimulus is None:
            text = f"{session.stimulus_name}: no frames" if session.stimulus_name else ""
            return "   ".join(words for words in (text, session.population) if words)
        text = f"{session.stimulus_name}   frame {session.frame + 1} of {session.stimulus.n_frames}"
        if session.stimulus.frame_rate_hz:
            text += f"   {session.frame / session.stimulus.frame_rate_hz:.2f} s"
        if session.moments is not None and session.moments.n_repeats > 1:
            text += f"   showing {session.repeat + 1} of {session.moments.n_repeats}"
        if session.population:
            text += f"   {session.population}"
        return text

    # -- what was said ---------------------------------------------------------------------------------------------------------------
    def _subtitle(self) -> None:
        layer = self.get(styles.SENTENCE)
        if layer is not None and self.layout is not None:
            subtitle.show(layer, *subtitle.words_of(self.session.spoken), self.layout.frame, compat.text_width)

    def heat_values(self) -> tuple[np.ndarray, tuple[float, float]] | None:
        """Return what lies on the frame now and the range of its colours, or None.

        While the film plays it is what is known of the play head's place. One range holds for all of the showing, so that brightness can be compared from frame to frame.
        """
        session = self.session
        if self.showing is None:
            return None if session.result is None else heat_of(session.result, session.shown)
        here = self.showing.map_at(session.frame) if session.playing else session.result
        found = None if here is None else heat_of(here, session.shown)
        return None if found is None else (found[0], (0.0, max(self._top(), found[1][1])))

    def _top(self) -> float:
        """Return the largest patch of what is shown in this showing, as far as it is known."""
        assert self.showing is not None
        now = (self.session.shown, self.showing.results)
        if self._scaled is None or any(a is not b for a, b in zip(self._scaled[0], now, strict=True)):
            self._scaled = (now, self.showing.top(self.session.shown))
        return self._scaled[1]

    def _heatmap(self) -> None:
        layer, session = self.get(styles.HEATMAP), self.session
        if layer is None:
            return
        geometry = session.geometry
        if geometry is None or session.shown is None:
            compat.show_layer(layer, False)
            return
        heat = self.heat_values()
        # an empty map rather than a hidden layer, for showing and hiding makes napari build its scene anew
        values, limits = heat or (np.zeros((geometry.rows, geometry.columns), np.float32), None)
        compat.show_image(self._viewer, layer, values)
        if limits is None and not session.playing:
            limits = (0.0, 1.0)
        if limits is not None and tuple(layer.contrast_limits) != limits:
            layer.contrast_limits = limits
        if not np.array_equal(layer.scale, geometry.scale):
            layer.scale = geometry.scale
        if not np.array_equal(layer.translate, geometry.translate):
            layer.translate = geometry.translate
        compat.show_layer(layer, True)
        self._colour_bar()

    def _on_opacity(self) -> None:
        layer = self.get(styles.HEATMAP)
        if layer is not None:
            layer.opacity = self.session.opacity

    def _on_interpolation(self) -> None:
        layer = self.get(styles.HEATMAP)
        if layer is not None and str(layer.interpolation2d) != self.session.interpolation:
            layer.interpolation2d = self.session.interpolation

    def _read_interpolation(self) -> None:
        layer = self.get(styles.HEATMAP)
        if layer is not None and str(layer.interpolation2d) in INTERPOLATIONS:
            self.session.interpolation = str(layer.interpolation2d)

    def _on_heat_colours(self) -> None:
        layer = self.get(styles.HEATMAP)
        if layer is not None:
            layer.colormap = styles.heat_colormap(self.session.heat_colours)

    def _read_heat_scale(self) -> None:
        layer = self.get(styles.HEATMAP)
        if layer is None or not layer.visible:
            self.session.heat_scale = None
            return
        colours = np.asarray(layer.colormap.map(np.linspace(0, 1, 64) ** layer.gamma))
        low, high = layer.contrast_limits
        self.session.heat_scale = HeatScale(colours, float(low), float(high))

    def _colour_bar(self) -> None:
        layer = self.get(styles.HEATMAP)
        if layer is not None:
            compat.show_colour_bar(layer, self.session.colour_bar and self.heat_values() is not None)

    def _crop(self) -> None:
        """Outline the part of the frame that the vision model sees, where that is not all of it."""
        layer, geometry = self.get(styles.CROP), self.session.geometry
        if layer is None or self.layout is None:
            return
        frame = self.layout.frame
        if geometry is None or tuple(geometry.crop) == (0, 0, round(frame.height), round(frame.width)):
            compat.show_layer(layer, False)
            return
        top, left, height, width = geometry.crop
        box = np.array([[top, left], [top, left + width], [top + height, left + width], [top + height, left]]) - 0.5
        layer.data = [box]
        layer.edge_color, layer.face_color = "#ffffffb0", "transparent"
        layer.edge_width = 0.004 * frame.height
        layer.text = {
            "string": ["the models see what lies inside the white line"],
            "size": 0.0195 * frame.width / compat.PIXELS_PER_POINT,
            "scaling": True,
            "color": styles.scene(self.session.dark).quiet,
            "anchor": "lower_left",
            "translation": (0.012 * frame.width, 0.0),
        }
        compat.show_layer(layer, True)


def heat_of(result: Any, shown: Any) -> tuple[np.ndarray, tuple[float, float]] | None:
    """Return the map of `shown` in `result` and its colour range, or None where there is none.

    A concept runs from 0 to its largest patch; the patch match runs from 0 to 1, so that two frames can be compared.
    """
    if shown == PATCHES:
        return None if result.cosine is None else (result.cosine, (0.0, 1.0))
    for concept in result.concepts:
        if concept.name == shown:
            return concept.heatmap, (0.0, max(float(np.nanmax(concept.heatmap)), 1e-6))
    return None
