"""The match over time: decoded against true patches of a region, patch by patch as a picture and their mean with its null as a curve."""

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy

from . import layer_styles as styles
from .findings import Match
from .player import Player
from .state import Session
from .strip import GUTTER_PX, Axis, Strip

MAP_PX, CURVE_PX, GAP_PX = 96, 84, 8
LINE, NOTHING = "#f5762f", "#9aa3ae"


class MatchStrip(Strip):
    """Draws ``session.match``; a click goes to that moment.

    Parameters
    ----------
    session : Session
        Holds the match.
    player : Player
        Knows the showing's clock.
    """

    def __init__(self, session: Session, player: Player) -> None:
        super().__init__("Match of decoded and true patches over the showing", MAP_PX + CURVE_PX + GAP_PX + 4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(MAP_PX + CURVE_PX + GAP_PX + 4)
        self.session, self.player = session, player

    # -- numbers ---------------------------------------------------------------------------------------------------------------------
    def span_of(self, match: Match) -> tuple[float, float]:
        """Return the lowest and the highest cosine of the curve's axis, in tenths: the null's lower edge, which nothing is tested against, may lie below."""
        known = np.concatenate([match.mean, match.prior, match.high])
        known = known[np.isfinite(known)]
        if not len(known):
            return 0.0, 1.0
        return float(np.floor(10 * known.min()) / 10), min(1.0, float(np.ceil(10 * known.max() + 1e-6) / 10))

    def frames(self, width: int, axis: Axis) -> np.ndarray:
        """Return the frame that is on at each pixel of the plot, (width,)."""
        clock = self.player.clock
        seconds = axis.start_s + (np.arange(width) + 0.5) / width * (axis.stop_s - axis.start_s)
        at = np.clip(np.searchsorted(clock.onsets, seconds + 1e-9, side="right") - 1, 0, max(0, len(clock) - 1))
        return clock.frames[at]

    # -- drawing ---------------------------------------------------------------------------------------------------------------------
    def draw(self, painter: QPainter, axis: Axis) -> None:
        """Draw picture, null, mean grid and curve."""
        width = axis.right - axis.left
        top = 1.0
        curve_top = top + MAP_PX + GAP_PX
        for y, height in ((top, MAP_PX), (curve_top, CURVE_PX)):
            painter.fillRect(QRectF(axis.left, y, width, height), self.ink(16))
        self.name(painter, "patches", top, 16)
        self.name(painter, "mean", curve_top, 16)
        match, clock = self.session.match, self.player.clock
        if match is None or not len(clock) or not match.n_known:
            self._say(painter, QRectF(axis.left, top, width, MAP_PX), match)
            return
        self._draw_map(painter, match, axis, QRectF(axis.left, top, width, MAP_PX))
        self._draw_curve(painter, match, axis, QRectF(axis.left, curve_top, width, CURVE_PX))

    def _say(self, painter: QPainter, room: QRectF, match: Match | None) -> None:
        if match is None:
            words = "choose a decoder and some units"
        else:
            words = match.problem or (f"{match.stage} …" if match.stage else "being worked out …")
        painter.setFont(self.small_font())
        painter.setPen(self.ink(170))
        painter.drawText(
            room.adjusted(6, 0, -6, 0), int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), words
        )

    def _draw_map(self, painter: QPainter, match: Match, axis: Axis, room: QRectF) -> None:
        """One column a moment and one line a patch, from 0 to 1 as the patch match on the frame; what is not known stays clear."""
        ratio = self.devicePixelRatioF()
        n = max(1, round(room.width() * ratio))
        values = match.filled()[self.frames(n, axis)].T
        colours = np.asarray(styles.heat_colormap(self.session.heat_colours).map(np.linspace(0, 1, 256)))[:, :3]
        table = np.column_stack([np.round(255 * colours), np.full(256, 255)]).astype(np.uint8)
        pixels = table[np.nan_to_num(np.clip(255 * values, 0, 255)).astype(np.uint8)]
        pixels[~np.isfinite(values)] = 0
        pixels = np.ascontiguousarray(pixels)
        image = QImage(pixels.tobytes(), n, len(pixels), 4 * n, QImage.Format.Format_RGBA8888)
        painter.drawImage(room, image)

    def _draw_curve(self, painter: QPainter, match: Match, axis: Axis, room: QRectF) -> None:
        low, high = self.span_of(match)

        def y(values: np.ndarray) -> np.ndarray:
            return room.bottom() - (values - low) / max(high - low, 1e-9) * room.height()

        painter.setFont(self.small_font())
        painter.setPen(self.ink(170))
        for value, at in ((high, room.top() + 14), (low, room.bottom() - 16)):
            painter.drawText(QRectF(0, at, GUTTER_PX - 6, 16), Qt.AlignmentFlag.AlignRight, f"{value:.1f}")
        frames = np.flatnonzero(np.isfinite(match.prior))
        clock = self.player.clock
        seconds = clock.onsets[np.clip(np.searchsorted(clock.frames, frames, side="right") - 1, 0, None)]
        x = np.array([axis.x(float(s)) for s in seconds])
        painter.save()
        painter.setClipRect(room)
        banded = np.isfinite(match.low[frames])
        if banded.any():
            upper = [QPointF(a, b) for a, b in zip(x[banded], y(match.high[frames][banded]), strict=True)]
            lower = [QPointF(a, b) for a, b in zip(x[banded], y(match.low[frames][banded]), strict=True)]
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.ink(46))
            painter.drawPolygon(QPolygonF(upper + lower[::-1]))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        for values, colour, style, wide in (
            (match.prior, NOTHING, Qt.PenStyle.DashLine, 1.1),
            (match.mean, LINE, Qt.PenStyle.SolidLine, 1.7),
        ):
            painter.setPen(QPen(QColor(colour), wide, style))
            painter.drawPolyline(QPolygonF([QPointF(a, b) for a, b in zip(x, y(values[frames]), strict=True)]))
        painter.restore()

    # -- the mouse -------------------------------------------------------------------------------------------------------------------
    def tip_at(self, seconds: float, y: float) -> str:
        """Say what is known of a moment, and over the picture of the patch under the mouse."""
        match = self.session.match
        frame = self.player.clock.at(seconds)
        if match is None or frame >= len(match.prior) or not np.isfinite(match.prior[frame]):
            return ""
        if y <= MAP_PX:
            patches = match.key.patches or range(match.cosine.shape[1])
            which = min(len(patches) - 1, int((y - 1) / MAP_PX * len(patches)))
            row, column = divmod(patches[max(0, which)], self.session.geometry.columns)
            return f"frame {frame + 1}, patch in row {row + 1}, column {column + 1}\ncosine {match.cosine[frame, max(0, which)]:.2f}"
        words = f"frame {frame + 1}\ndecoded against true: {match.mean[frame]:.2f}\nknowing nothing: {match.prior[frame]:.2f}"
        if np.isfinite(match.low[frame]):
            words += f"\nhad another frame been on: {match.low[frame]:.2f} to {match.high[frame]:.2f}"
        return words
