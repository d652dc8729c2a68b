"""Raster and rate of the chosen units under the film, on the axis of the track."""

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy

from . import layer_styles as styles
from . import raster
from .loader import is_remote, spikes_loaded
from .player import Player
from .state import Session
from .strip import GUTTER_PX, Axis, Strip
from .threads import Background

RATE_PX, GAP_PX, BAR_PX = 30, 4, 4
LEAST_PX, WANTED_PX = 70, 130
NAME_PX = 11


class RasterView(Strip):
    """One line a unit, ordered by region and depth and coloured like the dots, above their mean rate.

    Parameters
    ----------
    session : Session
        Says which units, and how they are coloured; all are shown while none is chosen.
    player : Player
        Knows the showing's clock.
    background : Background
        Reads the spikes.
    """

    def __init__(self, session: Session, player: Player, background: Background) -> None:
        super().__init__("Raster and mean rate of the chosen units over the showing", LEAST_PX + RATE_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.session, self.player, self.background = session, player, background
        self._read: raster.Spikes | None = None
        self._read_of: Any = None
        self._asked: object = None

    @property
    def spikes(self) -> raster.Spikes | None:
        """What is drawn; None as soon as another recording is shown, until its own spikes are read."""
        return self._read if self._read_of is self.session.recording else None

    # -- reading ---------------------------------------------------------------------------------------------------------------------
    def read(self) -> None:
        """Read the spikes of the chosen units in the background and draw them when they are there."""
        session, clock = self.session, self.player.clock
        recording = session.recording
        if recording is None or session.stimulus is None or not session.spikes_ready or not len(clock):
            self._asked = self._read = self._read_of = None
            self.redraw()
            return
        rows = self.rows()
        if is_remote(recording) and not spikes_loaded(recording) and not session.selected:
            # those of all would have to be fetched
            rows = rows[:0]
        asked = self._asked = object()

        def work() -> raster.Spikes:
            return raster.read(recording, raster.order(recording.units, rows), clock)

        def then(spikes: raster.Spikes) -> None:
            if asked is self._asked:
                self._read, self._read_of = spikes, recording
                self.redraw()

        def failed(error: BaseException) -> None:
            session.status = f"The raster could not be drawn: {error}"

        self.background.run(work, then, failed)

    def forget(self) -> None:
        """Wait no longer for spikes that are being read: there will be nothing to draw them on."""
        self._asked = None

    def rows(self) -> np.ndarray:
        """Return the rows of the units that are drawn."""
        session = self.session
        if not session.selected:
            return np.flatnonzero(session.visible)
        return np.sort(session.recording.units.index.get_indexer(list(session.selected)))

    # -- drawing ---------------------------------------------------------------------------------------------------------------------
    @property
    def raster_px(self) -> int:
        """Height of the raster."""
        return max(1, self.height() - RATE_PX - GAP_PX - 2)

    def draw(self, painter: QPainter, axis: Axis) -> None:
        """Draw names, raster and rate."""
        top, height = 1, self.raster_px
        inside = QRectF(axis.left, top, axis.right - axis.left, height)
        painter.fillRect(inside, self.ink(10))
        spikes, recording = self.spikes, self.session.recording
        # until those of another recording are read, its units are not these
        if spikes is None or recording is None or not len(spikes.units):
            self._say(painter, inside)
            return
        ratio = self.devicePixelRatioF()
        shown = raster.picture(
            spikes,
            self.colours(spikes),
            axis.start_s,
            axis.stop_s,
            round(inside.width() * ratio),
            round(height * ratio),
        )
        image = QImage(
            shown.tobytes(), shown.shape[1], shown.shape[0], 4 * shown.shape[1], QImage.Format.Format_RGBA8888
        )
        painter.drawImage(inside, image)
        self._draw_regions(painter, spikes, top, height)
        self._draw_rate(painter, axis, spikes, top + height + GAP_PX)

    def colours(self, spikes: raster.Spikes) -> np.ndarray:
        """Return the colours of the units as the dots have them, (n, 3)."""
        session = self.session
        by = "region" if session.colour_by == "firing now" else session.colour_by
        return styles.unit_colours(
            session.recording.units, by, None, contribution=session.contribution, dark=self.is_dark
        )[spikes.units, :3]

    def _say(self, painter: QPainter, inside: QRectF) -> None:
        session = self.session
        if session.recording is None or session.stimulus is None:
            words = "Spikes are shown here once a recording and its film are open."
        elif not session.spikes_ready:
            words = "The spike times are still being read."
        elif self._asked is not None and self.spikes is None:
            words = "Reading spikes …"
        else:
            words = "Draw a lasso round some units to see their spikes."
        painter.setPen(self.ink(150))
        painter.drawText(inside, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, words)

    def _draw_regions(self, painter: QPainter, spikes: raster.Spikes, top: float, height: float) -> None:
        """Name the regions in the gutter, each beside its units, where there is room."""
        table = self.session.recording.units
        if "region" not in table:
            return
        names = table["region"].astype(str).to_numpy()[spikes.units]
        colours = styles.categories(table["region"], self.is_dark)
        painter.setFont(self.small_font())
        free = top
        for name, first, last in raster.blocks(names):
            y0, y1 = (top + height * k / len(names) for k in (first, last))
            painter.fillRect(QRectF(GUTTER_PX - BAR_PX - 2, y0, BAR_PX, max(1.0, y1 - y0 - 0.5)), QColor(colours[name]))
            middle = max((y0 + y1 - NAME_PX) / 2, free)
            if middle + NAME_PX <= max(y1, middle + 1) + 2 and middle + NAME_PX <= top + height + 2:
                words = name if name not in styles.NO_REGION else "no region"
                painter.setPen(self.ink(200))
                room = QRectF(0, middle - 1, GUTTER_PX - BAR_PX - 6, NAME_PX + 2)
                painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)
                free = middle + NAME_PX

    def _draw_rate(self, painter: QPainter, axis: Axis, spikes: raster.Spikes, top: float) -> None:
        middles, rate = raster.rate(spikes, self.player.clock.length)
        ceiling = max(float(rate.max()), 1e-6)
        painter.fillRect(QRectF(axis.left, top, axis.right - axis.left, RATE_PX), self.ink(10))
        self.name(painter, f"{ceiling:.0f} Hz" if ceiling >= 9.5 else f"{ceiling:.1f} Hz", top - 1, 13)
        self.name(painter, "rate", top + RATE_PX - 14, 13)
        seen = (middles >= axis.start_s - 1) & (middles <= axis.stop_s + 1)
        line = [
            QPointF(axis.x(s), top + RATE_PX - (RATE_PX - 2) * v / ceiling)
            for s, v in zip(middles[seen], rate[seen], strict=True)
        ]
        if len(line) < 2:
            return
        painter.setClipRect(QRectF(axis.left, top, axis.right - axis.left, RATE_PX))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.ink(50))
        bottom = top + RATE_PX
        painter.drawPolygon(QPolygonF([QPointF(line[0].x(), bottom), *line, QPointF(line[-1].x(), bottom)]))
        painter.setPen(QPen(self.ink(200), 1.1))
        painter.drawPolyline(QPolygonF(line))
        painter.setClipping(False)

    def tip_at(self, seconds: float, y: float) -> str:
        """Say which unit is under the mouse, or the rate."""
        spikes, session = self.spikes, self.session
        if spikes is None or session.recording is None or not len(spikes.units):
            return ""
        if y > self.raster_px:
            middles, rate = raster.rate(spikes, self.player.clock.length)
            return f"{seconds:.2f} s: {rate[np.abs(middles - seconds).argmin()]:.1f} Hz a unit on average"
        from .hover import unit_words

        line = min(len(spikes.units) - 1, max(0, int((y - 1) / self.raster_px * len(spikes.units))))
        return unit_words(session.recording.units, int(spikes.units[line]))


def words_of(session: Any, n: int) -> str:
    """Say whose spikes are drawn."""
    return f"{n:,} units chosen" if session.selected else f"all {n:,} units, for none is chosen"
