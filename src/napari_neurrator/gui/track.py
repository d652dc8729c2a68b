"""The track under the film: where the sentence changes, how strong a concept is, and what the evidence says; it fills as it is worked out."""

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from .showing import BETTER, GREYED, MAP_REACH_S, NOT_COMPUTED, UNKNOWN, Showing
from .state import PATCHES, Session
from .strip import Axis, Strip

WORDS_PX, CONCEPT_PX, EVIDENCE_PX, GAP_PX = 18, 26, 12, 3
WORDS, CONCEPT = "#56b4e9", "#f5762f"
STANDINGS = {BETTER: "#2fc99a", GREYED: "#8a8f98", UNKNOWN: "#e0a030"}
"""Colours of the evidence; bars differ in height too, for those who cannot tell colours apart."""
HEIGHTS = {BETTER: 1.0, GREYED: 0.55, UNKNOWN: 0.28}
IN_WORDS = {
    BETTER: "more than chance",
    GREYED: "no more than chance",
    UNKNOWN: "not a test",
    NOT_COMPUTED: "not worked out yet",
}


class Track(Strip):
    """Three lanes on one axis of time.

    Parameters
    ----------
    session : Session
        Says what lies on the frame.
    showing : Showing
        What is known of the showing.
    """

    def __init__(self, session: Session, showing: Showing) -> None:
        super().__init__("Track: sentences, concept and evidence over the showing", 0)
        self.session, self.showing = session, showing
        self.setFixedHeight(WORDS_PX + CONCEPT_PX + EVIDENCE_PX + 2 * GAP_PX + 2)

    @property
    def concept_name(self) -> str:
        """What the middle lane shows."""
        shown = self.session.shown
        return "strongest" if shown is None else "match" if shown == PATCHES else shown

    def draw(self, painter: QPainter, axis: Axis) -> None:
        """Draw the lanes."""
        tops = (1, 1 + WORDS_PX + GAP_PX, 1 + WORDS_PX + CONCEPT_PX + 2 * GAP_PX)
        for words, top, height in zip(
            ("sentence", self.concept_name, "evidence"), tops, (WORDS_PX, CONCEPT_PX, EVIDENCE_PX), strict=True
        ):
            self.name(painter, words, top, height)
            painter.fillRect(QRectF(axis.left, top, axis.right - axis.left, height), self.ink(16))
        painter.setClipRect(QRectF(axis.left, 0, axis.right - axis.left, self.height()))
        self._draw_words(painter, axis, tops[0])
        self._draw_concept(painter, axis, tops[1])
        self._draw_evidence(painter, axis, tops[2])
        painter.setClipping(False)

    def onsets(self, frames: Any) -> np.ndarray:
        """Return when frames come on, seconds of the showing."""
        clock = self.showing.player.clock
        if not len(clock):
            return np.zeros(len(frames))
        return clock.onsets[np.clip(np.searchsorted(clock.frames, frames, side="right") - 1, 0, None)]

    def _draw_words(self, painter: QPainter, axis: Axis, top: float) -> None:
        told = self.showing.told
        if not told:
            return
        starts = self.onsets(told)
        # a sentence stands until the next is due; what was not narrated stays empty
        ends = np.append(starts[1:], np.inf)
        ends = np.minimum(ends, np.minimum(starts + self.session.sentence_every_s, self.showing.player.clock.length))
        painter.setFont(self.small_font())
        metrics = painter.fontMetrics()
        last = ""
        run: tuple[float, float, str, bool] | None = None
        runs = []
        for frame, start, end in zip(told, starts, ends, strict=True):
            result = self.showing.sentence(frame)
            assert result is not None
            said = result.text.strip()
            if run is not None and said == last and start <= run[1] + 1e-6:
                run = (run[0], end, said, run[3])
            else:
                if run is not None:
                    runs.append(run)
                run = (start, end, said, result.greyed)
            last = said
        runs.append(run)  # type: ignore[arg-type]
        for start, end, said, grey in runs:
            x0, x1 = axis.x(start), axis.x(end)
            if x1 < axis.left or x0 > axis.right:
                continue
            box = QRectF(x0, top, max(1.0, x1 - x0), WORDS_PX)
            fill = QColor(STANDINGS[GREYED] if grey else WORDS)
            fill.setAlpha(70)
            painter.fillRect(box, fill)
            painter.fillRect(QRectF(x0, top, 2, WORDS_PX), QColor(STANDINGS[GREYED] if grey else WORDS))
            room = int(box.width() - 8)
            if room > 30:
                painter.setPen(self.ink(150 if grey else 235))
                elided = metrics.elidedText(said, Qt.TextElideMode.ElideRight, room)
                painter.drawText(box.adjusted(5, 0, -2, 0), Qt.AlignmentFlag.AlignVCenter, elided)

    def _draw_concept(self, painter: QPainter, axis: Axis, top: float) -> None:
        strength = self.showing.strength(self.session.shown)
        seen = np.isfinite(strength)
        if not seen.any():
            return
        starts = self.onsets(self.showing.frames)
        ceiling = 1.0 if self.session.shown == PATCHES else max(float(strength[seen].max()), 1e-6)
        share = np.clip(strength / ceiling, 0, 1)
        bottom = top + CONCEPT_PX - 1
        fill, edge = QColor(CONCEPT), QColor(CONCEPT)
        fill.setAlpha(110)
        # one area for each stretch without a hole
        gap = np.append(np.diff(starts) > 2 * MAP_REACH_S, False)
        begin = None
        for i in range(len(starts)):
            if seen[i] and begin is None:
                begin = i
            if begin is not None and (i + 1 == len(starts) or not seen[i + 1] or gap[i]):
                part = slice(begin, i + 1)
                xs = [axis.x(s) for s in starts[part]]
                xs.append(axis.x(min(starts[i] + MAP_REACH_S / 2, starts[i + 1] if i + 1 < len(starts) else np.inf)))
                ys = [bottom - (CONCEPT_PX - 3) * v for v in share[part]]
                ys.append(ys[-1])
                line = [QPointF(x, y) for x, y in zip(xs, ys, strict=True)]
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(fill)
                painter.drawPolygon(QPolygonF([QPointF(xs[0], bottom), *line, QPointF(xs[-1], bottom)]))
                painter.setPen(QPen(edge, 1.2))
                painter.drawPolyline(QPolygonF(line))
                begin = None

    def _draw_evidence(self, painter: QPainter, axis: Axis, top: float) -> None:
        starts = self.onsets(self.showing.frames)
        ends = np.minimum(np.append(starts[1:], np.inf), starts + MAP_REACH_S)
        for start, end, standing in zip(starts, ends, self.showing.standings(), strict=True):
            if standing == NOT_COMPUTED:
                continue
            # whole pixels, so that neighbours meet without a seam
            x0, x1 = round(axis.x(start)), round(axis.x(end))
            height = HEIGHTS[standing] * EVIDENCE_PX
            box = QRectF(x0, top + EVIDENCE_PX - height, max(1, x1 - x0), height)
            painter.fillRect(box, QColor(STANDINGS[standing]))

    def tip_at(self, seconds: float, _y: float) -> str:
        """Say what is known of a moment."""
        clock = self.showing.player.clock
        frame = clock.at(seconds)
        words = [f"{clock.onset(frame):.2f} s, frame {frame + 1}"]
        said = self.showing.sentence(frame)
        if said is not None and seconds - clock.onset(said.frame) <= self.session.sentence_every_s:
            words.append(f"“{said.text.strip()}”")
        here = self.showing.map_at(frame)
        if here is None:
            words.append("Not worked out yet: play, or narrate the whole showing.")
            return "\n".join(words)
        shown = self.session.shown
        if shown == PATCHES and here.mean_cosine is not None:
            words.append(f"match {here.mean_cosine:.2f}")
        elif shown is None and here.concepts:
            top = max(here.concepts, key=lambda concept: concept.strength)
            words.append(f"strongest concept: {top.name} ({top.strength:.1f} SD)")
        elif shown is not None:
            found = next((c.strength for c in here.concepts if c.name == shown), None)
            words.append(f"{shown}: {found:.1f} SD" if found is not None else f"{shown}: not among the strongest")
        words.append(here.evidence.in_words(here.held_out) if here.evidence is not None else here.problem)
        return "\n".join(word for word in words if word)
